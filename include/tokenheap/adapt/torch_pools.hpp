// Graph pools as PyTorch names and counts them, over the pools of a caching allocator.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// The number of a graph pool as PyTorch writes it.
using torch_pool_id = std::pair<unsigned long long, unsigned long long>;

/// The graph pools of one device: which number of PyTorch's is which pool, and how often each was begun.
///
/// For `torch_door`, and for programs that subclass PyTorch's allocator in C++. PyTorch releases a pool once for each
/// time that it began it; the memory can go after the last one.
///
/// Requires  an allocator that is always the same
/// Returns   null, or why nothing was done
/// Threads   safe; a filter runs under no lock, on the thread whose request it judges; one that throws has said no
template <class Allocator>
class torch_pools {
 public:
  using handle = typename Allocator::handle;
  using filter = std::function<bool(handle)>;
  static constexpr std::size_t most_open = 16;

  torch_pools() noexcept = default;
  torch_pools(const torch_pools&) = delete;
  torch_pools& operator=(const torch_pools&) = delete;
  ~torch_pools() {
    while (first_ != nullptr) {
      drop(first_->takes);
      delete std::exchange(first_, first_->next);
    }
  }

  /// From now on the streams that `takes` says yes to allocate from this pool, until `end`; none given: every stream.
  [[nodiscard]] const char* begin(Allocator& of, torch_pool_id id, filter takes) noexcept {
    const locked hold(lock_);
    pool* mine = find(id);
    if (mine != nullptr && mine->open) return "a graph pool that is open already";
    if (open_.load(std::memory_order_relaxed) == most_open) return "16 graph pools are open already: end one of them first";
    shared_filter* const kept = new (std::nothrow) shared_filter{static_cast<filter&&>(takes)};
    if (kept == nullptr) return "no memory for a graph pool";
    if (mine == nullptr) {
      mine = add(of, id);
      if (mine == nullptr) return drop(kept), "no memory for a graph pool";
    } else {
      ++mine->uses;
      static_cast<void>(of.retain_pool(mine->number));
    }
    const errc code = of.begin_pool(mine->number, {&accepts, kept});
    if (code != errc::ok) return drop(kept), static_cast<void>(release_locked(of, id)), to_text(code);
    mine->takes = kept, mine->open = true;
    open_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }

  [[nodiscard]] const char* end(Allocator& of, torch_pool_id id) noexcept {
    const locked hold(lock_);
    pool* const mine = find(id);
    if (mine == nullptr) return "a graph pool that was never begun";
    if (!mine->open) return "a graph pool that is not open";
    close(of, *mine);
    return nullptr;
  }

  /// One user of the pool less.
  [[nodiscard]] const char* release(Allocator& of, torch_pool_id id) noexcept {
    const locked hold(lock_);
    return release_locked(of, id);
  }

  /// Asks the filters of all open pools about the stream of this thread's next request.
  ///
  /// The allocator learns the answers under its lock: filters are asked before, about handles, which it does not know.
  void ask_for(handle on) noexcept {
    answers& said = of_thread();
    said.count = 0;
    if (open_.load(std::memory_order_relaxed) == 0) return;
    shared_filter* asked[most_open];
    std::size_t n = 0;
    {
      const locked hold(lock_);
      for (pool* p = first_; p != nullptr; p = p->next)
        if (p->open) p->takes->users.fetch_add(1, std::memory_order_relaxed), asked[n++] = p->takes;
    }
    for (std::size_t k = 0; k != n; ++k) {
      if (says_yes(asked[k]->takes, on)) said.yes[said.count++] = asked[k]->serial;
      drop(asked[k]);
    }
  }

 private:
  /// Lives as long as its pool is open, or somebody asks it.
  struct shared_filter {
    filter takes;
    std::uint64_t serial = next_serial();
    std::atomic<std::size_t> users{1};
  };
  struct pool {
    torch_pool_id id{};
    std::uint32_t number = 0;
    shared_filter* takes = nullptr;
    pool* next = nullptr;
    std::size_t uses = 1;
    bool open = false;
  };
  struct answers {
    std::uint64_t yes[most_open];
    std::size_t count = 0;
  };

  [[nodiscard]] static std::uint64_t next_serial() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
  }
  [[nodiscard]] static answers& of_thread() noexcept {
    thread_local answers mine;
    return mine;
  }
  static void drop(shared_filter* f) noexcept {
    if (f != nullptr && f->users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete f;
  }
  [[nodiscard]] static bool says_yes(const filter& takes, handle on) noexcept {
    if (!takes) return true;
#if TOKENHEAP_HAS_EXCEPTIONS
    // PyTorch's own throws where CUDA cannot say whether the stream is captured
    try {
      return takes(on);
    } catch (...) {
      return false;
    }
#else
    return takes(on);
#endif
  }
  static bool accepts(void* user, std::uint64_t) noexcept {
    const answers& said = of_thread();
    for (std::size_t k = 0; k != said.count; ++k)
      if (said.yes[k] == static_cast<shared_filter*>(user)->serial) return true;
    return false;
  }
  [[nodiscard]] const char* release_locked(Allocator& of, torch_pool_id id) noexcept {
    for (pool** at = &first_; *at != nullptr; at = &(*at)->next) {
      pool* const mine = *at;
      if (mine->id != id) continue;
      const bool last = --mine->uses == 0;
      if (last && mine->open) close(of, *mine);
      static_cast<void>(of.release_pool(mine->number));
      if (!last) return nullptr;
      *at = mine->next;
      delete mine;
      return nullptr;
    }
    return "a graph pool that was never begun";
  }
  void close(Allocator& of, pool& p) noexcept {
    static_cast<void>(of.end_pool(p.number));
    p.open = false;
    drop(std::exchange(p.takes, nullptr));
    open_.fetch_sub(1, std::memory_order_relaxed);
  }
  [[nodiscard]] pool* find(torch_pool_id id) const noexcept {
    pool* p = first_;
    while (p != nullptr && p->id != id) p = p->next;
    return p;
  }
  [[nodiscard]] pool* add(Allocator& of, torch_pool_id id) noexcept {
    const result<std::uint32_t> number = of.create_pool();
    if (!number) return nullptr;
    pool* const made = new (std::nothrow) pool{id, *number, nullptr, first_};
    if (made == nullptr) return static_cast<void>(of.release_pool(*number)), nullptr;
    return first_ = made;
  }

  mutex_lock lock_;
  pool* first_ = nullptr;
  std::atomic<std::size_t> open_{0};
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
