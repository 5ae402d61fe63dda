#include <tokenheap/alloc/caching_ladder.hpp>

#include "caching_kit.hpp"

using namespace caching_kit;

// From the cache to the last rung, and what is said when there is none.

namespace {

template <class Policy>
struct bare : Policy {
  using counters = no_counters;
  using trace = no_device_trace;
};

}  // namespace

TEMPLATE_TEST_CASE("RMM 1: sizes that wrap around are refused", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  std::size_t given = 0;
  for (std::size_t below = 0; below != 5000; ++below) given += bool(r.gpu().allocate(r.streams[0], ~std::size_t{0} - below));
  for (unsigned bit = 34; bit != 64; ++bit) given += bool(r.gpu().allocate(r.streams[0], std::size_t{1} << bit));
  CHECK(given == 0);
  CHECK(r.reserved() == 0);
  CHECK_FALSE(r.gpu().would_fit(r.streams[0], {.bytes = ~std::size_t{0}}));
}

TEMPLATE_TEST_CASE("RMM 4: alignment beyond the granularity", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation odd = r.take(512);
  const allocation a = r.gpu().allocate(r.streams[0], 1000, 1 * MiB);
  REQUIRE(a);
  CHECK(address_of(a.data) % (1 * MiB) == 0);
  r.give(a);
  r.give(odd);
}

TEMPLATE_TEST_CASE("RMM 5: what is counted and what is limited calls the device as often", "[caching]", fixed_policy,
                   growable_policy) {
  // RMM's statistics adaptor forgets the wait of what it wraps; here counters and owners are no layers that could
  const auto calls = [](auto& r, const device_request& with) {
    r.machine.reset_calls();
    const allocation a = r.gpu().allocate(r.streams[0], with);
    r.gpu().deallocate(r.streams[0], a);
    r.gpu().trim();
    return r.machine.device_calls();
  };
  rig<TestType> counted;
  rig<bare<TestType>> plain;
  const auto owner = counted.gpu().add_owner({.name = "tenant", .hard = 64 * MiB});
  REQUIRE(owner);
  const std::size_t with_owner = calls(counted, {.bytes = 4 * MiB, .owner = *owner});
  CHECK(with_owner == calls(plain, {.bytes = 4 * MiB}));
}

TEMPLATE_TEST_CASE("RMM 6: the callback under pressure allocates and frees in the same allocator", "[caching]", fixed_policy,
                   growable_policy) {
  struct state {
    caching_allocator<sim_device, TestType>* gpu = nullptr;
    sim_device::stream s{};
    allocation kept{};
    int called = 0;
  } of;
  const pressure_callback relieve{[](void* user, std::size_t) noexcept {
                                    auto& me = *static_cast<state*>(user);
                                    ++me.called;
                                    const allocation a = std::exchange(me.kept, allocation{});
                                    me.gpu->deallocate(me.s, a);
                                    const allocation tiny = me.gpu->allocate(me.s, 512);
                                    me.gpu->deallocate(me.s, tiny);
                                    return bool(a);
                                  },
                                  &of};
  rig<TestType> r(64 * MiB, {.on_pressure = relieve});
  of.gpu = &r.gpu();
  of.s = r.streams[0];
  of.kept = r.take(60 * MiB);
  const allocation a = r.take(50 * MiB);
  CHECK(a);
  CHECK(of.called >= 1);
  r.give(a);
}

TEMPLATE_TEST_CASE("try_allocate never calls the device", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  CHECK_FALSE(r.gpu().try_allocate(r.streams[0], {.bytes = 4 * MiB}));
  CHECK(r.gpu().would_fit(r.streams[0], {.bytes = 4 * MiB}));
  r.give(r.take(4 * MiB));
  const std::size_t calls = r.machine.device_calls();
  const allocation a = r.gpu().try_allocate(r.streams[0], {.bytes = 4 * MiB});
  CHECK(a);
  CHECK_FALSE(r.gpu().try_allocate(r.streams[1], {.bytes = 4 * MiB}));
  CHECK_FALSE(r.gpu().would_fit(r.streams[0], {.bytes = 9 * GiB}));
  CHECK(r.machine.device_calls() == calls);
  r.give(a);
}

TEMPLATE_TEST_CASE("every answer of the device becomes an error that says what to do", "[caching]", fixed_policy,
                   growable_policy) {
  const struct {
    device_error error;
    errc code;
  } cases[] = {{device_error::out_of_memory, errc::out_of_memory}, {device_error::failed, errc::device_failed},
               {device_error::gone, errc::no_device},              {device_error::no_device, errc::no_device},
               {device_error::invalid_value, errc::device_failed}, {device_error::forked, errc::forked}};
  for (const auto& c : cases) {
    rig<TestType> r;
    for (const sim_call call : {sim_call::allocate, sim_call::create_pages}) r.machine.fail_always(call, c.error);
    shortage why{};
    CHECK_FALSE(r.gpu().allocate(r.streams[0], device_request{.bytes = 4 * MiB}, &why));
    CHECK(why.code == c.code);
    CHECK(why.device.error == c.error);
    CHECK(why.need == 4 * MiB);
    CHECK(*why.fix != '\0');
    CHECK(r.gpu().is_valid());
    CHECK(r.machine.used() == 0);
    r.machine.clear_faults();
    const allocation a = r.take(4 * MiB);
    CHECK(a);
    r.give(a);
  }
  sim_machine none(sim_options{.devices = 0});
  caching_allocator<sim_device, TestType> gpu(none.device());
  shortage why{};
  CHECK_FALSE(gpu.allocate({}, device_request{.bytes = 512}, &why));
  CHECK(why.code == errc::no_device);
}
