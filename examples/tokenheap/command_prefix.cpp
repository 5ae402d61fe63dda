#include <chrono>
#include <memory>
#include <span>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <tokenheap/kv/eviction.hpp>
#include <tokenheap/kv/prefix_index.hpp>

#include "commands.hpp"
#include "options.hpp"

namespace program {
namespace {

namespace kv = tokenheap::kv;

struct prefix_options {
  std::string trace;
  trace_format format = trace_format::mooncake;
  std::uint64_t capacity_blocks = 0;  // 0 stands for infinite
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

// A cache of one-token blocks out of the library's own index and order, without pinning between requests.
class prefix_cache {
 public:
  static tokenheap::result<prefix_cache> open(std::size_t blocks) {
    prefix_cache made;
    auto index = kv::radix_index<>::open({.blocks = blocks, .block_tokens = 1, .name = "prefix"});
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
    return made;
  }

  // counts the longest cached prefix, then makes the whole request the most recent, its head last
  void touch(std::span<const kv::token> request) {
    request = request.first(std::min(request.size(), blocks_));
    held_.resize(request.size());
    const std::size_t found = index_.match(root_, request.data(), request.size(), held_.data());
    hits += found;
    for (std::size_t i = 0; i < found; ++i) static_cast<void>(order_.remove(held_[i]));
    auto at = found == 0 ? root_ : index_.position_of(held_[found - 1]);
    for (std::size_t i = found; i < request.size(); ++i) {
      held_[i] = take();
      index_.write(held_[i], 0, &request[i], 1);
      at = index_.publish(at, held_[i]);
    }
    for (std::size_t i = request.size(); i-- > 0;) order_.push(held_[i]);
  }

  [[nodiscard]] bool is_valid() const {
    return index_.is_valid() && order_.is_valid() && index_.size() == order_.size();
  }

  std::uint64_t hits = 0;
  std::uint64_t evictions = 0;

 private:
  kv::block_id take() {
    if (used_ < blocks_) return static_cast<kv::block_id>(used_++);
    // every chain was pushed tail first, so whoever leaves next has nobody below it
    const kv::block_id victim = order_.victim();
    static_cast<void>(order_.remove(victim));
    index_.remove(victim);
    ++evictions;
    return victim;
  }

  kv::radix_index<> index_;
  kv::lru order_;
  kv::radix_index<>::position root_ = 0;
  std::size_t blocks_ = 0;
  std::size_t used_ = 0;
  std::vector<kv::block_id> held_;
};

int run_prefix(const prefix_options& options) {
  if (options.format != trace_format::mooncake)
    return refuse("--format: an azure trace has no prefix ids; give a mooncake trace");
  references trace;
  if (const complaint bad = read_references(options, trace); !bad.empty()) return refuse(bad);
  // more blocks than references can never be filled
  const std::size_t wanted = options.capacity_blocks == 0 ? trace.ids.size() : options.capacity_blocks;
  auto opened = prefix_cache::open(std::max<std::size_t>(1, std::min(wanted, trace.ids.size())));
  if (!opened) {
    char text[256];
    tokenheap::describe(opened.why(), text, sizeof text);
    return refuse(text);
  }
  prefix_cache& cache = *opened;
  const auto start = std::chrono::steady_clock::now();
  std::size_t begin = 0;
  for (const std::size_t end : trace.ends) {
    cache.touch(std::span(trace.ids).subspan(begin, end - begin));
    begin = end;
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  if (!cache.is_valid()) {
    std::fputs("tokenheap: the prefix index is damaged\n", stderr);
    return went_wrong;
  }
  const auto count = static_cast<double>(std::max<std::size_t>(1, trace.ids.size()));
  const double ratio = static_cast<double>(cache.hits) / count;
  if (options.json) {
    const nlohmann::ordered_json out{{"requests", trace.ends.size()},
                                     {"references", trace.ids.size()},
                                     {"distinct", trace.distinct},
                                     {"hits", cache.hits},
                                     {"evictions", cache.evictions},
                                     {"hit_ratio", ratio},
                                     {"ns_per_reference", spent.count() / count}};
    return print(out.dump() + "\n");
  }
  return print(
      fmt::format("requests          {:>12}\nreferences        {:>12}\ndistinct          {:>12}\n"
                  "hits              {:>12}\nevictions         {:>12}\nhit ratio         {:>10.2f} %\n"
                  "time per reference{:>9.1f} ns\n",
                  trace.ends.size(), trace.ids.size(), trace.distinct, cache.hits, cache.evictions, 100 * ratio,
                  spent.count() / count));
}

}  // namespace

command declare_prefix(CLI::App& app) {
  const auto chosen = std::make_shared<prefix_options>();
  trace_options(app, chosen->trace, chosen->format);
  app.get_option("--trace")->required();
  count_or_word<std::uint64_t>(app, "--capacity-blocks", chosen->capacity_blocks, "inf", 0, 1, kv::max_blocks,
                               "how many blocks fit, or inf")
      ->required();
  const auto known = [](std::string& name) {
    return name == "lru" ? std::string() : "needs lru, found '" + name + "'";
  };
  checked(app.add_option_function<std::string>(
              "--policy", [](const std::string&) {}, "who is evicted: lru"),
          known);
  app.add_flag("--json", chosen->json, "print one JSON object instead of the table");
  return [chosen] { return run_prefix(*chosen); };
}

}  // namespace program
