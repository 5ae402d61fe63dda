// Slots of fixed sizes, cut out of chunks and reused one by one.
#pragma once

#include <algorithm>
#include <type_traits>

#include <tokenheap/alloc/chunk_book.hpp>
#include <tokenheap/alloc/free_slots.hpp>
#include <tokenheap/alloc/over.hpp>
#include <tokenheap/alloc/size_classes.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/policy/guard.hpp>

namespace tokenheap {
inline namespace v0 {

/// Where a slab keeps its free slots.
enum class free_slots : unsigned char {
  out_of_line,  ///< in an array of pointers beside the memory: any memory, and faster when the order is random
  in_place,     ///< in a list through the slots: only memory that the CPU can touch
};

/// The numbers of a slab, fixed at compile time.
struct slab_shape {
  std::size_t largest = 4 * KiB;   ///< the largest request that gets a slot; larger ones go straight down
  std::size_t chunk = 64 * KiB;    ///< bytes taken from below at a time, at least eight slots
  free_slots keep = free_slots::out_of_line;
};

/// What a slab holds; `slots == live + idle`, and `reserved` counts chunks only.
struct slab_stats {
  std::size_t chunks = 0;
  std::size_t reserved = 0;
  std::size_t slots = 0;
  std::size_t live = 0;
  std::size_t idle = 0;
  std::size_t live_bytes = 0;
};

/// Cuts size classes out of chunks taken from below and keeps freed slots for reuse.
///
/// Good when sizes repeat and lifetimes do not: requests, block tables, staging copies. Less than 20 % of
/// a slot, or less than 16 bytes, stay unused. Sizes above `largest` pass straight through. Chunks go down by `trim`, or with the
/// slab. Without a guard above, a double free or a foreign pointer is noticed only if more slots come back than went.
///
/// Requires  an allocation that comes back as it went: pointer and granted size
/// Returns   the size of the whole slot
/// Fails     a null allocation, nothing taken
/// Threads   not safe; `with<spin_lock>` above it, or `magazines<>`
/// Cost      O(1): one load or store on a hit; no header per slot, 8 bytes beside it
/// Example   examples/staging.cpp
template <slab_shape Shape = slab_shape{}>
struct slab {
  static_assert(Shape.largest >= 16 && Shape.largest <= GiB, "slab_shape::largest: 16 bytes up to 1 GiB");
  using classes = classes_up_to<Shape.largest>;
  static constexpr std::size_t class_count = classes::count;
  static constexpr std::size_t largest = classes::largest;

  /// The slab over what is below it; a column makes it.
  template <source Below>
  class on : public over<Below> {
    static_assert(Shape.keep == free_slots::out_of_line || cpu_accessible<Below>,
                  "free_slots::in_place writes into slots: the CPU must be able to reach them");
    using slots_kept = std::conditional_t<Shape.keep == free_slots::in_place, slot_list, slot_stack>;
    static constexpr std::size_t batch = 32;

    struct slot_class {
      slots_kept idle;
      std::size_t slot = 0;
      unsigned char* carve = nullptr;  ///< where the youngest chunk has not been cut yet
      unsigned char* carve_end = nullptr;
      std::size_t slots = 0;           ///< cut so far, in all chunks of the class
      std::size_t room = 0;            ///< slots that all chunks of the class hold, cut or not
    };

   public:
    using layer = slab;

    template <class... Options>
    explicit on(const Options&... given) : over<Below>(given...) {
      for (std::size_t k = 0; k != class_count; ++k) classes_[k].slot = size_classes::size(k);
    }
    ~on() {
      for (const chunk_entry& c : chunks_) this->below_.deallocate(c.whole);
    }

    [[nodiscard]] TOKENHEAP_INLINE allocation allocate(std::size_t bytes,
                                                       std::size_t alignment = default_alignment) noexcept {
      // slot sizes are multiples of every alignment that the rounded size is a multiple of
      if (alignment > default_alignment || !is_power_of_two(alignment)) [[unlikely]] {
        if (!is_request(bytes, alignment)) return {};
        bytes = align_up(bytes, alignment);
      }
      if (bytes - 1 >= largest) [[unlikely]] return pass_through(bytes, alignment);
      slot_class& c = classes_[classes::of(bytes)];
      if (void* const slot = c.idle.pop()) [[likely]] return {slot, c.slot};
      return cut(c);
    }

    TOKENHEAP_INLINE void deallocate(allocation a) noexcept {
      // null with a size beside it is null: kept as a slot it would end the list of its class
      if (a.data == nullptr) [[unlikely]] return;
      if (a.size - 1 >= largest) [[unlikely]] return give_through(a);
      if (!classes_[classes::of(a.size)].idle.push(a.data)) [[unlikely]] report_surplus(a);
    }

    /// Ends all allocations, also those that passed through, and gives everything to the floor below to reset.
    void reset() noexcept
      requires resettable<Below>
    {
      for (slot_class& c : classes_) {
        c.idle.clear();
        c.carve = c.carve_end = nullptr;
        c.slots = c.room = 0;
      }
      chunks_.clear();
      this->below_.reset();
    }

    /// Gives down chunks of which every slot is idle, until at most `keep` idle bytes of chunks stay; the floor below
    /// then trims too, to the same `keep`, if it can, and the answer is what left that floor.
    ///
    /// Cost      O(idle slots x log chunks)
    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept {
      count_idle_slots();
      std::size_t idle_bytes = 0;
      for (const chunk_entry& c : chunks_) idle_bytes += is_idle(c) ? c.whole.size : 0;
      std::size_t given = 0;
      // chunks that go are marked by a count that no walk can give
      for (chunk_entry& c : chunks_) {
        if (idle_bytes - given <= keep || !is_idle(c)) continue;
        given += c.whole.size;
        c.counted = gone;
      }
      if (given != 0) drop_marked_chunks();
      if constexpr (trimmable<Below>) return this->below_.trim(keep);
      return given;
    }

    [[nodiscard]] slab_stats stats() const noexcept {
      slab_stats all{};
      for (const chunk_entry& c : chunks_) all.reserved += c.whole.size;
      all.chunks = chunks_.size();
      for (const slot_class& c : classes_) {
        all.slots += c.slots;
        all.idle += c.idle.size();
        all.live_bytes += (c.slots - c.idle.size()) * c.slot;
      }
      all.live = all.slots - all.idle;
      return all;
    }

    /// Writes a line about the slab, and one for each class that has slots, into `out`; returns the length.
    std::size_t dump(char* out, std::size_t capacity) const noexcept {
      const slab_stats now = stats();
      text_buffer text(out, capacity);
      text << "slab on '" << this->name() << "': " << now.chunks << " chunks, " << now.reserved << " bytes reserved, "
           << now.live << " of " << now.slots << " slots live";
      for (const slot_class& c : classes_) {
        if (c.slots != 0) text << "\n  " << c.slot << " bytes: " << c.slots - c.idle.size() << " of " << c.slots << " live";
      }
      return text.length();
    }

    /// Walks every free slot: each lies on a slot of a chunk of its class, and none is there twice.
    [[nodiscard]] bool is_valid() const noexcept {
      if constexpr (self_checking<Below>) {
        if (!this->below_.is_valid()) return false;
      }
      bool valid = true;
      for (std::size_t k = 0; k != class_count && valid; ++k) {
        const slot_class& c = classes_[k];
        valid = c.idle.size() <= c.slots && c.slots <= c.room;
        c.idle.for_each([&](const void* slot) noexcept {
          const chunk_entry* const chunk = chunks_.find(slot);
          valid = valid && chunk != nullptr && chunk->slot_class == k && at_slot(*chunk, slot);
        });
      }
      return valid && no_slot_twice();
    }

    // what a layer of per-thread magazines needs: whole batches of one class
    [[nodiscard]] std::size_t take(std::size_t number, void** out, std::size_t count) noexcept {
      slot_class& c = classes_[number];
      std::size_t taken = c.idle.pop_many(out, count);
      while (taken != count) {
        const allocation a = cut(c);
        if (!a) break;
        out[taken++] = a.data;
        taken += c.idle.pop_many(out + taken, count - taken);
      }
      return taken;
    }
    void give(std::size_t number, void* const* slots, std::size_t count) noexcept {
      if (!classes_[number].idle.push_many(slots, count)) report_surplus({slots[0], classes_[number].slot});
    }

   private:
    static constexpr std::size_t gone = ~std::size_t{0};

    [[nodiscard]] static bool at_slot(const chunk_entry& c, const void* slot) noexcept {
      return (address_of(slot) - address_of(c.whole.data)) % size_classes::size(c.slot_class) == 0;
    }

    /// How many slots of a chunk were cut: all of them, but in the youngest chunk of its class.
    [[nodiscard]] std::size_t cut_in(const chunk_entry& chunk) const noexcept {
      const slot_class& c = classes_[chunk.slot_class];
      const std::size_t carved = address_of(c.carve) - address_of(chunk.whole.data);
      return (c.carve != c.carve_end && carved < chunk.whole.size ? carved : chunk.whole.size) / c.slot;
    }
    [[nodiscard]] bool is_idle(const chunk_entry& c) const noexcept { return c.counted == cut_in(c); }

    void count_idle_slots() noexcept {
      for (chunk_entry& c : chunks_) c.counted = 0;
      for (slot_class& c : classes_) {
        c.idle.for_each([&](const void* slot) noexcept {
          if (chunk_entry* const chunk = chunks_.find(slot)) ++chunk->counted;
        });
      }
    }

    void drop_marked_chunks() noexcept {
      // a foreign pointer that came back lies in no chunk: it must not go out again
      const auto leaves = [&](const void* slot) noexcept {
        const chunk_entry* const chunk = chunks_.find(slot);
        return chunk == nullptr || chunk->counted == gone;
      };
      for (slot_class& c : classes_) c.idle.remove_if(leaves);
      for (const chunk_entry& chunk : chunks_) {
        if (chunk.counted != gone) continue;
        slot_class& c = classes_[chunk.slot_class];
        c.slots -= cut_in(chunk);
        c.room -= chunk.whole.size / c.slot;
        c.idle.set_limit(c.room);
        const bool youngest = address_of(c.carve) - address_of(chunk.whole.data) < chunk.whole.size;
        if (c.carve != c.carve_end && youngest) c.carve = c.carve_end = nullptr;
        this->below_.deallocate(chunk.whole);
      }
      chunks_.erase_if([](const chunk_entry& c) noexcept { return c.counted == gone; });
    }

    /// Cuts a few more slots off the youngest chunk of a class: bounded work, and only the book is touched.
    TOKENHEAP_NOINLINE allocation cut(slot_class& c) noexcept {
      if (c.carve == c.carve_end && !add_chunk(c)) return {};
      unsigned char* const first = c.carve;
      const auto left = static_cast<std::size_t>(c.carve_end - first) / c.slot;
      const std::size_t count = std::min(left, batch);
      c.carve = first + count * c.slot;
      c.slots += count;
      // in reverse, so that addresses go out in ascending order
      for (std::size_t k = count; k-- > 1;) static_cast<void>(c.idle.push(first + k * c.slot));
      return {first, c.slot};
    }

    [[nodiscard]] bool add_chunk(slot_class& c) noexcept {
      const std::size_t bytes = std::max(Shape.chunk, 8 * c.slot) / c.slot * c.slot;
      if (!chunks_.reserve_one() || !c.idle.reserve(c.room + bytes / c.slot)) return false;
      const allocation whole = this->below_.allocate(bytes, std::max(c.slot & (~c.slot + 1), default_alignment));
      if (!whole) return false;
      // what was granted beyond whole slots stays unused
      const std::size_t usable = whole.size / c.slot * c.slot;
      if (!c.idle.reserve(c.room + usable / c.slot)) return this->below_.deallocate(whole), false;
      chunks_.insert(whole, static_cast<std::size_t>(&c - classes_));
      c.carve = static_cast<unsigned char*>(whole.data);
      c.carve_end = c.carve + usable;
      c.room += usable / c.slot;
      c.idle.set_limit(c.room);
      return true;
    }

    TOKENHEAP_NOINLINE allocation pass_through(std::size_t bytes, std::size_t alignment) noexcept {
      if (!is_request(bytes, alignment)) return {};
      return this->below_.allocate(std::max(bytes, largest + 1), alignment);
    }
    TOKENHEAP_NOINLINE void give_through(allocation a) noexcept {
      if (a) this->below_.deallocate(a);
    }

    TOKENHEAP_COLD void report_surplus(allocation a) noexcept {
      if (!a) return;
      report({.code = errc::double_free,
              .pool = this->name(),
              .what = "bytes of a slot, and more of its class came back than went",
              .need = a.size,
              .address = a.data,
              .fix = "put with<guard<>> above the slab to find which"});
    }

    [[nodiscard]] bool no_slot_twice() const noexcept {
      const std::size_t count = stats().idle;
      if (count == 0) return true;
      auto** const all = static_cast<const void**>(std::malloc(count * sizeof(void*)));
      if (all == nullptr) return true;
      std::size_t at = 0;
      for (const slot_class& c : classes_) c.idle.for_each([&](const void* slot) noexcept { all[at++] = slot; });
      std::sort(all, all + at);
      const bool once = std::adjacent_find(all, all + at) == all + at;
      std::free(all);
      return once;
    }

    slot_class classes_[class_count];
    chunk_book chunks_;
  };
};

}  // namespace v0
}  // namespace tokenheap
