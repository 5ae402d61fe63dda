// PyTorch's door for other people's allocators: CUDAPluggableAllocator and MemPool, over one caching allocator per device.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include <tokenheap/adapt/torch_pools.hpp>
#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Serves PyTorch's calls: memory by device ordinal and stream handle, with one caching allocator for each device.
///
/// For a shared object whose symbols PyTorch loads (`adapt/torch_symbols.hpp`). Kept: streams, `record_stream`, graph
/// pools with their filters, the memory fraction, emptying the cache. Lost, because PyTorch asks its own allocator
/// alone: its statistics, snapshot and history; `adapt/torch_report.hpp` writes ours in PyTorch's form. The recommended
/// route is a pool, `torch.cuda.MemPool(allocator.allocator())`: PyTorch then keeps its own cache, statistics and
/// `record_stream` above these segments.
///
/// Requires  streams that PyTorch keeps (its own are never destroyed)
/// Fails     null, as PyTorch expects it; the reason is `last_error()` of the thread
/// Threads   safe
/// Streams   as `caching_allocator`
/// Cost      that of the caching allocator, and one question of the device for the identity of the stream
template <device Device, class Policy = default_caching_policy>
class torch_door {
 public:
  using heap = caching_allocator<Device, Policy>;
  using stream = typename Device::stream;
  using handle = typename heap::handle;
  using filter = typename torch_pools<heap>::filter;
  static constexpr int most_devices = 64;

  explicit torch_door(const caching_options& with = {.name = "torch"}) noexcept : with_(with) {}
  torch_door(const torch_door&) = delete;
  torch_door& operator=(const torch_door&) = delete;
  ~torch_door() {
    for (std::atomic<per_device*>& d : devices_) delete d.load();
  }

  /// The one of the process. It is never destroyed: PyTorch frees tensors until the very end.
  [[nodiscard]] static torch_door& here() noexcept {
    alignas(torch_door) static unsigned char room[sizeof(torch_door)];
    static torch_door* const made = ::new (static_cast<void*>(room)) torch_door();
    return *made;
  }

  /// Null for no bytes, as PyTorch asks for empty tensors.
  [[nodiscard]] void* allocate(ssize_t bytes, int ordinal, handle on) noexcept {
    if (bytes <= 0) return nullptr;
    per_device* const d = at(ordinal);
    if (d == nullptr) return nullptr;
    shortage why;
    d->pools.ask_for(on);
    const allocation a = d->memory.allocate_on(on, device_request{.bytes = static_cast<std::size_t>(bytes)}, &why);
    if (!a) describe(why, error_text(), error_room);
    return a.data;
  }
  void deallocate(void* p, ssize_t bytes, int ordinal, handle on) noexcept {
    per_device* const d = p == nullptr ? nullptr : made(ordinal);
    if (d != nullptr) d->memory.deallocate_on(on, {p, static_cast<std::size_t>(bytes)});
  }
  /// Notes that another stream uses a tensor's memory.
  void record_stream(void* p, handle by) noexcept {
    per_device* const d = owner_of(p);
    if (d == nullptr) return;
    stream s{};
    if (const device_status known = d->device.identify(by, s); !known) return say(to_text(known.error));
    if (const errc code = d->memory.record_stream({p, 0}, s); code != errc::ok) say(to_text(code));
  }

  /// torch.cuda.empty_cache()
  void reset() noexcept {
    for (std::atomic<per_device*>& d : devices_)
      if (per_device* const mine = d.load(std::memory_order_acquire); mine != nullptr) mine->memory.trim();
  }
  /// torch.cuda.set_per_process_memory_fraction(); nothing outside (0, 1].
  void set_fraction(double fraction, int ordinal) noexcept {
    per_device* const d = fraction > 0 && fraction <= 1 ? at(ordinal) : nullptr;
    device_memory has{};
    if (d == nullptr || !d->device.memory(has)) return;
    d->memory.set_limit(static_cast<std::size_t>(static_cast<double>(has.total) * fraction));
  }
  /// Where the segment behind a pointer starts, for handles between processes, and how long it is. Cost: O(pieces)
  [[nodiscard]] void* base(void* p, std::size_t* bytes) noexcept {
    void* first = p;
    if (per_device* const d = owner_of(p); d != nullptr) {
      d->memory.for_each_piece([&](const device_segment& g, std::size_t, std::size_t, piece_state) {
        if (address_of(p) - g.address >= g.size) return;
        first = reinterpret_cast<void*>(g.address);
        if (bytes != nullptr) *bytes = g.kind == segment_kind::fixed ? g.size : g.mapped;
      });
    }
    return first;
  }

  /// From now on the streams that `takes` says yes to allocate from this pool, until `end_pool`.
  void begin_pool(int ordinal, torch_pool_id id, filter takes) noexcept {
    per_device* const d = at(ordinal);
    if (d != nullptr) note(d->pools.begin(d->memory, id, static_cast<filter&&>(takes)));
  }
  void end_pool(int ordinal, torch_pool_id id) noexcept {
    per_device* const d = made(ordinal);
    if (d != nullptr) note(d->pools.end(d->memory, id));
  }
  /// One user of the pool less; after the last one its memory can go.
  void release_pool(int ordinal, torch_pool_id id) noexcept {
    per_device* const d = made(ordinal);
    if (d != nullptr) note(d->pools.release(d->memory, id));
  }

  /// What a device's allocator counts; zeros where nothing was asked of the device yet.
  [[nodiscard]] device_stats stats_of(int ordinal) noexcept {
    per_device* const d = made(ordinal);
    return d == nullptr ? device_stats{} : d->memory.stats();
  }
  /// The allocator of a device, if anything was asked of it.
  [[nodiscard]] heap* heap_of(int ordinal) noexcept {
    per_device* const d = made(ordinal);
    return d == nullptr ? nullptr : &d->memory;
  }
  /// Why the last call of this thread that gave nothing did so.
  [[nodiscard]] static const char* last_error() noexcept { return error_text(); }

 private:
  struct per_device {
    per_device(int ordinal, const caching_options& with) noexcept : device(ordinal), memory(device, with) {}
    per_device(const per_device&) = delete;
    per_device& operator=(const per_device&) = delete;
    Device device;
    heap memory;
    torch_pools<heap> pools;
  };
  static constexpr std::size_t error_room = 512;

  [[nodiscard]] static char* error_text() noexcept {
    thread_local char text[error_room] = "";
    return text;
  }
  static void say(const char* what) noexcept { text_buffer(error_text(), error_room) << what; }
  static void note(const char* wrong) noexcept {
    if (wrong != nullptr) say(wrong);
  }

  [[nodiscard]] per_device* made(int ordinal) noexcept {
    if (ordinal < 0 || ordinal >= most_devices) return say("no device of that number: 0 to 63"), nullptr;
    return devices_[ordinal].load(std::memory_order_acquire);
  }
  [[nodiscard]] per_device* at(int ordinal) noexcept {
    per_device* d = made(ordinal);
    if (d != nullptr || ordinal < 0 || ordinal >= most_devices) return d;
    const locked hold(making_);
    d = devices_[ordinal].load(std::memory_order_acquire);
    if (d != nullptr) return d;
    d = new (std::nothrow) per_device(ordinal, with_);
    if (d == nullptr) return say("no memory for the bookkeeping of a device"), nullptr;
    devices_[ordinal].store(d, std::memory_order_release);
    return d;
  }
  [[nodiscard]] per_device* owner_of(const void* p) noexcept {
    for (std::atomic<per_device*>& d : devices_) {
      per_device* const mine = d.load(std::memory_order_acquire);
      if (mine != nullptr && mine->memory.owns(p)) return mine;
    }
    return say("a pointer that is of no device here"), nullptr;
  }
  caching_options with_;
  mutex_lock making_;
  std::atomic<per_device*> devices_[most_devices] = {};
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
