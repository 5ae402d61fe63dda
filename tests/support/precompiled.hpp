#pragma once

// What nearly every test includes, parsed once where TOKENHEAP_PRECOMPILE is on; nothing of tokenheap, whose headers a test must
// be able to meet first.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <support/catch.hpp>
