#include <tokenheap/device/sim_timeline.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("streams are found by handle, and their identity is theirs alone", "[device]") {
  sim_timeline t({.devices = 2});
  device_error error{};
  REQUIRE(t.slot_of(0, {0, 0}, sim_call::record, error) == 0);
  REQUIRE(t.slot_of(1, {1, 0}, sim_call::record, error) == 1);
  REQUIRE((t.streams[0].id == 1 && t.streams[1].id == 2));
  const sim_stream a = t.name_of(t.add_stream(1, true));
  const sim_stream b = t.name_of(t.add_stream(0, true));
  REQUIRE((a.handle >= sim_first_handle && a.handle != b.handle && a != b));
  REQUIRE(t.streams[t.slot_of(0, a, sim_call::record, error)].device == 1);
  REQUIRE(error == device_error::ok);
  REQUIRE(t.live_streams == 2);
  REQUIRE(t.violations == 0);
  (void)t.slot_of(0, {b.handle + 1, 0}, sim_call::record, error);
  REQUIRE(error == device_error::invalid_handle);
  REQUIRE((t.violations == 1 && t.kept[0].kind == sim_wrong::dead_stream));
}

TEST_CASE("the lowest handle that is free is given again, unless that is switched off", "[device]") {
  for (const bool reuse : {true, false}) {
    sim_timeline t({.reuse_handles = reuse});
    const std::uint32_t a = t.add_stream(0, true);
    const std::uint32_t b = t.add_stream(0, true);
    const std::uint64_t id = t.streams[a].id;
    t.remove_stream(b);
    t.remove_stream(a);
    REQUIRE(t.live_streams == 0);
    const std::uint32_t c = t.add_stream(0, true);
    REQUIRE((c == a) == reuse);
    REQUIRE(t.streams[c].id > id);
  }
}

TEST_CASE("ordering of work: what a host knows, and what the legacy stream orders", "[device]") {
  sim_timeline t({});
  const sim_host& host = t.order.self();
  const std::uint32_t blocking = t.add_stream(0, true);
  const std::uint32_t free_one = t.add_stream(0, false);
  const sim_epoch in_blocking = t.enqueue(blocking, host, sim_call::launch);
  const sim_epoch in_free = t.enqueue(free_one, host, sim_call::launch);
  const sim_epoch in_legacy = t.enqueue(0, host, sim_call::launch);
  REQUIRE(t.streams[0].clock.covers(in_blocking));
  REQUIRE_FALSE(t.streams[0].clock.covers(in_free));
  REQUIRE_FALSE(t.streams[blocking].clock.covers(in_legacy));
  (void)t.enqueue(blocking, host, sim_call::launch);
  (void)t.enqueue(free_one, host, sim_call::launch);
  REQUIRE(t.streams[blocking].clock.covers(in_legacy));
  REQUIRE_FALSE(t.streams[free_one].clock.covers(in_legacy));
}

TEST_CASE("the work of a destroyed stream goes on: the device and the legacy stream wait for it", "[device]") {
  sim_timeline t({});
  const std::uint32_t gone = t.add_stream(0, true);
  const sim_epoch work = t.enqueue(gone, t.order.self(), sim_call::launch);
  t.remove_stream(gone);
  REQUIRE_FALSE(t.order.self().clock.covers(work));
  (void)t.enqueue(0, t.order.self(), sim_call::launch);
  REQUIRE(t.streams[0].clock.covers(work));
  t.wait_for_device(0, t.order.self());
  REQUIRE(t.order.self().clock.covers(work));
}
