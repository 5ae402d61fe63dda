// vLLM's offload vocabulary over a tier: lookup, prepare and complete, touch, events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/adapt/offload_choice.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/tier_flights.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// How a tier is used by the vocabulary.
struct vllm_offload_options {
  std::size_t keys = 0;       ///< most keys to remember for events; 0: twice the blocks of the tier, or 65536
  std::size_t batches = 32;   ///< most in flight, no more than the tier takes
  std::size_t events = 4096;  ///< most that wait to be taken
  kv::siphash_key secret{};   ///< for hashes that are not 16 bytes; the same for all who share the tier
  const char* name = "offload";
};

/// Speaks vLLM's OffloadingManager over a tier or a chain of tiers.
///
/// For a connector that keeps vLLM's calls and our tiers. A job is a ticket: what `prepare_...` starts is over when `poll`
/// says so, and `complete_...` ends it. Loads hold their blocks until then; a store is pending until then. As in vLLM a
/// store evicts nothing that it was asked for, and is refused whole where too little can leave. Evictions are exact where
/// the tier shows who leaves (`kv::host_tier`); of other tiers a removal is told when a lookup finds it. Lost: RETRY by
/// request, request contexts and tier filters; a threshold of uses is `kv::tier_chain_options::threshold`.
///
/// Requires  a tier that outlives it and that nobody else stores to; no job in flight when it ends
/// Fails     open and prepare_store say why; the zero ticket of prepare_load. None of them then changed what is stored
/// Threads   not safe: the scheduler's
/// Cost      O(1) a key beside the tier; a store that evicts asks the tier for as many leavers as it has keys, and more
/// Example   examples/kv_engine.cpp
template <kv::tier Tier>
class vllm_offload : private offload_choice<Tier> {
 public:
  using options = vllm_offload_options;

  [[nodiscard]] static result<vllm_offload> open(const options& with, Tier& below) noexcept {
    vllm_offload made(with, below);
    const auto blocks = static_cast<std::size_t>(below.stats().capacity);
    if (blocks != 0) made.most_ = blocks;
    // what is chosen is written down before others leave for it: twice the blocks are never too few
    const std::size_t keys = with.keys != 0 ? with.keys : blocks != 0 ? 2 * blocks : 65536;
    if (!made.flights_.open(with.batches) || !made.book_.open(keys, with.events))
      return made.refuse(errc::out_of_memory, "keys to remember", keys, 0,
                         "give batches and events of at least 1, or remember fewer keys");
    return result<vllm_offload>(static_cast<vllm_offload&&>(made));
  }
  vllm_offload(vllm_offload&&) noexcept = default;
  vllm_offload& operator=(vllm_offload&&) = delete;

  [[nodiscard]] lookup_result lookup(const offload_key& key) noexcept {
    if (!key) return lookup_result::miss;
    return lookup_result_of(this->ask(tier_name(key, with_.secret)));
  }
  /// Makes keys the last to leave, as far as the tier goes by uses.
  void touch(std::span<const offload_key> keys) noexcept {
    for (const offload_key& key : keys) static_cast<void>(lookup(key));
  }

  /// Starts to load; blocks that are there stay until `complete_load`. The zero ticket if nothing was started.
  [[nodiscard]] kv::tier_ticket prepare_load(std::span<const offload_key> keys,
                                             std::span<const kv::tier_span> to) noexcept {
    if (keys.empty() || to.size() != keys.size() || !are_keys(keys) || !this->make_scratch(keys.size())) return {};
    const kv::tier_ticket made = flights_.start(flights::way::load, keys.size());
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    for (std::size_t k = 0; k != keys.size(); ++k) names_[k] = b->items[k].name = tier_name(keys[k], with_.secret);
    b->more = below_->prepare_load(names_.first(), to.data(), keys.size());
    if (!b->more) return flights_.end(*b), kv::tier_ticket{};
    return made;
  }
  /// True if nothing touches the memory of a job any more, or if it is none.
  [[nodiscard]] bool poll(kv::tier_ticket job) noexcept {
    const batch* const b = flights_.find(job);
    return b == nullptr || below_->poll(b->more);
  }
  /// Ends a load, and says for each key whether its bytes have arrived; returns how many. 0, and nothing, while it runs.
  std::size_t complete_load(kv::tier_ticket job, std::span<bool> loaded = {}) noexcept {
    batch* const b = flights_.find(job, flights::way::load);
    if (b == nullptr || !below_->poll(b->more)) return 0;
    const std::size_t hits = below_->complete_load(b->more, answers_.first());
    for (std::size_t k = 0; k != b->count; ++k) {
      if (answers_[k] == kv::tier_answer::miss)
        static_cast<void>(this->ask(b->items[k].name));  // gone, or only refused
      if (k < loaded.size()) loaded[k] = answers_[k] == kv::tier_answer::hit;
    }
    flights_.end(*b);
    return hits;
  }

  /// Chooses what is not there yet, makes room, and starts to store it; a refusal is vLLM's None.
  ///
  /// `chosen[k]` says whether key k is stored. `evicted`, if given, has as many places as there are keys.
  [[nodiscard]] result<store_plan> prepare_store(std::span<const offload_key> keys, std::span<const kv::tier_span> from,
                                                 std::span<bool> chosen, std::span<offload_key> evicted = {}) noexcept {
    const std::size_t n = keys.size();
    if (from.size() != n || chosen.size() != n || (!evicted.empty() && evicted.size() < n))
      return this->refuse(errc::invalid_argument, "places for a store, in keys", n, from.size(),
                          "give spans, flags and evicted keys as many places");
    if (!are_keys(keys))
      return this->refuse(errc::invalid_argument, "keys of a store", n, 0, "give hashes of 1 to 32 bytes, and a group");
    if (!this->make_scratch(n))
      return this->refuse(errc::out_of_memory, "rows of a store, in keys", n, 0, "free some memory");
    store_plan plan;
    failure no = this->choose(keys, from, chosen, plan.stores);
    const kv::tier_ticket made =
        no.code != errc::ok || plan.stores == 0 ? kv::tier_ticket{} : flights_.start(flights::way::store, plan.stores);
    batch* const b = flights_.find(made);
    if (no.code == errc::ok && plan.stores == 0) return plan;
    if (no.code == errc::ok && b == nullptr)
      no = this->refuse(errc::limit_reached, "jobs in flight", flights_.size() + 1, with_.batches,
                        "complete some first");
    if (no.code == errc::ok) no = this->make_room(n, plan.stores, evicted, plan.evicted);
    if (no.code == errc::ok) {
      b->more = below_->prepare_store(names_.first(), spans_.first(), plan.stores);
      if (!b->more)
        no = this->refuse(errc::in_use, "a batch that the tier refused, in keys", plan.stores, 0,
                          "give the tier more batches");
    }
    if (no.code != errc::ok) {
      for (std::size_t k = 0; k != plan.stores; ++k) book_.drop(slots_[k]);
      for (bool& one : chosen) one = false;
      if (b != nullptr) flights_.end(*b);
      return no;
    }
    for (std::size_t k = 0; k != plan.stores; ++k) b->items[k] = {names_[k], slots_[k]};
    plan.ticket = made;
    return plan;
  }
  /// Ends a store: what arrived can be loaded from now on, and with `success` false nothing of it stays. Returns how many.
  std::size_t complete_store(kv::tier_ticket job, bool success, std::span<bool> stored = {}) noexcept {
    batch* const b = flights_.find(job, flights::way::store);
    if (b == nullptr || !below_->poll(b->more)) return 0;
    const std::size_t kept = below_->complete_store(b->more, success, answers_.first());
    for (std::size_t k = 0; k != b->count; ++k) {
      const bool there = answers_[k] == kv::tier_answer::hit;
      there ? book_.mark_stored(b->items[k].slot) : book_.drop(b->items[k].slot);
      if (k < stored.size()) stored[k] = there;
    }
    flights_.end(*b);
    return kept;
  }

  /// Calls `see(const offload_event&)` for all since the last time; returns how many were lost: then ask `each_key`.
  template <class See>
  std::size_t take_events(See&& see) noexcept {
    return book_.take_events(static_cast<See&&>(see));
  }
  /// Calls `see(const offload_key&)` for every key that is known to be stored.
  template <class See>
  void each_key(See&& see) const noexcept {
    book_.each_stored([&](kv::tier_slot slot) { see(book_.key_of(slot)); });
  }
  /// vLLM's reset_cache: removes what is known to be stored and in no job; returns how many.
  std::size_t reset() noexcept {
    std::size_t gone = 0;
    book_.each_stored([&](kv::tier_slot slot) {
      const kv::tier_key name = book_.name_of(slot);
      if (below_->remove(&name, 1) != 0) book_.remove(slot), ++gone;
    });
    return gone;
  }

  [[nodiscard]] std::size_t in_flight() const noexcept { return flights_.size(); }
  [[nodiscard]] std::size_t known() const noexcept { return book_.size(); }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] bool is_valid() const noexcept { return book_.is_valid(); }

 private:
  struct item {
    kv::tier_key name{};
    kv::tier_slot slot = kv::no_slot;
  };
  using flights = kv::tier_flights<item, kv::tier_ticket>;
  using batch = typename flights::batch;

  using chooser = offload_choice<Tier>;
  using chooser::answers_, chooser::below_, chooser::book_, chooser::most_, chooser::names_, chooser::slots_,
      chooser::spans_;

  vllm_offload(const options& with, Tier& below) noexcept : chooser(with.name, with.secret, below), with_(with) {}

  [[nodiscard]] static bool are_keys(std::span<const offload_key> keys) noexcept {
    std::size_t good = 0;
    while (good != keys.size() && keys[good]) ++good;
    return good == keys.size();
  }

  options with_;
  flights flights_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
