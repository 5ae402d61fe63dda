#include <chrono>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <tokenheap/kv/eviction.hpp>
#include <tokenheap/kv/hash_chain.hpp>
#include <tokenheap/kv/hinted.hpp>
#include <tokenheap/kv/prefix_index.hpp>
#include <tokenheap/kv/s3_fifo.hpp>

#include "commands.hpp"
#include "options.hpp"

namespace program {
namespace {

namespace kv = tokenheap::kv;

struct prefix_options {
  std::string trace;
  trace_format format = trace_format::mooncake;
  std::uint64_t capacity_blocks = 0;  // 0 stands for infinite
  std::string policy = "lru";
  std::string index = "radix";
  std::uint64_t lookahead = 0;
  double hint_error = 0;
  bool hints = true;
  std::uint64_t retain = 0;
  std::uint64_t seed = 0;
  bool json = false;
};

// the ids of all requests end to end, renumbered densely: a trace's ids may be 64-bit hashes, the index takes 32 bits
struct references {
  std::vector<kv::token> ids;
  std::vector<std::size_t> ends;
  std::size_t distinct = 0;
};

complaint read_references(const prefix_options& options, references& out) {
  std::unordered_map<std::uint64_t, kv::token> dense;
  const complaint bad = read_trace(options.trace, options.format, [&](trace_request&& request) -> complaint {
    if (out.ids.size() > kv::max_blocks) return fmt::format("field 'hash_ids': more than {} ids in all", kv::max_blocks);
    for (const std::uint64_t id : request.prefix_ids)
      out.ids.push_back(dense.try_emplace(id, static_cast<kv::token>(dense.size())).first->second);
    out.ends.push_back(out.ids.size());
    return {};
  });
  if (!bad.empty()) return bad;
  out.distinct = dense.size();
  return {};
}

// Of each request: will any block that it is the first to use occur again? With a chance of `error` the answer is wrong.
std::vector<bool> bits_of(const references& trace, double error, std::uint64_t seed) {
  constexpr std::size_t nobody = ~std::size_t{0};
  std::vector<std::size_t> first(trace.distinct, nobody);
  std::vector<bool> again(trace.ends.size(), false);
  std::size_t at = 0;
  for (std::size_t request = 0; request < trace.ends.size(); ++request) {
    for (; at < trace.ends[request]; ++at) {
      std::size_t& owner = first[trace.ids[at]];
      if (owner == nobody) owner = request;
      if (owner != request) again[owner] = true;
    }
  }
  std::mt19937_64 dice(seed);
  // 53 bits of each number, so that every standard library flips the same ones
  for (std::size_t request = 0; request < again.size(); ++request)
    if (static_cast<double>(dice() >> 11) * 0x1p-53 < error) again[request] = !again[request];
  return again;
}

// A cache of one-token blocks out of the library's own index and order, without pinning between requests.
template <kv::eviction_order Order, kv::prefix_index Index>
class prefix_cache {
 public:
  static tokenheap::result<prefix_cache> open(std::size_t blocks, std::size_t distinct) {
    prefix_cache made;
    auto index = Index::open({.blocks = blocks, .block_tokens = 1, .name = "prefix"});
    if (!index) return index.why();
    made.index_ = std::move(*index);
    made.root_ = made.index_.hold_root({});
    if (made.root_ == 0 || !made.order_.open(blocks))
      return tokenheap::failure{.code = tokenheap::errc::out_of_memory,
                                .pool = "prefix",
                                .what = "rows of the eviction order, in blocks",
                                .need = blocks,
                                .fix = "lower --capacity-blocks"};
    made.blocks_ = blocks;
    made.known_.resize(distinct);
    return made;
  }

  // counts the longest cached prefix, then makes the whole request the most recent, its head last
  void touch(std::span<const kv::token> request, bool again, std::uint64_t until) {
    request = request.first(std::min(request.size(), blocks_));
    const std::size_t found = find(request);
    hits += found;
    for (std::size_t i = 0; i < found; ++i) {
      static_cast<void>(order_.remove(held_[i]));
      if constexpr (kv::hears_of_reuse<Order>) order_.reuse(held_[i]);
    }
    const auto at = found == 0 ? root_ : index_.position_of(held_[found - 1]);
    for (std::size_t i = found; i < request.size(); ++i) {
      held_[i] = take();
      index_.write(held_[i], 0, &request[i], 1);
      // the hint is about what this request brings; what it repeats was used again by that alone
      kv::worth value{.again = again || known_[request[i]]};
      if (value.again && until != 0) value = {.priority = 50, .until = until};
      known_[request[i]] = true;
      if constexpr (kv::knows_worth<Order>) order_.value(held_[i], value);
    }
    index_.publish(at, held_.data() + found, request.size() - found);
    if constexpr (kv::hears_of_chains<Order>) {
      order_.built(held_.data(), 0, found);
      order_.built(held_.data(), found, request.size());
    }
    for (std::size_t i = request.size(); i-- > 0;) order_.push(held_[i]);
  }

  void advance(std::uint64_t now) {
    if constexpr (kv::has_a_clock<Order>) order_.advance(now);
  }
  void look_ahead() {
    if constexpr (sees_the_queue) order_.look_ahead();
  }
  void expect(std::span<const kv::token> request, std::size_t position) {
    if constexpr (sees_the_queue) order_.expect(held_.data(), find(request), position);
  }

  [[nodiscard]] bool is_valid() const {
    return index_.is_valid() && order_.is_valid() && index_.size() == order_.size();
  }

  std::uint64_t hits = 0;
  std::uint64_t evictions = 0;

 private:
  static constexpr bool sees_the_queue = kv::looks_ahead<Order>;

  std::size_t find(std::span<const kv::token> request) {
    if (held_.size() < request.size()) held_.resize(request.size());
    return index_.match(root_, request.data(), request.size(), held_.data());
  }

  kv::block_id take() {
    if (used_ < blocks_) return static_cast<kv::block_id>(used_++);
    // every chain was pushed tail first, so whoever leaves next has nobody below it
    kv::block_id victim = kv::no_block;
    order_.pop(&victim, 1, kv::block_visitor{});
    index_.remove(victim);
    ++evictions;
    return victim;
  }

  Index index_;
  Order order_;
  typename Index::position root_ = 0;
  std::size_t blocks_ = 0;
  std::size_t used_ = 0;
  std::vector<kv::block_id> held_;
  std::vector<bool> known_;
};

// The waiting queue as an engine shows it: the next K requests, those that came in since the last look behind the others.
template <class Cache>
void show_queue(Cache& cache, const references& trace, std::size_t now, std::size_t ahead) {
  const auto request = [&](std::size_t n) {
    const std::size_t begin = n == 0 ? 0 : trace.ends[n - 1];
    return std::span(trace.ids).subspan(begin, trace.ends[n] - begin);
  };
  // all positions are told again from time to time; in between one comes in as one leaves
  const std::size_t pause = std::max<std::size_t>(1, ahead / 64);
  const std::size_t end = std::min(now + ahead, trace.ends.size());
  if (now % pause == 0) {
    cache.look_ahead();
    for (std::size_t n = now; n < end; ++n) cache.expect(request(n), n - now);
  } else if (end == now + ahead) {
    cache.expect(request(end - 1), end - 1 - now / pause * pause);
  }
}

struct prefix_result {
  std::uint64_t hits = 0;
  std::uint64_t evictions = 0;
  double nanoseconds = 0;
};

template <class Order, class Index>
int replay_with(const prefix_options& options, const references& trace, prefix_result& out) {
  // more blocks than references can never be filled
  const std::size_t wanted = options.capacity_blocks == 0 ? trace.ids.size() : options.capacity_blocks;
  using cache_type = prefix_cache<Order, Index>;
  auto opened = cache_type::open(std::max<std::size_t>(1, std::min(wanted, trace.ids.size())), trace.distinct);
  if (!opened) {
    char text[256];
    tokenheap::describe(opened.why(), text, sizeof text);
    return refuse(text);
  }
  cache_type& cache = *opened;
  const std::vector<bool> again =
      options.hints ? bits_of(trace, options.hint_error, options.seed) : std::vector<bool>(trace.ends.size(), true);
  const auto start = std::chrono::steady_clock::now();
  std::size_t begin = 0;
  for (std::size_t n = 0; n < trace.ends.size(); ++n) {
    cache.advance(n + 1);
    if (options.lookahead != 0) show_queue(cache, trace, n, options.lookahead);
    // a request counts as one tick
    cache.touch(std::span(trace.ids).subspan(begin, trace.ends[n] - begin), again[n],
                options.retain == 0 ? 0 : n + 1 + options.retain);
    begin = trace.ends[n];
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  if (!cache.is_valid()) {
    std::fputs("tokenheap: the prefix index is damaged\n", stderr);
    return went_wrong;
  }
  out = {cache.hits, cache.evictions, spent.count()};
  return all_well;
}

template <class Index>
int replay_by(const prefix_options& options, const references& trace, prefix_result& out) {
  if (options.policy == "hinted") return replay_with<kv::hinted, Index>(options, trace, out);
  if (options.policy == "s3fifo") return replay_with<kv::s3_fifo, Index>(options, trace, out);
  return replay_with<kv::lru, Index>(options, trace, out);
}

int run_prefix(const prefix_options& options) {
  if (options.format != trace_format::mooncake)
    return refuse("--format: an azure trace has no prefix ids; give a mooncake trace");
  if (options.policy != "hinted" && (options.lookahead != 0 || options.hint_error != 0 || options.retain != 0))
    return refuse(fmt::format("--policy: {} takes no hints; --lookahead, --hint-error and --retain need hinted",
                              options.policy));
  references trace;
  if (const complaint bad = read_references(options, trace); !bad.empty()) return refuse(bad);
  prefix_result seen;
  const int code = options.index == "hash" ? replay_by<kv::hash_chain_index<>>(options, trace, seen)
                                           : replay_by<kv::radix_index<>>(options, trace, seen);
  if (code != all_well) return code;
  const auto count = static_cast<double>(std::max<std::size_t>(1, trace.ids.size()));
  const double ratio = static_cast<double>(seen.hits) / count;
  if (options.json) {
    const nlohmann::ordered_json out{{"requests", trace.ends.size()},
                                     {"references", trace.ids.size()},
                                     {"distinct", trace.distinct},
                                     {"hits", seen.hits},
                                     {"evictions", seen.evictions},
                                     {"hit_ratio", ratio},
                                     {"ns_per_reference", seen.nanoseconds / count},
                                     {"policy", options.policy},
                                     {"index", options.index},
                                     {"lookahead", options.lookahead},
                                     {"hint_error", options.hint_error},
                                     {"seed", options.seed}};
    return print(out.dump() + "\n");
  }
  return print(
      fmt::format("requests          {:>12}\nreferences        {:>12}\ndistinct          {:>12}\n"
                  "hits              {:>12}\nevictions         {:>12}\nhit ratio         {:>10.2f} %\n"
                  "time per reference{:>9.1f} ns\n",
                  trace.ends.size(), trace.ids.size(), trace.distinct, seen.hits, seen.evictions, 100 * ratio,
                  seen.nanoseconds / count));
}

}  // namespace

command declare_prefix(CLI::App& app) {
  const auto chosen = std::make_shared<prefix_options>();
  trace_options(app, chosen->trace, chosen->format);
  app.get_option("--trace")->required();
  count_or_word<std::uint64_t>(app, "--capacity-blocks", chosen->capacity_blocks, "inf", 0, 1, kv::max_blocks,
                               "how many blocks fit, or inf")
      ->required();
  word_option(app, "--policy", chosen->policy, {"lru", "s3fifo", "hinted"}, "who is evicted: lru, s3fifo or hinted");
  word_option(app, "--index", chosen->index, {"radix", "hash"}, "which index finds a prefix: radix or hash");
  count_option(app, "--lookahead", chosen->lookahead, 0, kv::hinted::positions,
               "how many waiting requests the cache is shown (hinted)");
  checked(app.add_option("--hint-error", chosen->hint_error, "the share of wrong hints, 0 to 1 (hinted)"), decimal(0, 1));
  app.add_flag("!--no-hints", chosen->hints, "say of no request whether what it adds is used again (hinted)");
  count_option(app, "--retain", chosen->retain, 0, most_requests,
               "for how many requests what is used again has priority 50, and 35 from then on (hinted)");
  count_option(app, "--seed", chosen->seed, 0, any_seed, "decides which hints are wrong");
  app.add_flag("--json", chosen->json, "print one JSON object instead of the table");
  return [chosen] { return run_prefix(*chosen); };
}

}  // namespace program
