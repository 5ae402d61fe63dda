#include <tokenheap/observe/viz_snapshot.hpp>

#include <support/catch.hpp>

#include <cstring>

using namespace tokenheap;

TEST_CASE("a segment is as large as its blocks", "[observe]") {
  viz_snapshot s;
  s.begin_segment({.address = 4096, .stream = 7});
  s.add(viz_block{.address = 4096, .size = 512, .requested = 500, .state = viz_state::allocated});
  s.add(viz_block{.address = 4608, .size = 1024, .requested = 1000, .state = viz_state::pending});
  s.add(viz_block{.address = 5632, .size = 256, .requested = 99, .state = viz_state::inactive});
  s.arrange();
  REQUIRE(s.status() == errc::ok);
  CHECK(s.is_valid());
  REQUIRE(s.segments().size() == 1);
  const viz_segment& g = s.segments()[0];
  CHECK(g.total == 1792);
  CHECK(g.allocated == 512);
  CHECK(g.active == 1536);
  CHECK(g.requested == 1500);
  CHECK(s.blocks(g).size() == 3);
  CHECK(s.blocks(g)[2].requested == 0);
  CHECK(s.has(0, 4096));
  CHECK(s.has(0, 5887));
  CHECK(!s.has(0, 5888));
  CHECK(!s.has(0, 4095));
  CHECK(!s.has(1, 4096));
}

TEST_CASE("segments are put in order, and may not overlap", "[observe]") {
  viz_snapshot s;
  CHECK(s.devices() == 1);
  for (const std::uint64_t at : {std::uint64_t{8192}, std::uint64_t{0}, std::uint64_t{4096}}) {
    for (const std::uint16_t device : {std::uint16_t{3}, std::uint16_t{1}}) {
      s.begin_segment({.device = device, .address = at});
      s.add(viz_block{.address = at, .size = 4096});
    }
  }
  s.arrange();
  CHECK(s.devices() == 4);
  REQUIRE(s.segments().size() == 6);
  CHECK(s.segments()[0].device == 1);
  CHECK(s.segments()[2].address == 8192);
  CHECK(s.segments()[3].device == 3);
  CHECK(s.is_valid());
  s.begin_segment({.device = 1, .address = 4000});
  s.add(viz_block{.address = 4000, .size = 97});
  s.arrange();
  CHECK(!s.is_valid());
  s.reset();
  CHECK(s.segments().empty());
  CHECK(s.devices() == 1);
  CHECK(s.is_valid());
}

TEST_CASE("what no viewer could show is refused, and the first reason stays", "[observe][bad]") {
  const auto refused = [](auto&& write) {
    viz_snapshot s;
    s.begin_segment({.address = 100});
    s.add(viz_block{.address = 100, .size = 10});
    REQUIRE(s.status() == errc::ok);
    write(s);
    const errc first = s.status();
    s.add(viz_event{});
    s.fail(errc::corrupted);
    CHECK(s.events().empty());
    CHECK(s.status() == first);
    CHECK(!s.is_valid());
    return first;
  };
  constexpr std::uint64_t far = viz_snapshot::too_far;
  CHECK(refused([](auto& s) { s.add(viz_block{.address = 111, .size = 1}); }) == errc::invalid_argument);
  CHECK(refused([](auto& s) { s.add(viz_block{.address = 109, .size = 1}); }) == errc::invalid_argument);
  CHECK(refused([](auto& s) { s.add(viz_block{.address = 110, .size = 0}); }) == errc::invalid_argument);
  CHECK(refused([](auto& s) { s.arrange(), s.add(viz_block{.address = 110, .size = 1}); }) == errc::invalid_argument);
  CHECK(refused([](auto& s) { s.add(viz_block{.address = 110, .size = far - 110}); }) == errc::too_large);
  CHECK(refused([](auto& s) { s.begin_segment({.address = far}); }) == errc::too_large);
  CHECK(refused([](auto& s) { s.begin_segment({.device = 64}); }) == errc::too_large);
  CHECK(refused([](auto& s) { s.add(viz_event{.device = 64}); }) == errc::too_large);
  CHECK(refused([](auto& s) { s.add(viz_event{.address = far}); }) == errc::too_large);
}

TEST_CASE("events keep their order, and their place is their time", "[observe]") {
  viz_snapshot s;
  for (std::uint64_t k = 0; k != 10; ++k) s.add(viz_event{.address = k, .stream = k == 3 ? viz_snapshot::too_far + 5 : k});
  s.add(viz_event{.address = 10, .microseconds = 1'000'000});
  REQUIRE(s.events().size() == 11);
  CHECK(s.events()[3].stream == 5);
  CHECK(s.events()[9].microseconds == 9);
  CHECK(s.events()[10].microseconds == 1'000'000);
  std::uint64_t last = 11;
  s.keep_events(2, [&](const viz_event& e) {
    CHECK(e.address == --last);
    return e.address % 2 == 0;
  });
  CHECK(last == 2);
  REQUIRE(s.events().size() == 7);
  const std::uint64_t kept[] = {0, 1, 2, 4, 6, 8, 10};
  for (std::size_t k = 0; k != 7; ++k) CHECK(s.events()[k].address == kept[k]);
}

TEST_CASE("an event of a column's ring is one or two of the viewer's", "[observe]") {
  viz_snapshot s;
  int here = 0;
  const viz_frame own{.name = "mine"};
  s.add({trace_kind::allocate, &here, 100, 128}, 0, own);
  s.add({trace_kind::deallocate, &here, 0, 128}, 0, own);
  s.add({trace_kind::out_of_memory, nullptr, 999, 0}, 0, own);
  s.add({trace_kind::trim, nullptr, 5, 5}, 0, own);
  s.add({trace_kind::reset, nullptr, 0, 0}, 0, own);
  const auto e = s.events();
  REQUIRE(e.size() == 4);
  CHECK(e[0].action == device_action::alloc);
  CHECK(e[0].bytes == 100);
  CHECK(e[1].action == device_action::free_requested);
  CHECK(e[1].bytes == 128);
  CHECK(e[2].action == device_action::free_completed);
  CHECK(e[2].address == reinterpret_cast<std::uintptr_t>(&here));
  CHECK(e[3].action == device_action::oom);
  CHECK(e[3].bytes == 999);
  CHECK(std::strcmp(e[3].frame.name, "mine") == 0);
}
