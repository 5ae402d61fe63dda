#include <tokenheap/alloc/caching.hpp>

#include <utility>

#include "caching_kit.hpp"

using namespace caching_kit;

TEMPLATE_TEST_CASE("caching: a pair on one stream calls the device once", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation first = r.take(1 * MiB);
  REQUIRE(first);
  r.give(first);
  const std::size_t calls = r.machine.device_calls();
  for (int k = 0; k != 10; ++k) {
    const allocation again = r.gpu().allocate(r.streams[0], 1 * MiB);
    CHECK(again.data == first.data);
    r.gpu().deallocate(r.streams[0], again);
  }
  CHECK(r.machine.device_calls() == calls);
  CHECK(r.reserved() == 2 * MiB);
  CHECK(r.gpu().stats().num_device_alloc == 1);
}

TEMPLATE_TEST_CASE("caching: a stream by its handle is the stream itself", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const device_request ask{.bytes = 1 * MiB, .of = memory_class::kv};
  const allocation first = r.gpu().allocate_on(r.streams[0].handle, ask);
  REQUIRE(first);
  CHECK(r.gpu().owner(static_cast<std::uint16_t>(memory_class::kv)).current == 1 * MiB);
  r.gpu().deallocate_on(r.streams[0].handle, first);
  r.gpu().deallocate_on(r.streams[0].handle, {});
  const allocation other = r.gpu().allocate_on(r.streams[1].handle, ask);
  CHECK(other.data != first.data);
  CHECK(r.gpu().allocate(r.streams[0], ask).data == first.data);
  // given back on another stream it is that one's, as with the stream itself
  r.gpu().deallocate_on(r.streams[1].handle, first);
  CHECK(r.gpu().allocate(r.streams[1], ask).data == first.data);
  // the driver is gone, or knows no such stream: nothing is given, and what comes back goes home
  static int refused;
  refused = 0;
  sim_hooks hooks{};
  hooks.fault = [](void*, sim_call call) noexcept {
    if (call != sim_call::identify) return device_error::ok;
    return ++refused, device_error::gone;
  };
  const sim_hooks* const before = set_sim_hooks(&hooks);
  shortage why{};
  CHECK_FALSE(r.gpu().allocate_on(r.streams[0].handle, ask, &why));
  CHECK(why.code == errc::no_device);
  CHECK(why.need == 1 * MiB);
  r.gpu().deallocate_on(r.streams[0].handle, first);
  set_sim_hooks(before);
  CHECK(refused == 2);
  CHECK(r.gpu().allocate(r.streams[1], ask).data == first.data);
  r.gpu().deallocate(first);
  r.gpu().deallocate(other);
  CHECK(r.out() == 0);
}

TEMPLATE_TEST_CASE("caching: bad requests and bad returns change nothing", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  failure_counter failures;
  shortage why{};
  CHECK_FALSE(r.gpu().allocate(r.streams[0], device_request{.bytes = 0}, &why));
  CHECK(why.code == errc::invalid_argument);
  CHECK_FALSE(r.gpu().allocate(r.streams[0], 100, 0));
  CHECK_FALSE(r.gpu().allocate(r.streams[0], 100, 3));
  for (std::size_t below = 0; below != 600; ++below) CHECK_FALSE(r.gpu().allocate(r.streams[0], ~std::size_t{0} - below));
  CHECK_FALSE(r.gpu().allocate(r.streams[0], device_request{.bytes = max_allocation}, &why));
  CHECK(why.code == errc::too_large);
  CHECK_FALSE(r.gpu().allocate(r.streams[0], device_request{.bytes = 1, .owner = 77}, &why));
  CHECK(why.code == errc::invalid_argument);
  CHECK(r.machine.calls(sim_call::allocate) == 0);
  const allocation a = r.take(4096);
  const allocation other = r.take(4096);
  r.gpu().deallocate(r.streams[0], {});
  r.gpu().deallocate(r.streams[0], {offset(a.data, 512), 512});
  CHECK(failures[errc::interior_pointer] == 1);
  r.gpu().deallocate(r.streams[0], {a.data, 8192});
  CHECK(failures[errc::wrong_size] == 1);
  r.gpu().deallocate(r.streams[0], {reinterpret_cast<void*>(0x1000), 512});
  CHECK(failures[errc::foreign_pointer] == 1);
  CHECK(r.out() == 8192);
  CHECK(r.gpu().piece_at(a.data) == a);
  CHECK_FALSE(r.gpu().piece_at(offset(a.data, 512)));
  CHECK_FALSE(r.gpu().piece_at(nullptr));
  r.give(a);
  CHECK_FALSE(r.gpu().piece_at(a.data));
  r.gpu().deallocate(r.streams[0], a);
  CHECK(failures[errc::double_free] == 1);
  r.give(other);
  // merged with its neighbour by now
  static_cast<void>(r.gpu().stats());
  const allocation both = r.take(1 * MiB);
  r.gpu().deallocate(r.streams[0], other);
  CHECK(failures[errc::double_free] + failures[errc::interior_pointer] == 2 + 1);
  r.give(both);
  CHECK(r.out() == 0);
}

TEMPLATE_TEST_CASE("caching: alignment is honoured", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  std::vector<allocation> all;
  for (std::size_t alignment = 1; alignment <= 64 * MiB; alignment *= 2) {
    const allocation a = r.gpu().allocate(r.streams[0], 1000, alignment);
    REQUIRE(a);
    CHECK(address_of(a.data) % alignment == 0);
    CHECK(address_of(a.data) % 512 == 0);
    CHECK(r.gpu().is_valid());
    all.push_back(a);
  }
  for (const allocation& a : all) r.give(a);
  CHECK(r.out() == 0);
}

TEST_CASE("caching: two streams share only behind a wait", "[caching]") {
  rig<borrowing_policy<fixed_policy, borrowing::always>> r;
  const allocation a = r.take(1 * MiB, 0);
  const allocation b = r.take(1 * MiB, 0);
  r.give(a, 0);
  r.give(b, 0);
  CHECK(r.gpu().stats().num_events == 0);
  const allocation c = r.take(2 * MiB - 512, 1);
  CHECK(r.gpu().stats().num_borrows == 0);  // large requests have segments of their own
  const allocation d = r.take(1 * MiB, 1);
  CHECK(r.gpu().stats().num_borrows == 1);
  CHECK(r.gpu().stats().num_events == 1);
  CHECK(r.machine.calls(sim_call::wait) == 1);
  CHECK((d.data == a.data || d.data == b.data));
  r.give(c, 1);
  r.give(d, 1);
}

TEST_CASE("caching: a piece that another stream uses waits for it", "[caching]") {
  rig<fixed_policy> r(64 * MiB, {.limit = 20 * MiB});
  const allocation a = r.take(10 * MiB, 0);
  const allocation b = r.take(10 * MiB, 0);
  CHECK(r.gpu().record_stream(a, r.streams[1]) == errc::ok);
  CHECK(r.gpu().record_stream(a, r.streams[1]) == errc::ok);
  CHECK(r.gpu().record_stream(a, r.streams[0]) == errc::ok);
  r.follow(1, 0);
  CHECK(r.device.launch_read(r.streams[1], a.data, a.size));
  r.give(a, 0);
  CHECK(r.gpu().stats().pending_bytes == 10 * MiB);
  CHECK(r.gpu().stats().num_events == 1);
  // the limit is reached: the piece is taken behind a wait on the device
  const allocation c = r.take(10 * MiB, 0);
  CHECK(c.data == a.data);
  CHECK(r.gpu().stats().num_sync_all_streams == 0);
  r.give(b);
  r.give(c);
}

TEMPLATE_TEST_CASE("caching: an aligned request out of a long segment", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation small = r.take(512);
  const allocation a = r.gpu().allocate(r.streams[0], 3 * MiB, 2 * MiB);
  REQUIRE(a);
  CHECK(address_of(a.data) % (2 * MiB) == 0);
  r.give(small);
  r.give(a);
}

TEMPLATE_TEST_CASE("caching: owners have limits of their own", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  static int told;
  told = 0;
  const auto owner = r.gpu().add_owner(
      {.name = "tenant", .hard = 4 * MiB, .soft = 1 * MiB, .on_soft = {[](void*, std::size_t) noexcept { return ++told, false; }}});
  REQUIRE(owner);
  shortage why{};
  const device_request mine{.bytes = 1 * MiB, .owner = *owner};
  allocation all[5];
  for (int k = 0; k != 4; ++k) all[k] = r.gpu().allocate(r.streams[0], mine);
  CHECK(told == 1);
  all[4] = r.gpu().allocate(r.streams[0], mine, &why);
  CHECK_FALSE(all[4]);
  CHECK(why.code == errc::limit_reached);
  CHECK(r.gpu().owner(*owner).current == 4 * MiB);
  CHECK(std::string(why.top[0].name) == "tenant");
  for (int k = 0; k != 4; ++k) r.give(all[k]);
  CHECK(r.gpu().owner(*owner).current == 0);
  CHECK(r.gpu().owner(*owner).peak == 4 * MiB);
}

TEMPLATE_TEST_CASE("caching: what was idle for long goes, what was used lately stays", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r;
  const allocation old = r.take(40 * MiB, 0);
  const allocation young = r.take(40 * MiB, 1);
  r.give(old, 0);
  const std::size_t both = r.reserved();
  for (int k = 0; k != 100; ++k) r.give(r.take(4096, 2), 2);
  r.give(young, 1);
  CHECK(r.gpu().trim_idle(50) == 40 * MiB);
  CHECK(r.reserved() + 40 * MiB == both + 2 * MiB);
  CHECK(r.gpu().is_valid());
  CHECK(r.gpu().trim() >= 40 * MiB);
  CHECK(r.reserved() == 0);
}

TEMPLATE_TEST_CASE("caching: a pool serves a capture without a forbidden call", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const auto pool = r.gpu().create_pool();
  REQUIRE(pool);
  const allocation before = r.take(1 * MiB, 0);
  CHECK(r.gpu().record_stream(before, r.streams[1]) == errc::ok);
  REQUIRE(r.device.begin_capture(r.streams[0]));
  CHECK(r.gpu().begin_pool(*pool) == errc::ok);
  CHECK(r.gpu().begin_pool(*pool) == errc::in_use);
  const allocation a = r.gpu().allocate(r.streams[0], 3 * MiB);
  CHECK(a);
  r.gpu().deallocate(r.streams[0], before);
  CHECK(r.gpu().trim() == 0);
  CHECK(r.gpu().end_pool(*pool) == errc::ok);
  CHECK(r.gpu().end_pool(*pool) == errc::not_open);
  REQUIRE(r.device.end_capture(r.streams[0]));
  r.gpu().deallocate(r.streams[0], a);
  const std::size_t held = r.reserved();
  static_cast<void>(r.gpu().trim());
  CHECK(r.reserved() < held);
  CHECK(r.reserved() != 0);
  CHECK(r.gpu().release_pool(*pool) == errc::ok);
  CHECK(r.gpu().release_pool(*pool) == errc::not_open);
  static_cast<void>(r.gpu().trim());
  CHECK(r.reserved() == 0);
}

TEMPLATE_TEST_CASE("caching: what was refused is refused at once until something changes", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r(1 * GiB, {.limit = 40 * MiB});
  const allocation a = r.take(20 * MiB);
  const allocation b = r.take(12 * MiB);
  REQUIRE(a);
  REQUIRE(b);
  for (int k = 0; k != 3; ++k) CHECK_FALSE(r.gpu().allocate(r.streams[0], 16 * MiB));
  const std::size_t calls = r.machine.device_calls();
  const std::size_t ooms = r.gpu().stats().num_ooms;
  CHECK_FALSE(r.gpu().allocate(r.streams[0], 16 * MiB));
  CHECK_FALSE(r.gpu().allocate(r.streams[0], 24 * MiB));
  CHECK(r.machine.device_calls() == calls);
  CHECK(r.gpu().stats().num_ooms == ooms + 2);
  shortage why{};
  CHECK_FALSE(r.gpu().allocate(r.streams[0], device_request{.bytes = 16 * MiB}, &why));
  CHECK(why.code == errc::out_of_memory);
  CHECK(why.need == 16 * MiB);
  // less than what was refused may fit
  const allocation small = r.take(8 * MiB);
  CHECK(static_cast<bool>(small) == std::is_same_v<TestType, growable_policy>);
  if (small) r.give(small);
  CHECK_FALSE(r.gpu().allocate(r.streams[0], 24 * MiB));
  // a piece that comes back
  r.give(a);
  const allocation again = r.take(16 * MiB);
  CHECK(again);
  // a higher limit
  for (int k = 0; k != 3; ++k) CHECK_FALSE(r.gpu().allocate(r.streams[0], 20 * MiB));
  r.gpu().set_limit(80 * MiB);
  const allocation more = r.take(20 * MiB);
  CHECK(more);
  r.give(again);
  r.give(b);
  r.give(more);
}

TEMPLATE_TEST_CASE("caching: a use by its own stream counts where a piece is given back on another", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r;
  const allocation p = r.take(4 * MiB, 0);
  CHECK(r.gpu().record_stream(p, r.streams[0]) == errc::ok);
  r.give(p, 1);
  CHECK(r.gpu().stats().pending_bytes == 4 * MiB);
  // taken by the stream that it was given to: not before the work of the first one is done
  const allocation q = r.take(4 * MiB, 1);
  r.give(q, 1);
}

TEMPLATE_TEST_CASE("caching: a stream that was retired and is named again goes on", "[caching]", fixed_policy, growable_policy) {
  rig<borrowing_policy<TestType, borrowing::always>> r;
  const allocation p = r.take(4 * MiB, 0);
  CHECK(r.gpu().retire(r.streams[0]) == errc::ok);
  CHECK(r.device.launch_write(r.streams[0], p.data, p.size));
  r.give(p, 0);
  const allocation q = r.take(4 * MiB, 1);
  CHECK(q.data == p.data);
  r.give(q, 1);
  CHECK(r.gpu().retire(r.streams[0]) == errc::ok);
}

TEMPLATE_TEST_CASE("caching: a refusal is forgotten when a piece waits, and after a call that failed", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r(8 * GiB, {.limit = 20 * MiB});
  const allocation p = r.take(20 * MiB, 0);
  CHECK_FALSE(r.take(20 * MiB, 0));
  CHECK(r.gpu().record_stream(p, r.streams[1]) == errc::ok);
  r.give(p, 0);
  CHECK(r.device.synchronize());
  const allocation q = r.take(20 * MiB, 0);
  CHECK(q);
  r.gpu().deallocate(r.streams[0], q);
  // another class needs what is idle here, and the device refuses to take it back for a while
  for (const sim_call call : {sim_call::deallocate, sim_call::unmap}) r.machine.fail_always(call, device_error::failed);
  CHECK_FALSE(r.take(20 * MiB, 0, memory_class::kv));
  r.machine.clear_faults();
  const allocation x = r.take(20 * MiB, 0, memory_class::kv);
  CHECK(x);
  r.give(x, 0);
}

namespace {
// runs something of the test's own while a growth has let go of the lock
struct interrupted_device : sim_device {
  interrupted_device(const sim_device& d) : sim_device(d) {}
  device_status set_access(void* p, std::size_t n) noexcept {
    const device_status answer = sim_device::set_access(p, n);
    if (call != nullptr) (*std::exchange(call, nullptr))();
    return answer;
  }
  static inline void (*call)() = nullptr;
};
}  // namespace

TEST_CASE("caching: a growth holds the free pieces that it counts on", "[caching]") {
  using allocator = caching_allocator<interrupted_device, default_caching_policy>;
  sim_machine machine;
  interrupted_device device{machine.device()};
  static sim_device::stream s;
  REQUIRE(device.create_stream(s));
  {
    static allocator* gpu;
    static allocation other;
    other = {};
    allocator made(device);
    gpu = &made;
    allocation a[6];
    for (allocation& one : a) one = made.allocate(s, 16 * MiB);
    made.deallocate(s, a[2]);
    CHECK(made.trim() == 16 * MiB);
    made.deallocate(s, a[3]);
    // the gap and the free piece behind it are just enough; somebody else asks for that piece meanwhile
    interrupted_device::call = [] { other = gpu->try_allocate(s, {.bytes = 16 * MiB}); };
    const allocation x = made.allocate(s, 32 * MiB);
    CHECK(x);
    CHECK_FALSE(other);
    CHECK(made.is_valid());
    for (const std::size_t k : {0u, 1u, 4u, 5u}) made.deallocate(s, a[k]);
    made.deallocate(s, x);
    CHECK(made.is_valid());
  }
  CHECK(device.destroy_stream(s));
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}
