// Tiers one below the other: host memory, then a file, then a store that machines share.
#pragma once

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/tier_copy.hpp>
#include <tokenheap/kv/tier_rows.hpp>
#include <tokenheap/kv/tier_sightings.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Stands for up to 8 tiers as one: it looks from above to below, and a load brings a block up again.
///
/// What an engine has below its device. The first tier should be in memory; with a `device_copier` it must have one of its
/// own, and blocks go to the lower tiers by way of staging memory, which comes from `Source`. A load that fails in its
/// tier is a miss. A store counts if any tier took it. All blocks have one size.
///
/// The ticket of a store is the hold on its blocks: the engine gives a block back to its pool when `source_done(ticket)`.
///
/// Requires  tiers and a source that outlive it; nobody else who stores to the first tier; no batch in flight at its end
/// Fails     open says why; afterwards as its tiers
/// Threads   not safe
/// Cost      one indirect call a tier and batch, and no copy for blocks in host memory
/// Example   examples/tiers.cpp
template <source Source = host_source, copier Copier = memory_copier>
class tier_chain : private tier_rows {
 public:
  using options = tier_chain_options;
  using tier_rows::max_tiers;

  [[nodiscard]] static result<tier_chain> open(const options& with, const tier_ref* tiers, std::size_t n, Source& from,
                                               Copier&& copies = Copier{}) noexcept {
    tier_chain made(with, from, static_cast<Copier&&>(copies));
    if (n == 0 || n > max_tiers) return made.refuse(errc::invalid_argument, n, "give 1 to 8 tiers");
    for (std::size_t k = 0; k != n; ++k) {
      if (!tiers[k] || tiers[k].block_bytes() != tiers[0].block_bytes())
        return made.refuse(errc::invalid_argument, k, "give tiers with one block size");
      made.tiers_[k] = tiers[k];
    }
    made.count_ = n;
    if (!made.flights_.open(with.batches) || !made.spills_.open(with.batches) ||
        (with.threshold > 1 && !made.seen_.open(with.sightings)))
      return made.refuse(errc::out_of_memory, with.sightings, "free memory, or remember fewer names");
    if (Copier::reaches_devices && n > 1 && !made.open_staging())
      return made.refuse(errc::out_of_memory, with.staging, "lower staging, or give the source more");
    return made;
  }
  tier_chain(tier_chain&& other) noexcept
      : tier_rows(static_cast<tier_rows&&>(other)), with_(other.with_), from_(other.from_),
        copies_(static_cast<Copier&&>(other.copies_)), flights_(static_cast<flights&&>(other.flights_)),
        seen_(static_cast<tier_sightings&&>(other.seen_)), staging_(other.staging_),
        idle_(static_cast<column<void*>&&>(other.idle_)), idle_count_(other.idle_count_), stats_(other.stats_) {
    other.staging_ = {};
  }
  tier_chain& operator=(tier_chain&&) = delete;
  ~tier_chain() {
    if (staging_) from_->deallocate(staging_);
  }

  std::size_t lookup(const tier_key* keys, std::size_t n, tier_answer* out) noexcept {
    find_homes(keys, n, out);
    std::size_t hits = 0;
    for (std::size_t k = 0; k != n; ++k) {
      ++stats_.lookups;
      stats_.hits += out[k] == tier_answer::hit;
      stats_.misses += out[k] == tier_answer::miss;
      stats_.pending += out[k] == tier_answer::pending;
      stats_.retries += out[k] == tier_answer::retry;
      hits += out[k] == tier_answer::hit;
    }
    return hits;
  }

  [[nodiscard]] tier_ticket prepare_load(const tier_key* keys, const tier_span* to, std::size_t n) noexcept {
    const tier_ticket made = start(flights::way::load, keys, to, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    stats_.loads += n;
    stats_.loading += n;
    if (!seek(*b)) return made;
    for (std::size_t t = 0; t != count_; ++t) {
      const std::size_t m = gather(*b, [t](const item& it) { return it.tier == t; }, t != 0);
      if (m != 0) b->more.ticket[t] = tiers_[t].prepare_load(keys_.first(), spans_.first(), m);
    }
    advance(*b);
    return made;
  }
  std::size_t complete_load(tier_ticket which, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::load);
    if (b == nullptr || !advance(*b)) return 0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      const item& it = b->items[k];
      out[k] = it.answer == tier_answer::hit || it.answer == tier_answer::retry ? it.answer : tier_answer::miss;
      hits += out[k] == tier_answer::hit;
    }
    stats_.loading -= b->count;
    stats_.loaded += hits;
    stats_.load_failures += b->count - hits;
    finish(*b);
    return hits;
  }

  [[nodiscard]] tier_ticket prepare_store(const tier_key* keys, const tier_span* from, std::size_t n) noexcept {
    if (with_.write == tier_write::on_eviction) spill(n);
    const tier_ticket made = start(flights::way::store, keys, from, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    stats_.stores += n;
    stats_.storing += n;
    for (std::size_t k = 0; k != n; ++k) {
      item& it = b->items[k];
      it.wanted = from[k].bytes == block_bytes() && from[k].address != nullptr;
      if (it.wanted && with_.threshold > 1 && seen_.see(it.key) < with_.threshold) it.wanted = false, ++own_.skipped;
    }
    const std::size_t m = gather(*b, [](const item& it) { return it.wanted; }, false);
    if (m != 0) b->more.ticket[0] = tiers_[0].prepare_store(keys_.first(), spans_.first(), m);
    if (writes_below() && Copier::reaches_devices) {
      for (std::size_t k = 0; k != n; ++k) {
        item& it = b->items[k];
        if (it.wanted && stage(it) && !copies_.add(it.here.address, it.user.address, block_bytes())) unstage(it);
      }
      b->mark = copies_.flush();
    }
    advance(*b);
    return made;
  }
  std::size_t complete_store(tier_ticket which, bool keep, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::store);
    if (b == nullptr || !advance(*b)) return 0;
    for (std::size_t t = 0; t != count_; ++t) collect(*b, t, keep);
    std::size_t hits = 0;
    std::size_t pending = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      out[k] = b->items[k].answer;
      hits += out[k] == tier_answer::hit;
      pending += out[k] == tier_answer::pending;
    }
    stats_.storing -= b->count;
    stats_.stored += hits;
    stats_.present += pending;
    stats_.refused += b->count - hits - pending;
    finish(*b);
    return hits;
  }

  /// Moves a batch on, and is true when all of it is over.
  [[nodiscard]] bool poll(tier_ticket which) noexcept {
    batch* const b = flights_.find(which);
    return b == nullptr || advance(*b);
  }
  /// True once nothing reads the blocks of a store any more, which may be before the store is over.
  [[nodiscard]] bool source_done(tier_ticket which) noexcept {
    batch* const b = flights_.find(which, flights::way::store);
    if (b == nullptr || advance(*b)) return true;
    if (!Copier::reaches_devices) return false;
    return tiers_[0].poll(b->more.ticket[0]) && (b->mark == 0 || copies_.poll(b->mark) != copy_state::running);
  }
  std::size_t remove(const tier_key* keys, std::size_t n) noexcept {
    std::size_t gone = 0;
    for (std::size_t k = 0; k != n; ++k) {
      bool any = false;
      for (std::size_t t = 0; t != count_; ++t) any = tiers_[t].remove(keys + k, 1) != 0 || any;
      gone += any;
    }
    return gone;
  }

  [[nodiscard]] std::size_t block_bytes() const noexcept { return tiers_[0].block_bytes(); }
  /// The numbers of the whole; which tier has how many blocks is in `at(k).stats()`, so the last row stays 0 here.
  [[nodiscard]] tier_stats stats() const noexcept { return stats_; }
  [[nodiscard]] const tier_chain_stats& chain_stats() const noexcept { return own_; }
  [[nodiscard]] const tier_ref& at(std::size_t k) const noexcept { return tiers_[k]; }
  [[nodiscard]] std::size_t tiers() const noexcept { return count_; }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t k = 0; k != count_; ++k)
      if (!tiers_[k].is_valid()) return false;
    std::size_t staged = 0;
    flights_.each([&](const batch& b) {
      for (std::size_t k = 0; k != b.count; ++k) staged += b.items[k].staged;
    });
    return stats_.adds_up(true) && (!staging_ || staged + idle_count_ == with_.staging);
  }
  /// The staging copies, to order streams before and behind them.
  [[nodiscard]] Copier& copies() noexcept { return copies_; }

 private:
  tier_chain(const options& with, Source& from, Copier&& copies) noexcept
      : with_(with), from_(&from), copies_(static_cast<Copier&&>(copies)) {}

  [[nodiscard]] failure refuse(errc code, std::size_t need, const char* fix) const noexcept {
    return {.code = code, .pool = with_.name, .what = "tiers of a chain", .need = need, .fix = fix};
  }
  [[nodiscard]] bool writes_below() const noexcept { return with_.write == tier_write::through && count_ > 1; }

  [[nodiscard]] bool open_staging() noexcept {
    std::size_t bytes = 0;
    if (!checked_mul(with_.staging, block_bytes(), bytes) || !idle_.open(with_.staging)) return false;
    staging_ = from_->allocate(bytes, 4 * KiB);
    if (!staging_) return false;
    for (; idle_count_ != with_.staging; ++idle_count_) idle_[idle_count_] = offset(staging_.data, idle_count_ * block_bytes());
    return true;
  }
  /// Gives a block host memory on its way between the device and a lower tier.
  [[nodiscard]] bool stage(item& it) noexcept {
    if (!Copier::reaches_devices) return true;
    if (idle_count_ == 0) return false;
    it.here = {idle_[--idle_count_], block_bytes()};
    return it.staged = true;
  }
  void unstage(item& it) noexcept {
    if (it.staged) idle_[idle_count_++] = it.here.address;
    it.staged = false;
  }

  [[nodiscard]] tier_ticket start(typename flights::way going, const tier_key* keys, const tier_span* spans,
                                  std::size_t n) noexcept {
    settle_spills();
    if (!make_scratch(n)) return {};
    const tier_ticket made = flights_.start(going, n);
    if (batch* const b = flights_.find(made); b != nullptr) {
      for (std::size_t k = 0; k != n; ++k) {
        b->items[k] = item{};
        b->items[k].key = keys[k];
        b->items[k].user = b->items[k].here = spans[k];
      }
    }
    return made;
  }
  void finish(batch& b) noexcept {
    for (std::size_t k = 0; k != b.count; ++k) unstage(b.items[k]);
    if (b.mark != 0) copies_.end(b.mark);
    flights_.end(b);
  }
  /// Finds the tier of each block of a load; false if there is no memory for it, and then all are misses.
  [[nodiscard]] bool seek(batch& b) noexcept {
    if (!wanted_.grow(b.count) || !found_.grow(b.count) || !homes_.grow(b.count)) return false;
    for (std::size_t k = 0; k != b.count; ++k) wanted_[k] = b.items[k].key;
    find_homes(wanted_.first(), b.count, found_.first(), homes_.first());
    for (std::size_t k = 0; k != b.count; ++k) {
      item& it = b.items[k];
      it.answer = found_[k];
      const bool sound = it.user.bytes == block_bytes() && it.user.address != nullptr;
      if (!sound || it.answer != tier_answer::hit) {
        it.answer = sound ? it.answer : tier_answer::miss;
      } else if (homes_[k] != 0 && !stage(it)) {
        it.answer = tier_answer::retry;
      } else {
        it.tier = homes_[k];
      }
    }
    return true;
  }

  [[nodiscard]] bool copies_run(const batch& b) noexcept {
    return b.mark != 0 && copies_.poll(b.mark) == copy_state::running;
  }
  [[nodiscard]] bool copies_failed(const batch& b) noexcept {
    return b.mark == 0 || copies_.poll(b.mark) == copy_state::failed;
  }

  bool advance(batch& b) noexcept {
    settle_spills();
    return b.going == flights::way::load ? advance_load(b) : advance_store(b);
  }
  bool advance_load(batch& b) noexcept {
    if (b.more.at == phase::first) {
      if (!are_over(b)) return false;
      for (std::size_t t = 0; t != count_; ++t) collect_load(b, t);
      b.more.at = phase::second;
      bring_up(b);
    }
    if (b.more.at == phase::second) {
      if (copies_run(b) || !tiers_[0].poll(b.more.ticket[0])) return false;
      for (std::size_t k = 0; k != b.count; ++k)
        if (b.items[k].staged && copies_failed(b)) b.items[k].answer = tier_answer::miss;
      const std::size_t m = gather(b, [](const item& it) { return it.below; }, true);
      if (m != 0 && b.more.ticket[0]) own_.promoted += tiers_[0].complete_store(b.more.ticket[0], true, answers_.first());
      b.more.at = phase::over;
    }
    return true;
  }
  void collect_load(batch& b, std::size_t t) noexcept {
    const std::size_t m = gather(b, [t](const item& it) { return it.tier == t; }, t != 0);
    for (std::size_t j = 0; j != m; ++j) answers_[j] = tier_answer::miss;
    if (m != 0 && b.more.ticket[t]) tiers_[t].complete_load(b.more.ticket[t], answers_.first());
    for (std::size_t j = 0; j != m; ++j) b.items[places_[j]].answer = answers_[j];
    b.more.ticket[t] = {};
  }
  /// Blocks from below go on to the device, and into the first tier.
  void bring_up(batch& b) noexcept {
    bool copied = false;
    std::size_t rising = 0;
    for (std::size_t k = 0; k != b.count; ++k) {
      item& it = b.items[k];
      if (it.tier == 0 || it.tier == max_tiers || it.answer != tier_answer::hit) continue;
      if (it.staged && !copies_.add(it.user.address, it.here.address, block_bytes())) {
        it.answer = tier_answer::miss;
        continue;
      }
      copied = copied || it.staged;
      it.below = with_.promote;
      rising += it.below;
    }
    if (copied) b.mark = copies_.flush();
    if (rising == 0) return;
    if (with_.write == tier_write::on_eviction) spill(rising);
    const std::size_t m = gather(b, [](const item& it) { return it.below; }, true);
    if (m != 0) b.more.ticket[0] = tiers_[0].prepare_store(keys_.first(), spans_.first(), m);
  }

  bool advance_store(batch& b) noexcept {
    if (b.more.at == phase::first) {
      if (copies_run(b)) return false;
      for (std::size_t k = 0; writes_below() && k != b.count; ++k) {
        item& it = b.items[k];
        it.below = it.wanted && (!Copier::reaches_devices || (it.staged && !copies_failed(b)));
      }
      const std::size_t m = gather(b, [](const item& it) { return it.below; }, true);
      for (std::size_t t = 1; m != 0 && t != count_; ++t)
        b.more.ticket[t] = tiers_[t].prepare_store(keys_.first(), spans_.first(), m);
      b.more.at = phase::second;
    }
    if (b.more.at == phase::second && are_over(b)) b.more.at = phase::over;
    return b.more.at == phase::over;
  }
  options with_;
  Source* from_;
  Copier copies_;
  flights flights_;
  tier_sightings seen_;
  allocation staging_{};
  column<void*> idle_;
  std::size_t idle_count_ = 0;
  tier_stats stats_;
  column<tier_key> wanted_;
  column<tier_answer> found_;
  column<unsigned char> homes_;
};

static_assert(tier<tier_chain<>>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
