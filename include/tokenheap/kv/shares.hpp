// Who leaves first where tenants have shares of a pool: what a tenant has beyond its share, never what lies within.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/block_lists.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What one tenant has of a pool, in blocks, and what follows from it.
struct tenant_account {
  std::size_t share = 0;     ///< what no other tenant can evict it below
  std::size_t used = 0;      ///< live, cached, in flight and promised
  std::size_t cached = 0;
  std::size_t promised = 0;  ///< set aside for its running requests

  /// Cached blocks beyond the share: what others may evict.
  [[nodiscard]] constexpr std::size_t over() const noexcept {
    const std::size_t beyond = used > share ? used - share : 0;
    return beyond < cached ? beyond : cached;
  }
  /// What it may evict from others that have `over` blocks beyond their shares.
  [[nodiscard]] constexpr std::size_t from_others(std::size_t over) const noexcept {
    const std::size_t below = used < share ? share - used : 0;
    return below < over ? below : over;
  }
  /// What it can take where `free` blocks are free and others have `over` beyond their shares.
  [[nodiscard]] constexpr std::size_t room(std::size_t free, std::size_t over) const noexcept {
    return free + tenant_account{.share = share, .used = used + free}.from_others(over) + cached;
  }
};

/// Evicts so that no tenant loses to another what lies within its share of the pool; in a tenant, as `lru` does.
///
/// For tenants that do not trust each other, or must not slow each other down. Free blocks are for everybody, beyond
/// all shares. Where none is free, a tenant below its share takes the oldest cached blocks of those that are over
/// theirs, one of each in turn; then, and at or over its share at once, its own oldest. A request that would need more
/// is refused. Shares are counts of blocks and need not add up to the pool. A block counts for the tenant of the key
/// that it can be found by, from the time it was taken until it is free: what is shared with all tenants for tenant 0.
///
/// A share keeps cached blocks from leaving; it takes no live block from anybody.
///
/// Requires  ids below the count it was opened with
/// Fails     push of a member and remove of a stranger change nothing; remove then returns false
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) for each call and block, but `share_others`, which visits all tenants; 28 bytes per block and about
///           60 per tenant that has blocks or a share
/// Example   examples/tenants.cpp
class shares {
 public:
  /// Tenants that can have a share of their own.
  static constexpr std::size_t most_shares = 4096;

  [[nodiscard]] bool open(std::size_t blocks) noexcept {
    if (blocks > max_blocks - most_shares - 2) return false;
    // a tenant has a place while it has a block or a share: there are never more of them
    const std::size_t places = blocks + most_shares + 2;
    std::size_t buckets = 2;
    for (shift_ = 63; buckets < places; buckets *= 2) --shift_;
    fresh_ = 1, idle_ = 0;
    size_ = over_ = named_ = 0;
    return lists_.open(blocks, places) && rings_.open(places, 2) && rows_.open(places) && owners_.open(blocks) &&
           buckets_.open(buckets);
  }

  /// Gives a tenant a share of its own, or another one. `limit_reached` for more tenants than `most_shares`.
  [[nodiscard]] errc share(tenant_id tenant, std::size_t blocks) noexcept {
    place at = find(tenant);
    if (at == 0 || !rows_[at].named) {
      if (named_ == most_shares) return errc::limit_reached;
      at = find_or_add(tenant);
      if (at == 0) return errc::limit_reached;
      rows_[at].named = true;
      ++named_;
    }
    change(at, [&](row& r) { r.share = count_of(blocks); });
    return errc::ok;
  }
  /// The share of each tenant that was given none of its own; 0 at first.
  void share_others(std::size_t blocks) noexcept {
    others_ = count_of(blocks);
    for (place at = 1; at < fresh_; ++at) {
      if (rows_[at].taken && !rows_[at].named) change(at, [&](row& r) { r.share = others_; });
    }
  }
  /// The tenant has no share of its own any more: it is one of the others.
  void unshare(tenant_id tenant) noexcept {
    const place at = find(tenant);
    if (at == 0 || !rows_[at].named) return;
    rows_[at].named = false;
    --named_;
    change(at, [&](row& r) { r.share = others_; });
    drop_if_idle(at);
  }

  [[nodiscard]] tenant_account account(tenant_id tenant) const noexcept {
    const place at = find(tenant);
    return at == 0 ? tenant_account{.share = others_} : account_at(at);
  }
  /// Cached blocks of all tenants beyond their shares.
  [[nodiscard]] std::size_t over() const noexcept { return over_; }
  /// For whom a block counts. Requires that it does for somebody.
  [[nodiscard]] tenant_id tenant_of(block_id id) const noexcept { return rows_[owners_[id]].tenant; }
  /// True if the block counts for some tenant.
  [[nodiscard]] bool is_charged(block_id id) const noexcept { return owners_[id] != 0; }
  [[nodiscard]] std::size_t promised() const noexcept {
    std::size_t sum = 0;
    for (place at = 1; at < fresh_; ++at) sum += rows_[at].taken ? rows_[at].promised : 0;
    return sum;
  }

  /// The blocks were taken by a tenant.
  void charge(const block_id* ids, std::size_t n, tenant_id tenant) noexcept {
    if (n == 0) return;
    const place at = find_or_add(tenant);
    for (std::size_t k = 0; k < n; ++k) owners_[ids[k]] = at;
    change(at, [&](row& r) { r.used += static_cast<std::uint32_t>(n); });
  }
  /// The blocks are free: they count for nobody.
  void leave(const block_id* ids, std::size_t n) noexcept {
    for (std::size_t k = 0; k < n; ++k) {
      const place at = owners_[ids[k]];
      if (at == 0) continue;
      owners_[ids[k]] = 0;
      change(at, [&](row& r) { --r.used; });
      drop_if_idle(at);
    }
  }
  /// `n` blocks are set aside for a tenant, or `n` that were are not any more.
  void promise(tenant_id tenant, std::size_t n) noexcept {
    if (n == 0) return;
    change(find_or_add(tenant), [&](row& r) {
      r.promised += static_cast<std::uint32_t>(n);
      r.used += static_cast<std::uint32_t>(n);
    });
  }
  void redeem(tenant_id tenant, std::size_t n) noexcept {
    const place at = find(tenant);
    if (at == 0 || n == 0) return;
    change(at, [&](row& r) {
      r.promised -= static_cast<std::uint32_t>(n);
      r.used -= static_cast<std::uint32_t>(n);
    });
    drop_if_idle(at);
  }

  void push(block_id id) noexcept {
    if (id >= owners_.size() || lists_.contains(id)) return;
    // nobody said who took it
    if (owners_[id] == 0) charge(&id, 1, 0);
    const place at = owners_[id];
    lists_.add(at, id);
    ++size_;
    change(at, [](row& r) { ++r.cached; });
  }

  [[nodiscard]] bool remove(block_id id) noexcept {
    if (!lists_.contains(id)) return false;
    lists_.remove(id);
    --size_;
    change(owners_[id], [](row& r) { --r.cached; });
    return true;
  }

  /// Takes out `n` blocks that leave next where nobody in particular needs room. Requires n <= size().
  template <class Seen>
  void pop(block_id* out, std::size_t n, Seen&& seen) noexcept {
    for (std::size_t k = 0; k < n; ++k) seen(out[k] = take_first(first_place()));
  }

  /// Takes out `n` blocks for a tenant where none is free, and says `seen(id)` of each. Requires that it has room.
  template <class Seen>
  void pop_for(tenant_id tenant, block_id* out, std::size_t n, Seen&& seen) noexcept {
    const tenant_account mine = account(tenant);
    const std::size_t others = mine.from_others(over_ - mine.over());
    for (std::size_t k = 0; k < n; ++k) {
      // below its share a tenant has nothing beyond it, so all in the ring are others
      const place at = k < others ? rings_.first(beyond) : find(tenant);
      TOKENHEAP_ASSERT(at != 0 && at != no_block && !lists_.is_empty(at));
      seen(out[k] = take_first(at));
    }
  }

  /// The block that leaves next where nobody in particular needs room, or `no_block`.
  [[nodiscard]] block_id victim() const noexcept { return size_ == 0 ? no_block : lists_.first(first_place()); }

  /// The block behind `id`: one tenant behind the other, and in each as they leave.
  [[nodiscard]] block_id after(block_id id) const noexcept {
    if (!lists_.contains(id)) return no_block;
    const block_id next = lists_.next(id);
    if (next != no_block) return next;
    block_id at = owners_[id];
    const bool is_beyond = account_at(at).over() != 0;
    at = rings_.next(at);
    if (at == no_block && is_beyond) at = rings_.first(within);
    return at == no_block ? no_block : lists_.first(at);
  }

  [[nodiscard]] bool contains(block_id id) const noexcept { return lists_.contains(id); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return lists_.bytes() + owners_.bytes() + fresh_ * (sizeof(row) + 16);
  }
  [[nodiscard]] bool is_valid() const noexcept;

 private:
  using place = std::uint32_t;  // of a tenant; 0 is none
  static constexpr std::size_t beyond = 0, within = 1;

  struct row {
    tenant_id tenant;
    place next;  // in its bucket, or of those that nobody has
    std::uint32_t share, used, cached, promised;
    bool named, taken;
  };

  [[nodiscard]] static std::uint32_t count_of(std::size_t blocks) noexcept {
    return blocks < max_blocks ? static_cast<std::uint32_t>(blocks) : static_cast<std::uint32_t>(max_blocks);
  }
  [[nodiscard]] std::size_t bucket_of(tenant_id tenant) const noexcept {
    return static_cast<std::size_t>((tenant + std::uint64_t{1}) * 0x9e3779b97f4a7c15U >> shift_);
  }
  [[nodiscard]] tenant_account account_at(place at) const noexcept {
    const row& r = rows_[at];
    return {.share = r.share, .used = r.used, .cached = r.cached, .promised = r.promised};
  }
  [[nodiscard]] place find(tenant_id tenant) const noexcept {
    place at = buckets_[bucket_of(tenant)];
    while (at != 0 && rows_[at].tenant != tenant) at = rows_[at].next;
    return at;
  }
  [[nodiscard]] place find_or_add(tenant_id tenant) noexcept {
    place at = find(tenant);
    if (at != 0) return at;
    at = idle_;
    if (at != 0) {
      idle_ = rows_[at].next;
    } else {
      TOKENHEAP_ASSERT(fresh_ < rows_.size());
      at = fresh_++;
    }
    place& first = buckets_[bucket_of(tenant)];
    rows_[at] = {.tenant = tenant, .next = first, .share = others_, .used = 0, .cached = 0, .promised = 0, .named = false,
                 .taken = true};
    return first = at;
  }
  void drop_if_idle(place at) noexcept {
    row& r = rows_[at];
    if (r.used != 0 || r.named) return;
    place* link = &buckets_[bucket_of(r.tenant)];
    while (*link != at) link = &rows_[*link].next;
    *link = r.next;
    r.taken = false;
    r.next = idle_;
    idle_ = at;
  }

  // the only way in which the numbers of a tenant change: the sum over all and its ring follow
  template <class Change>
  void change(place at, Change&& does) noexcept {
    const std::size_t before = account_at(at).over();
    const bool had = rows_[at].cached != 0;
    does(rows_[at]);
    const std::size_t now = account_at(at).over();
    const bool has = rows_[at].cached != 0;
    over_ += now - before;
    if (had == has && (before != 0) == (now != 0)) return;
    if (had) rings_.remove(at);
    if (has) rings_.add(now != 0 ? beyond : within, at);
  }

  [[nodiscard]] place first_place() const noexcept { return rings_.first(rings_.is_empty(beyond) ? within : beyond); }

  // its turn is over: others that are beyond their shares come first now
  [[nodiscard]] block_id take_first(place at) noexcept {
    const block_id id = lists_.first(at);
    TOKENHEAP_PREFETCH_TO_WRITE(owners_.first() + lists_.fetch_after(id));
    lists_.remove(id);
    owners_[id] = 0;
    --size_;
    change(at, [](row& r) { --r.cached, --r.used; });
    if (account_at(at).over() != 0) {
      rings_.remove(at);
      rings_.add(beyond, at);
    }
    drop_if_idle(at);
    return id;
  }

  block_lists lists_;  // one for each tenant
  block_lists rings_;  // of places: those beyond their share, and the others that have cached blocks
  column<row> rows_;
  column<place> owners_;
  column<place> buckets_;
  std::size_t size_ = 0, over_ = 0, named_ = 0;
  place fresh_ = 1, idle_ = 0;
  std::uint32_t others_ = 0;
  unsigned shift_ = 63;
};

inline bool shares::is_valid() const noexcept {
  if (rows_.size() == 0) return size_ == 0;
  std::size_t cached = 0, over = 0, used = 0, named = 0, ringed = 0, promised = 0;
  for (place at = 1; at < fresh_; ++at) {
    const row& r = rows_[at];
    if (!r.taken) continue;
    if (find(r.tenant) != at || lists_.walk(at) != r.cached || r.used < r.cached + r.promised) return false;
    if (!r.named && (r.used == 0 || r.share != others_)) return false;
    if (rings_.contains(at) != (r.cached != 0)) return false;
    for (block_id id = lists_.first(at); id != no_block; id = lists_.next(id)) {
      if (owners_[id] != at) return false;
    }
    cached += r.cached, used += r.used, promised += r.promised, over += account_at(at).over(), named += r.named;
    ringed += r.cached != 0;
  }
  for (std::size_t ring = beyond; ring <= within; ++ring) {
    for (place at = rings_.first(ring); at != no_block; at = rings_.next(at)) {
      if ((account_at(at).over() != 0) != (ring == beyond)) return false;
    }
  }
  for (std::size_t id = 0; id < owners_.size(); ++id) used -= owners_[id] != 0;
  return cached == size_ && over == over_ && named == named_ && used == promised &&
         rings_.walk(beyond) + rings_.walk(within) == ringed;
}

static_assert(eviction_order<shares>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
