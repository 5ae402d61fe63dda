#include <tokenheap/observe/allocation_samples.hpp>

#include <support/catch.hpp>

#include <cstdlib>
#include <string>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

void* here = nullptr;

std::size_t walk_made_up(void** frames, std::size_t most) noexcept {
  if (most == 0) return 0;
  frames[0] = here;
  return 1;
}

sample_options every(std::size_t interval) {
  return {.interval = interval, .by = sampling::fixed, .walk = &walk_made_up};
}

struct sampled : layered<host_source, slab<>, with<allocation_samples>> {
  using layered::layered;
  [[nodiscard]] const allocation_samples& samples() const { return policy<allocation_samples>(); }
};

const sampled_stack* stack_at(const allocation_samples& of, std::size_t frame) {
  const sampled_stack* found = nullptr;
  of.for_each_stack([&](const sampled_stack& s) {
    if (s.depth == 1 && s.frames[0] == reinterpret_cast<void*>(frame)) found = &s;
  });
  return found;
}

}  // namespace

TEST_CASE("with an interval of 1 every allocation is a sample, and the bytes are exact", "[observe]") {
  sampled mem(every(1));
  here = reinterpret_cast<void*>(0x10);
  const allocation a = mem.allocate(100);
  const allocation b = mem.allocate(3000);
  here = reinterpret_cast<void*>(0x20);
  const allocation c = mem.allocate(64);
  REQUIRE((a && b && c));
  CHECK(mem.samples().live_samples() == 3);
  CHECK(mem.samples().live_bytes() == a.size + b.size + c.size);
  const sampled_stack* const first = stack_at(mem.samples(), 0x10);
  REQUIRE(first != nullptr);
  CHECK(first->live_bytes == a.size + b.size);
  CHECK(first->live_samples == 2);
  mem.deallocate(b);
  CHECK(first->live_bytes == a.size);
  CHECK(first->total_bytes == a.size + b.size);
  mem.deallocate(a);
  mem.deallocate(c);
  CHECK(mem.samples().live_bytes() == 0);
  CHECK(mem.samples().live_samples() == 0);
  CHECK(mem.samples().taken() == 3);
}

TEST_CASE("a fixed interval stands for exactly its bytes", "[observe]") {
  allocation_samples s(every(100));
  s.came(0x1000, 99);
  CHECK(s.taken() == 0);
  s.came(0x2000, 1);  // the 100th byte
  CHECK(s.taken() == 1);
  CHECK(s.live_bytes() == 100);
  s.came(0x3000, 250);  // two intervals and a half
  CHECK(s.taken() == 2);
  CHECK(s.live_bytes() == 300);
  s.came(0x4000, 49);
  CHECK(s.taken() == 2);
  s.came(0x5000, 1);
  CHECK(s.taken() == 3);
  s.went(0x3000);
  CHECK(s.live_bytes() == 200);
  s.went(0x1000);  // never was a sample
  CHECK(s.live_bytes() == 200);
}

TEST_CASE("random distances estimate the bytes of each stack", "[observe]") {
  const std::uint64_t seed = 11;
  INFO("seed " << seed);
  sample_options with{.interval = 4096, .samples = 1 << 15, .walk = &walk_made_up};
  with.seed = seed;
  allocation_samples s(with);
  // 30 MB in pieces of 100, 10 MB in pieces of 5000
  std::size_t address = 16;
  for (std::size_t k = 0; k != 300'000; ++k, address += 8192) {
    here = reinterpret_cast<void*>(0x10);
    s.came(address, 100);
    if (k % 150 != 0) continue;
    here = reinterpret_cast<void*>(0x20);
    s.came(address += 8192, 5000);
  }
  CHECK(s.lost() == 0);
  REQUIRE(stack_at(s, 0x10) != nullptr);
  REQUIRE(stack_at(s, 0x20) != nullptr);
  CHECK(static_cast<double>(stack_at(s, 0x10)->live_bytes) == Approx(30e6).epsilon(0.03));
  CHECK(static_cast<double>(stack_at(s, 0x20)->live_bytes) == Approx(10e6).epsilon(0.05));
  // the chance of a piece of 5000 is 1 - exp(-5000/4096), that of one of 100 is 1 - exp(-100/4096)
  CHECK(static_cast<double>(stack_at(s, 0x20)->live_samples) == Approx(2000 * 0.7050).epsilon(0.05));
  CHECK(static_cast<double>(stack_at(s, 0x10)->live_samples) == Approx(300'000 * 0.02412).epsilon(0.03));
}

TEST_CASE("the same seed takes the same samples, another one others", "[observe]") {
  const auto taken_at = [](std::uint64_t seed) {
    sample_options with{.interval = 1000, .walk = nullptr};
    with.seed = seed;
    allocation_samples s(with);
    std::vector<std::size_t> at;
    for (std::size_t k = 0; k != 2000; ++k) {
      const std::size_t before = s.taken();
      s.came(16 * (k + 1), 16);
      if (s.taken() != before) at.push_back(k);
    }
    return at;
  };
  CHECK(taken_at(1) == taken_at(1));
  CHECK(taken_at(1) != taken_at(2));
  CHECK(taken_at(1).size() > 10);
}

TEST_CASE("owners are those of the scope, or the policy's own", "[observe]") {
  sample_options with = every(1);
  with.owner = "pool";
  sampled mem(with);
  here = reinterpret_cast<void*>(0x10);
  const allocation a = mem.allocate(100);
  allocation b;
  {
    const owner_scope tokenizer("tokenizer");
    b = mem.allocate(200);
  }
  std::vector<std::string> owners;
  mem.samples().for_each_stack([&](const sampled_stack& s) { owners.emplace_back(s.owner); });
  CHECK(owners == std::vector<std::string>{"pool", "tokenizer"});
  mem.deallocate(a);
  mem.deallocate(b);
}

TEST_CASE("what finds no room is counted, and nothing grows", "[observe][bad]") {
  sample_options with = every(1);
  with.samples = 2;
  with.stacks = 1;
  allocation_samples s(with);
  here = reinterpret_cast<void*>(0x10);
  s.came(0x1000, 10);
  here = reinterpret_cast<void*>(0x20);
  s.came(0x2000, 20);
  s.came(0x3000, 30);
  CHECK(s.memory_bytes() < 1024);
  CHECK(s.lost() == 1);
  CHECK(s.taken() == 3);
  CHECK(s.live_samples() == 2);
  CHECK(s.live_bytes() == 30);
  // the second stack found no room and is counted without frames
  std::size_t nameless = 0;
  s.for_each_stack([&](const sampled_stack& k) {
    if (k.depth == 0) nameless += k.live_bytes;
  });
  CHECK(nameless == 20);
  s.went(0x3000);
  s.went(0x1000);
  s.went(0x2000);
  CHECK(s.live_bytes() == 0);
}

TEST_CASE("memory that is not there leaves a policy that records nothing", "[observe][bad]") {
  sample_options with = every(1);
  with.samples = ~std::size_t{0};
  allocation_samples s(with);
  CHECK_FALSE(s.is_open());
  CHECK(s.memory_bytes() == 0);
  s.came(0x1000, 10);
  s.came(0x2000, ~std::size_t{0} >> 1);
  s.came(0x2000, ~std::size_t{0} >> 1);
  s.went(0x1000);
  CHECK(s.taken() == 0);
  s.record(trace_event{trace_kind::reset, nullptr, 0, 0});
}

TEST_CASE("odd options are mended: no interval, no depth, too much depth", "[observe][bad]") {
  allocation_samples none({.interval = 0, .by = sampling::fixed, .depth = 0, .walk = &walk_made_up});
  none.came(0x1000, 5);
  CHECK(none.taken() == 1);
  CHECK(none.chosen().interval == 1);
  allocation_samples deep({.interval = 1, .by = sampling::fixed, .depth = 1000});
  deep.came(0x1000, 5);
  CHECK(deep.taken() == 1);
  CHECK(deep.chosen().depth == 64);
}

TEST_CASE("a reset of an arena forgets its samples, and a piece that was cut anew replaces the old one", "[observe]") {
  struct bump : layered<host_source, arena<>, with<allocation_samples>> {
    using layered::layered;
  };
  bump mem(every(1));
  const allocation a = mem.allocate(100);
  REQUIRE(a);
  mem.reset();
  CHECK(mem.policy<allocation_samples>().live_samples() == 0);
  const allocation b = mem.allocate(50);
  CHECK(mem.policy<allocation_samples>().live_samples() == 1);
  CHECK(mem.policy<allocation_samples>().live_bytes() == b.size);
  allocation_samples s(every(1));
  s.came(0x1000, 10);
  s.came(0x1000, 70);
  CHECK(s.live_samples() == 1);
  CHECK(s.live_bytes() == 70);
}

TEST_CASE("the end is told with everything still there", "[observe]") {
  static std::size_t bytes_at_end;
  bytes_at_end = 0;
  {
    sample_options with = every(1);
    with.at_end = [](const allocation_samples& s) noexcept { bytes_at_end = s.live_bytes(); };
    allocation_samples s(with);
    s.came(0x1000, 77);
  }
  CHECK(bytes_at_end == 77);
}

TEST_CASE("the default walk begins at the caller of the sampler", "[observe]") {
  allocation_samples s({.interval = 1, .by = sampling::fixed});
  s.came(0x1000, 10);
  std::size_t depth = 0;
  s.for_each_stack([&](const sampled_stack& k) { depth = k.depth; });
  CHECK(depth >= 2);
  CHECK(depth <= 32);
}

TEST_CASE("samples of device memory: the trace of a caching allocator", "[observe]") {
  struct exact_samples : allocation_samples {
    exact_samples() noexcept : allocation_samples(every(1)) {}
  };
  struct traced : default_caching_policy {
    using trace = exact_samples;
  };
  sim_machine machine(sim_options{.capacity = 64 * MiB});
  sim_device device = machine.device();
  sim_device::stream s{};
  REQUIRE(device.create_stream(s));
  {
    here = reinterpret_cast<void*>(0x10);
    caching_allocator<sim_device, traced> gpu(device);
    const allocation a = gpu.allocate(s, 3 * MiB);
    const allocation b = gpu.allocate(s, 1000);
    REQUIRE((a && b));
    CHECK(gpu.trace().live_samples() == 2);
    CHECK(gpu.trace().live_bytes() == 3 * MiB + 1000);
    gpu.deallocate(s, a);
    CHECK(gpu.trace().live_bytes() == 1000);
    gpu.deallocate(s, b);
    CHECK(gpu.trace().live_bytes() == 0);
  }
  REQUIRE(device.destroy_stream(s));
}
