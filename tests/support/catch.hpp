#pragma once

// One door to Catch2 for every test: version 2.13 (a single header) and version 3 (split headers).

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#elif __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
#else
#error "Catch2 is missing: run cmake/deps.sh, or install Catch2 2.13 or later"
#endif
