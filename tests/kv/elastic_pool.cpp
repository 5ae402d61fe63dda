#include <tokenheap/kv/elastic_pool.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <deque>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/fence.hpp>
#include <tokenheap/kv/sequence.hpp>

using namespace tokenheap;
namespace kv = tokenheap::kv;

namespace {

using pool_type = kv::block_pool<>;
using elastic = kv::elastic_pool<pool_type, sim_device>;
using sequence = kv::sequence<pool_type>;

constexpr std::size_t page = 64 * KiB;
constexpr std::size_t block_tokens = 4;
// 16 KiB: four blocks on a granule
constexpr kv::layout even{.layers = 4, .kv_heads = 4, .head_size = 64, .block_tokens = block_tokens};
// 24 KiB: every third block lies across two granules
constexpr kv::layout odd{.layers = 6, .kv_heads = 4, .head_size = 64, .block_tokens = block_tokens};
static_assert(even.block_bytes() == 16 * KiB && odd.block_bytes() == 24 * KiB);

sim_options small_pages(std::size_t capacity = 64 * MiB) {
  sim_options with;
  with.capacity = capacity, with.page_bytes = page, with.backed = true;
  return with;
}

struct rig {
  explicit rig(const kv::layout& of = even, const sim_options& with = small_pages(), kv::pool_options how = {})
      : machine(with), device(machine.device()), opened([&] {
          how.blocks = how.blocks == 0 ? 64 : how.blocks;
          how.block_tokens = block_tokens;
          return elastic::open(device, how, of);
        }()) {
    REQUIRE(device.create_stream(stream));
    if (!opened) FAIL(opened.why().what);
  }
  ~rig() { static_cast<void>(device.destroy_stream(stream)); }
  [[nodiscard]] elastic& blocks() { return *opened; }
  [[nodiscard]] pool_type& pool() { return opened->pool(); }

  // what an engine does: memory for what the request takes, as far as there is any, then the request
  result<sequence> open(const std::vector<kv::token>& prompt) {
    const std::size_t need = divide_up(prompt.size(), block_tokens), now = pool().stats().free;
    for (std::size_t more = std::min(need > now ? need - now : 0, blocks().stats().parked); more != 0; --more) {
      if (blocks().try_grow_to(now + more).code == errc::ok) break;
    }
    return sequence::open(pool(), prompt);
  }

  // writes a mark into each block, on the stream
  void write(std::span<const kv::block_id> ids, unsigned mark) {
    for (const kv::block_id id : ids) {
      REQUIRE(device.fill(pool().data(id), static_cast<unsigned char>(mark + id), pool().shape().block_bytes(), stream));
    }
  }
  // reads each block back
  [[nodiscard]] bool holds(std::span<const kv::block_id> ids, unsigned mark) {
    std::vector<unsigned char> bytes(pool().shape().block_bytes());
    for (const kv::block_id id : ids) {
      REQUIRE(device.copy(bytes.data(), pool().data(id), bytes.size(), stream));
      REQUIRE(device.synchronize(stream));
      const std::vector<unsigned char> wanted(bytes.size(), static_cast<unsigned char>(mark + id));
      if (bytes != wanted) return false;
    }
    return true;
  }

  sim_machine machine;
  sim_device device;
  sim_stream stream;
  result<elastic> opened;
};

std::vector<kv::token> tokens(std::size_t n, kv::token first) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

}  // namespace

TEST_CASE("a pool begins without memory, gets it when requests come, and gives it back when they are gone",
          "[kv][elastic]") {
  rig r;
  CHECK(r.machine.used() == 0);
  CHECK(r.blocks().stats().parked == 64);
  CHECK(r.pool().stats().free == 0);
  const auto no = sequence::open(r.pool(), tokens(20, 1));
  CHECK(no.error() == errc::out_of_memory);
  REQUIRE(r.blocks().try_grow(no.why().need - no.why().available).code == errc::ok);
  auto a = sequence::open(r.pool(), tokens(20, 1));
  REQUIRE(a);
  // 5 blocks: two granules of 4, so 3 more are free
  CHECK(r.machine.used() == 2 * page);
  CHECK(r.blocks().stats().usable == 8);
  CHECK(r.pool().stats().free == 3);
  CHECK(a->blocks()[0] == 0);
  CHECK(a->blocks()[4] == 4);
  CHECK(r.blocks().is_valid());
  auto b = r.open(tokens(12, 100));
  REQUIRE(b);
  CHECK(r.machine.used() == 2 * page);
  REQUIRE(a->close() == errc::ok);
  // blocks 5, 6 and 7 are b's: only the first granule goes
  CHECK(r.blocks().trim() == page);
  CHECK(r.machine.used() == page);
  CHECK(r.blocks().stats().usable == 4);
  REQUIRE(b->close() == errc::ok);
  CHECK(r.blocks().trim() == page);
  CHECK(r.machine.used() == 0);
  CHECK(r.blocks().trim() == 0);
  CHECK(r.blocks().is_valid());
  CHECK(r.machine.violations() == 0);
}

TEST_CASE("cached blocks keep their place and their bytes while the pool shrinks and grows", "[kv][elastic]") {
  for (const kv::layout& shape : {even, odd}) {
    rig r(shape);
    const auto system = tokens(24, 1);
    auto first = r.open(system);
    auto second = r.open(tokens(64, 1000));
    REQUIRE(first);
    REQUIRE(second);
    const std::vector<kv::block_id> ids(first->blocks().begin(), first->blocks().end());
    r.write(first->blocks(), 7);
    r.write(second->blocks(), 9);
    REQUIRE(first->publish(24) == errc::ok);
    REQUIRE(first->close() == errc::ok);
    REQUIRE(second->close() == errc::ok);
    const std::size_t before = r.machine.used();
    CHECK(r.blocks().trim() != 0);
    CHECK(r.machine.used() < before);
    CHECK(r.pool().match(system) == 24);
    CHECK(r.pool().stats().cached == 6);
    CHECK(r.holds(ids, 7));
    CHECK(r.blocks().is_valid());
    REQUIRE(r.blocks().try_grow(30).code == errc::ok);
    auto longer = system;
    longer.insert(longer.end(), 40, 5);
    auto again = r.open(longer);
    REQUIRE(again);
    CHECK(again->cached_tokens() == 24);
    CHECK(std::equal(ids.begin(), ids.end(), again->blocks().begin()));
    CHECK(r.holds(ids, 7));
    REQUIRE(again->close() == errc::ok);
    // asked to, it evicts
    CHECK(r.blocks().trim(~std::size_t{0}, {.evict = true}) != 0);
    CHECK(r.pool().match(system) == 0);
    CHECK(r.machine.used() == 0);
    CHECK(r.blocks().is_valid());
    CHECK(r.machine.violations() == 0);
  }
}

TEST_CASE("eviction stops when enough was given back", "[kv][elastic]") {
  rig r;
  for (kv::token n = 0; n < 4; ++n) {
    auto s = r.open(tokens(16, 100 * n));
    REQUIRE(s);
    REQUIRE(s->publish(16) == errc::ok);
    REQUIRE(s->close() == errc::ok);
  }
  CHECK(r.blocks().trim() == 0);
  CHECK(r.pool().stats().cached == 16);
  CHECK(r.blocks().trim(1, {.evict = true}) == page);
  CHECK(r.pool().stats().cached >= 8);
  CHECK(r.pool().match(tokens(16, 300)) == 16);  // the last to be used
  CHECK(r.blocks().is_valid());
}

TEST_CASE("free blocks beside blocks in use go out first after a trim", "[kv][elastic]") {
  rig r;
  REQUIRE(r.blocks().try_grow(16).code == errc::ok);
  std::vector<kv::block_id> all(16);
  REQUIRE(r.pool().allocate(all) == errc::ok);
  // granule 0 keeps 1 block, granule 2 keeps 3, the others none
  std::vector<kv::block_id> back;
  for (const kv::block_id id : all) {
    if (id != 1 && id != 8 && id != 9 && id != 11) back.push_back(id);
  }
  REQUIRE(r.pool().deallocate(back) == errc::ok);
  CHECK(r.blocks().trim(1) == page);
  std::vector<kv::block_id> next(8);
  REQUIRE(r.pool().allocate(next) == errc::ok);
  CHECK(next == std::vector<kv::block_id>{10, 0, 2, 3, 4, 5, 6, 7});
  REQUIRE(r.pool().deallocate(next) == errc::ok);
  const std::vector<kv::block_id> rest{1, 8, 9, 11};
  REQUIRE(r.pool().deallocate(rest) == errc::ok);
}

TEST_CASE("the null block always has memory", "[kv][elastic]") {
  rig r(even, small_pages(), {.null_block = true});
  CHECK(r.machine.used() == page);
  CHECK(r.blocks().stats().usable == 3);
  CHECK(r.blocks().trim(~std::size_t{0}, {.evict = true}) == 0);
  r.write(std::vector<kv::block_id>{0}, 1);
  auto s = r.open(tokens(16, 1));
  REQUIRE(s);
  CHECK(r.machine.used() == 2 * page);
  CHECK(r.blocks().is_valid());
}

TEST_CASE("no memory goes that a stream may still use, and the machine sees it if the caller is wrong", "[kv][elastic]") {
  for (const bool wait : {true, false}) {
    for (const bool waited : {true, false}) {
      CAPTURE(wait, waited);
      rig r;
      auto s = r.open(tokens(16, 1));
      REQUIRE(s);
      r.write(s->blocks(), 1);
      REQUIRE(s->close() == errc::ok);
      sim_device::event step{};
      REQUIRE(r.device.create_event(step));
      REQUIRE(r.device.record(step, r.stream));
      if (waited) REQUIRE(r.device.synchronize_event(step));
      CHECK(r.blocks().trim(~std::size_t{0}, {.wait = wait}) == page);
      CHECK(r.machine.violations() == (wait || waited ? 0U : 1U));
      if (!wait && !waited) CHECK(r.machine.violation().kind == sim_wrong::unmapped_in_use);
      REQUIRE(r.device.destroy_event(step));
    }
  }
}

TEST_CASE("a pool with a fence knows which blocks a step may still use: no wait for the device", "[kv][elastic]") {
  struct fenced : kv::default_policy {
    using fence = kv::step_fence;
  };
  using fenced_pool = kv::block_pool<fenced>;
  sim_machine machine(small_pages());
  auto device = machine.device();
  sim_stream stream;
  REQUIRE(device.create_stream(stream));
  {
    auto opened = kv::elastic_pool<fenced_pool, sim_device>::open(device, {.blocks = 64, .block_tokens = block_tokens}, even);
    REQUIRE(opened);
    auto& pool = opened->pool();
    REQUIRE(opened->try_grow(8).code == errc::ok);
    auto s = kv::sequence<fenced_pool>::open(pool, tokens(16, 1));
    REQUIRE(s);
    const std::uint64_t step = pool.begin_step();
    REQUIRE(device.fill(pool.data(s->blocks()[0]), 1, 4 * even.block_bytes(), stream));
    REQUIRE(s->close() == errc::ok);
    CHECK(pool.stats().in_flight == 4);
    CHECK(opened->trim(~std::size_t{0}, {.wait = false}) == page);  // the granule that the step does not use
    CHECK(pool.stats().in_flight == 4);
    CHECK(opened->is_valid());
    REQUIRE(device.synchronize(stream));
    REQUIRE(pool.settle(step) == errc::ok);
    CHECK(opened->trim(~std::size_t{0}, {.wait = false}) == page);
    CHECK(machine.used() == 0);
    CHECK(opened->is_valid());
  }
  CHECK(machine.violations() == 0);
  REQUIRE(device.destroy_stream(stream));
}

TEST_CASE("a device that is full or refuses: everything is as it was, and the next try succeeds", "[kv][elastic]") {
  rig r(even, small_pages(4 * page));
  REQUIRE(r.blocks().try_grow(9).code == errc::ok);
  CHECK(r.blocks().stats().usable == 12);
  const auto no = r.blocks().try_grow(5);
  CHECK(no.code == errc::out_of_memory);
  CHECK(no.need == 5 * even.block_bytes());
  CHECK(std::string(no.pool) == "kv");
  CHECK(r.blocks().stats().usable == 12);
  CHECK(r.machine.used() == 3 * page);
  CHECK(r.blocks().is_valid());
  CHECK(r.blocks().try_grow(53).code == errc::too_large);
  CHECK(r.blocks().try_grow(4).code == errc::ok);
  r.machine.fail(sim_call::synchronize_device, 1, device_error::failed);
  CHECK(r.blocks().trim() == 0);
  CHECK(r.pool().stats().free == 16);
  CHECK(r.blocks().is_valid());
  CHECK(r.blocks().trim() == 4 * page);
}

TEST_CASE("blocks that are stuck stand in nobody's way", "[kv][elastic]") {
  rig r;
  REQUIRE(r.blocks().try_grow(4).code == errc::ok);
  r.machine.fail_always(sim_call::unmap, device_error::failed);
  CHECK(r.blocks().trim() == 0);
  CHECK(r.blocks().stats().stuck == page);
  REQUIRE(r.blocks().try_grow(4).code == errc::ok);
  CHECK(r.blocks().stats().usable == 4);
  CHECK(r.blocks().is_valid());
  r.machine.clear_faults();
  CHECK(r.blocks().trim() == 2 * page);
}

TEST_CASE("each device call can fail at each time: nothing is lost, and the pool stays valid", "[kv][elastic]") {
  const sim_call calls[] = {sim_call::reserve, sim_call::create_pages, sim_call::map, sim_call::set_access,
                            sim_call::release_pages, sim_call::unmap, sim_call::synchronize_device};
  std::size_t met = 0;
  for (const sim_call call : calls) {
    for (std::size_t nth = 1; nth <= 12; ++nth) {
      for (const device_error error : {device_error::out_of_memory, device_error::failed}) {
        CAPTURE(to_text(call), nth, to_text(error));
        sim_machine machine(small_pages());
        machine.fail(call, nth, error);
        {
          auto opened = elastic::open(machine.device(), {.blocks = 32, .block_tokens = block_tokens}, odd);
          if (!opened) {
            ++met;
            CHECK(machine.is_clean());
            continue;
          }
          const auto prompt = tokens(16, 1);
          for (int round = 0; round < 3; ++round) {
            const auto before = opened->stats();
            if (opened->try_grow(9).code != errc::ok) {
              ++met;
              CHECK(opened->stats().usable == before.usable);
              CHECK(opened->is_valid());
              REQUIRE(opened->try_grow(9).code == errc::ok);
            }
            REQUIRE(opened->is_valid());
            auto s = sequence::open(opened->pool(), prompt);
            REQUIRE(s);
            REQUIRE(s->publish(16) == errc::ok);
            REQUIRE(s->close() == errc::ok);
            static_cast<void>(opened->trim());
            met += opened->stats().stuck != 0;
            REQUIRE(opened->is_valid());
            CHECK(opened->pool().match(prompt) == 16);
          }
          machine.clear_faults();
          static_cast<void>(opened->trim(~std::size_t{0}, {.evict = true}));
          CHECK(opened->stats().mapped == 0);
          CHECK(opened->stats().stuck == 0);
          CHECK(opened->stats().parked == 32);
          CHECK(opened->is_valid());
        }
        CHECK(machine.is_clean());
        CHECK(machine.violations() == 0);
      }
    }
  }
  CHECK(met > 50);
}

TEST_CASE("another allocator's shortage takes free blocks first, then cached ones, never live ones", "[kv][elastic]") {
  rig r(even, small_pages(8 * page));
  auto live = r.open(tokens(16, 1));
  auto cached = r.open(tokens(16, 100));
  REQUIRE(live);
  REQUIRE(cached);
  r.write(live->blocks(), 3);
  REQUIRE(cached->publish(16) == errc::ok);
  REQUIRE(cached->close() == errc::ok);
  REQUIRE(r.blocks().try_grow(24).code == errc::ok);
  CHECK(r.machine.used() == 8 * page);
  {
    caching_allocator<sim_device> gpu(r.device, {.name = "gpu", .on_pressure = r.blocks().callback()});
    // the smallest segment of the allocator is larger than what is free at first
    const device_status full = [&] {
      void* p = nullptr;
      return r.device.allocate(6 * page, p);
    }();
    CHECK_FALSE(full);
    CHECK_FALSE(gpu.allocate(r.stream, 8 * page));
    CHECK(r.pool().match(tokens(16, 100)) == 0);
    CHECK(r.machine.used() == page);
  }
  CHECK(r.holds(live->blocks(), 3));
  CHECK(r.blocks().is_valid());
  CHECK(r.machine.violations() == 0);
}

TEST_CASE("requests come and go at random while the pool grows and shrinks: no byte is lost", "[kv][elastic]") {
  const unsigned seed = 26'300;
  CAPTURE(seed);
  for (const kv::layout& shape : {even, odd}) {
    std::mt19937 random(seed);
    rig r(shape, small_pages(16 * page), {.blocks = 200, .null_block = true});
    struct request {
      sequence s;
      unsigned mark;
    };
    std::deque<request> live;
    std::size_t refused = 0, reused = 0, given = 0;
    for (int round = 0; round < 1500; ++round) {
      CAPTURE(round);
      const auto who = static_cast<unsigned>(random() % 12);
      if (random() % 2 == 0) {
        // every chat begins alike, so that its blocks hold the same marks whoever wrote them
        auto s = r.open(tokens(block_tokens * (1 + random() % 12), 1000 * static_cast<kv::token>(who)));
        if (!s) {
          ++refused;
          if (!live.empty()) live.pop_front();
          continue;
        }
        const std::size_t found = s->cached_tokens() / block_tokens;
        reused += found;
        CHECK(r.holds(s->blocks().first(found), who));
        r.write(s->blocks().subspan(found), who);
        REQUIRE(s->publish(s->length()) == errc::ok);
        live.push_back({std::move(*s), who});
      } else if (!live.empty()) {
        CHECK(r.holds(live.front().s.blocks(), live.front().mark));
        live.pop_front();
      }
      if (random() % 6 == 0) given += r.blocks().trim((1 + random() % 8) * page, {.evict = random() % 4 == 0});
      if (random() % 16 == 0) static_cast<void>(r.blocks().try_grow(random() % 20));
      if (round % 20 == 0) REQUIRE(r.blocks().is_valid());
    }
    CHECK(refused > 10);
    CHECK(reused > 100);
    CHECK(given > 100 * page);
    for (const auto& each : live) CHECK(r.holds(each.s.blocks(), each.mark));
    live.clear();
    CHECK(r.blocks().trim(~std::size_t{0}, {.evict = true}) != 0);
    CHECK(r.machine.used() == page);  // the null block's
    CHECK(r.blocks().is_valid());
    CHECK(r.machine.violations() == 0);
  }
}

TEST_CASE("an elastic pool that makes no sense is refused", "[kv][elastic][bad]") {
  sim_machine machine(small_pages());
  const auto device = machine.device();
  CHECK(elastic::open(device, {.blocks = 0}, even).error() == errc::invalid_argument);
  CHECK(elastic::open(device, {.blocks = 8, .block_tokens = 16}, even).error() == errc::invalid_argument);
  sim_machine flat({.page_bytes = 0});
  const auto no = elastic::open(flat.device(), {.blocks = 8, .block_tokens = block_tokens, .name = "mine"}, even);
  CHECK(no.error() == errc::unsupported);
  CHECK(std::string(no.why().pool) == "mine");
  CHECK(machine.is_clean());
}
