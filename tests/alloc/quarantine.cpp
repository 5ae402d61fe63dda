#include <tokenheap/alloc/quarantine.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("a quarantine gives back in the order in which it took", "[alloc]") {
  static unsigned char bytes[64 * KiB];
  quarantine q;
  REQUIRE(q.bytes() == 0);
  std::size_t in = 0;
  std::size_t out = 0;
  // in and out at different speeds, so that the ring wraps and grows while wrapped
  for (int round = 0; round != 300; ++round) {
    for (int k = 0; k != 3; ++k, ++in) REQUIRE(q.push({&bytes[in], 1}));
    for (int k = 0; k != 2; ++k, ++out) REQUIRE(q.pop() == allocation{&bytes[out], 1});
    REQUIRE(q.count() == in - out);
    REQUIRE(q.bytes() == in - out);
  }
  while (q.count() != 0) REQUIRE(q.pop() == allocation{&bytes[out++], 1});
  REQUIRE(out == in);
  REQUIRE(q.bytes() == 0);
}
