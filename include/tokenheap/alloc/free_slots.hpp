// Where a slab keeps its free slots: beside the memory, or inside it.
#pragma once

#include <cstdlib>
#include <cstring>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Keeps free slots as an array of pointers on the heap: neither taking nor giving back touches the slot itself.
///
/// Serves memory that the CPU cannot reach, and is the faster one as soon as slots come back in another order than
/// they went: a list through the slots then misses the cache once per call.
///
/// Requires  `reserve(n)` before the n-th slot exists; then `push` cannot fail
/// Cost      one load or one store; 8 bytes per slot
class slot_stack {
 public:
  static constexpr bool touches_slots = false;

  slot_stack() noexcept = default;
  slot_stack(const slot_stack&) = delete;
  slot_stack& operator=(const slot_stack&) = delete;
  ~slot_stack() { std::free(first_); }

  /// Returns   the slot that came back last, or null
  [[nodiscard]] TOKENHEAP_INLINE void* pop() noexcept { return top_ == first_ ? nullptr : *--top_; }

  /// False if more slots come back than ever went: some came back twice. The slot is then not kept.
  [[nodiscard]] TOKENHEAP_INLINE bool push(void* slot) noexcept {
    if (top_ == end_) [[unlikely]] return false;
    *top_++ = slot;
    return true;
  }

  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(top_ - first_); }

  [[nodiscard]] bool reserve(std::size_t slots) noexcept {
    const std::size_t used = size();
    if (slots <= capacity_) return true;
    std::size_t wanted = capacity_ < 32 ? 32 : capacity_;
    while (wanted < slots) wanted *= 2;
    const auto limit = static_cast<std::size_t>(end_ - first_);
    auto** const grown = static_cast<void**>(std::malloc(wanted * sizeof(void*)));
    if (grown == nullptr) return false;
    if (used != 0) std::memcpy(grown, first_, used * sizeof(void*));
    std::free(first_);
    first_ = grown;
    top_ = grown + used;
    end_ = grown + limit;
    capacity_ = wanted;
    return true;
  }
  /// Sets how many slots exist: that many can be free at once. Requires reserve(slots).
  void set_limit(std::size_t slots) noexcept { end_ = first_ + slots; }

  [[nodiscard]] std::size_t pop_many(void** out, std::size_t count) noexcept {
    const std::size_t taken = count < size() ? count : size();
    top_ -= taken;
    if (taken != 0) std::memcpy(out, top_, taken * sizeof(void*));
    return taken;
  }
  [[nodiscard]] bool push_many(void* const* slots, std::size_t count) noexcept {
    if (count > static_cast<std::size_t>(end_ - top_)) return false;
    if (count != 0) std::memcpy(top_, slots, count * sizeof(void*));
    top_ += count;
    return true;
  }

  template <class F>
  void for_each(F&& visit) const noexcept {
    for (void** at = first_; at != top_; ++at) visit(*at);
  }
  template <class F>
  void remove_if(F&& leaves) noexcept {
    void** to = first_;
    for (void** at = first_; at != top_; ++at) {
      if (!leaves(*at)) *to++ = *at;
    }
    top_ = to;
  }
  void clear() noexcept { top_ = end_ = first_; }

 private:
  void** top_ = nullptr;
  void** first_ = nullptr;
  void** end_ = nullptr;
  std::size_t capacity_ = 0;
};

/// Keeps free slots as a list through their own first bytes: no memory beside the slots.
///
/// Take it where 8 bytes per slot are too many and the CPU can touch the memory.
///
/// Cost      one load or one store in the slot itself, which may miss the cache; a double free is not noticed
class slot_list {
 public:
  static constexpr bool touches_slots = true;

  [[nodiscard]] TOKENHEAP_INLINE void* pop() noexcept {
    void* const slot = head_;
    if (slot != nullptr) [[likely]] std::memcpy(&head_, slot, sizeof(void*));
    return slot;
  }
  [[nodiscard]] TOKENHEAP_INLINE bool push(void* slot) noexcept {
    std::memcpy(slot, &head_, sizeof(void*));
    head_ = slot;
    return true;
  }

  /// Cost      a walk; one more than the limit if a slot came back twice and the list runs in a circle
  [[nodiscard]] std::size_t size() const noexcept {
    std::size_t count = 0;
    for_each([&](const void*) noexcept { ++count; });
    return count;
  }
  [[nodiscard]] bool reserve(std::size_t) noexcept { return true; }
  void set_limit(std::size_t slots) noexcept { limit_ = slots; }

  [[nodiscard]] std::size_t pop_many(void** out, std::size_t count) noexcept {
    std::size_t taken = 0;
    while (taken != count && head_ != nullptr) out[taken++] = pop();
    return taken;
  }
  [[nodiscard]] bool push_many(void* const* slots, std::size_t count) noexcept {
    for (std::size_t k = 0; k != count; ++k) static_cast<void>(push(slots[k]));
    return true;
  }

  template <class F>
  void for_each(F&& visit) const noexcept {
    void* at = head_;
    for (std::size_t k = 0; k <= limit_ && at != nullptr; ++k) {
      visit(at);
      std::memcpy(&at, at, sizeof(void*));
    }
  }
  template <class F>
  void remove_if(F&& leaves) noexcept {
    slot_list kept;
    kept.limit_ = limit_;
    while (void* const slot = pop()) {
      if (!leaves(slot)) static_cast<void>(kept.push(slot));
    }
    *this = kept;
  }
  void clear() noexcept { *this = slot_list(); }

 private:
  void* head_ = nullptr;
  std::size_t limit_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
