// What each thread keeps for each allocator, found in one compare, and given back when either of them ends.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <mutex>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Finds the cache that the calling thread keeps for one allocator of type `Owner`.
///
/// Owners get a number that is never used again, so that what a thread remembers of an owner that ended cannot be
/// mistaken for another's. When a thread ends, each living owner is told; while it is told, it cannot end. An owner that is
/// lent to a shared object with hidden symbols is served there too, but only told of what its own side of the program keeps.
///
/// Threads   safe
/// Cost      one thread-local load and a compare for the owner that the thread used last; a short walk for others
template <class Owner>
class thread_caches {
 public:
  using thread_ended = void (*)(void* owner, void* cache) noexcept;

  /// Enters an owner and returns its number.
  [[nodiscard]] static std::uint64_t join(void* owner, thread_ended tell) noexcept {
    const std::lock_guard hold(registry().mutex);
    auto* const fresh = static_cast<entry*>(std::malloc(sizeof(entry)));
    // without a place in the registry no thread may keep a cache: number 0 is never found
    if (fresh == nullptr) return 0;
    *fresh = {++registry().last_key, owner, tell, registry().owners};
    registry().owners = fresh;
    return fresh->key;
  }

  /// Takes an owner out; afterwards no thread calls it any more.
  static void leave(std::uint64_t key) noexcept {
    const std::lock_guard hold(registry().mutex);
    for (entry** at = &registry().owners; *at != nullptr; at = &(*at)->next) {
      if ((*at)->key != key) continue;
      entry* const gone = *at;
      *at = gone->next;
      std::free(gone);
      return;
    }
  }

  /// Returns   what this thread keeps for an owner, or null
  [[nodiscard]] TOKENHEAP_INLINE static void* find(std::uint64_t key) noexcept {
    if (last_.key == key) [[likely]] return last_.cache;
    return find_among_others(key);
  }

  /// Remembers a cache for this thread; false if that is impossible.
  [[nodiscard]] static bool keep(std::uint64_t key, void* cache) noexcept {
    if (key == 0) return false;
    auto* const fresh = static_cast<chained*>(std::malloc(sizeof(chained)));
    if (fresh == nullptr) return false;
    *fresh = {key, cache, mine().first};
    mine().first = fresh;
    last_ = {key, cache};
    return true;
  }

 private:
  struct entry {
    std::uint64_t key;
    void* owner;
    thread_ended tell;
    entry* next;
  };
  struct shared_registry {
    std::mutex mutex{};
    std::uint64_t last_key = 0;
    entry* owners = nullptr;
  };
  struct chained {
    std::uint64_t key;
    void* cache;
    chained* next;
  };
  struct remembered {
    std::uint64_t key = 0;
    void* cache = nullptr;
  };

  /// The caches of one thread; its destructor runs when the thread ends.
  struct own_links {
    chained* first = nullptr;

    ~own_links() {
      last_ = {};
      const std::lock_guard hold(registry().mutex);
      while (chained* const l = first) {
        first = l->next;
        for (const entry* e = registry().owners; e != nullptr; e = e->next) {
          if (e->key == l->key) e->tell(e->owner, l->cache);
        }
        std::free(l);
      }
    }
  };

  [[nodiscard]] static shared_registry& registry() noexcept {
    // never destroyed: threads may end after static destructors have run
    alignas(shared_registry) static unsigned char room[sizeof(shared_registry)];
    // a shared object with hidden symbols has a registry of its own, and may be lent our owners: no two give the same numbers
    static auto* const only = ::new (room) shared_registry{.last_key = (address_of(room) >> 12) << 28};
    return *only;
  }
  [[nodiscard]] static own_links& mine() noexcept {
    static thread_local own_links links;
    return links;
  }

  TOKENHEAP_NOINLINE static void* find_among_others(std::uint64_t key) noexcept {
    for (const chained* l = mine().first; l != nullptr; l = l->next) {
      if (l->key != key) continue;
      last_ = {key, l->cache};
      return l->cache;
    }
    return nullptr;
  }

  static constinit inline thread_local remembered last_{};
};

}  // namespace v0
}  // namespace tokenheap
