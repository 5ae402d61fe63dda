#include <tokenheap/adapt/no_memory.hpp>

#include <support/catch.hpp>

TEST_CASE("no memory is std::bad_alloc where there are exceptions") {
#if TOKENHEAP_HAS_EXCEPTIONS
  CHECK_THROWS_AS(tokenheap::adapt::no_memory(), std::bad_alloc);
#else
  SUCCEED("the program would end");
#endif
}
