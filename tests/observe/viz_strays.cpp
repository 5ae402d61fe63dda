#include <tokenheap/observe/viz_strays.hpp>

#include <support/catch.hpp>

#include <vector>

using namespace tokenheap;

TEST_CASE("stretches are added, cut and joined", "[observe]") {
  viz_stretches s;
  CHECK(s.add(100, 50));
  CHECK(s.add(200, 50));
  CHECK(!s.add(149, 1));
  CHECK(!s.add(90, 11));
  CHECK(!s.add(0, 1000));
  CHECK(!s.add(300, 0));
  CHECK(s.add(150, 50));
  CHECK(!s.take(140, 20, false));
  s.join();
  CHECK(s.contains(100));
  CHECK(s.contains(249));
  CHECK(!s.contains(250));
  CHECK(!s.contains(99));
  CHECK(!s.take(100, 149, true));
  CHECK(s.take(140, 20, false));
  CHECK(s.contains(139));
  CHECK(!s.contains(140));
  CHECK(!s.contains(159));
  CHECK(s.contains(160));
  CHECK(s.take(100, 10, false));
  CHECK(s.take(240, 10, false));
  CHECK(!s.contains(109));
  CHECK(s.contains(110));
  CHECK(!s.contains(240));
  CHECK(s.take(110, 30, true));
  CHECK(!s.contains(110));
  CHECK(s.take(160, 80, true));
  CHECK(!s.take(160, 1, false));
  CHECK(!s.take(0, 0, false));
}

TEST_CASE("events that the segments do not bear out are dropped", "[observe]") {
  viz_snapshot s;
  s.begin_segment({.address = 1000});
  s.add(viz_block{.address = 1000, .size = 100});
  using action = device_action;
  s.add(viz_event{.action = action::alloc, .address = 1});  // before `since`: stays, whatever it is
  const std::size_t since = s.events().size();
  const auto note = [&](action what, std::uint64_t at, std::uint64_t bytes, std::uint16_t device = 0) {
    s.add(viz_event{.device = device, .action = what, .address = at, .bytes = bytes});
  };
  note(action::alloc, 1000, 10);           // 1: dropped, the segment comes later
  note(action::segment_alloc, 1000, 100);  // 2
  note(action::segment_alloc, 1000, 50);   // 3: dropped, no segment is so large
  note(action::alloc, 1000, 10);           // 4
  note(action::alloc, 5000, 10);           // 5: dropped
  note(action::segment_map, 2000, 64);     // 6
  note(action::alloc, 2000, 10);           // 7
  note(action::segment_unmap, 2000, 32);   // 8
  note(action::segment_unmap, 2032, 32);   // 9
  note(action::free_completed, 2000, 10);  // 10: dropped, the pages are gone
  note(action::segment_free, 1050, 100);   // 11: dropped, it is there
  note(action::oom, 77, 10);               // 12
  note(action::snapshot, 0, 10);           // 13
  note(action::alloc, 1, 10, 5);           // 14: another device's
  s.arrange();
  drop_strays(s, 0, since);
  std::vector<std::uint64_t> left;
  for (const viz_event& e : s.events()) left.push_back(e.microseconds);
  CHECK(left == std::vector<std::uint64_t>{0, 2, 4, 6, 7, 8, 9, 12, 13, 14});
}

TEST_CASE("segments that overlap are a failure", "[observe][bad]") {
  viz_snapshot s;
  for (const std::uint64_t at : {std::uint64_t{100}, std::uint64_t{150}}) {
    s.begin_segment({.address = at});
    s.add(viz_block{.address = at, .size = 100});
  }
  s.arrange();
  drop_strays(s, 0, 0);
  CHECK(s.status() == errc::invalid_argument);
}
