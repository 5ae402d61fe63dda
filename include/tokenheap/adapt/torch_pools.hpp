// Graph pools as PyTorch names and counts them, over the pools of a caching allocator.
#pragma once

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
/// Threads   safe; a filter runs under the allocator's lock, on the thread whose request it judges; one that throws has
///           said no
template <class Allocator>
class torch_pools {
 public:
  using handle = typename Allocator::handle;
  using filter = std::function<bool(handle)>;

  torch_pools() noexcept = default;
  torch_pools(const torch_pools&) = delete;
  torch_pools& operator=(const torch_pools&) = delete;
  ~torch_pools() {
    while (first_ != nullptr) delete std::exchange(first_, first_->next);
  }

  /// From now on the streams that `takes` says yes to allocate from this pool, until `end`; none given: every stream.
  [[nodiscard]] const char* begin(Allocator& of, torch_pool_id id, filter takes) noexcept {
    const locked hold(lock_);
    pool* mine = find(id);
    if (mine == nullptr) {
      mine = add(of, id);
      if (mine == nullptr) return "no memory for a graph pool";
    } else if (mine->open) {
      return "a graph pool that is open already";
    } else {
      ++mine->uses;
      static_cast<void>(of.retain_pool(mine->number));
    }
    mine->takes = static_cast<filter&&>(takes);
    const errc code = of.begin_pool(mine->number, {&accepts, mine});
    mine->open = code == errc::ok;
    return mine->open ? nullptr : to_text(code);
  }

  [[nodiscard]] const char* end(Allocator& of, torch_pool_id id) noexcept {
    const locked hold(lock_);
    pool* const mine = find(id);
    if (mine == nullptr) return "a graph pool that was never begun";
    if (!mine->open) return "a graph pool that is not open";
    static_cast<void>(of.end_pool(mine->number));
    mine->open = false;
    mine->takes = {};
    return nullptr;
  }

  /// One user of the pool less.
  [[nodiscard]] const char* release(Allocator& of, torch_pool_id id) noexcept {
    const locked hold(lock_);
    for (pool** at = &first_; *at != nullptr; at = &(*at)->next) {
      pool* const mine = *at;
      if (mine->id != id) continue;
      const bool last = --mine->uses == 0;
      if (last && mine->open) static_cast<void>(of.end_pool(mine->number));
      static_cast<void>(of.release_pool(mine->number));
      if (!last) return nullptr;
      *at = mine->next;
      delete mine;
      return nullptr;
    }
    return "a graph pool that was never begun";
  }

  /// The stream of this thread's request: filters are asked about handles, while the allocator knows identities.
  static void ask_for(handle on) noexcept { current() = on; }

 private:
  struct pool {
    torch_pool_id id{};
    std::uint32_t number = 0;
    filter takes;
    pool* next = nullptr;
    std::size_t uses = 1;
    bool open = false;
  };

  [[nodiscard]] static handle& current() noexcept {
    thread_local handle mine{};
    return mine;
  }
  static bool accepts(void* user, std::uint64_t) noexcept {
    const filter& takes = static_cast<pool*>(user)->takes;
    if (!takes) return true;
#if TOKENHEAP_HAS_EXCEPTIONS
    // PyTorch's own throws where CUDA cannot say whether the stream is captured
    try {
      return takes(current());
    } catch (...) {
      return false;
    }
#else
    return takes(current());
#endif
  }
  [[nodiscard]] pool* find(torch_pool_id id) const noexcept {
    pool* p = first_;
    while (p != nullptr && p->id != id) p = p->next;
    return p;
  }
  [[nodiscard]] pool* add(Allocator& of, torch_pool_id id) noexcept {
    const result<std::uint32_t> number = of.create_pool();
    if (!number) return nullptr;
    pool* const made = new (std::nothrow) pool{id, *number, {}, first_};
    if (made == nullptr) return static_cast<void>(of.release_pool(*number)), nullptr;
    return first_ = made;
  }

  mutex_lock lock_;
  pool* first_ = nullptr;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
