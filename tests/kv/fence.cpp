#include <tokenheap/kv/fence.hpp>

#include <support/catch.hpp>

#include <random>
#include <thread>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/policy/lock.hpp>

using namespace kit;

namespace {

struct stepped : kv::default_policy {
  using fence = kv::step_fence;
};
using pool_of_steps = kv::block_pool<stepped>;
using stepped_sequence = kv::sequence<pool_of_steps>;

struct shared_steps : stepped {
  using lock = tokenheap::spin_lock;
};

}  // namespace

TEST_CASE("a fence keeps what was given back while steps run, in order", "[kv][fence]") {
  kv::step_fence fence;
  REQUIRE(fence.open(4));
  CHECK_FALSE(fence.busy());
  CHECK_FALSE(fence.settle(1));
  CHECK(fence.begin() == 1);
  fence.add(2);
  CHECK(fence.begin() == 2);
  fence.add(0);
  fence.add(3);
  CHECK(fence.contains(3));
  CHECK(fence.pop() == kv::no_block);
  REQUIRE(fence.settle(1));
  CHECK(fence.pop() == 2);
  CHECK(fence.pop() == kv::no_block);
  fence.remove(0);
  REQUIRE(fence.settle(2));
  CHECK(fence.pop() == 3);
  CHECK(fence.size() == 0);
  CHECK_FALSE(fence.settle(1));
  CHECK(fence.settle(2));
  CHECK(fence.is_valid());
}

TEST_CASE("62: a block that a running step uses is handed out after its step, and not before",
          "[kv][fence][scenario]") {
  auto pool = pool_of<pool_of_steps>(4, 4);
  auto a = opened(pool, count_up(12));
  const auto step = pool.begin_step();
  REQUIRE(a.close() == errc::ok);
  auto now = pool.stats();
  CHECK(now.in_flight == 3);
  CHECK(now.free == 1);
  CHECK(now.free + now.cached + now.live + now.in_flight == now.total);
  CHECK(stepped_sequence::open(pool, count_up(8)).error() == errc::out_of_memory);
  CHECK(pool.last_refusal().in_flight == 3);
  CHECK(pool.last_refusal().longest == 4);
  CHECK(pool.reset() == errc::in_use);
  CHECK(pool.is_valid());
  // the next step has begun meanwhile: it did not use them
  const auto later = pool.begin_step();
  CHECK(pool.settle(later + 1) == errc::invalid_argument);
  REQUIRE(pool.settle(step) == errc::ok);
  CHECK(pool.stats().in_flight == 0);
  auto b = opened(pool, count_up(16));
  CHECK(b.blocks().size() == 4);
  CHECK(pool.settle(later) == errc::ok);
  CHECK(pool.is_valid());
}

TEST_CASE("a prefix that waits for its step is found, and leaves in the order in which it was let go", "[kv][fence]") {
  auto pool = pool_of<pool_of_steps>(6, 4);
  auto a = opened(pool, count_up(12));
  auto b = opened(pool, count_up(8, 100));
  REQUIRE(a.publish(12) == errc::ok);
  REQUIRE(b.publish(8) == errc::ok);
  const auto ids_a = ids_of(a), ids_b = ids_of(b);
  const auto step = pool.begin_step();
  REQUIRE(b.close() == errc::ok);
  REQUIRE(a.close() == errc::ok);
  CHECK(pool.stats().in_flight == 5);
  CHECK(pool.match(count_up(12)) == 12);
  CHECK(pool.evict(9) == 0);
  auto again = opened(pool, count_up(9));  // two blocks come out of the wait, and the one free block is taken
  CHECK(again.cached_tokens() == 8);
  CHECK(pool.stats().in_flight == 3);
  CHECK(pool.is_valid());
  REQUIRE(pool.settle(step) == errc::ok);
  CHECK(pool.stats().cached == 3);
  kv::block_id out[3];
  REQUIRE(pool.allocate(out) == errc::ok);
  CHECK(out[0] == ids_b[1]);  // the tail of what was let go first
  CHECK(out[1] == ids_b[0]);
  CHECK(out[2] == ids_a[2]);
  CHECK(pool.deallocate(out) == errc::ok);
  CHECK(pool.is_valid());
}

TEST_CASE("a pool that ends before its steps says so", "[kv][fence][bad]") {
  recorder heard;
  {
    auto pool = pool_of<pool_of_steps>(4, 4);
    auto s = opened(pool, count_up(8));
    static_cast<void>(pool.begin_step());
    REQUIRE(s.close() == errc::ok);
  }
  CHECK(heard.count() == 1);
  CHECK(heard.last().code == errc::in_use);
  CHECK(heard.last().need == 2);
}

TEST_CASE("single blocks wait as well, one by one and in batches", "[kv][fence]") {
  auto pool = pool_of<pool_of_steps>(4, 4);
  kv::block_id out[3];
  REQUIRE(pool.allocate(out) == errc::ok);
  auto handle = pool.allocate();
  const auto step = pool.begin_step();
  REQUIRE(pool.deallocate(out) == errc::ok);
  handle.close();
  recorder heard;
  CHECK(pool.deallocate(out) == errc::double_free);
  CHECK(pool.stats().in_flight == 4);
  CHECK_FALSE(pool.allocate());
  REQUIRE(pool.settle(step) == errc::ok);
  CHECK(pool.stats().free == 4);
  CHECK(pool.is_valid());
}

TEST_CASE("steps, sequences and settling at random: nothing of a running step is handed out", "[kv][fence]") {
  const unsigned seed = 62;
  CAPTURE(seed);
  std::mt19937 random(seed);
  auto pool = pool_of<pool_of_steps>(48, 4);
  std::vector<stepped_sequence> all;
  std::vector<std::uint64_t> last_use(48, 0);  // by block: the newest step that had begun when it was let go
  std::uint64_t begun = 0, settled = 0;
  std::size_t refused = 0;
  const auto fresh = [&](const stepped_sequence& s, std::size_t from) {
    for (std::size_t at = from; at < s.blocks().size(); ++at) REQUIRE(last_use[s.blocks()[at]] <= settled);
  };
  for (int round = 0; round < 20000; ++round) {
    CAPTURE(round);
    switch (random() % 6) {
      case 0:
        begun = pool.begin_step();
        break;
      case 1:
        if (settled < begun) REQUIRE(pool.settle(settled += 1 + random() % (begun - settled)) == errc::ok);
        break;
      case 2:
      case 4: {
        auto made = stepped_sequence::open(pool, joined(count_up(random() % 20), count_up(1 + random() % 9, 50)));
        if (!made) {
          ++refused;
          break;
        }
        fresh(*made, made->cached_tokens() / 4);
        all.push_back(std::move(*made));
        break;
      }
      case 3:
        if (!all.empty()) {
          auto& s = all[random() % all.size()];
          const std::size_t had = s.blocks().size();
          if (s.append(count_up(random() % 9)) == errc::ok) fresh(s, had);
          REQUIRE(s.publish(s.length()) == errc::ok);
        }
        break;
      default:
        if (!all.empty()) {
          std::swap(all[random() % all.size()], all.back());
          for (const auto id : all.back().blocks())
            if (pool.references(id) == 1) last_use[id] = begun;
          all.pop_back();
        }
    }
    if (round % 64 == 0) REQUIRE(pool.is_valid());
  }
  CHECK(refused > 100);
  all.clear();
  REQUIRE(pool.settle(begun) == errc::ok);
  CHECK(pool.stats().in_flight == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("73: threads share a pool whose steps go on", "[kv][fence]") {
  auto pool = pool_of<kv::block_pool<shared_steps>>(64, 4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&pool, t] {
      for (int round = 0; round < 500; ++round) {
        auto made =
            kv::sequence<kv::block_pool<shared_steps>>::open(pool, count_up(8, static_cast<kv::token>(t % 3) * 100));
        if (made) static_cast<void>(made->publish(8));
        if (round % 4 == 0) {
          const auto step = pool.begin_step();
          if (made) static_cast<void>(made->close());
          static_cast<void>(pool.settle(step));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto step = pool.begin_step();
  REQUIRE(pool.settle(step) == errc::ok);
  const auto now = pool.stats();
  CHECK(now.live == 0);
  CHECK(now.free + now.cached == 64);
  CHECK(pool.is_valid());
}
