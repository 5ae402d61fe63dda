#include <tokenheap/adapt/c_sequence_symbols.hpp>

#include <support/catch.hpp>

#include <optional>
#include <random>
#include <vector>

using namespace tokenheap;

namespace {

using direct_pool = kv::block_pool<adapt::c_pool_policy<false, false>>;
using direct_sequence = kv::sequence<direct_pool>;

struct pair {
  th_sequence* by_c = nullptr;
  std::optional<direct_sequence> by_cpp;
};

/// The same requests, once through C and once through the library itself.
struct twins {
  twins() {
    th_pool_options with{};
    with.size = sizeof with;
    with.version = TOKENHEAP_C_VERSION;
    with.blocks = 40;
    with.block_tokens = 4;
    with.seed = 11;
    with.copy = [](void*, std::uint32_t, std::uint32_t) {};
    by_c = th_pool_open(&with);
    kv::pool_options same{.blocks = 40, .block_tokens = 4, .seed = 11};
    same.copy = {[](void*, kv::block_id, kv::block_id) noexcept {}, nullptr};
    result<direct_pool> direct = direct_pool::open(same);
    by_cpp.emplace(static_cast<direct_pool&&>(*direct));
  }

  void open(const std::vector<kv::token>& prompt) {
    pair made;
    made.by_c = th_sequence_open(by_c, prompt.data(), prompt.size(), nullptr);
    result<direct_sequence> direct = direct_sequence::open(*by_cpp, prompt);
    REQUIRE((made.by_c != nullptr) == static_cast<bool>(direct));
    if (!direct) {
      REQUIRE(adapt::c_last_reason().status == adapt::c_status_of(direct.error()));
      REQUIRE(adapt::c_last_reason().need == direct.why().need);
      return;
    }
    made.by_cpp.emplace(static_cast<direct_sequence&&>(*direct));
    running.push_back(static_cast<pair&&>(made));
  }
  void fork(std::size_t k) {
    pair made;
    made.by_c = th_sequence_fork(running[k].by_c);
    result<direct_sequence> direct = running[k].by_cpp->fork();
    REQUIRE((made.by_c != nullptr) == static_cast<bool>(direct));
    if (direct) made.by_cpp.emplace(static_cast<direct_sequence&&>(*direct));
    if (direct) running.push_back(static_cast<pair&&>(made));
  }
  void close(std::size_t k) {
    REQUIRE(th_sequence_close(running[k].by_c) == th_ok);
    running[k] = static_cast<pair&&>(running.back());
    running.pop_back();
  }
  void compare(const pair& p) const {
    std::size_t count = 0;
    std::uint32_t ids[64];
    REQUIRE(th_sequence_blocks(p.by_c, 0, ids, 64, &count) == th_ok);
    REQUIRE(std::vector<std::uint32_t>(ids, ids + count) ==
            std::vector<std::uint32_t>(p.by_cpp->blocks().begin(), p.by_cpp->blocks().end()));
    th_sequence_stats now{};
    now.size = sizeof now;
    now.version = TOKENHEAP_C_VERSION;
    REQUIRE(th_sequence_stats_of(p.by_c, &now) == th_ok);
    REQUIRE((now.tokens == p.by_cpp->length() && now.cached_tokens == p.by_cpp->cached_tokens() &&
             now.published_tokens == p.by_cpp->published_tokens()));
  }

  th_pool* by_c = nullptr;
  std::optional<direct_pool> by_cpp;
  std::vector<pair> running;
};

void step(twins& both, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return random() % n; };
  if (both.running.empty() || below(5) == 0) {
    std::vector<kv::token> prompt(1 + below(30));
    for (std::size_t at = 0; at != prompt.size(); ++at) prompt[at] = static_cast<kv::token>(at < 12 ? at : below(3));
    return both.open(prompt);
  }
  const std::size_t k = below(both.running.size());
  pair& one = both.running[k];
  const std::size_t n = below(6);
  const std::vector<kv::token> more(n, static_cast<kv::token>(below(3)));
  switch (below(6)) {
    case 0: REQUIRE(th_sequence_grow(one.by_c, n) == adapt::c_status_of(one.by_cpp->grow(n))); break;
    case 1:
    case 2: REQUIRE(th_sequence_append(one.by_c, more.data(), n) == adapt::c_status_of(one.by_cpp->append(more))); break;
    case 3: {
      const std::size_t written = one.by_cpp->length();
      REQUIRE(th_sequence_publish(one.by_c, written) == adapt::c_status_of(one.by_cpp->publish(written)));
      break;
    }
    case 4: REQUIRE(th_sequence_rewind(one.by_c, n) == adapt::c_status_of(one.by_cpp->rewind(n))); break;
    default: return below(2) == 0 ? both.fork(k) : both.close(k);
  }
  both.compare(one);
}

}  // namespace

TEST_CASE("sequences of C do what sequences of the library do, block by block") {
  for (const unsigned seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    twins both;
    for (int round = 0; round != 1500; ++round) step(both, random);
    for (const pair& p : both.running) both.compare(p);
    while (!both.running.empty()) both.close(0);
    const kv::pool_stats direct = both.by_cpp->stats();
    th_pool_stats now{};
    now.size = sizeof now;
    now.version = TOKENHEAP_C_VERSION;
    REQUIRE(th_pool_stats_of(both.by_c, &now) == th_ok);
    REQUIRE((now.cached_blocks == direct.cached && now.evictions == direct.evictions && now.evictions > 0));
    REQUIRE((now.reused_tokens == direct.reused_tokens && now.reused_tokens > 0));
    REQUIRE(th_pool_close(both.by_c) == th_ok);
  }
}
