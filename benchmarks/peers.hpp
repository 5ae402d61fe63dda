// The allocators that the workloads run on beside ours: general ones by dlopen, pools, and hand-written limits.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <mutex>
#include <utility>
#include <vector>

#ifdef TOKENHEAP_HAS_BOOST_POOL
#include <boost/pool/pool.hpp>
#endif

namespace peers {

/// A general allocator called through two function pointers, as a program calls it through its PLT.
struct general {
  void* (*take)(std::size_t) = nullptr;
  void (*give)(void*) = nullptr;
  explicit operator bool() const { return take != nullptr && give != nullptr; }
};

inline general open_library([[maybe_unused]] const char* path, [[maybe_unused]] const char* take,
                            [[maybe_unused]] const char* give) {
  general g;
  // RTLD_LOCAL: a peer must not become the process's malloc
  void* const library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return g;
  g.take = reinterpret_cast<void* (*)(std::size_t)>(::dlsym(library, take));
  g.give = reinterpret_cast<void (*)(void*)>(::dlsym(library, give));
  return g;
}

inline general glibc() { return {&std::malloc, &std::free}; }
inline general mimalloc() {
#ifdef TOKENHEAP_MIMALLOC_LIBRARY
  return open_library(TOKENHEAP_MIMALLOC_LIBRARY, "mi_malloc", "mi_free");
#else
  return {};
#endif
}
inline general jemalloc() {
#ifdef TOKENHEAP_JEMALLOC_LIBRARY
  return open_library(TOKENHEAP_JEMALLOC_LIBRARY, "malloc", "free");
#else
  return {};
#endif
}
inline general tcmalloc() {
#ifdef TOKENHEAP_TCMALLOC_LIBRARY
  return open_library(TOKENHEAP_TCMALLOC_LIBRARY, "tc_malloc", "tc_free");
#else
  return {};
#endif
}

/// The general allocators that are installed, by name.
inline std::vector<std::pair<const char*, general>> generals() {
  std::vector<std::pair<const char*, general>> all = {
      {"glibc", glibc()}, {"mimalloc", mimalloc()}, {"jemalloc", jemalloc()}, {"tcmalloc", tcmalloc()}};
  std::erase_if(all, [](const auto& peer) { return !peer.second; });
  return all;
}

/// Any general allocator in the shape that the workloads use: sizes come back.
struct general_pool {
  general calls;
  void* take(std::size_t bytes) { return calls.take(bytes); }
  void give(void* p, std::size_t) { calls.give(p); }
};

#ifdef TOKENHEAP_HAS_BOOST_POOL
template <std::size_t Slot>
struct boost_pool {
  boost::pool<> pool{Slot};
  void* take(std::size_t) { return pool.malloc(); }
  void give(void* p, std::size_t) { pool.free(p); }
};
#endif

struct pmr_pool {
  std::pmr::unsynchronized_pool_resource pool{{.max_blocks_per_chunk = 0, .largest_required_pool_block = 8192}};
  void* take(std::size_t bytes) { return pool.allocate(bytes, 16); }
  void give(void* p, std::size_t bytes) { pool.deallocate(p, bytes, 16); }
};

// the limits: what the machine allows to code that checks nothing and serves one purpose

/// One size, free slots in a list through the slots.
template <std::size_t Slot>
struct list_limit {
  std::vector<void*> chunks;
  void* head = nullptr;
  ~list_limit() {
    for (void* c : chunks) std::free(c);
  }
  void* take(std::size_t) {
    if (head == nullptr) [[unlikely]] refill();
    void* const p = head;
    head = *static_cast<void**>(p);
    return p;
  }
  void give(void* p, std::size_t) {
    *static_cast<void**>(p) = head;
    head = p;
  }
  __attribute__((noinline)) void refill() {
    auto* const c = static_cast<unsigned char*>(std::malloc(64 * Slot));
    chunks.push_back(c);
    for (std::size_t k = 64; k-- > 0;) give(c + k * Slot, Slot);
  }
};

/// One size, free slots as a stack of pointers.
template <std::size_t Slot>
struct stack_limit {
  std::vector<void*> chunks;
  std::vector<void*> room;
  void** top = nullptr;
  void** first = nullptr;
  ~stack_limit() {
    for (void* c : chunks) std::free(c);
  }
  void* take(std::size_t) {
    if (top == first) [[unlikely]] refill();
    return *--top;
  }
  void give(void* p, std::size_t) { *top++ = p; }
  __attribute__((noinline)) void refill() {
    auto* const c = static_cast<unsigned char*>(std::malloc(64 * Slot));
    chunks.push_back(c);
    room.resize(room.size() + 64);
    first = top = room.data();
    for (std::size_t k = 64; k-- > 0;) give(c + k * Slot, Slot);
  }
};

/// Sizes up to 4 KiB in classes of 64 bytes, each a stack of pointers.
struct classes_limit {
  stack_limit<64> unused;
  struct one {
    std::vector<void*> chunks, room;
    void** top = nullptr;
    void** first = nullptr;
  };
  one all[65];
  ~classes_limit() {
    for (one& o : all)
      for (void* c : o.chunks) std::free(c);
  }
  void* take(std::size_t bytes) {
    one& o = all[(bytes + 63) / 64];
    if (o.top == o.first) [[unlikely]] refill(o, (bytes + 63) / 64 * 64);
    return *--o.top;
  }
  void give(void* p, std::size_t bytes) { *all[(bytes + 63) / 64].top++ = p; }
  __attribute__((noinline)) static void refill(one& o, std::size_t slot) {
    auto* const c = static_cast<unsigned char*>(std::malloc(64 * slot));
    o.chunks.push_back(c);
    o.room.resize(o.room.size() + 64);
    o.first = o.top = o.room.data();
    for (std::size_t k = 64; k-- > 0;) *o.top++ = c + k * slot;
  }
};

}  // namespace peers
