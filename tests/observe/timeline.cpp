#include <tokenheap/observe/timeline.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>
#include <string>
#include <vector>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

using kind = timeline_event::kind;

allocation piece(std::uintptr_t address, std::size_t bytes) { return {reinterpret_cast<void*>(address), bytes}; }

std::vector<timeline_event> all(const timeline& t) {
  std::vector<timeline_event> out;
  t.for_each([&](const timeline_event& e) { out.push_back(e); });
  return out;
}

timeline opened(const timeline_options& with) {
  auto made = timeline::open(with);
  REQUIRE(made);
  return static_cast<timeline&&>(*made);
}

}  // namespace

TEST_CASE("a timeline that makes no sense is refused", "[observe][bad]") {
  CHECK(timeline::open({.events = 0}).error() == errc::invalid_argument);
  CHECK(timeline::open({.names = 65'536}).error() == errc::too_large);
  CHECK(timeline::open({.events = ~std::size_t{0} / 64}).error() == errc::out_of_memory);
  CHECK(timeline::open({.slices = ~std::size_t{0} / 64}).error() == errc::out_of_memory);
}

TEST_CASE("a text has one number", "[observe]") {
  auto t = opened({.events = 4, .names = 3});
  CHECK(t.name("other") == 0);
  CHECK(t.name("kv") == 1);
  CHECK(t.name("") == 2);
  CHECK(t.name("kv") == 1);
  const std::string longest(100, 'x');
  CHECK(t.name(longest) == 3);
  CHECK(t.name(longest + "y") == 3);
  CHECK(std::string(t.text(3)) == std::string(63, 'x'));
  CHECK(t.name("no room") == 0);
  CHECK(std::string(t.text(0)) == "other");
  CHECK(std::string(t.text(99)) == "other");
}

TEST_CASE("the last events are kept, the others counted", "[observe]") {
  auto t = opened({.events = 4});
  CHECK(all(t).empty());
  for (std::uint64_t k = 0; k != 6; ++k) t.counter(k, 1, 2, 10 * k);
  t.mark(6, timeline_mark::eviction, 1, 2, 7);
  const auto kept = all(t);
  REQUIRE(kept.size() == 4);
  CHECK(kept[0].begin == 3);
  CHECK(kept[0].value == 30);
  CHECK(kept[0].is == kind::counter);
  CHECK(kept[3].is == kind::mark);
  CHECK(kept[3].mark == timeline_mark::eviction);
  CHECK(kept[3].value == 7);
  CHECK(t.recorded() == 7);
  CHECK(t.lost() == 3);
}

TEST_CASE("large pieces are slices, whole or still open", "[observe]") {
  auto t = opened({.events = 8, .slices = 2, .slice_bytes = 100});
  t.came(10, 1, 2, piece(0x1000, 99));
  t.came(11, 1, 2, piece(0x2000, 100));
  t.came(12, 1, 3, piece(0x3000, 300));
  t.came(13, 1, 3, piece(0x4000, 400));  // no room
  CHECK(t.lost() == 1);
  CHECK(t.open_slices() == 2);
  t.went(20, piece(0x1000, 99));
  t.went(20, piece(0x4000, 400));
  t.went(21, piece(0x2000, 100));
  auto kept = all(t);
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].begin == 11);
  CHECK(kept[0].end == 21);
  CHECK(kept[0].value == 100);
  CHECK(kept[0].address == 0x2000);
  CHECK(kept[0].owner == 2);
  CHECK(kept[1].end == 0);
  CHECK(kept[1].begin == 12);
  // handed out again without a word in between: the first one ends there
  t.came(30, 1, 4, piece(0x3000, 200));
  kept = all(t);
  REQUIRE(kept.size() == 3);
  CHECK(kept[1].end == 30);
  CHECK(kept[2].owner == 4);
  CHECK(t.is_valid());
}

TEST_CASE("the table of open slices agrees with a map", "[observe]") {
  auto t = opened({.events = 1, .slices = 64, .slice_bytes = 1});
  std::map<std::uintptr_t, std::uint64_t> model;
  std::mt19937 random(11);
  for (std::uint64_t now = 1; now != 20'000; ++now) {
    const std::uintptr_t address = 4096 * (1 + random() % 100);
    if (random() % 2 == 0) {
      t.went(now, piece(address, 1));
      model.erase(address);
    } else {
      model.erase(address);
      if (model.size() < 64) model[address] = now;
      t.came(now, 0, 0, piece(address, 1));
    }
    if (now % 64 != 0) continue;
    REQUIRE(t.is_valid());
    REQUIRE(t.open_slices() == model.size());
    std::map<std::uintptr_t, std::uint64_t> found;
    t.for_each([&](const timeline_event& e) {
      if (e.end == 0 && e.is == kind::slice) found[e.address] = e.begin;
    });
    REQUIRE(found == model);
  }
}

TEST_CASE("a column of layers goes on a timeline", "[observe]") {
  auto t = opened({.slice_bytes = 1000});
  static std::uint64_t now = 0;
  now = 100;
  struct staged : layered<host_source, with<timeline_trace>> {
    using layered::layered;
  };
  {
    staged memory(timeline_trace_options{.to = &t, .pool = "staging", .owner = "tenant", .now = []() noexcept { return ++now; }});
    const allocation small = memory.allocate(64);
    const allocation large = memory.allocate(4096);
    CHECK(!memory.allocate(~std::size_t{0} / 2));
    memory.deallocate(small);
    memory.deallocate(large);
  }
  std::vector<std::uint64_t> counters, slices, marks;
  t.for_each([&](const timeline_event& e) {
    CHECK(std::string(t.text(e.pool)) == "staging");
    CHECK(std::string(t.text(e.owner)) == "tenant");
    (e.is == kind::counter ? counters : e.is == kind::slice ? slices : marks).push_back(e.value);
  });
  CHECK(counters == std::vector<std::uint64_t>{64, 4160, 4096, 0});
  CHECK(slices == std::vector<std::uint64_t>{4096});
  CHECK(marks == std::vector<std::uint64_t>{~std::uint64_t{0} / 2});
  timeline_trace silent(timeline_trace_options{});
  silent.record({trace_kind::allocate, &now, 1, 1});
}

TEST_CASE("marks have names", "[observe]") {
  CHECK(std::string(to_text(timeline_mark::eviction)) == "eviction");
  CHECK(std::string(to_text(timeline_mark::out_of_memory)) == "out of memory");
  CHECK(std::string(to_text(timeline_mark::note)) == "note");
}
