#pragma once

// One way to demand a verdict of a contract suite, with the broken clause in the message.

#include <support/catch.hpp>
#include <tokenheap/check/verdict.hpp>

#define REQUIRE_CONTRACT(...)                                                            \
  do {                                                                                   \
    const tokenheap::verdict found_ = (__VA_ARGS__);                                     \
    INFO("broken: " << found_.first_broken() << ", at " << found_.broken_with() << "; "  \
                    << found_.failures() << " of " << found_.checks() << " checks");     \
    REQUIRE(found_);                                                                     \
  } while (false)
