#include <tokenheap/alloc/size_classes.hpp>

#include <support/catch.hpp>

#include <algorithm>

using namespace tokenheap;

TEST_CASE("classes rise, each holds its own size, and none is skipped", "[alloc]") {
  std::size_t number = 0;
  for (std::size_t bytes = 1; bytes <= 64 * KiB; ++bytes) {
    const std::size_t now = size_classes::of(bytes);
    REQUIRE(now - number <= 1);
    number = now;
    REQUIRE(size_classes::size(number) >= bytes);
    REQUIRE((number == 0 || size_classes::size(number - 1) < bytes));
  }
  REQUIRE(size_classes::of(64 * KiB) == 43);
}

TEST_CASE("a slot wastes less than 20 percent or 16 bytes", "[alloc]") {
  double worst = 0;
  for (std::size_t bytes = 1; bytes <= 64 * KiB; ++bytes) {
    const std::size_t waste = size_classes::size(size_classes::of(bytes)) - bytes;
    if (waste < 16) continue;
    worst = std::max(worst, static_cast<double>(waste) / static_cast<double>(bytes + waste));
  }
  CAPTURE(worst);
  REQUIRE(worst < 0.20);
}

TEST_CASE("classes reach the largest size there is", "[alloc]") {
  for (unsigned k = 7; k != 62; ++k) {
    const std::size_t n = std::size_t{1} << k;
    REQUIRE(size_classes::size(size_classes::of(n)) == n);
    REQUIRE(size_classes::size(size_classes::of(n + 1)) == n + n / 4);
    REQUIRE(size_classes::size(size_classes::of(n + n / 4)) == n + n / 4);
    REQUIRE(size_classes::size(size_classes::of(n + n / 2)) == n + n / 2);
  }
  REQUIRE(size_classes::size(size_classes::of(max_allocation)) == std::size_t{1} << 63);
}

TEST_CASE("a size rounded up to an alignment lies in a class of that alignment", "[alloc]") {
  for (std::size_t alignment = 32; alignment <= 4 * KiB; alignment *= 2) {
    for (std::size_t bytes = 1; bytes <= 64 * KiB; bytes += 7) {
      const std::size_t slot = size_classes::size(size_classes::of(align_up(bytes, alignment)));
      REQUIRE(slot % alignment == 0);
    }
  }
}
