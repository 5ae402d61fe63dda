#include <tokenheap/alloc/range_classes.hpp>

#include <support/catch.hpp>

#include <random>
#include <set>

using namespace tokenheap;

TEST_CASE("range_classes: a class never goes down as sizes go up, and holds sizes 1 / Sub apart", "[range_classes]") {
  using classes = range_classes<16>;
  std::size_t last = 0;
  for (std::size_t units = 1; units != 100000; ++units) {
    const std::size_t c = classes::of(units);
    REQUIRE((c == last || c == last + 1));
    last = c;
  }
  CHECK(classes::of(16) == 16);
  CHECK(classes::of(31) == 31);
  CHECK(classes::of(32) == classes::of(33));
  CHECK(classes::of(34) == classes::of(32) + 1);
  CHECK(classes::of(~std::size_t{0}) == classes::count - 1);
}

TEMPLATE_TEST_CASE_SIG("range_classes: finds what a sorted set finds", "[range_classes]", ((std::size_t Sub), Sub), 8, 16,
                       32, 64) {
  constexpr unsigned seed = 20261;
  CAPTURE(seed, Sub);
  std::mt19937 random(seed);
  using classes = range_classes<Sub>;
  classes ours;
  std::set<std::size_t> model;
  for (int step = 0; step != 5000; ++step) {
    const std::size_t c = random() % (step % 2 == 0 ? classes::count : 3 * Sub);
    if (random() % 3 == 0) {
      ours.clear_head(c);
      model.erase(c);
    } else {
      ours.set_head(c, 1 + static_cast<std::uint32_t>(c));
      model.insert(c);
    }
    const std::size_t q = random() % classes::count;
    const auto from = model.lower_bound(q);
    const auto above = model.upper_bound(q);
    REQUIRE(ours.from(q) == (from == model.end() ? classes::none : *from));
    REQUIRE(ours.above(q) == (above == model.end() ? classes::none : *above));
    REQUIRE(ours.highest() == (model.empty() ? classes::none : *model.rbegin()));
  }
  CHECK(ours.is_valid());
  ours.clear();
  CHECK(ours.highest() == classes::none);
  CHECK(ours.is_valid());
}
