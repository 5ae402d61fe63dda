// Catch2 2.13's main and runner, compiled once; version 3 brings its own in Catch2::Catch2WithMain.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
