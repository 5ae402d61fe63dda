#include <tokenheap/alloc/range_map.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace tokenheap;

namespace {

constexpr range_shape bytewise{.granularity = 1, .by_offset = true};
constexpr range_shape coarse{.granularity = 256, .by_offset = true};
constexpr range_shape narrow{.granularity = 16, .subclasses = 8, .scan = 1, .by_offset = true};

struct rationed {
  using space = host_space;
  static inline int left = 0;
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return left-- > 0 ? host_source{}.allocate(bytes, alignment) : allocation{};
  }
  void deallocate(allocation a) noexcept { host_source{}.deallocate(a); }
};

// what is out, as a sorted map: the truth about overlaps and about the largest free range
class model {
 public:
  explicit model(std::size_t size) : size_(size) {}
  bool insert(std::size_t offset, std::size_t bytes) {
    const auto next = out_.lower_bound(offset);
    if (next != out_.end() && next->first < offset + bytes) return false;
    if (next != out_.begin() && std::prev(next)->first + std::prev(next)->second > offset) return false;
    return offset + bytes <= size_ && out_.emplace(offset, bytes).second;
  }
  void erase(std::size_t offset) { out_.erase(offset); }
  // the largest free range from a multiple of the alignment on
  [[nodiscard]] std::size_t largest_free(std::size_t alignment = 1) const {
    std::size_t largest = 0;
    std::size_t from = 0;
    const auto look = [&](std::size_t end) {
      const std::size_t at = align_up(from, alignment);
      if (at < end) largest = std::max(largest, end - at);
    };
    for (const auto& [offset, bytes] : out_) {
      look(offset);
      from = offset + bytes;
    }
    look(size_);
    return largest;
  }

 private:
  std::size_t size_;
  std::map<std::size_t, std::size_t> out_;
};

}  // namespace

TEST_CASE("range_map: sixteen pages (scenario 67)", "[range_map]") {
  constexpr std::size_t page = 4096;
  using pages = range_map<range_shape{.granularity = page, .by_offset = true}>;
  SECTION("every size comes back on a page") {
    pages map({.size = 16 * page});
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{17}, page / 2, page, page + 1}) {
      const range r = map.allocate(bytes);
      REQUIRE(r);
      CHECK(r.offset % page == 0);
      CHECK(map.granted(bytes) == (bytes <= page ? page : 2 * page));
    }
    CHECK(map.stats().out == 6 * page);
  }
  SECTION("a region of 17 pages from its third byte holds 16") {
    constexpr std::size_t base = 0x10000 + 3;
    const std::size_t first = align_up(base, page);
    pages map;
    REQUIRE(map.add(first, align_down(base + 17 * page - first, page)) == errc::ok);
    std::vector<range> singles;
    while (const range r = map.allocate(page)) singles.push_back(r);
    CHECK(singles.size() == 16);
    std::shuffle(singles.begin(), singles.end(), std::mt19937(5));
    for (const range r : singles) REQUIRE(map.deallocate(r) == errc::ok);
    const range all = map.allocate(16 * page);
    REQUIRE(all);
    CHECK(all.offset == first);
  }
  SECTION("12 pages hold 12") {
    pages map({.size = 12 * page});
    for (int k = 0; k != 12; ++k) CHECK(map.allocate(page));
    CHECK_FALSE(map.allocate(page));
    CHECK(map.why(page).code == errc::out_of_memory);
  }
}

TEMPLATE_TEST_CASE_SIG("range_map: agrees with a model over a long churn", "[range_map]", ((range_shape Shape), Shape),
                       bytewise, coarse, narrow) {
  const unsigned seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed, Shape.granularity, Shape.scan);
  std::mt19937_64 random(seed);
  constexpr std::size_t size = std::size_t{1} << 20;
  range_map<Shape> map({.size = size});
  model truth(size);
  struct piece {
    range handle;
    std::size_t bytes;
  };
  std::vector<piece> live;
  std::size_t out = 0;
  for (int step = 0; step != 4000; ++step) {
    const auto choice = random() % 8;
    if (choice < 4) {
      const std::size_t bytes = 1 + random() % (std::size_t{1} << (random() % 17));
      const std::size_t alignment = std::size_t{1} << (random() % 3 == 0 ? random() % 14 : 0);
      const std::size_t effective = std::max(alignment, Shape.granularity);
      const bool possible = truth.largest_free(effective) >= map.granted(bytes);
      const range r = map.allocate(bytes, alignment);
      REQUIRE(static_cast<bool>(r) == possible);
      if (!r) continue;
      REQUIRE(r.offset % effective == 0);
      REQUIRE(truth.insert(r.offset, map.granted(bytes)));
      live.push_back({r, bytes});
      out += map.granted(bytes);
    } else if (choice < 7 && !live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      const piece p = live.back();
      live.pop_back();
      out -= map.granted(p.bytes);
      truth.erase(p.handle.offset);
      if (random() % 2 == 0) {
        REQUIRE(map.deallocate(p.handle) == errc::ok);
      } else {
        REQUIRE(map.deallocate(p.handle.offset, random() % 2 == 0 ? p.bytes : map.granted(p.bytes)) == errc::ok);
      }
      REQUIRE(map.deallocate(p.handle) != errc::ok);
    } else if (!live.empty()) {
      piece& p = live[random() % live.size()];
      const std::size_t more = p.bytes + random() % 2000;
      truth.erase(p.handle.offset);
      const bool grown = map.try_grow(p.handle, more);
      REQUIRE(truth.insert(p.handle.offset, map.granted(grown ? more : p.bytes)));
      if (grown) {
        out += map.granted(more) - map.granted(p.bytes);
        p.bytes = more;
      }
    }
    const range_stats now = map.stats();
    REQUIRE(now.out == out);
    REQUIRE(now.out + now.available == now.capacity);
    REQUIRE(now.live_ranges == live.size());
    REQUIRE(now.largest_free == truth.largest_free());
    if (step % 64 == 0) REQUIRE(map.is_valid());
  }
  std::shuffle(live.begin(), live.end(), random);
  for (const piece& p : live) REQUIRE(map.deallocate(p.handle) == errc::ok);
  REQUIRE(map.is_valid());
  CHECK(map.stats().free_ranges == 1);
  CHECK(map.stats().largest_free == size);
  CHECK(map.stats().fragmentation() == 0.0);
}

TEST_CASE("range_map: takes the best fit", "[range_map]") {
  range_map<bytewise> map({.size = 10000});
  std::vector<range> holes;
  for (const unsigned bytes : {500u, 300u, 302u, 301u, 400u}) {
    holes.push_back(map.allocate(bytes));
    REQUIRE(map.allocate(10));
  }
  const std::size_t expected = holes[3].offset;
  for (const range r : holes) REQUIRE(map.deallocate(r) == errc::ok);
  CHECK(map.allocate(301).offset == expected);
}

TEST_CASE("range_map: what alignment skips is free and merges again", "[range_map]") {
  range_map<bytewise> map({.size = 8192});
  const range head = map.allocate(100);
  const range aligned = map.allocate(4096, 4096);
  REQUIRE(aligned);
  CHECK(aligned.offset == 4096);
  const range between = map.allocate(3996);
  CHECK(between.offset == 100);
  CHECK(map.stats().available == 0);
  CHECK(map.deallocate(aligned) == errc::ok);
  CHECK(map.deallocate(head) == errc::ok);
  CHECK(map.deallocate(between) == errc::ok);
  CHECK(map.stats().largest_free == 8192);
  CHECK(map.stats().free_ranges == 1);
  CHECK_FALSE(map.allocate(8192, 16384) == range{});
}

TEST_CASE("range_map: terabytes", "[range_map]") {
  range_map<coarse> map({.size = std::size_t{64} << 40});
  const range a = map.allocate(std::size_t{40} << 40);
  const range b = map.allocate(5 * GiB + 1, GiB);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(b.offset == std::size_t{40} << 40);
  CHECK(map.stats().out == (std::size_t{40} << 40) + 5 * GiB + 256);
  CHECK(map.deallocate(a.offset, std::size_t{40} << 40) == errc::ok);
  CHECK(map.deallocate(b) == errc::ok);
  CHECK(map.is_valid());
}

TEST_CASE("range_map: every bad request has its reason and changes nothing", "[range_map]") {
  range_map<coarse> map({.size = 1 * MiB, .name = "vram"});
  struct row {
    std::size_t bytes, alignment;
    errc expected;
  };
  const auto bad = GENERATE(row{0, 256, errc::invalid_argument}, row{~std::size_t{0}, 1, errc::invalid_argument},
                            row{~std::size_t{0} - 255, 256, errc::invalid_argument},
                            row{max_allocation + 1, 1, errc::invalid_argument}, row{1, 0, errc::invalid_argument},
                            row{1, 3, errc::invalid_argument}, row{1, 2 * GiB, errc::invalid_argument},
                            row{max_allocation, 1, errc::too_large}, row{1 * MiB + 1, 1, errc::too_large});
  CAPTURE(bad.bytes, bad.alignment);
  CHECK_FALSE(map.allocate(bad.bytes, bad.alignment));
  CHECK(map.why(bad.bytes, bad.alignment).code == bad.expected);
  CHECK(std::string(map.why(bad.bytes, bad.alignment).pool) == "vram");
  CHECK(std::string(map.why(bad.bytes, bad.alignment).fix) != "");
  CHECK(map.stats().out == 0);
  CHECK(map.stats().free_ranges == 1);
  CHECK(map.why(1 * MiB).code == errc::ok);
}

TEST_CASE("range_map: a refusal says whether bytes are missing or only neighbours", "[range_map]") {
  range_map<coarse> map({.size = 4 * 256});
  std::vector<range> all;
  while (const range r = map.allocate(256)) all.push_back(r);
  REQUIRE(all.size() == 4);
  CHECK(std::string(map.why(1).fix) == "give ranges back, or add a span");
  CHECK(map.deallocate(all[0]) == errc::ok);
  CHECK(map.deallocate(all[2]) == errc::ok);
  const failure f = map.why(512);
  CHECK(f.code == errc::out_of_memory);
  CHECK(f.available == 256);
  CHECK(std::string(f.fix).find("in pieces") != std::string::npos);
  CHECK(map.stats().fragmentation() == 0.5);
}

TEST_CASE("range_map: every misuse has its name and changes nothing", "[range_map]") {
  range_map<coarse> map({.size = 1 * MiB});
  const range a = map.allocate(1000);
  const range b = map.allocate(1000);
  SECTION("by handle") {
    CHECK(map.deallocate(range{}) == errc::ok);
    CHECK(map.deallocate({a.offset, 4000000000u, 1}) == errc::foreign_pointer);
    CHECK(map.deallocate({a.offset + 256, a.node, a.generation}) == errc::foreign_pointer);
    CHECK(map.deallocate({a.offset, a.node, a.generation + 1}) == errc::foreign_pointer);
    CHECK(map.deallocate({a.offset, a.node, a.generation + 2}) == errc::foreign_pointer);
    CHECK(map.deallocate(a) == errc::ok);
    CHECK(map.deallocate(a) == errc::double_free);
    CHECK_FALSE(map.try_grow(a, 2000));
    const range again = map.allocate(1000);
    CHECK(again.offset == a.offset);
    CHECK(map.deallocate(a) == errc::stale_handle);
    CHECK_FALSE(map.try_grow(a, 1000));
    CHECK(map.deallocate(again) == errc::ok);
  }
  SECTION("by offset") {
    CHECK(map.deallocate(a.offset, 0) == errc::wrong_size);
    CHECK(map.deallocate(a.offset, 768) == errc::wrong_size);
    CHECK(map.deallocate(a.offset, 1025) == errc::wrong_size);
    CHECK(map.deallocate(a.offset, ~std::size_t{0}) == errc::wrong_size);
    CHECK(map.deallocate(a.offset + 256, 256) == errc::interior_pointer);
    CHECK(map.deallocate(a.offset + 1, 256) == errc::interior_pointer);
    CHECK(map.deallocate(1 * MiB, 256) == errc::foreign_pointer);
    CHECK(map.deallocate(~std::size_t{0}, 256) == errc::foreign_pointer);
    CHECK(map.at(a.offset, 1000) == a);
    CHECK_FALSE(map.at(a.offset, 2000));
    CHECK_FALSE(map.at(a.offset + 256, 256));
    CHECK(map.deallocate(a.offset, 1000) == errc::ok);
    CHECK(map.deallocate(a.offset, 1000) == errc::double_free);
  }
  CHECK(map.stats().out == 1024);
  CHECK(map.is_valid());
  CHECK(map.deallocate(b) == errc::ok);
  CHECK(map.stats().free_ranges == 1);
}

TEST_CASE("range_map: spans are added, refused, let go, and never merged", "[range_map]") {
  range_map<coarse> map;
  CHECK_FALSE(map.allocate(1));
  CHECK(map.why(1).code == errc::too_large);
  CHECK(map.add(0, 0) == errc::invalid_argument);
  CHECK(map.add(100, 256) == errc::invalid_argument);
  CHECK(map.add(0, 100) == errc::invalid_argument);
  CHECK(map.add(~std::size_t{0} - 255, 512) == errc::size_overflow);
  CHECK(map.add(256, 1024) == errc::ok);
  CHECK(map.add(1024, 1024) == errc::in_use);
  CHECK(map.add(0, 512) == errc::in_use);
  CHECK(map.add(1280, 1024) == errc::ok);
  CHECK_FALSE(map.allocate(2048));
  const range a = map.allocate(1024);
  const range b = map.allocate(1024);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(map.remove(a.offset) == errc::in_use);
  CHECK(map.remove(5) == errc::foreign_pointer);
  CHECK(map.deallocate(a) == errc::ok);
  CHECK(map.deallocate(b) == errc::ok);
  CHECK(map.stats().free_ranges == 2);
  CHECK(map.remove(256) == errc::ok);
  CHECK(map.deallocate(a) != errc::ok);
  CHECK(map.stats().capacity == 1024);
  CHECK(map.owns(1280));
  CHECK_FALSE(map.owns(256));
  CHECK(map.is_valid());
}

TEST_CASE("range_map: reset makes every handle stale and keeps the spans", "[range_map]") {
  range_map<coarse> map({.size = 1 * MiB});
  std::vector<range> all;
  for (int k = 0; k != 100; ++k) all.push_back(map.allocate(1000, k % 3 == 0 ? 4096 : 1));
  map.reset();
  CHECK(map.is_valid());
  CHECK(map.stats().largest_free == 1 * MiB);
  for (const range r : all) CHECK(map.deallocate(r) != errc::ok);
  CHECK(map.stats().live_ranges == 0);
  CHECK(map.allocate(1 * MiB).offset == 0);
}

TEST_CASE("range_map: without memory for the bookkeeping it refuses and changes nothing", "[range_map]") {
  const int budget = GENERATE(0, 1, 2, 3, 4, 5, 6, 7, 8);
  CAPTURE(budget);
  rationed::left = budget;
  range_map<coarse, rationed> map({.size = 1 * GiB});
  std::vector<range> all;
  while (all.size() < 10000) {
    const range r = map.allocate(100, all.size() % 2 == 0 ? 1024 : 1);
    if (!r) break;
    all.push_back(r);
    REQUIRE(map.is_valid());
    if (all.size() > 600) break;
  }
  CHECK(map.is_valid());
  CHECK(map.stats().live_ranges == all.size());
  if (budget < 2) CHECK(map.stats().capacity == 0);
  for (const range r : all) CHECK(map.deallocate(r) == errc::ok);
  CHECK(map.is_valid());
  CHECK(map.stats().available == map.stats().capacity);
}

TEST_CASE("range_map: what is reserved needs no more memory", "[range_map]") {
  rationed::left = 1000;
  range_map<coarse, rationed> map({.size = 1 * MiB, .reserve = 4096});
  rationed::left = 0;
  std::size_t held = 0;
  while (map.allocate(256)) ++held;
  CHECK(held == 4096);
}

TEST_CASE("range_map: describes itself", "[range_map]") {
  range_map<coarse> map({.size = 4096, .name = "vram"});
  (void)map.allocate(300);
  char line[200];
  const std::size_t length = map.dump(line, sizeof line);
  CHECK(length == std::string(line).size());
  CHECK(std::string(line) ==
        "ranges 'vram': 512 of 4096 bytes out in 1 ranges, 3584 free in 1, largest 3584, spans 1");
  // a compiler that sees the size warns of what is wanted here
  volatile std::size_t little = 4;
  CHECK(map.dump(line, little) == 3);
  little = 0;
  CHECK(map.dump(line, little) == 0);
  std::vector<std::size_t> seen;
  map.for_each([&](std::size_t offset, std::size_t bytes, bool out) {
    seen.push_back(offset);
    seen.push_back(bytes);
    seen.push_back(out ? 1 : 0);
  });
  CHECK(seen == std::vector<std::size_t>{0, 512, 1, 512, 3584, 0});
}
