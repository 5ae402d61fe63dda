#include <tokenheap/kv/sequence.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include <kv/event_kit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/source/host.hpp>

// eight threads on one pool, and a router that reads along: made for ThreadSanitizer, and right without it

using namespace kit;

namespace {

constexpr unsigned workers = 8;
constexpr std::size_t block_tokens = 4;
constexpr std::size_t blocks = 160;

template <class Pool>
class worker {
 public:
  worker(Pool& pool, unsigned seed, std::atomic<int>& wrong) : pool_(pool), random_(seed), wrong_(wrong) {}

  void run(int steps) {
    for (int n = 0; n != steps; ++n) step();
    running_.clear();
  }

 private:
  struct request {
    kv::sequence<Pool> real;
    std::vector<kv::token> tokens;
  };

  std::size_t pick(std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random_); }
  void expect(bool right) {
    if (!right) wrong_.fetch_add(1);
  }

  void step() {
    const std::size_t what = running_.size() < 2 ? 0 : pick(11);
    if (what <= 2) return open();
    request& r = running_[pick(running_.size() - 1)];
    switch (what) {
      case 3: case 4: append(r); break;
      case 5: case 6: expect(r.real.publish(r.tokens.size()) == errc::ok); break;
      case 7: rewind(r); break;
      case 8: fork(r); break;
      case 9: looks(r); break;
      default:
        read(r);
        std::swap(r, running_.back());
        running_.pop_back();
    }
  }

  // few beginnings, so that threads meet; every token's number depends on those before it
  std::vector<kv::token> prompt() {
    std::vector<kv::token> made(1 + pick(5 * block_tokens));
    const auto kind = static_cast<kv::token>(pick(2));
    for (std::size_t at = 0; at != made.size(); ++at) {
      made[at] = at < 2 * block_tokens ? kind : static_cast<kv::token>(pick(1));
    }
    return made;
  }
  std::uint32_t* slot(const request& r, std::size_t at) {
    return static_cast<std::uint32_t*>(pool_.data(r.real.blocks()[at / block_tokens])) + at % block_tokens;
  }
  void compute(request& r, std::size_t from) {
    std::uint32_t number = 1;
    for (std::size_t at = 0; at != r.tokens.size(); ++at) {
      number = (number ^ r.tokens[at]) * 16777619U;
      if (at >= from) *slot(r, at) = number;
    }
  }
  void read(const request& r) {
    std::uint32_t number = 1;
    for (std::size_t at = 0; at != r.tokens.size(); ++at) {
      number = (number ^ r.tokens[at]) * 16777619U;
      expect(*slot(r, at) == number);
    }
  }

  void open() {
    const auto tokens = prompt();
    auto made = kv::sequence<Pool>::open(pool_, tokens);
    if (!made) return;
    running_.push_back({static_cast<kv::sequence<Pool>&&>(*made), tokens});
    compute(running_.back(), running_.back().real.cached_tokens());
    read(running_.back());
    if (running_.size() > 8) running_.erase(running_.begin());
  }
  void append(request& r) {
    const std::vector<kv::token> more(pick(2 * block_tokens), static_cast<kv::token>(pick(1)));
    if (r.real.append(more) != errc::ok) return;
    r.tokens.insert(r.tokens.end(), more.begin(), more.end());
    compute(r, r.tokens.size() - more.size());
  }
  void rewind(request& r) {
    const std::size_t n = pick(r.tokens.size());
    expect(r.real.rewind(n) == errc::ok);
    r.tokens.resize(r.tokens.size() - n);
  }
  void fork(const request& r) {
    auto made = running_[static_cast<std::size_t>(&r - running_.data())].real.fork();
    if (!made) return;
    request twin{static_cast<kv::sequence<Pool>&&>(*made), r.tokens};
    running_.push_back(static_cast<request&&>(twin));
  }
  void looks(const request& r) {
    switch (pick(4)) {
      case 0: static_cast<void>(pool_.evict(pick(3))); break;
      case 1: expect(pool_.reset() == errc::in_use); break;  // this thread holds blocks, or at least one does
      case 2: expect(pool_.match(r.tokens) <= r.tokens.size()); break;
      case 3: {
        const auto now = pool_.stats();
        expect(now.free + now.cached + now.live == now.total);
        break;
      }
      default: {
        auto block = pool_.allocate();
        if (block) expect(block.close() == errc::ok);
      }
    }
  }

  Pool& pool_;
  std::mt19937 random_;
  std::atomic<int>& wrong_;
  std::vector<request> running_;
};

using spinning_tree = telling<kv::radix_index<>, 2048, tokenheap::spin_lock>;
using spinning_chain = telling<kv::hash_chain_index<>, 2048, tokenheap::spin_lock>;
using sleeping_tree = telling<kv::radix_index<>, 65536, tokenheap::mutex_lock>;

}  // namespace

TEMPLATE_TEST_CASE("eight threads share a pool, and a router follows them", "[kv][threads]", spinning_tree,
                   spinning_chain, sleeping_tree) {
  using shared = kv::block_pool<TestType>;
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 1, .type = kv::dtype::float32,
                         .block_tokens = block_tokens, .planes = 1};
  auto opened = shared::open({.blocks = blocks, .block_tokens = block_tokens}, shape, heap);
  REQUIRE(opened);
  shared& pool = *opened;
  auto anchor = kv::sequence<shared>::open(pool, count_up(1));  // so that nobody's reset succeeds
  REQUIRE(anchor);

  std::atomic<int> wrong{0};
  std::atomic<unsigned> ended{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t != workers; ++t) {
    threads.emplace_back([&, t] {
      worker<shared>(pool, t + 1, wrong).run(4'000);
      ended.fetch_add(1);
    });
  }
  auto feed = feed_of(1024);
  auto mirror = mirror_of(blocks, block_tokens);
  std::size_t snapshots = 0;
  while (ended.load() != workers) snapshots += follow(feed, pool, mirror);
  for (auto& thread : threads) thread.join();
  snapshots += follow(feed, pool, mirror);

  CHECK(wrong.load() == 0);
  CHECK(snapshots >= 1);
  CHECK(feed.next() > 1'000);
  CHECK(mirror.is_valid());
  CHECK(held_by(mirror, block_tokens) == findable(pool, blocks));
  CHECK(anchor->close() == errc::ok);
  CHECK(pool.stats().live == 0);
  CHECK(pool.is_valid());
  CHECK(pool.reset() == errc::ok);
  static_cast<void>(follow(feed, pool, mirror));
  CHECK(mirror.size() == 0);
}

TEST_CASE("a reset stands in its place among what other threads publish", "[kv][threads]") {
  // room for every event of the run: 8 threads tell of 1,000 prefixes and resets each, and none may be overwritten
  using shared = kv::block_pool<telling<kv::radix_index<>, 1 << 22, tokenheap::spin_lock>>;
  auto pool = pool_of<shared>(64, block_tokens);
  std::atomic<int> resets{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t != workers; ++t) {
    threads.emplace_back([&pool, &resets, t] {
      for (unsigned n = 0; n != 1'000; ++n) {
        if (auto s = kv::sequence<shared>::open(pool, count_up(9, 10 * t)); s) {
          static_cast<void>(s->publish(8));
        }
        resets.fetch_add(pool.reset() == errc::ok);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  auto feed = feed_of();
  auto mirror = mirror_of(64, block_tokens);
  // from number 0 on, so that every event counts and no snapshot mends what came out of order
  feed.resume(0);
  CHECK(follow(feed, pool, mirror) == 0);
  CHECK(resets.load() > 0);
  CHECK(held_by(mirror, block_tokens) == findable(pool, 64));
}
