#include <tokenheap/alloc/device_buffer.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <optional>
#include <utility>

#include "caching_kit.hpp"

using namespace caching_kit;

namespace {

/// A rig whose memory holds bytes.
template <class Policy>
struct backed_rig {
  using allocator = caching_allocator<sim_device, Policy>;
  using stream = sim_device::stream;

  backed_rig() : machine(sim_options{.capacity = 256 * MiB, .backed = true}), device(machine.device()), gpu(std::in_place, device) {
    REQUIRE(device.create_stream(one));
    REQUIRE(device.create_stream(two));
  }
  backed_rig(const backed_rig&) = delete;
  backed_rig& operator=(const backed_rig&) = delete;
  ~backed_rig() {
    gpu.reset();
    CHECK(device.destroy_stream(one));
    CHECK(device.destroy_stream(two));
    CHECK(machine.violations() == 0);
    CHECK(machine.is_clean());
  }
  std::size_t out() { return gpu->stats().all.allocated_bytes.current; }

  sim_machine machine;
  sim_device device;
  std::optional<allocator> gpu;
  stream one, two;
};

}  // namespace

using gpu_type = caching_allocator<sim_device, growable_policy>;
static_assert(device_allocator<gpu_type>);
static_assert(!device_allocator<host_source>);
static_assert(!device_allocator<sim_device>);
static_assert(!std::is_copy_constructible_v<unique_device<gpu_type>>);
static_assert(!std::is_copy_constructible_v<device_vector<int, gpu_type>>);
static_assert(std::is_nothrow_move_constructible_v<device_vector<int, gpu_type>>);

TEMPLATE_TEST_CASE("device_buffer: a piece goes back once, on its stream", "[device_buffer]", fixed_policy, growable_policy) {
  backed_rig<TestType> r;
  using unique = unique_device<typename backed_rig<TestType>::allocator>;
  void* where = nullptr;
  {
    auto made = unique::make(*r.gpu, r.one, {.bytes = 1000, .of = memory_class::scratch});
    REQUIRE(made);
    unique a = std::move(*made);
    where = a.data();
    CHECK(a.size() == 1024);
    CHECK(r.device.launch_write(a.stream(), a.data(), a.size()));
    unique b = std::move(a);
    CHECK_FALSE(a);  // NOLINT: a moved-from piece is empty
    CHECK(b.data() == where);
    unique c;
    c = std::move(b);
    CHECK(r.out() == 1024);
    // the other stream waits, and then owns the memory
    sim_device::event e{};
    REQUIRE(r.device.create_event(e));
    CHECK(r.device.record(e, r.one));
    CHECK(r.device.wait(r.two, e));
    CHECK(r.device.destroy_event(e));
    c.set_stream(r.two);
  }
  CHECK(r.out() == 0);
  const allocation again = r.gpu->try_allocate(r.two, {.bytes = 1000, .of = memory_class::scratch});
  CHECK(again.data == where);
  CHECK_FALSE(r.gpu->try_allocate(r.one, {.bytes = 2 * MiB, .of = memory_class::scratch}));
  unique held(*r.gpu, r.two, again);
  const allocation released = held.release();
  CHECK_FALSE(held);
  CHECK(r.out() == 1024);
  r.gpu->deallocate(r.two, released);
}

TEMPLATE_TEST_CASE("device_buffer: assignment gives the old piece back", "[device_buffer]", fixed_policy, growable_policy) {
  backed_rig<TestType> r;
  using unique = unique_device<typename backed_rig<TestType>::allocator>;
  auto a = unique::make(*r.gpu, r.one, {.bytes = 512});
  auto b = unique::make(*r.gpu, r.one, {.bytes = 1024});
  REQUIRE((a && b));
  CHECK(r.out() == 1536);
  *a = std::move(*b);
  CHECK(r.out() == 1024);
  unique& self = *a;
  *a = std::move(self);
  CHECK(r.out() == 1024);
  a->reset();
  CHECK(r.out() == 0);
  a->reset();
  const auto none = unique::make(*r.gpu, r.one, {.bytes = 1 * GiB});
  CHECK(none.error() == errc::too_large);
  CHECK(none.why().need == 1 * GiB);
  CHECK(std::strlen(none.why().fix) != 0);
}

TEMPLATE_TEST_CASE("device_buffer: an array keeps its values when it grows", "[device_buffer]", fixed_policy, growable_policy) {
  backed_rig<TestType> r;
  using vector = device_vector<std::uint32_t, typename backed_rig<TestType>::allocator>;
  auto made = vector::make(*r.gpu, r.one, 100);
  REQUIRE(made);
  vector v = std::move(*made);
  CHECK(v.size() == 100);
  CHECK(v.capacity() == 128);
  std::vector<std::uint32_t> values(100);
  for (std::uint32_t k = 0; k != 100; ++k) values[k] = 7 * k + 1;
  REQUIRE(r.device.copy(v.data(), values.data(), v.size_bytes(), r.one));
  const std::uint32_t* const before = v.data();
  CHECK(v.resize(128) == errc::ok);
  CHECK(v.data() == before);
  CHECK(v.resize(1'000'000) == errc::ok);
  CHECK(v.data() != before);
  CHECK(v.resize(100) == errc::ok);
  CHECK(v.capacity() >= 1'000'000);
  CHECK(v.shrink_to_fit() == errc::ok);
  CHECK(v.capacity() == 128);
  std::vector<std::uint32_t> back(100);
  REQUIRE(r.device.copy(back.data(), v.data(), v.size_bytes(), r.one));
  CHECK(back == values);
  CHECK(r.out() == 512);
  vector moved = std::move(v);
  CHECK(v.size() == 0);  // NOLINT: a moved-from array is empty
  CHECK(v.capacity() == 0);
  CHECK(moved.size() == 100);
  CHECK(v.resize(3) == errc::ok);
  moved.clear();
  CHECK(moved.shrink_to_fit() == errc::ok);
  CHECK(moved.data() == nullptr);
}

TEMPLATE_TEST_CASE("device_buffer: growth that fails changes nothing", "[device_buffer]", fixed_policy, growable_policy) {
  backed_rig<TestType> r;
  using vector = device_vector<double, typename backed_rig<TestType>::allocator>;
  vector v(*r.gpu, r.one, {.of = memory_class::activations});
  CHECK(v.empty());
  REQUIRE(v.resize(1000) == errc::ok);
  const std::vector<double> ones(1000, 1.5);
  REQUIRE(r.device.copy(v.data(), ones.data(), v.size_bytes(), r.one));
  const double* const before = v.data();
  const std::size_t out = r.out();
  shortage why{};
  CHECK(v.resize(1 * GiB, &why) == errc::too_large);
  CHECK(why.need == 8 * GiB);
  CHECK(v.resize(~std::size_t{0}, &why) == errc::size_overflow);
  CHECK(why.code == errc::size_overflow);
  CHECK(v.reserve(max_allocation / 8 + 1) != errc::ok);
  r.machine.fail(sim_call::copy, 1, device_error::failed);
  CHECK(v.resize(100'000, &why) == errc::device_failed);
  CHECK(why.device.error == device_error::failed);
  CHECK(r.gpu->is_valid());
  CHECK(v.data() == before);
  CHECK(v.size() == 1000);
  CHECK(r.out() == out);
  std::vector<double> back(1000);
  REQUIRE(r.device.copy(back.data(), v.data(), v.size_bytes(), r.one));
  CHECK(back == ones);
  const auto none = vector::make(*r.gpu, r.one, 1 * GiB);
  CHECK(none.error() == errc::too_large);
}
