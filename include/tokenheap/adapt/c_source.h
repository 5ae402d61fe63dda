// Where memory comes from, for C: the heap, whole pages, a buffer, functions of the user's own, and an arena or slab above.
#pragma once

#include <tokenheap/adapt/c_status.h>

TOKENHEAP_C_BEGIN

/// A source of memory; all of them are safe to call from any thread.
typedef struct th_source th_source;

/// A piece of memory. Give it back as it came: `bytes` is what was granted, at least what was asked.
typedef struct th_allocation {
  void* data;
  size_t bytes;
} th_allocation;

typedef enum th_source_kind {
  th_source_host = 0,      ///< the heap of the process
  th_source_pages = 1,     ///< whole pages from the kernel, one mapping a piece: for large ones
  th_source_fixed = 2,     ///< a buffer of the user's own, front to back: for few and long-lived pieces
  th_source_callback = 3,  ///< functions of the user's own
  th_source_arena = 4,     ///< chunks of 1 MiB of another source, handed out by moving a pointer, taken back by reset
  th_source_slab = 5       ///< sizes up to 64 KiB out of chunks of 1 MiB of another source, reused one by one
} th_source_kind;

typedef enum th_huge_pages {
  th_huge_none = 0,
  th_huge_transparent = 1,  ///< asks for them
  th_huge_two_mib = 2       ///< takes those that the system set aside; as transparent where there are none
} th_huge_pages;

/// Gives memory at an alignment, or null. It must not throw or jump; no lock is held while it runs, not even that of an
/// arena or a slab which stands on the source.
typedef void* (*th_allocate_call)(void* user, size_t bytes, size_t alignment);
/// Takes back what the other one gave, with the bytes that were asked.
typedef void (*th_deallocate_call)(void* user, void* data, size_t bytes);
/// Asked to free something before a request is refused; not 0 if a retry is worth it. No lock is held while it runs.
typedef int (*th_pressure_call)(void* user, size_t bytes);

/// How a source is made.
typedef struct th_source_options {
  uint32_t size;
  uint32_t version;
  uint32_t kind;        ///< a th_source_kind
  uint32_t huge_pages;  ///< of pages: a th_huge_pages
  const char* name;     ///< for reports; copied, up to 63 characters
  uint64_t limit;       ///< bytes that may be out; 0: no limit
  th_pressure_call on_refusal;
  void* on_refusal_user;
  th_source* below;  ///< of an arena or slab; stays open longer
  void* memory;      ///< of a fixed source; outlives it
  uint64_t memory_bytes;
  th_allocate_call allocate;  ///< of a callback source
  th_deallocate_call deallocate;
  void* user;
  uint32_t bind_node;      ///< of pages: 1 to take them from `node` alone
  uint32_t node;           ///< NUMA node
  uint32_t touch_threads;  ///< of pages: threads that touch each page before the call returns; 0: none
  uint32_t lock_pages;     ///< of pages: 1 to lock them into memory
  uint32_t guard_pages;    ///< of pages: 1 for a page without access before and behind each piece
  uint32_t reserved;
} th_source_options;

/// What a source has given.
typedef struct th_source_stats {
  uint32_t size;
  uint32_t version;
  uint64_t pieces;  ///< out now
  uint64_t bytes;   ///< granted and out now
  uint64_t peak_bytes;
  uint64_t requested_bytes;  ///< of those that are out: before rounding
  uint64_t allocations;      ///< in all
  uint64_t deallocations;
  uint64_t failures;
  uint64_t failed_bytes;
  uint64_t limit;  ///< 0: none
} th_source_stats;

/// Opens a source; null where it cannot be, and `th_last_error` says why. Null options give the heap.
///
/// Threads   safe
TOKENHEAP_C_API th_source* th_source_open(const th_source_options* options) TOKENHEAP_C_NOEXCEPT;
/// Ends a source. `th_in_use`, and nothing changes, while pieces of it are out or anything stands on it.
///
/// Threads   nobody else may call with the handle meanwhile
TOKENHEAP_C_API th_status th_source_close(th_source* source) TOKENHEAP_C_NOEXCEPT;

/// Hands out a piece; alignment 0 stands for 16.
///
/// Fails     out_of_memory, limit_reached, invalid_argument; `out` is {NULL, 0} then
/// Threads   safe
TOKENHEAP_C_API th_status th_source_allocate(th_source* source, size_t bytes, size_t alignment,
                                             th_allocation* out) TOKENHEAP_C_NOEXCEPT;
/// Takes a piece back; {NULL, ...} is fine.
///
/// Fails     double_free, foreign_pointer, interior_pointer, wrong_size; nothing changes then
/// Threads   safe
TOKENHEAP_C_API th_status th_source_deallocate(th_source* source, th_allocation piece) TOKENHEAP_C_NOEXCEPT;
/// Takes everything back at once and keeps the memory: of a fixed source and an arena.
///
/// Fails     unsupported for other kinds; in_use while others stand on it
/// Threads   nobody else may use the source meanwhile
TOKENHEAP_C_API th_status th_source_reset(th_source* source) TOKENHEAP_C_NOEXCEPT;
/// Gives idle chunks of an arena or slab to the source below until at most `keep` bytes of them are left.
///
/// Fails     unsupported for kinds that keep nothing
/// Threads   safe
TOKENHEAP_C_API th_status th_source_trim(th_source* source, size_t keep, size_t* given) TOKENHEAP_C_NOEXCEPT;
/// Threads   safe
TOKENHEAP_C_API th_status th_source_stats_of(th_source* source, th_source_stats* out) TOKENHEAP_C_NOEXCEPT;
/// Changes the limit; what is out stays, and nothing more is given until it is below. 0: no limit.
///
/// Threads   safe
TOKENHEAP_C_API th_status th_source_set_limit(th_source* source, uint64_t bytes) TOKENHEAP_C_NOEXCEPT;
/// Walks the book of the source and its own structures: th_ok, or corrupted.
///
/// Threads   safe
TOKENHEAP_C_API th_status th_source_is_valid(th_source* source) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
