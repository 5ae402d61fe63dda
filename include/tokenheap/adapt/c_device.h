// Device memory for C, in the order of streams: a caching allocator over a CUDA device or a simulated one.
#pragma once

#include <tokenheap/adapt/c_source.h>

TOKENHEAP_C_BEGIN

/// The caching allocator of one device. Safe to call from any thread.
typedef struct th_gpu th_gpu;

typedef enum th_device_kind {
  th_device_simulated = 0,  ///< streams and memory on the CPU; its addresses hold nothing unless it is `backed`
  th_device_cuda = 1        ///< where the library was built with CUDA
} th_device_kind;

/// What a piece is for. Each class lies in segments of its own, so that long and short lives do not mix.
typedef enum th_memory_class {
  th_memory_general = 0,
  th_memory_weights = 1,
  th_memory_kv = 2,
  th_memory_activations = 3,
  th_memory_scratch = 4,
  th_memory_communication = 5  ///< plain allocations of the device, that other libraries can register and share
} th_memory_class;

/// How a caching allocator is made.
typedef struct th_gpu_options {
  uint32_t size;
  uint32_t version;
  uint32_t kind;     ///< a th_device_kind
  uint32_t ordinal;  ///< of the device; 0 of a simulated one
  const char* name;  ///< for reports; copied
  uint64_t limit;    ///< bytes that may be taken from the device; 0: no limit
  uint64_t device_bytes;    ///< of a simulated device; 0: 8 GiB
  uint64_t address_space;   ///< reserved for a growable segment; 0: 9/8 of the device's memory
  uint64_t max_split;       ///< pieces from this size on are not split for smaller requests; 0: all are
  uint32_t divisions;       ///< sizes per doubling that requests are rounded up to: 0 (none), 2, 4, 8, ...
  uint32_t backed;          ///< 1: memory of a simulated device is real memory
  double collect_above;     ///< share of the device above which idle memory goes back before more is taken; 0: never
  th_pressure_call on_pressure;  ///< asked before a request is refused
  void* on_pressure_user;
} th_gpu_options;

/// A request for device memory.
typedef struct th_gpu_request {
  uint32_t size;
  uint32_t version;
  uint64_t bytes;
  uint64_t alignment;     ///< 0: 512, which every piece has at least
  uint32_t memory_class;  ///< a th_memory_class
  uint32_t only_cached;   ///< 1: refuse rather than ask the device
} th_gpu_request;

/// Bytes and counts as `torch.cuda.memory_stats()` means them.
typedef struct th_gpu_stats {
  uint32_t size;
  uint32_t version;
  uint64_t pieces;           ///< out now
  uint64_t allocated_bytes;  ///< out now, after rounding
  uint64_t allocated_peak;
  uint64_t requested_bytes;  ///< out now, before rounding
  uint64_t reserved_bytes;   ///< taken from the device
  uint64_t reserved_peak;
  uint64_t cached_bytes;   ///< of these: free
  uint64_t pending_bytes;  ///< of these: given back, but another stream may still use them
  uint64_t largest_free;   ///< bytes of the largest free piece
  uint64_t allocations;    ///< in all
  uint64_t device_allocations;  ///< segments and mappings taken from the device
  uint64_t device_frees;
  uint64_t device_waits;  ///< for all streams
  uint64_t retries;       ///< requests that the device refused at first
  uint64_t failures;      ///< requests that were refused
} th_gpu_stats;

typedef enum th_snapshot_format {
  th_snapshot_pickle = 0,  ///< for https://docs.pytorch.org/memory_viz and torch.cuda._memory_viz
  th_snapshot_json = 1
} th_snapshot_format;

/// Opens the allocator of a device. A CUDA device that is not there is `th_no_device` here, and not at the first request.
///
/// Threads   safe
TOKENHEAP_C_API th_gpu* th_gpu_open(const th_gpu_options* options) TOKENHEAP_C_NOEXCEPT;
/// Gives everything back to the device. `th_in_use`, and nothing changes, while pieces are out.
///
/// Threads   nobody else may call with the handle meanwhile
TOKENHEAP_C_API th_status th_gpu_close(th_gpu* gpu) TOKENHEAP_C_NOEXCEPT;

/// Hands out memory for work that is enqueued on a stream from now on. Streams are cudaStream_t; null is the default one.
///
/// Fails     the whole shortage is in th_last_error: what is reserved, cached, pending, free on the device, and held by whom
/// Threads   safe
TOKENHEAP_C_API th_status th_gpu_allocate(th_gpu* gpu, void* stream, size_t bytes, th_allocation* out) TOKENHEAP_C_NOEXCEPT;
/// The same with a memory class and an alignment.
///
/// Threads   safe
TOKENHEAP_C_API th_status th_gpu_allocate_as(th_gpu* gpu, void* stream, const th_gpu_request* request,
                                             th_allocation* out) TOKENHEAP_C_NOEXCEPT;
/// Takes a piece back: all uses so far are ordered before what is enqueued on the stream from now on. {NULL, ...} is fine.
///
/// Fails     double_free, foreign_pointer, interior_pointer, wrong_size; nothing changes then
/// Threads   safe
TOKENHEAP_C_API th_status th_gpu_deallocate(th_gpu* gpu, void* stream, th_allocation piece) TOKENHEAP_C_NOEXCEPT;
/// Notes that another stream uses a piece: nobody gets it before that stream is done with what it has now.
///
/// Threads   safe
TOKENHEAP_C_API th_status th_gpu_record_stream(th_gpu* gpu, th_allocation piece, void* stream) TOKENHEAP_C_NOEXCEPT;
/// Says that a stream will be destroyed. th_stream_destroy says so itself.
///
/// Threads   safe
TOKENHEAP_C_API th_status th_gpu_retire(th_gpu* gpu, void* stream) TOKENHEAP_C_NOEXCEPT;
/// Gives idle memory back to the device until at most `keep` bytes of it are left; `given` (may be null) is how many went.
///
/// Threads   safe; waits for the streams whose memory goes
TOKENHEAP_C_API th_status th_gpu_trim(th_gpu* gpu, size_t keep, size_t* given) TOKENHEAP_C_NOEXCEPT;
/// Changes the limit; 0: none.
///
/// Threads   safe
TOKENHEAP_C_API th_status th_gpu_set_limit(th_gpu* gpu, uint64_t bytes) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_gpu_stats_of(th_gpu* gpu, th_gpu_stats* out) TOKENHEAP_C_NOEXCEPT;
/// One line about the allocator; `length` (may be null) is that of the whole line.
TOKENHEAP_C_API th_status th_gpu_dump(th_gpu* gpu, char* out, size_t room, size_t* length) TOKENHEAP_C_NOEXCEPT;
/// Walks everything: th_ok, or corrupted.
TOKENHEAP_C_API th_status th_gpu_is_valid(th_gpu* gpu) TOKENHEAP_C_NOEXCEPT;
/// Writes segments, pieces and the last 4,096 events to a file, which is replaced.
///
/// Fails     system_refused where the file cannot be written; out_of_memory
/// Threads   safe; the allocator is locked for one copy
TOKENHEAP_C_API th_status th_gpu_snapshot(th_gpu* gpu, const char* path, uint32_t format) TOKENHEAP_C_NOEXCEPT;

/// A stream of the allocator's device: for a simulated one, and for programs that do not call CUDA themselves.
TOKENHEAP_C_API th_status th_stream_create(th_gpu* gpu, void** stream) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_stream_destroy(th_gpu* gpu, void* stream) TOKENHEAP_C_NOEXCEPT;
/// Waits for all work of the stream.
TOKENHEAP_C_API th_status th_stream_synchronize(th_gpu* gpu, void* stream) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
