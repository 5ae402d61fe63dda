#include <tokenheap/kv/stream_fence.hpp>

#include <support/catch.hpp>

#include <type_traits>

#include <kv/kit.hpp>
#include <tokenheap/check/explorer.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

// Free in flight: a block is given back while the device still works on it, under every order of two host threads.

using namespace tokenheap;
namespace kv = tokenheap::kv;
using kv::block_use;

namespace {

struct lock_policy : kv::default_policy {
  using lock = sim_lock<>;
};
struct by_streams : lock_policy {
  using fence = kv::stream_fence<sim_device, 2, sim_lock<>>;
};
struct by_steps : lock_policy {
  using fence = kv::step_fence;
};
struct by_nothing : lock_policy {};

constexpr std::size_t blocks = 2;
constexpr kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 32, .block_tokens = 4};

/// Thread 0 computes steps of a request and gives its blocks back while they run; thread 1 brings a block in, on another
/// stream, into whatever the pool hands it.
template <class Policy>
struct scene {
  static constexpr unsigned threads = 2;
  static constexpr bool by_stream = std::is_same_v<Policy, by_streams>;
  static constexpr bool by_step = std::is_same_v<Policy, by_steps>;
  using pool_type = kv::block_pool<Policy>;

  sim_machine machine{sim_options{.capacity = 1 * MiB}};
  sim_device device = machine.device();
  void* memory = nullptr;
  void* host = nullptr;
  sim_stream lanes[2];
  result<pool_type> pool = make();
  char text[256] = {};

  result<pool_type> make() noexcept {
    static_cast<void>(device.allocate(blocks * shape.block_bytes(), memory));
    static_cast<void>(device.allocate_pinned(shape.block_bytes(), host));
    for (sim_stream& s : lanes) static_cast<void>(device.create_stream_nonblocking(s));
    return pool_type::open({.blocks = blocks, .block_tokens = 4},
                           kv::tensor{memory, blocks * shape.block_bytes(), shape, false});
  }
  scene() noexcept {
    if constexpr (by_stream) {
      for (std::size_t at = 0; at < 2; ++at) static_cast<void>(pool->fence().bind(at, device, lanes[at]));
    }
  }

  void run(unsigned thread) noexcept { thread == 0 ? compute() : bring(); }

  void compute() noexcept {
    for (kv::token round = 0; round < 2; ++round) {
      const kv::token prompt[] = {round, round, round, round, 9};
      auto s = kv::sequence<pool_type>::open(*pool, prompt);
      if (!s) continue;
      std::uint64_t step = 0;
      if constexpr (by_step) step = pool->begin_step();
      for (const kv::block_id id : s->blocks())
        static_cast<void>(device.launch_write(lanes[0], pool->data(id), shape.block_bytes()));
      static_cast<void>(s->publish(4));
      static_cast<void>(s->close());  // the step is still running
      static_cast<void>(step);
      if constexpr (by_step) {
        static_cast<void>(device.synchronize(lanes[0]));
        static_cast<void>(pool->settle(step));
      }
    }
  }

  void bring() noexcept {
    kv::block_id id[1];
    if (pool->allocate(id) != errc::ok) return;
    if constexpr (by_stream) static_cast<void>(pool->fence().before(1, block_use::write, id, 1));
    static_cast<void>(device.copy(pool->data(id[0]), host, shape.block_bytes(), lanes[1]));
    if constexpr (by_stream) pool->fence().after(1, block_use::write, id, 1);
    // a pool of steps waits for steps alone: a copy is told to the engine's step by its own end
    if constexpr (by_step) static_cast<void>(device.synchronize(lanes[1]));
    static_cast<void>(pool->deallocate(id));
  }

  const char* check() noexcept {
    if (!pool->is_valid()) return "is_valid says no";
    if (pool->stats().live + pool->stats().in_flight != 0) return "a block is lost";
    if (machine.violations() == 0) return nullptr;
    machine.describe(0, text, sizeof text);
    return text;
  }
};

}  // namespace

TEST_CASE("62: free in flight under every order of two threads", "[kv][fence][scenario]") {
  const explore_options bound{.preemptions = 3, .schedules = 400000};
  for (const explore_report& r : {explore<scene<by_streams>>(bound), explore<scene<by_steps>>(bound)}) {
    INFO(r.broken);
    CHECK(r.violations == 0);
    CHECK(r.complete);
    CHECK(r.schedules > 100);
  }
  const explore_report r = explore<scene<by_nothing>>(bound);
  CHECK(r.violations != 0);
  CHECK(r.broken.find("race") != std::string::npos);
}
