#include <tokenheap/observe/viz_device.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

#include <alloc/caching_kit.hpp>
#include <observe/viz_kit.hpp>

using namespace tokenheap;

namespace {

template <std::size_t Events>
struct traced : default_caching_policy {
  using trace = device_ring_trace<trace_shape{.events = Events}>;
};
template <std::size_t Events>
struct traced_fixed : traced<Events> {
  static constexpr segment_kind kind_of(memory_class) noexcept { return segment_kind::fixed; }
};

// requests of all sizes on three streams, some used by two, some trimmed; then a picture
template <class Policy>
void run_and_look(const char* name, std::size_t capacity) {
  caching_kit::rig<Policy> r(capacity);
  auto& gpu = r.gpu();
  std::mt19937 random(17);
  std::vector<std::pair<allocation, std::size_t>> out;
  viz_snapshot picture;
  for (int step = 0; step != 1500; ++step) {
    const std::size_t on = random() % 3;
    if (random() % 5 < 3 && out.size() < 60) {
      const std::size_t bytes = random() % 3 == 0 ? 1 + random() % (6 * MiB) : 1 + random() % (200 * KiB);
      const allocation a = gpu.allocate(r.streams[on], {.bytes = bytes, .of = static_cast<memory_class>(random() % 6)});
      if (a) out.emplace_back(a, on);
    } else if (!out.empty()) {
      const std::size_t which = random() % out.size();
      const auto [a, stream] = out[which];
      if (random() % 4 == 0) CHECK(gpu.record_stream(a, r.streams[(stream + 1) % 3]) == errc::ok);
      gpu.deallocate(r.streams[stream], a);
      out[which] = out.back();
      out.pop_back();
    }
    if (step % 400 == 399) static_cast<void>(gpu.trim(random() % (8 * MiB)));
  }
  collect(picture, gpu);
  const device_stats now = gpu.stats();
  std::size_t live = 0;
  for (const auto& [a, stream] : out) live += a.size;
  CHECK(viz_kit::bytes_in(picture, viz_state::allocated) == live);
  CHECK(viz_kit::bytes_in(picture, viz_state::pending) == now.pending_bytes);
  CHECK(viz_kit::bytes_in(picture, viz_state::inactive) == now.cached_bytes);
  CHECK(picture.events().size() >= std::min<std::size_t>(Policy::trace::capacity, 3000) / 2);
  viz_kit::check(picture, name);
  for (const auto& [a, stream] : out) gpu.deallocate(r.streams[stream], a);
}

}  // namespace

TEST_CASE("a caching allocator is shown as PyTorch's is", "[observe]") {
  run_and_look<traced<8192>>("growable", 256 * MiB);
  run_and_look<traced_fixed<8192>>("fixed", 256 * MiB);
}

TEST_CASE("a ring that overflowed is a shorter trace", "[observe]") {
  run_and_look<traced<256>>("overflowed", 256 * MiB);
  run_and_look<traced_fixed<64>>("overflowed_fixed", 128 * MiB);
}

TEST_CASE("what a block is, and whose", "[observe]") {
  caching_kit::rig<traced<64>> r(64 * MiB, {.name = "gpu 0"});
  const allocation kv = r.take(1000, 0, memory_class::kv);
  const allocation scratch = r.take(3000, 1, memory_class::scratch);
  CHECK(r.gpu().record_stream(scratch, r.streams[0]) == errc::ok);
  r.give(scratch, 1);
  shortage why;
  CHECK(!r.gpu().allocate(r.streams[0], {.bytes = 60 * GiB}, &why));
  viz_snapshot picture;
  collect(picture, r.gpu());
  REQUIRE(picture.segments().size() == 2);
  std::vector<viz_block> active;
  for (const viz_segment& s : picture.segments()) {
    CHECK(s.expandable);
    CHECK(s.device == 0);
    for (const viz_block& b : picture.blocks(s))
      if (b.state != viz_state::inactive) active.push_back(b);
  }
  REQUIRE(active.size() == 2);
  const bool first = active[0].state == viz_state::allocated;
  const viz_block& live = active[first ? 0 : 1];
  const viz_block& pending = active[first ? 1 : 0];
  CHECK(live.address == address_of(kv.data));
  CHECK(live.size == 1024);
  CHECK(live.requested == 1000);
  CHECK(std::string(live.frame.name) == "kv");
  CHECK(std::string(live.frame.filename) == "gpu 0");
  CHECK(pending.state == viz_state::pending);
  CHECK(pending.requested == 3000);
  const auto events = picture.events();
  REQUIRE(!events.empty());
  CHECK(events.back().action == device_action::oom);
  viz_kit::check(picture, "whose");
  r.give(kv, 0);
}

TEST_CASE("classes that sleep leave a picture that can be shown", "[observe]") {
  caching_kit::rig<traced<256>> r(64 * MiB);
  const allocation a = r.take(3 * MiB, 0, memory_class::weights);
  const allocation b = r.take(1 * MiB, 1, memory_class::kv);
  REQUIRE(r.gpu().sleep(class_set::all()));
  viz_snapshot asleep;
  collect(asleep, r.gpu());
  viz_kit::check(asleep, "asleep");
  REQUIRE(r.gpu().wake(class_set::all()));
  viz_snapshot awake;
  collect(awake, r.gpu());
  viz_kit::check(awake, "awake");
  r.give(a, 0);
  r.give(b, 1);
}

TEST_CASE("an allocator without a trace has its segments alone", "[observe]") {
  caching_kit::rig<default_caching_policy> r(64 * MiB);
  const allocation a = r.take(2 * MiB);
  viz_snapshot picture;
  collect(picture, r.gpu());
  CHECK(picture.events().empty());
  CHECK(viz_kit::bytes_in(picture, viz_state::allocated) == 2 * MiB);
  viz_kit::check(picture, "untraced");
  r.give(a);
}

namespace {

struct traced_pinned : pinned_policy {
  using trace = ring_trace<trace_shape{.events = 256}>;
};

}  // namespace

TEST_CASE("pinned memory is shown, and what waits for a stream is pending", "[observe]") {
  sim_machine machine(sim_options{.capacity = 64 * MiB});
  sim_device device = machine.device();
  sim_device::stream s;
  REQUIRE(device.create_stream(s));
  {
    pinned_pool<sim_device, traced_pinned> pool({.device = device, .least_chunk = 64 * KiB, .chunk = 64 * KiB, .name = "staging"});
    const allocation kept = pool.allocate(1000);
    for (int round = 0; round != 3; ++round) pool.deallocate(pool.allocate(5000));
    const allocation waits = pool.allocate(3000);
    // gone with its chunk: nothing in the picture bears its events out
    const allocation large = pool.allocate(300 * KiB);
    pool.deallocate(large);
    REQUIRE(device.launch_write(s, waits.data, waits.size));
    REQUIRE(pool.use(waits, s) == errc::ok);
    pool.deallocate(waits);
    REQUIRE(pool.stats().waiting == waits.size);
    viz_snapshot picture;
    collect(picture, pool, 2);
    CHECK(picture.devices() == 3);
    CHECK(viz_kit::bytes_in(picture, viz_state::allocated) == kept.size);
    CHECK(viz_kit::bytes_in(picture, viz_state::pending) == waits.size);
    CHECK(viz_kit::bytes_in(picture, viz_state::inactive) == pool.stats().available);
    // 6 allocations, 5 frees of which one is not complete
    CHECK(picture.events().size() == 6 + 2 * 5 - 1);
    viz_kit::check(picture, "pinned");
    CHECK(pool.trim() != 0);
    picture.reset();
    collect(picture, pool, 2);
    viz_kit::check(picture, "pinned_trimmed");
    CHECK(!picture.events().empty());
    CHECK(picture.events().size() < 6 + 2 * 5);
    pool.deallocate(kept);
  }
  CHECK(device.destroy_stream(s));
}
