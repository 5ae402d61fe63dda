// A slab shared by threads: each keeps a few slots of its own, and trades them in bulk.
#pragma once

#include <cstdint>
#include <cstdlib>

#include <tokenheap/alloc/over.hpp>
#include <tokenheap/alloc/size_classes.hpp>
#include <tokenheap/alloc/thread_caches.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {

/// The numbers of a layer of magazines, fixed at compile time.
struct magazine_shape {
  std::size_t slots = 64;          ///< slots of one class that change hands at a time
  std::size_t bytes = 256 * KiB;   ///< at most so many bytes of slots in one magazine, so that large ones stay few
};

/// A floor that gives and takes whole batches of one size class: a `slab`.
template <class S>
concept batch_source = source<S> && requires(S& s, std::size_t n, void** slots) {
  { s.take(n, slots, n) } noexcept -> std::same_as<std::size_t>;
  { s.give(n, slots, n) } noexcept -> std::same_as<void>;
  typename S::layer::classes;
};

/// Makes a slab safe for threads, nearly without locking: a thread uses its own magazines of free slots.
///
/// A slot may be freed by another thread than the one that took it: it travels back in a full magazine. Good for
/// objects that many threads make and drop. Not good for a slab that one thread uses, which is faster bare, nor where
/// memory is short: each thread keeps up to two magazines per class that others cannot get at.
///
/// Fails     as the slab; before that, full magazines that nobody holds go back to it
/// Threads   safe, but for construction, destruction and `reset`, which want everybody else out
/// Cost      a load, a compare and a store; one short lock per magazine
template <magazine_shape Shape = magazine_shape{}, lockable Lock = spin_lock>
struct magazines {
  static_assert(Shape.slots >= 2, "magazine_shape::slots: at least 2");

  /// The magazines over what is below them; a column makes it.
  template <batch_source Below>
  class on : public over<Below> {
    using slab_layer = typename Below::layer;
    using classes = typename slab_layer::classes;
    static constexpr std::size_t class_count = classes::count;
    static constexpr std::size_t largest = classes::largest;

    /// An array of slots with a link in front; lives on the heap, never in the slots.
    struct magazine {
      magazine* next;
      [[nodiscard]] void** slots() noexcept { return reinterpret_cast<void**>(this + 1); }
    };
    struct loaded {
      void** top = nullptr;
      void** first = nullptr;
      void** end = nullptr;
    };
    struct cache {
      loaded current[class_count];
      magazine* spare[class_count] = {};
      bool spare_is_full[class_count] = {};
      cache* next = nullptr;
    };

   public:
    using layer = magazines;

    template <class... Options>
    explicit on(const Options&... given) : over<Below>(given...) {
      key_ = caches::join(this, &thread_ended);
    }
    ~on() {
      caches::leave(key_);
      while (cache* const c = all_) {
        all_ = c->next;
        drain(*c);
        std::free(c);
      }
      empty_depot();
      while (magazine* const m = empty_) {
        empty_ = m->next;
        std::free(m);
      }
    }

    [[nodiscard]] TOKENHEAP_INLINE allocation allocate(std::size_t bytes,
                                                       std::size_t alignment = default_alignment) noexcept {
      if (alignment > default_alignment || !is_power_of_two(alignment)) [[unlikely]] {
        if (!is_request(bytes, alignment)) return {};
        bytes = align_up(bytes, alignment);
      }
      if (bytes - 1 >= largest) [[unlikely]] return pass_through(bytes, alignment);
      const std::size_t number = classes::of(bytes);
      cache* const mine = own_cache();
      if (mine != nullptr) [[likely]] {
        loaded& l = mine->current[number];
        if (l.top != l.first) [[likely]] return {*--l.top, size_classes::size(number)};
      }
      return allocate_slowly(mine, number);
    }

    TOKENHEAP_INLINE void deallocate(allocation a) noexcept {
      // null with a size beside it is null: kept as a slot it would go out again
      if (a.data == nullptr) [[unlikely]] return;
      if (a.size - 1 >= largest) [[unlikely]] return give_through(a);
      const std::size_t number = classes::of(a.size);
      cache* const mine = own_cache();
      if (mine != nullptr) [[likely]] {
        loaded& l = mine->current[number];
        if (l.top != l.end) [[likely]] {
          *l.top++ = a.data;
          return;
        }
      }
      deallocate_slowly(mine, number, a);
    }

    /// Takes the full magazines that nobody holds apart and trims the slab; what threads hold stays with them.
    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept {
      const locked hold(lock_);
      flush_own_cache();
      empty_depot();
      return this->below_.trim(keep);
    }

    void reset() noexcept
      requires resettable<Below>
    {
      const locked hold(lock_);
      for (cache* c = all_; c != nullptr; c = c->next) forget(*c);
      for (magazine*& full : full_) {
        while (magazine* const m = full) {
          full = m->next;
          retire(m);
        }
      }
      this->below_.reset();
    }

    [[nodiscard]] bool owns(const void* p) const noexcept
      requires owner<Below>
    {
      const locked hold(lock_);
      return this->below_.owns(p);
    }
    [[nodiscard]] bool is_valid() const noexcept {
      const locked hold(lock_);
      return this->below_.is_valid();
    }
    /// What the slab counts; slots in magazines are live to it.
    [[nodiscard]] auto stats() const noexcept {
      const locked hold(lock_);
      return this->below_.stats();
    }

   private:
    using caches = thread_caches<on>;

    [[nodiscard]] TOKENHEAP_INLINE cache* own_cache() const noexcept { return static_cast<cache*>(caches::find(key_)); }

    [[nodiscard]] static constexpr std::size_t rounds(std::size_t number) noexcept {
      const std::size_t fit = Shape.bytes / size_classes::size(number);
      return fit < 2 ? 2 : (fit < Shape.slots ? fit : Shape.slots);
    }

    TOKENHEAP_NOINLINE allocation allocate_slowly(cache* mine, std::size_t number) noexcept {
      if (mine == nullptr) mine = make_cache();
      const std::size_t size = size_classes::size(number);
      const locked hold(lock_);
      if (mine == nullptr || !prepare(*mine, number)) return take_one(number);
      if (mine->spare_is_full[number]) {
        swap_spare(*mine, number, true);
      } else if (magazine* const full = full_[number]) {
        full_[number] = full->next;
        retire(load(*mine, number, full, true));
      } else {
        loaded& l = mine->current[number];
        const std::size_t taken = this->below_.take(number, l.first, rounds(number));
        l.top = l.first + taken;
        if (taken == 0) return take_one(number);
      }
      return {*--mine->current[number].top, size};
    }

    TOKENHEAP_NOINLINE void deallocate_slowly(cache* mine, std::size_t number, allocation a) noexcept {
      if (!a) return;
      if (mine == nullptr) mine = make_cache();
      const locked hold(lock_);
      if (mine == nullptr || !prepare(*mine, number)) return this->below_.give(number, &a.data, 1);
      loaded& l = mine->current[number];
      if (l.top == l.end) {
        if (!mine->spare_is_full[number]) {
          swap_spare(*mine, number, false);
        } else {
          magazine* const fresh = new_magazine();
          if (fresh == nullptr) return this->below_.give(number, &a.data, 1);
          magazine* const full = load(*mine, number, fresh, false);
          full->next = full_[number];
          full_[number] = full;
        }
      }
      *l.top++ = a.data;
    }

    /// Gives a cache its two magazines of a class; false if the heap has no more.
    [[nodiscard]] bool prepare(cache& c, std::size_t number) noexcept {
      if (c.current[number].first != nullptr) return true;
      magazine* const one = new_magazine();
      magazine* const two = one == nullptr ? nullptr : new_magazine();
      if (two == nullptr) {
        if (one != nullptr) retire(one);
        return false;
      }
      c.current[number] = {one->slots(), one->slots(), one->slots() + rounds(number)};
      c.spare[number] = two;
      c.spare_is_full[number] = false;
      return true;
    }

    static magazine* magazine_of(const loaded& l) noexcept { return reinterpret_cast<magazine*>(l.first) - 1; }

    /// Puts a full or empty magazine into a cache and returns the one that was there.
    static magazine* load(cache& c, std::size_t number, magazine* m, bool full) noexcept {
      loaded& l = c.current[number];
      magazine* const old = magazine_of(l);
      void** const first = m->slots();
      l = {full ? first + rounds(number) : first, first, first + rounds(number)};
      return old;
    }
    static void swap_spare(cache& c, std::size_t number, bool full) noexcept {
      c.spare[number] = load(c, number, c.spare[number], full);
      c.spare_is_full[number] = !full;
    }

    [[nodiscard]] allocation take_one(std::size_t number) noexcept {
      void* slot = nullptr;
      if (this->below_.take(number, &slot, 1) == 1) return {slot, size_classes::size(number)};
      empty_depot();
      static_cast<void>(this->below_.trim(0));
      return this->below_.take(number, &slot, 1) == 1 ? allocation{slot, size_classes::size(number)} : allocation{};
    }

    [[nodiscard]] magazine* new_magazine() noexcept {
      if (magazine* const m = empty_) {
        empty_ = m->next;
        return m;
      }
      return static_cast<magazine*>(std::malloc(sizeof(magazine) + Shape.slots * sizeof(void*)));
    }
    void retire(magazine* m) noexcept {
      m->next = empty_;
      empty_ = m;
    }

    void empty_depot() noexcept {
      for (std::size_t number = 0; number != class_count; ++number) {
        while (magazine* const m = full_[number]) {
          full_[number] = m->next;
          this->below_.give(number, m->slots(), rounds(number));
          retire(m);
        }
      }
    }

    void forget(cache& c) noexcept {
      for (std::size_t number = 0; number != class_count; ++number) {
        if (c.current[number].first == nullptr) continue;
        retire(magazine_of(c.current[number]));
        retire(c.spare[number]);
        c.current[number] = {};
        c.spare_is_full[number] = false;
      }
    }
    /// Gives all slots of a cache to the slab and its magazines to the depot.
    void drain(cache& c) noexcept {
      for (std::size_t number = 0; number != class_count; ++number) {
        const loaded& l = c.current[number];
        if (l.first == nullptr) continue;
        if (l.top != l.first) this->below_.give(number, l.first, static_cast<std::size_t>(l.top - l.first));
        if (c.spare_is_full[number]) this->below_.give(number, c.spare[number]->slots(), rounds(number));
      }
      forget(c);
    }
    void flush_own_cache() noexcept {
      if (cache* const mine = own_cache()) drain(*mine);
    }

    TOKENHEAP_COLD cache* make_cache() noexcept {
      void* const room = std::calloc(1, sizeof(cache));
      if (room == nullptr) return nullptr;
      cache* const fresh = ::new (room) cache();
      if (!caches::keep(key_, fresh)) {
        std::free(fresh);
        return nullptr;
      }
      const locked hold(lock_);
      fresh->next = all_;
      all_ = fresh;
      return fresh;
    }

    /// Runs in a thread that ends, while this allocator cannot go away.
    static void thread_ended(void* self, void* ended) noexcept {
      on& layer = *static_cast<on*>(self);
      auto* const c = static_cast<cache*>(ended);
      const locked hold(layer.lock_);
      layer.drain(*c);
      cache** at = &layer.all_;
      while (*at != c) at = &(*at)->next;
      *at = c->next;
      std::free(c);
    }

    TOKENHEAP_NOINLINE allocation pass_through(std::size_t bytes, std::size_t alignment) noexcept {
      const locked hold(lock_);
      return this->below_.allocate(bytes, alignment);
    }
    TOKENHEAP_NOINLINE void give_through(allocation a) noexcept {
      if (!a) return;
      const locked hold(lock_);
      this->below_.deallocate(a);
    }

    std::uint64_t key_ = 0;
    TOKENHEAP_NO_UNIQUE_ADDRESS mutable Lock lock_;
    magazine* full_[class_count] = {};
    magazine* empty_ = nullptr;
    cache* all_ = nullptr;
  };
};

}  // namespace v0
}  // namespace tokenheap
