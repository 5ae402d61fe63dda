// The tier next to the device: blocks in host memory, pinned where its source is.
#pragma once

#include <tokenheap/kv/tier_books.hpp>
#include <tokenheap/kv/tier_copy.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How large a host tier is.
struct host_tier_options {
  std::size_t block_bytes = 0;
  tier_room room{};
  std::size_t batches = 64;  ///< most batches in flight
  const char* name = "host";
};

/// Keeps blocks in host memory of any `source`; with a pinned one and a `device_copier`, the copies run beside the device.
///
/// The first place for what leaves the device. All of its memory is taken from the source when it opens, as one piece,
/// so that it can be registered once (`region()`). A slot that a copy reads or writes belongs to that copy until its
/// batch is complete: no later copy can be ordered wrongly against it.
///
/// Requires  a source that outlives it; no batch in flight when it ends
/// Fails     open says why; afterwards a key is refused, or a batch is, when more are in flight than `batches`
/// Threads   not safe
/// Cost      O(1) a key beside the copy; about 60 bytes a block with LRU, 100 with ARC
template <source Source = host_source, copier Copier = memory_copier, tier_order Order = tier_lru>
class host_tier {
 public:
  using options = host_tier_options;

  [[nodiscard]] static result<host_tier> open(const options& with, Source& from, Copier&& copies = Copier{}) noexcept {
    static_assert(cpu_accessible<Source>, "a host tier stands in memory that the CPU can read");
    host_tier made(with, from, static_cast<Copier&&>(copies));
    std::size_t bytes = 0;
    if (with.block_bytes == 0 || with.room.blocks == 0 || with.room.blocks > max_slots)
      return made.refuse(errc::invalid_argument, with.room.blocks, "give block_bytes and 1 to 2^30 - 2 blocks");
    if (!checked_mul(with.block_bytes, with.room.blocks, bytes) || bytes > max_allocation)
      return made.refuse(errc::size_overflow, with.room.blocks, "ask for fewer or smaller blocks");
    if (!made.books_.open(with.room) || !made.flights_.open(with.batches))
      return made.refuse(errc::out_of_memory, with.room.blocks, "free memory for the books, or ask for fewer blocks");
    made.memory_ = from.allocate(bytes, 4 * KiB);
    if (!made.memory_) return made.refuse(errc::out_of_memory, bytes, "lower room.blocks, or give the source more");
    return made;
  }
  host_tier(host_tier&& other) noexcept
      : with_(other.with_), from_(other.from_), copies_(static_cast<Copier&&>(other.copies_)), memory_(other.memory_),
        books_(static_cast<tier_books<Order>&&>(other.books_)), flights_(static_cast<flights&&>(other.flights_)) {
    other.memory_ = {};
  }
  host_tier& operator=(host_tier&&) = delete;
  ~host_tier() {
    if (memory_) from_->deallocate(memory_);
  }

  std::size_t lookup(const tier_key* keys, std::size_t n, tier_answer* out) noexcept {
    std::size_t hits = 0;
    for (std::size_t k = 0; k != n; ++k) hits += (out[k] = books_.lookup(keys[k])) == tier_answer::hit;
    return hits;
  }

  [[nodiscard]] tier_ticket prepare_load(const tier_key* keys, const tier_span* to, std::size_t n) noexcept {
    const tier_ticket made = flights_.start(flights::way::load, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    for (std::size_t k = 0; k != n; ++k) {
      item& it = b->items[k];
      it = {};
      if (to[k].bytes != with_.block_bytes || to[k].address == nullptr) {
        books_.refuse_load();
        continue;
      }
      it.slot = books_.begin_load(keys[k]);
      if (it.slot == no_slot) continue;
      it.answer = copies_.add(to[k].address, at(it.slot), with_.block_bytes) ? tier_answer::hit : tier_answer::miss;
    }
    b->mark = copies_.flush();
    return made;
  }
  /// Takes the answers of a load that is over, and lets its blocks leave again.
  std::size_t complete_load(tier_ticket which, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::load);
    bool good = false;
    if (b == nullptr || !is_over(*b, good)) return 0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      const item& it = b->items[k];
      const bool loaded = good && it.answer == tier_answer::hit;
      if (it.slot != no_slot) books_.end_load(it.slot, loaded, true);
      out[k] = loaded ? tier_answer::hit : tier_answer::miss;
      hits += loaded;
    }
    finish(*b);
    return hits;
  }

  [[nodiscard]] tier_ticket prepare_store(const tier_key* keys, const tier_span* from, std::size_t n) noexcept {
    const tier_ticket made = flights_.start(flights::way::store, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    for (std::size_t k = 0; k != n; ++k) {
      item& it = b->items[k];
      it = {};
      if (from[k].bytes != with_.block_bytes || from[k].address == nullptr) {
        books_.refuse_store();
        continue;
      }
      it.slot = books_.begin_store(keys[k], it.answer);
      if (it.slot == no_slot) {
        // what is here already stays until this batch ends: its answer is a promise
        if (it.answer == tier_answer::hit && books_.hold(books_.find(keys[k]))) it.held = books_.find(keys[k]);
        continue;
      }
      it.answer = copies_.add(at(it.slot), from[k].address, with_.block_bytes) ? tier_answer::hit : tier_answer::miss;
    }
    b->mark = copies_.flush();
    return made;
  }
  /// Takes the answers of a store that is over; what failed, or is not kept, was never there.
  std::size_t complete_store(tier_ticket which, bool keep, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::store);
    bool good = false;
    if (b == nullptr || !is_over(*b, good)) return 0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      item& it = b->items[k];
      if (it.slot != no_slot) {
        if (!good || !keep) it.answer = tier_answer::miss;
        books_.end_store(it.slot, it.answer == tier_answer::hit);
      }
      if (it.held != no_slot) books_.let_go(it.held);
      out[k] = it.answer;
      hits += it.answer == tier_answer::hit;
    }
    finish(*b);
    return hits;
  }

  /// True if nothing of the batch is on its way any more, or if it is none.
  [[nodiscard]] bool poll(tier_ticket which) noexcept {
    batch* const b = flights_.find(which);
    bool good = false;
    return b == nullptr || is_over(*b, good);
  }
  std::size_t remove(const tier_key* keys, std::size_t n) noexcept {
    std::size_t gone = 0;
    for (std::size_t k = 0; k != n; ++k) gone += books_.remove(keys[k]) != no_slot;
    return gone;
  }

  /// The next blocks to leave that are nowhere below yet, held until `spilled`; how a chain saves them in time.
  std::size_t hold_leavers(tier_key* keys, tier_span* where, std::size_t n) noexcept {
    std::size_t found = 0;
    for (tier_slot s = books_.next_to_leave(no_slot); s != no_slot && found != n; s = books_.next_to_leave(s)) {
      keys[found] = books_.key_of(s);
      where[found++] = {at(s), with_.block_bytes};
    }
    for (std::size_t k = 0; k != found; ++k) (void)books_.hold(books_.find(keys[k]));
    return found;
  }
  void spilled(const tier_key& key, bool saved) noexcept {
    const tier_slot slot = books_.find(key);
    if (slot == no_slot) return;
    if (saved) books_.mark_clean(slot);
    books_.let_go(slot);
  }
  /// How many more stores fit before a block must leave.
  [[nodiscard]] std::size_t spare() const noexcept { return books_.spare(); }

  [[nodiscard]] std::size_t block_bytes() const noexcept { return with_.block_bytes; }
  [[nodiscard]] tier_stats stats() const noexcept { return books_.stats(); }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] bool is_valid() const noexcept { return books_.is_valid(); }
  /// All of its memory, to be registered once.
  [[nodiscard]] allocation region() const noexcept { return memory_; }
  /// The copies, to order streams before and behind them.
  [[nodiscard]] Copier& copies() noexcept { return copies_; }
  /// What the copies of a batch are known by, for `copies().join`; 0 if it is not in flight.
  [[nodiscard]] std::uint64_t mark_of(tier_ticket which) const noexcept {
    const batch* const b = flights_.find(which);
    return b == nullptr ? 0 : b->mark;
  }

 private:
  static constexpr std::size_t max_slots = (std::size_t{1} << 30) - 2;
  struct item {
    tier_slot slot = no_slot;
    tier_answer answer = tier_answer::miss;
    tier_slot held = no_slot;
  };
  using flights = tier_flights<item>;
  using batch = typename flights::batch;

  host_tier(const options& with, Source& from, Copier&& copies) noexcept
      : with_(with), from_(&from), copies_(static_cast<Copier&&>(copies)) {}

  [[nodiscard]] failure refuse(errc code, std::size_t need, const char* fix) const noexcept {
    return {.code = code, .pool = with_.name, .what = "blocks of a host tier", .need = need, .fix = fix};
  }
  [[nodiscard]] void* at(tier_slot slot) const noexcept { return offset(memory_.data, slot * with_.block_bytes); }

  // a batch without a mark never got as far as its copies: it is over, and nothing of it is good
  [[nodiscard]] bool is_over(const batch& b, bool& good) noexcept {
    const copy_state s = b.mark == 0 ? copy_state::failed : copies_.poll(b.mark);
    good = s == copy_state::done;
    return s != copy_state::running;
  }
  void finish(batch& b) noexcept {
    if (b.mark != 0) copies_.end(b.mark);
    flights_.end(b);
  }

  options with_;
  Source* from_;
  Copier copies_;
  allocation memory_{};
  tier_books<Order> books_;
  flights flights_;
};

static_assert(tier<host_tier<>>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
