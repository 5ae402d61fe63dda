#include <tokenheap/alloc/caching_waits.hpp>

#include "caching_kit.hpp"

using namespace caching_kit;

// Streams: what frees on one of them means for the others.

namespace {

template <class Policy>
using always = borrowing_policy<Policy, borrowing::always>;
template <class Policy>
using never = borrowing_policy<Policy, borrowing::never>;

}  // namespace

TEMPLATE_TEST_CASE("C13: another stream gets memory of its own, or the same behind a wait", "[caching]", fixed_policy,
                   growable_policy) {
  {
    rig<TestType> r;
    const allocation a = r.take(4 * MiB, 0);
    r.give(a, 0);
    const allocation b = r.take(4 * MiB, 1);
    CHECK(a.data != b.data);
    CHECK(r.gpu().stats().num_device_alloc == 2);
    CHECK(r.gpu().stats().num_events == 0);
    CHECK(r.machine.calls(sim_call::wait) == 0);
    r.give(b, 1);
  }
  rig<always<TestType>> r;
  const allocation a = r.take(4 * MiB, 0);
  r.give(a, 0);
  const allocation b = r.take(4 * MiB, 1);
  CHECK(a.data == b.data);
  CHECK(r.gpu().stats().num_device_alloc == 1);
  CHECK(r.machine.calls(sim_call::record) == 1);
  CHECK(r.machine.calls(sim_call::wait) == 1);
  r.give(b, 1);
}

TEMPLATE_TEST_CASE("C14, C16: a piece comes back when its last other stream is done", "[caching]", fixed_policy,
                   growable_policy) {
  // nothing polls on the hot path: what is pending is looked at when the cache has nothing that fits
  rig<TestType> r(8 * GiB);
  const bool two = GENERATE(false, true);
  const allocation p = r.take(20 * MiB);
  CHECK(r.gpu().record_stream(p, r.streams[1]) == errc::ok);
  if (two) CHECK(r.gpu().record_stream(p, r.streams[2]) == errc::ok);
  for (std::size_t s = 1; s != 3; ++s) {
    r.follow(s, 0);
    CHECK(r.device.launch_read(r.streams[s], p.data, s == 1 || two ? p.size : 0));
  }
  r.give(p);
  const allocation q = r.take(20 * MiB);
  CHECK(q.data != p.data);
  CHECK(r.active() == 40 * MiB);
  CHECK(r.out() == 20 * MiB);
  r.machine.complete(r.streams[1]);
  const allocation next = r.take(20 * MiB);
  CHECK((next.data == p.data) == !two);
  if (!two) {
    CHECK(r.reserved() == 40 * MiB);
    r.give(next);
  } else {
    r.machine.complete(r.streams[2]);
    const allocation last = r.take(20 * MiB);
    CHECK(last.data == p.data);
    CHECK(r.reserved() == 60 * MiB);
    r.give(next);
    r.give(last);
  }
  r.give(q);
  CHECK(r.gpu().stats().num_events == (two ? 2 : 1));
}

TEMPLATE_TEST_CASE("C15: a use by the own stream is no use", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation p = r.take(4 * MiB);
  CHECK(r.gpu().record_stream(p, r.streams[0]) == errc::ok);
  r.give(p);
  const allocation q = r.take(4 * MiB);
  CHECK(q.data == p.data);
  CHECK(r.gpu().stats().num_events == 0);
  r.give(q);
}

TEMPLATE_TEST_CASE("C45, S6: a query that fails does not mean ready", "[caching]", fixed_policy, growable_policy) {
  for (const device_error error : {device_error::invalid_handle, device_error::capture_refused, device_error::failed}) {
    rig<TestType> r;
    const allocation p = r.take(20 * MiB);
    CHECK(r.gpu().record_stream(p, r.streams[1]) == errc::ok);
    r.follow(1, 0);
    CHECK(r.device.launch_read(r.streams[1], p.data, p.size));
    r.give(p);
    r.machine.fail_always(sim_call::query_event, error);
    const allocation q = r.take(20 * MiB);
    CHECK(q.data != p.data);
    CHECK(r.gpu().stats().pending_bytes == 20 * MiB);
    r.machine.clear_faults();
    r.machine.complete(r.streams[1]);
    const allocation s = r.take(20 * MiB);
    CHECK(s.data == p.data);
    r.give(q);
    r.give(s);
  }
}

TEMPLATE_TEST_CASE("RMM 2, S2: what merged on one stream is still ordered behind the streams that it came from", "[caching]",
                   fixed_policy, growable_policy) {
  // stream 0 frees; stream 1 takes over a half, frees it; stream 2 asks for the whole: both must be waited for
  rig<always<TestType>> r(40 * MiB, {.limit = 20 * MiB});
  const allocation a = r.take(10 * MiB, 0);
  const allocation b = r.take(10 * MiB, 0);
  r.give(a, 0);
  r.give(b, 0);
  const allocation c = r.take(10 * MiB, 1);
  REQUIRE(c);
  r.give(c, 1);
  const allocation d = r.take(10 * MiB, 2);
  REQUIRE(d);
  const allocation e = r.take(10 * MiB, 2);
  REQUIRE(e);
  r.give(d, 2);
  r.give(e, 2);
  // no single stream has 20 MiB until all of it was waited for
  const allocation whole = r.take(20 * MiB, 0);
  CHECK(whole);
  r.give(whole, 0);
}

TEST_CASE("RMM 2: a failed borrow leaves the donor's memory with the donor", "[caching]") {
  rig<always<fixed_policy>> r(20 * MiB);
  const allocation a = r.take(20 * MiB, 0);
  r.give(a, 0);
  r.machine.fail_always(sim_call::wait, device_error::failed);
  const allocation b = r.take(12 * MiB, 1);
  // no wait works, so the segment goes back to the device, which waits itself, and comes anew
  CHECK(b);
  CHECK(r.gpu().stats().num_borrows == 0);
  CHECK(r.gpu().stats().num_device_free == 1);
  r.give(b, 1);
}

TEMPLATE_TEST_CASE("RMM 3: nobody waits who has memory of its own", "[caching]", fixed_policy, growable_policy) {
  // an event is recorded when somebody borrows and not before, so a borrower also waits for what the donor did since; who
  // does not borrow waits for nobody
  rig<always<TestType>> r;
  const allocation a = r.take(1 * MiB, 0);
  const allocation b = r.take(1 * MiB, 1);
  for (int k = 0; k != 100; ++k) {
    r.give(a, 0);
    r.give(b, 1);
    CHECK(r.take(1 * MiB, 0).data == a.data);
    CHECK(r.take(1 * MiB, 1).data == b.data);
  }
  // both pieces were borrowed at most once, when the second stream came
  CHECK(r.machine.calls(sim_call::wait) <= 1);
  CHECK(r.machine.calls(sim_call::record) <= 1);
  r.give(a, 0);
  r.give(b, 1);
}

TEMPLATE_TEST_CASE("RMM 9: a free never waits and never calls the device", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  std::vector<allocation> all;
  for (std::size_t k = 0; k != 64; ++k) all.push_back(r.take((k % 8 + 1) * MiB, k % 3));
  const std::size_t calls = r.machine.device_calls();
  for (std::size_t k = 0; k != 64; ++k) r.give(all[k], k % 3);
  CHECK(r.machine.device_calls() == calls);
}

TEST_CASE("S3: a new stream under an old handle is another stream", "[caching]") {
  rig<always<fixed_policy>> r(20 * MiB);
  sim_device::stream old{};
  REQUIRE(r.device.create_stream(old));
  const allocation a = r.gpu().allocate(old, 20 * MiB);
  REQUIRE(a);
  CHECK(r.device.launch_write(old, a.data, a.size));
  r.gpu().deallocate(old, a);
  const bool told = GENERATE(false, true);
  CAPTURE(told);
  if (told) CHECK(r.gpu().retire(old) == errc::ok);
  CHECK(r.device.destroy_stream(old));
  sim_device::stream fresh{};
  REQUIRE(r.device.create_stream(fresh));
  REQUIRE(fresh.handle == old.handle);
  REQUIRE_FALSE(fresh == old);
  // the work of the old stream may still run: its memory comes behind a wait for its last event, or for the device
  const allocation b = r.gpu().allocate(fresh, 12 * MiB);
  REQUIRE(b);
  CHECK(r.device.launch_write(fresh, b.data, b.size));
  CHECK(r.gpu().stats().num_borrows == (told ? 1 : 0));
  r.gpu().deallocate(fresh, b);
  CHECK(r.gpu().retire(fresh) == errc::ok);
  CHECK(r.device.destroy_stream(fresh));
}

TEST_CASE("S3: a retired stream that goes on working is a stream again", "[caching]") {
  rig<always<fixed_policy>> r(20 * MiB);
  const allocation a = r.take(20 * MiB, 0);
  r.give(a, 0);
  CHECK(r.gpu().retire(r.streams[0]) == errc::ok);
  CHECK(r.gpu().retire(r.streams[0]) == errc::ok);
  const allocation b = r.take(20 * MiB, 0);
  CHECK(b.data == a.data);
  r.give(b, 0);
  const allocation c = r.take(20 * MiB, 1);
  CHECK(c.data == a.data);
  r.give(c, 1);
  CHECK(r.gpu().retire(r.streams[2]) == errc::ok);
}

TEST_CASE("S4: the default streams of two threads are two streams", "[caching]") {
  static unsigned thread;
  thread = 0;
  static const sim_hooks hooks{.user = nullptr, .host_thread = [](void*) noexcept { return thread; }};
  const sim_hooks* const before = set_sim_hooks(&hooks);
  {
    rig<always<fixed_policy>> r(20 * MiB);
    const auto mine = r.device.per_thread();
    const allocation a = r.gpu().allocate(mine, 20 * MiB);
    REQUIRE(a);
    CHECK(r.device.launch_write(mine, a.data, a.size));
    r.gpu().deallocate(mine, a);
    thread = 1;
    const auto other = r.device.per_thread();
    CHECK(other.handle == mine.handle);
    CHECK_FALSE(other == mine);
    const allocation b = r.gpu().allocate(other, 20 * MiB);
    REQUIRE(b);
    CHECK(r.device.launch_write(other, b.data, b.size));
    r.gpu().deallocate(other, b);
    thread = 0;
  }
  set_sim_hooks(before);
}

TEMPLATE_TEST_CASE("S5: a use of a view is an error that is told, not one that is swallowed", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r;
  const allocation a = r.take(4 * MiB);
  CHECK(r.gpu().record_stream({offset(a.data, 512), 512}, r.streams[1]) == errc::interior_pointer);
  CHECK(r.gpu().record_stream({reinterpret_cast<void*>(0x1000), 512}, r.streams[1]) == errc::foreign_pointer);
  r.give(a);
  CHECK(r.gpu().record_stream(a, r.streams[1]) == errc::double_free);
  CHECK(r.gpu().is_valid());
}

TEMPLATE_TEST_CASE("S7: an event that cannot be made or recorded keeps the piece back until another one can", "[caching]",
                   fixed_policy, growable_policy) {
  for (const sim_call call : {sim_call::create_event, sim_call::record}) {
    rig<TestType> r(60 * MiB);
    const allocation p = r.take(20 * MiB);
    CHECK(r.gpu().record_stream(p, r.streams[1]) == errc::ok);
    r.follow(1, 0);
    CHECK(r.device.launch_read(r.streams[1], p.data, p.size));
    r.machine.fail(call, 1, device_error::failed);
    r.give(p);
    r.machine.clear_faults();
    CHECK(r.gpu().stats().num_events == 0);
    CHECK(r.gpu().stats().pending_bytes == 20 * MiB);
    // the next look at what is pending records the event that is missing, and finds it not ready
    const allocation q = r.take(20 * MiB);
    CHECK(q.data != p.data);
    CHECK(r.gpu().stats().num_events == 1);
    r.machine.complete(r.streams[1]);
    const allocation s = r.take(20 * MiB);
    CHECK(s.data == p.data);
    CHECK(r.gpu().stats().num_sync_all_streams == 0);
    r.give(q);
    r.give(s);
  }
}

TEMPLATE_TEST_CASE("S8: a stream that never ends holds up its own pieces only", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation slow = r.take(20 * MiB);
  const allocation quick = r.take(20 * MiB);
  CHECK(r.gpu().record_stream(slow, r.streams[1]) == errc::ok);
  CHECK(r.gpu().record_stream(quick, r.streams[2]) == errc::ok);
  r.follow(1, 0);
  r.follow(2, 0);
  CHECK(r.device.launch_read(r.streams[1], slow.data, slow.size));
  CHECK(r.device.launch_read(r.streams[2], quick.data, quick.size));
  r.give(slow);
  r.give(quick);
  r.machine.complete(r.streams[2]);
  const allocation next = r.take(20 * MiB);
  CHECK(next.data == quick.data);
  CHECK(r.gpu().stats().pending_bytes == 20 * MiB);
  // events go back and forth, they do not pile up
  const std::size_t made = r.machine.calls(sim_call::create_event);
  allocation turn = next;
  for (int k = 0; k != 50; ++k) {
    CHECK(r.gpu().record_stream(turn, r.streams[2]) == errc::ok);
    r.follow(2, 0);
    CHECK(r.device.launch_read(r.streams[2], turn.data, turn.size));
    r.give(turn);
    r.machine.complete(r.streams[2]);
    turn = r.take(20 * MiB);
  }
  // 50 are those of follow()
  CHECK(r.machine.calls(sim_call::create_event) == made + 50);
  r.give(turn);
}

TEST_CASE("S12: memory freed on the legacy stream is waited for by streams that it does not order", "[caching]") {
  rig<always<fixed_policy>> r(20 * MiB);
  sim_device::stream apart{};
  REQUIRE(r.device.create_stream_nonblocking(apart));
  const allocation a = r.gpu().allocate(r.device.legacy(), 20 * MiB);
  REQUIRE(a);
  CHECK(r.device.launch_write(r.device.legacy(), a.data, a.size));
  r.gpu().deallocate(r.device.legacy(), a);
  const allocation b = r.gpu().allocate(apart, 20 * MiB);
  REQUIRE(b);
  CHECK(r.device.launch_write(apart, b.data, b.size));
  r.gpu().deallocate(apart, b);
  CHECK(r.gpu().retire(apart) == errc::ok);
  CHECK(r.device.destroy_stream(apart));
}

TEST_CASE("S13: every device has its allocator, its events and its memory", "[caching]") {
  sim_machine machine(sim_options{.capacity = 20 * MiB, .devices = 2});
  for (int k = 0; k != 2; ++k) {
    sim_device device = machine.device(k);
    sim_device::stream one{};
    sim_device::stream two{};
    REQUIRE(device.create_stream(one));
    REQUIRE(device.create_stream(two));
    {
      caching_allocator<sim_device, always<fixed_policy>> gpu(device);
      const allocation a = gpu.allocate(one, 20 * MiB);
      REQUIRE(a);
      CHECK(machine.used(k) == 20 * MiB);
      CHECK(machine.used(1 - k) == 0);
      CHECK(device.launch_write(one, a.data, a.size));
      gpu.deallocate(one, a);
      const allocation b = gpu.allocate(two, 20 * MiB);
      CHECK(b.data == a.data);
      CHECK(device.launch_write(two, b.data, b.size));
      gpu.deallocate(two, b);
      CHECK(gpu.stats().num_borrows == 1);
    }
    CHECK(device.destroy_stream(one));
    CHECK(device.destroy_stream(two));
  }
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}

TEMPLATE_TEST_CASE("S14: a copy out of a piece that is given back has the piece until it is done", "[caching]", fixed_policy,
                   growable_policy) {
  // at this level: the copy to the host on a stream of its own is a use; the KV pool says the same with its fences
  rig<always<TestType>> r(20 * MiB);
  void* host = nullptr;
  REQUIRE(r.device.allocate_pinned(20 * MiB, host));
  const allocation a = r.take(20 * MiB, 0);
  r.follow(1, 0);
  CHECK(r.device.copy(host, a.data, a.size, r.streams[1]));
  CHECK(r.gpu().record_stream(a, r.streams[1]) == errc::ok);
  r.give(a, 0);
  const allocation b = r.take(20 * MiB, 2);
  CHECK(b.data == a.data);
  CHECK(r.gpu().stats().num_sync_all_streams == 0);
  r.give(b, 2);
  CHECK(r.device.synchronize());
  CHECK(r.device.deallocate_pinned(host));
}
