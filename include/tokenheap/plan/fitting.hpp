// Whether a model fits a deployment: its memory device by device, and how much of what it holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/activations.hpp>
#include <tokenheap/plan/footprint.hpp>
#include <tokenheap/plan/room.hpp>
#include <tokenheap/plan/weights.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A model on its devices: all that does not depend on how many sequences of how many tokens there are.
///
/// Open it once and ask it often: `make_plan` and the search do.
///
/// Requires  the model to outlive it
/// Cost      opening: O(parts * layers); a question: O(stages * groups)
class fitting {
 public:
  [[nodiscard]] static reading<fitting> open(const model& m, const deployment& d) {
    reading<fitting> out;
    if (out.error = why_not(m, d); !out) return out;
    reading<weight_sum> weights = weigh(m, d);
    if (!weights) return out.error = weights.error, out;
    auto groups = groups_of_stages(m, d);
    if (!groups) return out.error = groups.error, out;
    fitting& made = out.value;
    made.model_ = &m;
    made.with_ = d;
    if (d.tokens == 0) made.with_.tokens = m.longest;
    made.weights_ = std::move(weights.value);
    made.groups_ = std::move(groups.value);
    for (std::size_t stage = 0; stage < d.pipeline; ++stage) {
      device_need fixed;
      if (out.error = made.measure(stage, fixed); !out) return out;
      made.fixed_.push_back(fixed);
      made.rooms_.push_back(made.room_of(stage, d.sequences));
    }
    return out;
  }

  static reading<fitting> open(const model&&, const deployment&) = delete;

  [[nodiscard]] const deployment& with() const noexcept { return with_; }
  [[nodiscard]] const model& of() const noexcept { return *model_; }
  [[nodiscard]] const weight_sum& weights() const noexcept { return weights_; }
  [[nodiscard]] const std::vector<device_group>& groups(std::size_t stage) const noexcept { return groups_[stage]; }

  /// Where the memory of a device of this stage goes while so many sequences run.
  [[nodiscard]] device_need device(std::size_t stage, std::size_t sequences) const {
    device_need n = fixed_[stage];
    n.activations = clipped(activation_bytes(*model_, with_, stage, sequences));
    const std::size_t budget = n.total - n.unused;
    const std::size_t used = clipped(wide{n.weights} + n.lora + n.activations + n.reserve);
    n.kv = used < budget ? budget - used : 0;
    n.missing = used > budget ? used - budget : 0;
    return n;
  }
  /// The pool of a device of this stage while so many sequences run.
  [[nodiscard]] room room_of(std::size_t stage, std::size_t sequences) const {
    std::vector<std::size_t> pages;
    for (const device_group& g : groups_[stage]) pages.push_back(g.block_bytes);
    // other loads are measured with the chunk of the planned one: a better one for each would make fewer seem to need more
    const bool cut = stage < rooms_.size() && sequences != with_.sequences;
    return room(device(stage, sequences).kv, pages, cut ? rooms_[stage].chunk_bytes() : 0);
  }

  /// Whether `sequences` of `tokens` each fit every stage at the worst moment.
  [[nodiscard]] bool fits(std::size_t sequences, std::size_t tokens) const {
    std::vector<std::size_t> need;
    for (std::size_t stage = 0; stage < groups_.size(); ++stage) {
      const device_need n = device(stage, sequences);
      if (n.missing != 0) return false;
      need.clear();
      for (const device_group& g : groups_[stage])
        need.push_back(blocks_at_once(g, sequences, tokens, with_.prefill_tokens));
      const bool known = rooms_[stage].bytes() == n.kv;
      if (!(known ? rooms_[stage].fits(need) : room_of(stage, sequences).fits(need))) return false;
    }
    return true;
  }

  [[nodiscard]] std::size_t max_sequences() const {
    return largest(most_count, [&](std::size_t n) { return fits(n, with_.tokens); });
  }
  /// The longest context with the deployment's sequences; where nothing grows, what was asked or trained for.
  [[nodiscard]] std::size_t max_tokens() const {
    const std::size_t known = model_->longest > with_.tokens ? model_->longest : with_.tokens;
    const std::size_t most = grows() ? most_tokens : known;
    return largest(most, [&](std::size_t n) { return fits(with_.sequences, n); });
  }
  /// True if some group keeps all tokens.
  [[nodiscard]] bool grows() const noexcept {
    for (const auto& stage : groups_)
      for (const device_group& g : stage)
        if (g.rule.kind == kv::group_kind::full) return true;
    return false;
  }
  /// True for groups whose blocks are counted: those that keep all tokens; where none does, all with blocks of tokens.
  [[nodiscard]] bool counts(const device_group& g) const noexcept {
    return grows() ? g.rule.kind == kv::group_kind::full : g.rule.kind != kv::group_kind::state;
  }
  /// How many blocks of all the groups that count a device of this stage holds, were there no others.
  [[nodiscard]] std::size_t blocks(std::size_t stage) const {
    bool any = false;
    for (const device_group& g : groups_[stage]) any = any || counts(g);
    if (!any) return ~std::size_t{0};
    return largest(kv::max_blocks, [&](std::size_t n) {
      std::vector<std::size_t> need;
      for (const device_group& g : groups_[stage]) need.push_back(counts(g) ? n : 0);
      return rooms_[stage].fits(need);
    });
  }
  [[nodiscard]] std::size_t slack(std::size_t stage) const noexcept {
    return groups_[stage].empty() ? rooms_[stage].bytes() : rooms_[stage].slack();
  }

 private:
  [[nodiscard]] static std::size_t clipped(wide n) noexcept {
    return n < max_allocation ? static_cast<std::size_t>(n) : max_allocation;
  }

  /// Fills in what does not depend on the load; says what is too large.
  [[nodiscard]] std::string measure(std::size_t stage, device_need& n) const {
    const layer_range layers = layers_of_stage(model_->layers, with_.pipeline, stage);
    const wide lora = lora_bytes(*model_, with_, layers.end - layers.first);
    if (lora > max_allocation / 16) return "lora_adapters: they are too large to count";
    if (activation_bytes(*model_, with_, stage, with_.sequences) > max_allocation / 16)
      return "prefill_tokens: activations, or logits of all sequences, are too large to count";
    n.stage = stage;
    n.total = with_.device_bytes;
    const auto budget = static_cast<std::size_t>(static_cast<double>(n.total) * with_.utilization);
    n.unused = budget < n.total ? n.total - budget : 0;
    n.weights = weights_.devices[stage];
    n.lora = static_cast<std::size_t>(lora);
    n.reserve = reserve_bytes(with_);
    return {};
  }

  const model* model_ = nullptr;
  deployment with_;
  weight_sum weights_;
  std::vector<std::vector<device_group>> groups_;
  std::vector<device_need> fixed_;
  std::vector<room> rooms_;
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
