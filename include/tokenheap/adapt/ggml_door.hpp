// Serves ggml_aligned_malloc and ggml_aligned_free of a program that knows nothing of it, and says who took what.
#pragma once

#include <cstdlib>
#include <new>

#include <pthread.h>

#include <tokenheap/adapt/ggml_call.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What a door has given, in bytes that ggml asked for and bytes that were taken from the system for them.
struct ggml_door_stats {
  gauge asked;   ///< bytes
  gauge pieces;
  std::size_t held = 0;       ///< bytes of whole pages, what is free in them too, and of pieces of the heap
  std::size_t held_peak = 0;
  std::size_t in_heap = 0;    ///< pieces of the heap that are out, as far as the door was told
  std::size_t refused = 0;
  std::size_t misused = 0;
  std::size_t unseen = 0;     ///< pieces of the heap that ended by free()
  std::size_t lost = 0;       ///< pieces that are counted, but whose owner had no room in the book
};

/// Memory for ggml: large pieces in pages of their own, the others cut from chunks, each with the stack that asked for it.
///
/// For a shared object that a program is started with (`adapt/ggml_symbols.hpp`). Kept: 64 bytes of alignment, null for no
/// bytes and for no memory, null in the give-back, any thread; and free() for what others than libggml-base ask for, who get
/// memory of the heap: ggml's AMX buffers end so. A large piece goes back to the system at once, chunks that are idle now
/// and then. Lost: the end of a piece by free() is seen late or never.
///
/// Requires  options of the source, if it has any, at construction
/// Fails     null; the reason goes to the failure handler, outside the lock
/// Threads   safe; a fork waits for calls that run, where `guard_forks` was called
/// Cost      about 0.3 us more than the heap for a call that came before, else a stack walk of 3 us and more, under no lock
template <source Pages>
class ggml_door {
  using floor = layered<Pages, with<counters>>;
  using state = ledger_entry::state;
  static constexpr std::size_t alignment = 64;
  static constexpr std::size_t heap_mark = 1;  // granted sizes are multiples of 64, so the last bit is free to say from where
  static constexpr std::size_t most_stacks = 1024;

 public:
  static constexpr std::size_t large = 64 * KiB;      ///< what has pages of its own, and the chunks of the rest
  static constexpr std::size_t idle_kept = 16 * large;  ///< bytes of idle chunks that stay for the next pieces

  template <class... Options>
  explicit ggml_door(const Options&... given) : pages_(given...), cut_(source_ref(pages_)), samples_(sampled()) {
    at_peak_ = static_cast<moment*>(std::calloc(most_stacks + 1, sizeof(moment)));
  }
  ggml_door(const ggml_door&) = delete;
  ggml_door& operator=(const ggml_door&) = delete;
  ~ggml_door() { std::free(at_peak_); }

  /// `caller` is where the asking function returns to: frames inside of it are not told. Null, or in libggml-base: pages.
  [[nodiscard]] void* allocate(std::size_t bytes, void* caller = nullptr) noexcept {
    if (bytes == 0) return nullptr;
    // before the lock is taken: a walk may wait for the dynamic linker, and that for us
    const bool from_heap = !ggml_call::mine().look_back(caller);
    {
      const locked hold(lock_);
      if (const allocation a = take(bytes, from_heap)) {
        // the heap gives an address anew that was given to free() before
        if (const ledger_entry* const old = book_.find(a.data); old != nullptr && old->is() == state::live) end(*old), ++unseen_;
        book_.insert(a.data, bytes, a.size | (from_heap ? heap_mark : 0));
        asked_.add(bytes);
        pieces_.add(1);
        if (from_heap) in_heap_.add(bytes), ++heap_pieces_;
        if (const std::size_t now = held(); now > held_peak_) held_peak_ = now;
        samples_.came(address_of(a.data), bytes);
        return a.data;
      }
      ++refused_;
    }
    report({.code = errc::out_of_memory, .pool = "ggml", .what = "bytes", .need = bytes,
            .fix = "take a smaller model, context or batch, or raise ulimit -v and the limit of the container"});
    return nullptr;
  }

  /// Takes back what `allocate` gave; anything else is reported and left alone.
  void deallocate(void* p) noexcept {
    if (p == nullptr) return;
    errc wrong = errc::foreign_pointer;
    {
      const locked hold(lock_);
      const ledger_entry* const known = book_.find(p);
      if (known != nullptr && known->is() == state::live) return give_back(*known);
      if (known != nullptr) wrong = errc::double_free;
      ++misused_;
    }
    report({.code = wrong, .pool = "ggml", .what = "an address given to ggml_aligned_free", .address = p,
            .fix = "free each piece once, by the ggml that gave it"});
  }

  [[nodiscard]] ggml_door_stats stats() const noexcept {
    const locked hold(lock_);
    return {.asked = asked_, .pieces = pieces_, .held = held(), .held_peak = held_peak_, .in_heap = heap_pieces_,
            .refused = refused_, .misused = misused_, .unseen = unseen_, .lost = samples_.lost()};
  }
  [[nodiscard]] bool is_valid() const noexcept {
    const locked hold(lock_);
    return cut_.is_valid() && book_.is_valid() && book_.live() == pieces_.current;
  }

  /// Every stack that asked, `visit(const sampled_stack&, bytes at the peak)`, as it was when this was called; no lock is
  /// held while visiting. Cost: a copy of all stacks
  template <class Visit>
  void for_each_stack(Visit&& visit) const {
    auto* const copies = static_cast<copied_stack*>(std::calloc(most_stacks + 1, sizeof(copied_stack)));
    std::size_t count = 0;
    if (copies != nullptr) {
      const locked hold(lock_);
      std::size_t noted = 0;
      samples_.for_each_stack([&](const sampled_stack& s) {
        const bool known = noted != moments_ && at_peak_[noted].stack == &s;
        const std::size_t then = known ? at_peak_[noted++].bytes : 0;
        copies[count++] = {s, is_at_peak() ? s.live_bytes : then};
      });
    }
    for (std::size_t k = 0; k != count; ++k) visit(copies[k].now, copies[k].peak_bytes);
    std::free(copies);
  }

  /// Sums up by owner, most bytes at the peak first. Cost: the names of all stacks
  void sum_up(ggml_owner_table& to) const {
    for_each_stack([&](const sampled_stack& s, std::size_t peak_bytes) {
      ggml_owner& o = to.of(s);
      o.peak_bytes += peak_bytes;
      o.now_bytes += s.live_bytes;
      o.now_pieces += s.live_samples;
      o.ever_pieces += s.total_samples;
    });
    to.sort();
  }

  /// From now on a child process finds this door unlocked; one door of a process at a time, and it never ends.
  void guard_forks() noexcept {
    guarded() = this;
    [[maybe_unused]] static const int once = ::pthread_atfork(
        [] { guarded()->lock_.lock(); }, [] { guarded()->lock_.unlock(); }, [] { guarded()->lock_.unlock(); });
  }

 private:
  struct moment {
    const sampled_stack* stack;
    std::size_t bytes;
  };
  struct copied_stack {
    sampled_stack now;
    std::size_t peak_bytes;
  };
  [[nodiscard]] static ggml_door*& guarded() noexcept {
    static ggml_door* door = nullptr;
    return door;
  }
  [[nodiscard]] static sample_options sampled() noexcept {
    return {.interval = 1, .by = sampling::fixed, .samples = 8192, .stacks = most_stacks, .depth = ggml_call::most_frames,
            .walk = &ggml_call::hand_over};
  }

  [[nodiscard]] allocation take(std::size_t bytes, bool from_heap) noexcept {
    if (!book_.reserve_one()) return {};
    if (!from_heap) return bytes >= large ? pages_.allocate(bytes, alignment) : cut_.allocate(bytes, alignment);
    allocation a = heap_.allocate(bytes, alignment);
    a.size = align_down(a.size, 2);
    return a;
  }
  [[nodiscard]] std::size_t held() const noexcept {
    return pages_.template policy<counters>().values().granted.current + in_heap_.current;
  }
  /// Takes a piece out of the books.
  void end(const ledger_entry& known) noexcept {
    if (is_at_peak() && asked_.peak > noted_peak_) note_peak();
    void* const at = reinterpret_cast<void*>(known.address);
    const std::size_t bytes = known.requested;
    if ((known.granted & heap_mark) != 0) in_heap_.subtract(bytes), --heap_pieces_;
    book_.mark(at, state::gone);
    asked_.subtract(bytes);
    pieces_.subtract(1);
    samples_.went(address_of(at));
  }
  void give_back(const ledger_entry& known) noexcept {
    const allocation a{reinterpret_cast<void*>(known.address), known.granted};
    const std::size_t bytes = known.requested;
    end(known);
    if ((a.size & heap_mark) != 0) return heap_.deallocate(a);
    if (bytes >= large) return pages_.deallocate(a);
    cut_.deallocate(a);
    // looking for idle chunks walks over all of them
    if (++given_back_ % 64 == 0) static_cast<void>(cut_.trim(idle_kept));
  }
  [[nodiscard]] bool is_at_peak() const noexcept { return asked_.current == asked_.peak; }
  /// Nothing came back since the peak, so what each stack holds now is what it held then.
  TOKENHEAP_COLD void note_peak() noexcept {
    noted_peak_ = asked_.peak;
    moments_ = 0;
    if (at_peak_ == nullptr) return;
    samples_.for_each_stack([&](const sampled_stack& s) {
      if (s.live_bytes != 0) at_peak_[moments_++] = {&s, s.live_bytes};
    });
  }

  mutable mutex_lock lock_;
  floor pages_;
  layered<source_ref, ranges<ranges_shape{.chunk = large, .granularity = alignment}>> cut_;
  ledger book_;
  allocation_samples samples_;
  TOKENHEAP_NO_UNIQUE_ADDRESS host_source heap_;
  gauge asked_, pieces_, in_heap_;
  std::size_t heap_pieces_ = 0;
  std::size_t held_peak_ = 0;
  std::size_t unseen_ = 0;
  std::size_t refused_ = 0;
  std::size_t misused_ = 0;
  moment* at_peak_ = nullptr;
  std::size_t moments_ = 0;
  std::size_t noted_peak_ = 0;
  std::size_t given_back_ = 0;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
