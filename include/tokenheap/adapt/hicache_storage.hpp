// SGLang's HiCacheStorage over a tier: batches that answer with masks, and prefixes that count until the first miss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <thread>

#include <tokenheap/adapt/offload_key.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Most pages in one call of SGLang's (python/sglang/srt/mem_cache/hicache_storage.py 001067f, STORAGE_BATCH_SIZE).
inline constexpr std::size_t hicache_batch_pages = 128;

/// Which pages of a pool must be there for a prefix to count (PoolHitPolicy of the same file).
enum class hit_policy : std::uint8_t {
  all_pages,       ///< every page from the first one on
  trailing_pages,  ///< the last `trailing` ones: states and windows
};

/// A pool beside the keys and values, kept as another cache group of the tier, and how many pages of it were found.
struct hicache_pool {
  std::uint32_t group = 1;
  hit_policy policy = hit_policy::all_pages;
  std::size_t trailing = 1;
  std::size_t hits = 0;  ///< set by batch_exists: the longest prefix that this pool allows
};

/// How a storage asks its tier.
struct hicache_options {
  kv::siphash_key secret{};     ///< the same for all who share the tier
  std::size_t patience = 1000;  ///< how often a page is asked for again while the tier cannot say; then it is a miss
};

/// Does what SGLang's storage threads ask: batch_exists, batch_get, batch_set, each over a tier or a chain of tiers.
///
/// For a backend that wraps it in a few lines of Python. A key is a text, with the engine's suffix for ranks and models.
/// Every call ends with an answer for every key, whatever is wrong, since SGLang's threads do not outlive a missing one.
/// Calls wait for their batch, which is what those threads are for; `poll` is asked without pause. Lost: clear, which a
/// tier cannot do, and reads of one key. After a miss the bytes of a page are unspecified.
///
/// Requires  a tier that outlives it; with `Lock`, calls from SGLang's threads, and the tier for it alone
/// Fails     keys without a sound span are false in the mask; a batch that the tier refuses is false altogether
/// Threads   safe with a lock, which is held until the batch is over
/// Cost      a hash of each key, and the tier
template <kv::tier Tier, lockable Lock = mutex_lock>
class hicache_storage {
 public:
  using options = hicache_options;

  explicit hicache_storage(Tier& below, const options& with = {}) noexcept : below_(&below), with_(with) {}

  /// How many pages from the first one on are there.
  [[nodiscard]] std::size_t batch_exists(std::span<const std::string_view> keys, std::uint32_t group = 0) noexcept {
    const locked hold(lock_);
    return ask(keys, group) ? leading(keys.size()) : 0;
  }
  /// The longest prefix that group 0 and all other pools allow (batch_exists_v2); sets `hits` of each pool.
  [[nodiscard]] std::size_t batch_exists(std::span<const std::string_view> keys,
                                         std::span<hicache_pool> pools) noexcept {
    const locked hold(lock_);
    const std::size_t pages = ask(keys, 0) ? leading(keys.size()) : 0;
    std::size_t all = pages;
    for (hicache_pool& pool : pools) {
      pool.hits = pages != 0 && ask(keys.first(pages), pool.group) ? allowed(pool, pages) : 0;
      if (pool.hits < all) all = pool.hits;
    }
    return all;
  }

  /// Reads pages; `loaded[k]` says whether page k has its bytes. Returns how many have.
  std::size_t batch_get(std::span<const std::string_view> keys, std::span<const kv::tier_span> to,
                        std::span<bool> loaded, std::uint32_t group = 0) noexcept {
    const locked hold(lock_);
    clear(loaded);
    if (!name(keys, group) || to.size() != keys.size() || loaded.size() < keys.size()) return 0;
    const kv::tier_ticket batch = below_->prepare_load(names_.first(), to.data(), keys.size());
    if (!batch) return 0;
    while (!below_->poll(batch)) std::this_thread::yield();
    below_->complete_load(batch, answers_.first());
    return mark(loaded, keys.size());
  }
  /// Writes pages; `stored[k]` says whether page k is there now, by this call or before. Returns how many are.
  std::size_t batch_set(std::span<const std::string_view> keys, std::span<const kv::tier_span> from,
                        std::span<bool> stored, std::uint32_t group = 0) noexcept {
    const locked hold(lock_);
    clear(stored);
    if (!name(keys, group) || from.size() != keys.size() || stored.size() < keys.size()) return 0;
    const kv::tier_ticket batch = below_->prepare_store(names_.first(), from.data(), keys.size());
    if (!batch) return 0;
    while (!below_->poll(batch)) std::this_thread::yield();
    below_->complete_store(batch, true, answers_.first());
    // of equal keys the first one answers for all, once it is there
    for (std::size_t k = 0; k != keys.size(); ++k)
      if (answers_[k] == kv::tier_answer::pending) below_->lookup(names_.first() + k, 1, answers_.first() + k);
    return mark(stored, keys.size());
  }

 private:
  static void clear(std::span<bool> mask) noexcept {
    for (bool& one : mask) one = false;
  }
  [[nodiscard]] std::size_t mark(std::span<bool> mask, std::size_t n) const noexcept {
    std::size_t hits = 0;
    for (std::size_t k = 0; k != n; ++k) hits += mask[k] = answers_[k] == kv::tier_answer::hit;
    return hits;
  }
  [[nodiscard]] bool name(std::span<const std::string_view> keys, std::uint32_t group) noexcept {
    if (keys.empty() || !names_.grow(keys.size()) || !answers_.grow(keys.size())) return false;
    for (std::size_t k = 0; k != keys.size(); ++k)
      names_[k] = tier_name(keys[k].data(), keys[k].size(), with_.secret, group);
    return true;
  }
  [[nodiscard]] bool ask(std::span<const std::string_view> keys, std::uint32_t group) noexcept {
    if (!name(keys, group)) return false;
    below_->lookup(names_.first(), keys.size(), answers_.first());
    for (std::size_t left = with_.patience; left != 0 && is_open(keys.size()); --left) {
      std::this_thread::yield();
      below_->lookup(names_.first(), keys.size(), answers_.first());
    }
    return true;
  }
  /// Whether the tier could not say yet of some page.
  [[nodiscard]] bool is_open(std::size_t n) const noexcept {
    for (std::size_t k = 0; k != n; ++k)
      if (answers_[k] == kv::tier_answer::retry) return true;
    return false;
  }
  [[nodiscard]] std::size_t leading(std::size_t n) const noexcept {
    std::size_t k = 0;
    while (k != n && answers_[k] == kv::tier_answer::hit) ++k;
    return k;
  }
  [[nodiscard]] std::size_t allowed(const hicache_pool& pool, std::size_t pages) const noexcept {
    if (pool.policy == hit_policy::all_pages) return leading(pages);
    const std::size_t trailing = pool.trailing == 0 ? 1 : pool.trailing;
    std::size_t longest = 0, run = 0;
    for (std::size_t k = 0; k != pages; ++k) {
      run = answers_[k] == kv::tier_answer::hit ? run + 1 : 0;
      if (run >= trailing || run == k + 1) longest = k + 1;
    }
    return longest;
  }

  Tier* below_;
  options with_;
  Lock lock_;
  kv::column<kv::tier_key> names_;
  kv::column<kv::tier_answer> answers_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
