// A book of what is out: address to sizes, kept beside the memory that it describes.
#pragma once

#include <cstdint>
#include <cstdlib>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a ledger knows of one address.
struct ledger_entry {
  /// Whether an address is out, and whether it ever was.
  enum class state : unsigned char { vacant, live, held, gone };

  std::uintptr_t address = 0;
  std::size_t granted = 0;
  std::size_t requested : 62 = 0;
  std::size_t what : 2 = 0;

  [[nodiscard]] constexpr state is() const noexcept { return static_cast<state>(what); }
};

/// Remembers every address that is out, and for a while every one that came back.
///
/// An open-addressing table on the heap of the process, so that it serves memory that the CPU cannot touch. Entries of
/// freed addresses stay until the table is rebuilt: that is how a double free is told from a foreign pointer.
///
/// Fails     `reserve_one` is false when the heap has no more; nothing else can fail
/// Threads   not safe
/// Cost      O(1) expected; a rebuild each time that the table is three quarters full
class ledger {
 public:
  using state = ledger_entry::state;

  ledger() noexcept = default;
  ledger(const ledger&) = delete;
  ledger& operator=(const ledger&) = delete;
  ~ledger() { std::free(entries_); }

  /// Makes sure that the next `insert` of a new address cannot fail.
  [[nodiscard]] bool reserve_one() noexcept { return (used_ + 1) * 4 <= capacity_ * 3 || rebuild(); }

  /// Notes an address as out. Requires reserve_one() before, and that the address is not live.
  void insert(const void* address, std::size_t requested, std::size_t granted) noexcept {
    ledger_entry& entry = slot_of(address_of(address));
    if (entry.is() == state::vacant) ++used_;
    ++live_;
    entry.address = address_of(address);
    entry.granted = granted;
    entry.requested = requested & ((std::size_t{1} << 62) - 1);
    entry.what = static_cast<std::size_t>(state::live) & 3;
  }

  /// Returns   the entry of an address, live or gone; null if the ledger does not know it
  [[nodiscard]] const ledger_entry* find(const void* address) const noexcept {
    if (capacity_ == 0) return nullptr;
    const ledger_entry& entry = slot_of(address_of(address));
    return entry.is() == state::vacant ? nullptr : &entry;
  }

  /// Moves a live or held address to another state. Requires that find() knows it.
  void mark(const void* address, state next) noexcept {
    ledger_entry& entry = slot_of(address_of(address));
    live_ -= static_cast<std::size_t>(entry.is() == state::live);
    live_ += static_cast<std::size_t>(next == state::live);
    entry.what = static_cast<std::size_t>(next) & 3;
  }

  void set_sizes(const void* address, std::size_t requested, std::size_t granted) noexcept {
    ledger_entry& entry = slot_of(address_of(address));
    entry.requested = requested & ((std::size_t{1} << 62) - 1);
    entry.granted = granted;
  }

  /// Returns   the live or held entry that an address points into; null if none. Cost: a walk over the whole table
  [[nodiscard]] const ledger_entry* find_around(const void* address) const noexcept {
    for (std::size_t k = 0; k != capacity_; ++k) {
      const ledger_entry& entry = entries_[k];
      if (stays(entry) && address_of(address) - entry.address < entry.granted) return &entry;
    }
    return nullptr;
  }

  template <class F>
  void for_each_live(F&& visit) const noexcept {
    for (std::size_t k = 0; k != capacity_; ++k) {
      if (entries_[k].is() == state::live) visit(entries_[k]);
    }
  }

  void clear() noexcept {
    for (std::size_t k = 0; k != capacity_; ++k) entries_[k] = {};
    used_ = live_ = 0;
  }

  [[nodiscard]] std::size_t live() const noexcept { return live_; }

  /// Walks the table: every entry can be found, and the counts are right.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t used = 0;
    std::size_t live = 0;
    for (std::size_t k = 0; k != capacity_; ++k) {
      if (entries_[k].is() == state::vacant) continue;
      ++used;
      live += static_cast<std::size_t>(entries_[k].is() == state::live);
      if (&slot_of(entries_[k].address) != &entries_[k]) return false;
    }
    return used == used_ && live == live_ && (capacity_ == 0 || used < capacity_);
  }

 private:
  [[nodiscard]] ledger_entry& slot_of(std::uintptr_t address) const noexcept {
    const std::size_t mask = capacity_ - 1;
    // addresses are multiples of 16 at least: a multiplication spreads what is left over the high bits
    std::size_t k = (address * 0x9E3779B97F4A7C15u) >> shift_;
    while (entries_[k].is() != state::vacant && entries_[k].address != address) k = (k + 1) & mask;
    return entries_[k];
  }

  TOKENHEAP_COLD bool rebuild() noexcept {
    std::size_t kept = 0;
    for (std::size_t k = 0; k != capacity_; ++k) kept += static_cast<std::size_t>(stays(entries_[k]));
    std::size_t wanted = capacity_ == 0 ? 64 : capacity_;
    while ((kept + 1) * 2 > wanted) wanted *= 2;
    auto* const fresh = static_cast<ledger_entry*>(std::calloc(wanted, sizeof(ledger_entry)));
    if (fresh == nullptr) return false;
    ledger_entry* const old = entries_;
    const std::size_t old_capacity = capacity_;
    entries_ = fresh;
    capacity_ = wanted;
    shift_ = 64 - trailing_zeros(wanted);
    used_ = kept;
    for (std::size_t k = 0; k != old_capacity; ++k) {
      if (stays(old[k])) slot_of(old[k].address) = old[k];
    }
    std::free(old);
    return true;
  }

  [[nodiscard]] static bool stays(const ledger_entry& entry) noexcept {
    return entry.is() == state::live || entry.is() == state::held;
  }

  ledger_entry* entries_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t live_ = 0;
  unsigned shift_ = 58;
};

}  // namespace v0
}  // namespace tokenheap
