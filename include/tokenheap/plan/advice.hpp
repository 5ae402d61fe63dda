// What to change when a model does not fit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/fitting.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// One change with which a deployment fits: in words, and as the deployment that was tried.
struct suggestion {
  std::string text;
  deployment with;
};

/// Bytes as people read them: "71.5 GiB".
[[nodiscard]] inline std::string in_gib(wide bytes) {
  char text[48];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / static_cast<double>(GiB));
  return text;
}

/// The formats of `all` that cost less than `from`, the least lossy first.
[[nodiscard]] inline std::vector<const weight_format*> smaller_formats(const weight_format& from) {
  std::vector<const weight_format*> found;
  // what a GGUF file costs for each number is not known here: what is offered instead is planned anew
  for (const weight_format& f : weight_formats) {
    const bool smaller = from.bits == 0 || std::uint64_t{f.bits} * from.over < std::uint64_t{from.bits} * f.over;
    if (f.bits != 0 && smaller && f.loss >= from.loss) found.push_back(&f);
  }
  std::stable_sort(found.begin(), found.end(), [](auto* a, auto* b) { return a->loss < b->loss; });
  return found;
}
[[nodiscard]] inline std::vector<const kv_format*> smaller_formats(const kv_format& from) {
  std::vector<const kv_format*> found;
  for (const kv_format& f : kv_formats)
    if (kv::bits_of(f.type) < kv::bits_of(from.type)) found.push_back(&f);
  std::stable_sort(found.begin(), found.end(), [](auto* a, auto* b) { return a->loss < b->loss; });
  return found;
}

/// True if the model fits `d` as it stands.
[[nodiscard]] inline bool fits(const model& m, const deployment& d) {
  const reading<fitting> f = fitting::open(m, d);
  return f && f.value.fits(d.sequences, f.value.with().tokens);
}

namespace detail {

inline constexpr std::size_t most_ranks_advised = 64;

/// Tries changes of one deployment, and keeps those that fit.
struct adviser {
  const model& m;
  const deployment& asked;
  std::vector<suggestion> found;

  bool try_out(const deployment& d, std::string text) {
    if (!fits(m, d)) return false;
    found.push_back({std::move(text), d});
    return true;
  }
  template <class T>
  bool try_number(T deployment::* field, T number, const char* name) {
    deployment d = asked;
    d.*field = number;
    return try_out(d, std::string(name) + " " + std::to_string(number) + " instead of " + std::to_string(asked.*field));
  }

  bool more_ranks(std::size_t deployment::* field, const char* name) {
    for (std::size_t n = 2 * asked.*field; n <= most_ranks_advised; n *= 2) {
      deployment d = asked;
      d.*field = n;
      if (asked.expert > 1 && asked.expert == asked.tensor * asked.data) d.expert = d.tensor * d.data;
      const std::string text = std::string(name) + " " + std::to_string(n) + " instead of " +
                               std::to_string(asked.*field) + ": " +
                               std::to_string(d.tensor * d.pipeline * d.data) + " devices in all";
      if (try_out(d, text)) return true;
    }
    return false;
  }

  /// Where no single change is enough: as few more ranks as hold any of it, and how much they hold.
  void fewer_on_more_ranks() {
    for (std::size_t n = asked.tensor; n <= most_ranks_advised; n *= 2) {
      deployment d = asked;
      d.tensor = n;
      if (asked.expert > 1 && asked.expert == asked.tensor * asked.data) d.expert = d.tensor * d.data;
      const reading<fitting> f = fitting::open(m, d);
      d.sequences = f ? f.value.max_sequences() : 0;
      const std::string text = "tensor " + std::to_string(n) + " instead of " + std::to_string(asked.tensor);
      if (d.sequences != 0 &&
          try_out(d, text + ", and sequences " + std::to_string(d.sequences) + " instead of " + std::to_string(asked.sequences)))
        return;
    }
  }

  void narrower_numbers() {
    const auto& keys = *find_format(kv_formats, asked.kv_dtype.empty() ? "bf16" : asked.kv_dtype);
    const auto& own = *find_format(weight_formats, asked.weight_dtype.empty() ? m.weight_dtype : asked.weight_dtype);
    const std::vector<const kv_format*> caches = smaller_formats(keys);
    const std::vector<const weight_format*> weights = smaller_formats(own);
    bool any = false;
    deployment d = asked;
    const auto cache = [&](const kv_format* f) {
      return d.kv_dtype = f->name, "kv_dtype " + d.kv_dtype + " instead of " + keys.name;
    };
    const auto weight = [&](const weight_format* f) {
      return d.weight_dtype = f->name, "weight_dtype " + d.weight_dtype + " instead of " + own.name;
    };
    for (std::size_t k = 0; k < caches.size() && !any; ++k) any = try_out(d, cache(caches[k]));
    const bool by_cache = any;
    d = asked, any = false;
    for (std::size_t k = 0; k < weights.size() && !any; ++k) any = try_out(d, weight(weights[k]));
    if (any || by_cache) return;
    for (const weight_format* w : weights) {
      for (const kv_format* c : caches) {
        const std::string text = weight(w) + ", and " + cache(c);
        if (try_out(d, text)) return;
      }
    }
  }

  void more_memory() {
    for (int percent = 91; percent <= 98; ++percent) {
      deployment d = asked;
      d.utilization = percent / 100.0;
      if (d.utilization > asked.utilization &&
          try_out(d, "utilization 0." + std::to_string(percent) + " of each device")) break;
    }
    constexpr std::size_t most = 512;
    deployment d = asked;
    const auto too_small = [&](std::size_t n) { return d.device_bytes = n * GiB, !fits(m, d); };
    if (too_small(most)) return;
    const std::size_t n = 1 + largest(most, too_small);
    d.device_bytes = n * GiB;
    static_cast<void>(try_out(d, "devices of at least " + std::to_string(n) + " GiB"));
  }
};

}  // namespace detail

/// What is missing where, if the deployment's load does not fit; else nothing.
[[nodiscard]] inline std::string shortage_of(const fitting& f) {
  const deployment& d = f.with();
  if (f.fits(d.sequences, d.tokens)) return {};
  for (std::size_t stage = 0; stage < d.pipeline; ++stage) {
    const device_need n = f.device(stage, d.sequences);
    if (n.missing == 0) continue;
    return "a device of stage " + std::to_string(stage) + " lacks " + in_gib(n.missing) + " before any cache: weights " +
           in_gib(n.weights) + ", adapters " + in_gib(n.lora) + ", activations " + in_gib(n.activations) + ", reserves " +
           in_gib(n.reserve) + ", of " + in_gib(n.total - n.unused);
  }
  std::string worst;
  wide most = 0;
  for (std::size_t stage = 0; stage < d.pipeline; ++stage) {
    wide need = 0;
    for (const device_group& g : f.groups(stage))
      need += wide{blocks_at_once(g, d.sequences, d.tokens, d.prefill_tokens)} * g.block_bytes;
    const device_need n = f.device(stage, d.sequences);
    if (need <= most) continue;
    most = need;
    worst = "a device of stage " + std::to_string(stage) + " has " + in_gib(n.kv) + " for caches; " +
            std::to_string(d.sequences) + " sequences of " + std::to_string(d.tokens) + " tokens need " + in_gib(need);
  }
  return worst;
}

/// Changes with which the deployment's load fits, one at a time, each of them tried; empty if it fits as it is.
///
/// The least change of each kind: shorter contexts, fewer sequences, smaller steps, more ranks, narrower numbers (both
/// kinds at once only where neither is enough), more of each device, larger devices. Two changes where one is not enough.
///
/// Cost      some 50 plans
[[nodiscard]] inline std::vector<suggestion> suggest(const fitting& f) {
  if (f.fits(f.with().sequences, f.with().tokens)) return {};
  detail::adviser by{f.of(), f.with(), {}};
  if (const std::size_t n = f.max_tokens(); n != 0) by.try_number(&deployment::tokens, n, "tokens");
  if (const std::size_t n = f.max_sequences(); n != 0) by.try_number(&deployment::sequences, n, "sequences");
  for (std::size_t n = f.with().prefill_tokens / 2; n >= 512; n /= 2)
    if (by.try_number(&deployment::prefill_tokens, n, "prefill_tokens")) break;
  if (!by.more_ranks(&deployment::tensor, "tensor")) static_cast<void>(by.more_ranks(&deployment::pipeline, "pipeline"));
  by.narrower_numbers();
  by.more_memory();
  if (by.found.empty()) by.fewer_on_more_ranks();
  return by.found;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
