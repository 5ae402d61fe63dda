// Serves ggml_aligned_malloc and ggml_aligned_free of a program that knows nothing of it, and says who took what.
#pragma once

#include <cstdlib>
#include <new>

#include <pthread.h>

#include <tokenheap/adapt/ggml_owners.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/stats.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What a door has given, in bytes that ggml asked for and bytes that its pages hold.
struct ggml_door_stats {
  gauge asked;          ///< bytes
  gauge held;           ///< bytes of whole pages, what is free in them too
  gauge pieces;
  std::size_t refused = 0;
  std::size_t misused = 0;
  std::size_t lost = 0;  ///< pieces that are counted, but whose owner had no room in the book
};

/// Memory for ggml: large pieces in pages of their own, the others cut from chunks, each with the stack that asked for it.
///
/// For a shared object that a program is started with (`adapt/ggml_symbols.hpp`). Kept: 64 bytes of alignment, null for no
/// bytes and for no memory, null in the give-back, any thread. A large piece goes back to the system at once, chunks that are
/// idle now and then. Lost: nothing.
///
/// Requires  options of the source, if it has any, at construction
/// Fails     null; the reason goes to the failure handler, outside the lock
/// Threads   safe; a fork waits for calls that run, where `guard_forks` was called
/// Cost      a lock, a hash table or two, and a stack walk of 16 frames, outside the lock: about 3 us
template <source Pages>
class ggml_door {
  using floor = layered<Pages, with<counters>>;
  using state = ledger_entry::state;
  static constexpr std::size_t alignment = 64;
  static constexpr std::size_t most_frames = 16;
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

  /// `caller` is where the asking function returns to: frames inside of it are not told.
  [[nodiscard]] void* allocate(std::size_t bytes, void* caller = nullptr) noexcept {
    if (bytes == 0) return nullptr;
    look_back(caller);
    {
      const locked hold(lock_);
      allocation a{};
      if (book_.reserve_one()) a = bytes >= large ? pages_.allocate(bytes, alignment) : cut_.allocate(bytes, alignment);
      if (a) {
        book_.insert(a.data, bytes, a.size);
        asked_.add(bytes);
        pieces_.add(1);
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
    return {.asked = asked_, .held = pages_.template policy<counters>().values().granted, .pieces = pieces_,
            .refused = refused_, .misused = misused_, .lost = samples_.lost()};
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
  struct call_stack {
    void* frames[most_frames];
    std::size_t depth;
  };

  [[nodiscard]] static call_stack& seen() noexcept {
    static thread_local call_stack mine{};
    return mine;
  }
  [[nodiscard]] static ggml_door*& guarded() noexcept {
    static ggml_door* door = nullptr;
    return door;
  }
  /// Walks the stack before the lock is taken: a walk may wait for the dynamic linker, and that for us.
  TOKENHEAP_NOINLINE static void look_back(void* caller) noexcept {
    call_stack& mine = seen();
    mine.depth = walk_by_backtrace(mine.frames, most_frames);
    for (std::size_t k = 0; caller != nullptr && k != mine.depth; ++k) {
      if (mine.frames[k] != caller) continue;
      mine.depth -= k;
      return static_cast<void>(std::memmove(mine.frames, mine.frames + k, mine.depth * sizeof(void*)));
    }
  }
  static std::size_t hand_over(void** frames, std::size_t most) noexcept {
    const call_stack& mine = seen();
    const std::size_t depth = mine.depth < most ? mine.depth : most;
    for (std::size_t k = 0; k != depth; ++k) frames[k] = mine.frames[k];
    return depth;
  }
  [[nodiscard]] static sample_options sampled() noexcept {
    return {.interval = 1, .by = sampling::fixed, .samples = 8192, .stacks = most_stacks, .depth = most_frames,
            .walk = &hand_over};
  }

  void give_back(const ledger_entry& known) noexcept {
    if (is_at_peak() && asked_.peak > noted_peak_) note_peak();
    const allocation a{reinterpret_cast<void*>(known.address), known.granted};
    const std::size_t bytes = known.requested;
    book_.mark(a.data, state::gone);
    asked_.subtract(bytes);
    pieces_.subtract(1);
    samples_.went(address_of(a.data));
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
  gauge asked_, pieces_;
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
