#include <tokenheap/kv/stream_fence.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/device/sim.hpp>

using namespace kit;
using namespace tokenheap;
using kv::block_use;

namespace {

constexpr std::size_t bytes = 4096;

// slots of pinned memory and of a device, and three streams as lanes 0, 1 and 2
struct bench {
  sim_machine machine{sim_options{.capacity = 64 * MiB}};
  sim_device device = machine.device();
  sim_stream lanes[3];
  void* host = nullptr;
  void* gpu = nullptr;
  kv::stream_fence<sim_device> slots, blocks;

  bench() {
    REQUIRE((device.allocate_pinned(4 * bytes, host) && device.allocate(8 * bytes, gpu)));
    REQUIRE((slots.open(4) && blocks.open(8)));
    for (std::size_t at = 0; at < 3; ++at) {
      REQUIRE(device.create_stream_nonblocking(lanes[at]));
      REQUIRE(slots.bind(at, device, lanes[at]) == errc::ok);
      REQUIRE(blocks.bind(at, device, lanes[at]) == errc::ok);
    }
  }
  void* slot(kv::block_id at) { return offset(host, at * bytes); }
  void* block(kv::block_id at) { return offset(gpu, at * bytes); }

  // from and to are told to their fences only where `fenced`
  void offload(std::size_t lane, kv::block_id from, kv::block_id to, bool fenced) {
    if (fenced)
      REQUIRE((blocks.before(lane, block_use::read, &from, 1) == errc::ok &&
               slots.before(lane, block_use::write, &to, 1) == errc::ok));
    REQUIRE(device.copy(slot(to), block(from), bytes, lanes[lane]));
    blocks.after(lane, block_use::read, &from, 1);
    slots.after(lane, block_use::write, &to, 1);
  }
  void load(std::size_t lane, kv::block_id from, kv::block_id to, bool fenced) {
    if (fenced)
      REQUIRE((slots.before(lane, block_use::read, &from, 1) == errc::ok &&
               blocks.before(lane, block_use::write, &to, 1) == errc::ok));
    REQUIRE(device.copy(block(to), slot(from), bytes, lanes[lane]));
    slots.after(lane, block_use::read, &from, 1);
    blocks.after(lane, block_use::write, &to, 1);
  }
  // the first part of a block is copied into another one
  void partial_copy(std::size_t lane, kv::block_id from, kv::block_id to, bool fenced) {
    if (fenced)
      REQUIRE((blocks.before(lane, block_use::read, &from, 1) == errc::ok &&
               blocks.before(lane, block_use::write, &to, 1) == errc::ok));
    REQUIRE(device.copy(block(to), block(from), bytes / 2, lanes[lane]));
    blocks.after(lane, block_use::read, &from, 1);
    blocks.after(lane, block_use::write, &to, 1);
  }
};

}  // namespace

TEST_CASE("59: copies that meet in a slot wait for one another, whichever way they meet", "[kv][fence][scenario]") {
  for (const bool fenced : {false, true}) {
    CAPTURE(fenced);
    SECTION(fenced ? "write after write" : "write after write, no fence") {
      bench b;
      b.offload(1, 0, 3, fenced);
      b.offload(2, 1, 3, fenced);
      CHECK((b.machine.violations() == 0) == fenced);
    }
    SECTION(fenced ? "read after write" : "read after write, no fence") {
      bench b;
      b.load(1, 0, 5, fenced);
      b.partial_copy(2, 5, 6, fenced);
      CHECK((b.machine.violations() == 0) == fenced);
    }
    SECTION(fenced ? "write after read" : "write after read, no fence") {
      bench b;
      b.offload(1, 2, 0, fenced);
      b.load(2, 1, 2, fenced);
      CHECK((b.machine.violations() == 0) == fenced);
    }
    SECTION(fenced ? "after the stream that computes" : "after the stream that computes, no fence") {
      bench b;
      REQUIRE(b.device.launch_write(b.lanes[0], b.block(4), bytes));
      b.offload(1, 4, 0, fenced);
      CHECK((b.machine.violations() == 0) == fenced);
    }
  }
}

TEST_CASE("two reads do not wait for each other, and nothing is waited for twice", "[kv][fence]") {
  bench b;
  const kv::block_id ids[] = {0, 1, 2, 3};
  auto& f = b.blocks;
  REQUIRE(f.before(1, block_use::write, ids, 4) == errc::ok);  // lane 0 may have used them
  f.after(1, block_use::write, ids, 4);
  CHECK(f.waits() == 1);
  REQUIRE(f.before(0, block_use::read, ids, 4) == errc::ok);
  CHECK(f.waits() == 2);
  REQUIRE(f.before(0, block_use::read, ids, 4) == errc::ok);
  REQUIRE(f.before(0, block_use::write, ids, 4) == errc::ok);
  CHECK(f.waits() == 2);
  CHECK(f.records() == 2);
  // lane 2 learns of lane 1 through lane 0
  REQUIRE(f.before(2, block_use::read, ids, 4) == errc::ok);
  f.after(2, block_use::read, ids, 4);
  CHECK(f.waits() == 3);
  REQUIRE(f.before(1, block_use::read, ids, 4) == errc::ok);
  CHECK(f.waits() == 4);  // for lane 0 alone: the read of lane 2 is no matter
  REQUIRE(f.before(1, block_use::write, ids, 4) == errc::ok);
  CHECK(f.waits() == 6);
  f.after(0, block_use::write, ids, 4);  // says nothing
  CHECK(f.before(3, block_use::read, ids, 1) == errc::invalid_argument);
}

TEST_CASE("what the device refuses is told, and the next call tries again", "[kv][fence]") {
  bench b;
  const kv::block_id id = 0;
  b.machine.fail(sim_call::record, 1, device_error::failed);
  CHECK(b.blocks.before(1, block_use::read, &id, 1) == to_errc(device_error::failed));
  CHECK(b.blocks.before(1, block_use::read, &id, 1) == errc::ok);
  b.blocks.after(1, block_use::write, &id, 1);
  b.machine.fail(sim_call::wait, 1, device_error::failed);
  CHECK(b.blocks.before(0, block_use::read, &id, 1) != errc::ok);
  CHECK(b.blocks.before(0, block_use::read, &id, 1) == errc::ok);
  kv::stream_fence<sim_device> unbound;
  REQUIRE(unbound.open(1));
  CHECK(unbound.before(1, block_use::read, &id, 1) == errc::not_open);
  CHECK(unbound.before(0, block_use::write, &id, 1) == errc::ok);  // nobody used it
  CHECK(unbound.bind(3, b.device, b.lanes[0]) == errc::invalid_argument);
  b.machine.fail(sim_call::create_event, 1, device_error::out_of_memory);
  CHECK(unbound.bind(0, b.device, b.lanes[0]) == errc::out_of_memory);
  CHECK(unbound.bind(0, b.device, b.lanes[0]) == errc::ok);
}

namespace {

struct ordered : kv::default_policy {
  using fence = kv::stream_fence<sim_device>;
};
// knows its lanes and orders nothing: what the suite must find
struct blind_fence : kv::no_fence {
  static errc bind(std::size_t, sim_device&, const sim_stream&) noexcept { return errc::ok; }
  static errc before(std::size_t, block_use, const kv::block_id*, std::size_t) noexcept { return errc::ok; }
  static void after(std::size_t, block_use, const kv::block_id*, std::size_t) noexcept {}
};
struct unordered : kv::default_policy {
  using fence = blind_fence;
};

// requests over a pool in device memory: lane 0 computes, 1 stores blocks away, 2 brings blocks in
template <class Policy>
class traffic {
 public:
  using pool_type = kv::block_pool<Policy>;
  using sequence = kv::sequence<pool_type>;

  explicit traffic(unsigned seed) : random_(seed) {
    REQUIRE(device_.allocate(blocks * shape_.block_bytes(), memory_));
    REQUIRE(device_.allocate_pinned(blocks * shape_.block_bytes(), host_));
    auto made = pool_type::open({.blocks = blocks, .block_tokens = 4, .copy = {&copy, this}},
                                kv::tensor{memory_, blocks * shape_.block_bytes(), shape_, false});
    REQUIRE(made);
    pool_.emplace_back(std::move(*made));
    for (std::size_t at = 0; at < 3; ++at) {
      REQUIRE(device_.create_stream_nonblocking(lanes_[at]));
      REQUIRE(pool().fence().bind(at, device_, lanes_[at]) == errc::ok);
    }
  }

  std::size_t run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      CAPTURE(round);
      step();
      if (round % 50 == 0) REQUIRE(pool().is_valid());
    }
    all_.clear();
    REQUIRE(pool().is_valid());
    return machine_.violations();
  }
  std::size_t hits() { return pool().stats().reused_tokens; }
  std::size_t evictions() { return pool().stats().evictions; }

 private:
  static constexpr std::size_t blocks = 24;

  static void copy(void* self, kv::block_id from, kv::block_id to) noexcept {
    auto& me = *static_cast<traffic*>(self);
    REQUIRE(me.device_.copy(me.pool().data(to), me.pool().data(from), me.shape_.block_bytes(), me.lanes_[0]));
  }
  pool_type& pool() { return pool_.front(); }

  // what the model does with tokens [from, length) of a sequence: reads all blocks and writes those of the new tokens
  void compute(sequence& s, std::size_t from) {
    std::vector<sim_access> touches;
    for (std::size_t at = 0; at * 4 < s.length(); ++at) {
      const bool writes = (at + 1) * 4 > from;
      touches.push_back(
          {pool().data(s.blocks()[at]), shape_.block_bytes(), writes ? sim_access::write : sim_access::read});
    }
    REQUIRE(device_.launch(lanes_[0], touches.data(), touches.size()));
    REQUIRE(s.publish(s.length()) == errc::ok);
  }

  void step() {
    switch (random_() % 5) {
      case 0:
      case 1:
        open();
        break;
      case 2:
        if (!all_.empty()) {
          auto& s = all_[random_() % all_.size()];
          const std::size_t had = s.length();
          if (s.append(count_up(1 + random_() % 6, 77)) == errc::ok) compute(s, had);
        }
        break;
      case 3:
        if (!all_.empty()) {
          auto made = all_[random_() % all_.size()].fork();
          REQUIRE(made);
          all_.push_back(std::move(*made));
        }
        break;
      default:
        if (!all_.empty()) {
          std::swap(all_[random_() % all_.size()], all_.back());
          store(all_.back());
          all_.pop_back();  // while the copies of its blocks run
        }
    }
  }

  void open() {
    auto made = sequence::open(pool(), joined(count_up(random_() % 12), count_up(1 + random_() % 8, 50)));
    if (!made) return;
    const std::size_t first = made->cached_tokens() / 4;
    const auto fresh = made->blocks().subspan(first);
    std::size_t from = made->cached_tokens();
    if (random_() % 3 == 0 && fresh.size() > 1) {
      // all but the last block come from below instead of being computed
      REQUIRE(pool().fence().before(2, block_use::write, fresh.data(), fresh.size() - 1) == errc::ok);
      for (std::size_t at = 0; at + 1 < fresh.size(); ++at) copy_block(2, pool().data(fresh[at]), slot(fresh[at]));
      pool().fence().after(2, block_use::write, fresh.data(), fresh.size() - 1);
      from = (made->blocks().size() - 1) * 4;
      REQUIRE(pool().fence().before(0, block_use::read, made->blocks().data(), made->blocks().size()) == errc::ok);
    }
    compute(*made, from);
    all_.push_back(std::move(*made));
  }

  // a part of the sequence's blocks is stored away
  void store(sequence& s) {
    const auto ids = s.blocks().first(random_() % (s.blocks().size() + 1));
    REQUIRE(pool().fence().before(1, block_use::read, ids.data(), ids.size()) == errc::ok);
    for (const kv::block_id id : ids) copy_block(1, sink(), pool().data(id));
    pool().fence().after(1, block_use::read, ids.data(), ids.size());
  }
  void copy_block(std::size_t lane, void* to, const void* from) {
    REQUIRE(device_.copy(to, from, shape_.block_bytes(), lanes_[lane]));
  }
  void* slot(kv::block_id at) { return offset(host_, (at % (blocks / 2)) * shape_.block_bytes()); }
  void* sink() { return offset(host_, (blocks / 2 + sinks_++ % (blocks / 2)) * shape_.block_bytes()); }

  sim_machine machine_{sim_options{.capacity = 64 * MiB}};
  sim_device device_ = machine_.device();
  kv::layout shape_{.layers = 1, .kv_heads = 2, .head_size = 16, .block_tokens = 4};
  void* memory_ = nullptr;
  void* host_ = nullptr;
  sim_stream lanes_[3];
  std::vector<pool_type> pool_;
  std::vector<sequence> all_;
  std::size_t sinks_ = 0;
  std::mt19937 random_;
};

}  // namespace

TEST_CASE("no timing of the device lets two uses of a block overlap, whatever the requests do", "[kv][fence]") {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    traffic<ordered> all(seed);
    CHECK(all.run(1500) == 0);
    CHECK(all.hits() > 100);
    CHECK(all.evictions() > 20);
    traffic<unordered> blind(seed);
    CHECK(blind.run(300) > 0);
  }
}

TEST_CASE("a request whose waits the device refuses is refused, and nothing is lost", "[kv][fence]") {
  sim_machine machine{sim_options{.capacity = 64 * MiB}};
  sim_device device = machine.device();
  sim_stream lanes[2];
  auto made = kv::block_pool<ordered>::open({.blocks = 4, .block_tokens = 4});
  REQUIRE(made);
  for (std::size_t at = 0; at < 2; ++at) {
    REQUIRE(device.create_stream_nonblocking(lanes[at]));
    REQUIRE(made->fence().bind(at, device, lanes[at]) == errc::ok);
  }
  const auto busy = [&] {
    kv::block_id all[4];
    REQUIRE(made->allocate(all) == errc::ok);
    REQUIRE(made->fence().before(1, block_use::read, all, 4) == errc::ok);
    made->fence().after(1, block_use::read, all, 4);
    REQUIRE(made->deallocate(all) == errc::ok);
    machine.fail(sim_call::record, 1, device_error::failed);
  };
  using ordered_sequence = kv::sequence<kv::block_pool<ordered>>;
  busy();
  const auto no = ordered_sequence::open(*made, count_up(6));
  CHECK(no.error() == to_errc(device_error::failed));
  CHECK(no.why().need == 2);
  CHECK(made->stats().live == 0);
  auto s = ordered_sequence::open(*made, count_up(6));
  REQUIRE(s);
  machine.clear_faults();
  REQUIRE(s->close() == errc::ok);
  busy();
  kv::block_id one[1];
  CHECK(made->allocate(one) != errc::ok);
  CHECK(made->stats().live == 0);
  auto grown = ordered_sequence::open(*made, count_up(2));
  REQUIRE(grown);
  REQUIRE(grown->close() == errc::ok);
  busy();
  machine.clear_faults();
  auto grows = ordered_sequence::open(*made, count_up(2));
  REQUIRE(grows);
  kv::block_id rest[3];
  REQUIRE(made->allocate(rest) == errc::ok);
  REQUIRE(made->fence().before(1, block_use::read, rest, 3) == errc::ok);
  made->fence().after(1, block_use::read, rest, 3);
  REQUIRE(made->deallocate(rest) == errc::ok);
  machine.fail(sim_call::record, 1, device_error::failed);
  CHECK(grows->grow(8) == to_errc(device_error::failed));
  CHECK(grows->blocks().size() == 1);
  CHECK(made->is_valid());
  CHECK(grows->grow(8) == errc::ok);
  CHECK(grows->blocks().size() == 3);
}

TEST_CASE("a request that the device refused leaves nothing of what its block held before", "[kv][fence]") {
  sim_machine machine{sim_options{.capacity = 64 * MiB}};
  sim_device device = machine.device();
  sim_stream lanes[2];
  const auto no_copy = [](void*, kv::block_id, kv::block_id) noexcept {};
  auto made = kv::block_pool<ordered>::open({.blocks = 4, .block_tokens = 4, .copy = {no_copy, nullptr}});
  REQUIRE(made);
  for (std::size_t at = 0; at < 2; ++at) {
    REQUIRE(device.create_stream_nonblocking(lanes[at]));
    REQUIRE(made->fence().bind(at, device, lanes[at]) == errc::ok);
  }
  using ordered_sequence = kv::sequence<kv::block_pool<ordered>>;
  {
    auto found = ordered_sequence::open(*made, count_up(4, 1));
    REQUIRE(found->publish(4) == errc::ok);
    auto secret = ordered_sequence::open(*made, count_up(4, 700), {.key = {.tenant = 1}});
    REQUIRE(secret);
    const auto ids = secret->blocks();
    REQUIRE(made->fence().before(1, block_use::read, ids.data(), ids.size()) == errc::ok);
    made->fence().after(1, block_use::read, ids.data(), ids.size());
  }
  machine.fail(sim_call::record, 1, device_error::failed);
  const std::vector<kv::token> part{1, 2, 900};
  CHECK_FALSE(ordered_sequence::open(*made, part, {.partial = true}));
  machine.clear_faults();
  CHECK(made->stats().cached == 1);
  CHECK(made->match(count_up(4, 700)) == 0);
  auto probe = ordered_sequence::open(*made, joined(count_up(3, 700), {1}), {.partial = true});
  REQUIRE(probe);
  CHECK(probe->cached_tokens() == 0);
  CHECK(made->is_valid());
}
