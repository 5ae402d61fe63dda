// The words of the caching allocator: its shape, its amounts, its policies, and what a request says.
#pragma once

#include <cstdint>

#include <tokenheap/alloc/device_counters.hpp>
#include <tokenheap/alloc/device_trace.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a piece of device memory is for. Each class lies in segments of its own, so that long and short lives do not mix.
enum class memory_class : std::uint8_t { general, weights, kv, activations, scratch, communication };
inline constexpr std::size_t memory_classes = 6;

[[nodiscard]] constexpr const char* to_text(memory_class c) noexcept {
  constexpr const char* names[] = {"general", "weights", "kv", "activations", "scratch", "communication"};
  return names[static_cast<std::size_t>(c)];
}

/// Where a segment's memory comes from.
enum class segment_kind : std::uint8_t {
  fixed,     ///< one allocation of the device; other processes and libraries can register and share it
  growable,  ///< reserved addresses; pages are put behind them as they are needed and taken away again
};

/// When a stream may take memory that another stream freed; it then waits on the device for the other's work so far.
enum class borrowing : std::uint8_t {
  never,               ///< only after a wait for the whole device, before a request fails
  when_out_of_memory,  ///< only when the device has no more: growing is cheaper than a wait
  always,              ///< before growing: memory is dearer than a wait
};

/// The numbers of a caching allocator that are fixed at compile time; the defaults are PyTorch's, where it has them.
///
/// Source    PyTorch, c10/cuda/CUDACachingAllocator: 512 B, 1 MiB, 2 MiB, 20 MiB, 10 MiB, 2 MiB
struct caching_shape {
  std::size_t granularity = 512;         ///< every address and size is a multiple of this power of two
  std::size_t small_most = 1 * MiB;      ///< larger requests go to large segments
  std::size_t small_segment = 2 * MiB;   ///< bytes of a segment for small requests
  std::size_t large_segment = 20 * MiB;  ///< bytes of a fixed segment for requests below `own_segment`
  std::size_t own_segment = 10 * MiB;    ///< from here on a request gets a fixed segment of its own size
  std::size_t rounding = 2 * MiB;        ///< that size is a multiple of this
  std::size_t extent = 16 * MiB;         ///< most bytes of a growable segment that are mapped, and given back, as one
  std::size_t subclasses = 32;           ///< classes per doubling of the size
  std::size_t scan = 16;                 ///< free pieces of one class that are looked at for the best fit
};

/// One request in full. Every piece is aligned to the granularity at least; owner 0 is the owner of the class.
struct device_request {
  std::size_t bytes = 0;
  std::size_t alignment = 1;
  memory_class of = memory_class::general;
  std::uint16_t owner = 0;
};

struct shortage;

/// Called once for every request that finds no memory, with no lock held; it may allocate and free.
struct shortage_observer {
  void (*call)(void* user, const shortage&) noexcept = nullptr;
  void* user = nullptr;
};

/// The amounts of a caching allocator, fixed at construction.
struct caching_options {
  const char* name = "device";
  std::size_t limit = ~std::size_t{0};       ///< bytes that may be reserved from the device
  std::size_t address_space = 0;             ///< bytes reserved for a growable segment; 0: 9/8 of the device's memory
  unsigned divisions = 0;                    ///< sizes per doubling that requests are rounded up to: 0 (none), 2, 4, 8, ...
  std::size_t max_split = ~std::size_t{0};   ///< pieces from this size on are not split for smaller requests
  std::size_t max_rounding = 20 * MiB;       ///< a piece that is not split may be larger than its request by less than this
  double collect_above = 0;                  ///< share of the limit, or of the device, above which idle segments are given
                                             ///< back before the allocator grows; 0 never
  pressure_callback on_pressure{};           ///< asked to free something before a request is refused
  shortage_observer on_shortage{};
};

/// The bundle of a caching allocator: inherit it and override by name.
///
/// Example   struct serving : default_caching_policy { static constexpr borrowing borrow = borrowing::always; };
struct default_caching_policy {
  using lock = spin_lock;            ///< held for dozens of instructions, never across a device call
  using growth_lock = mutex_lock;    ///< held by the one thread that asks the device for more, or waits for it
  using guard = report_misuse;
  using counters = torch_counters;   ///< or `no_counters`
  using trace = no_device_trace;     ///< or `device_ring_trace<>`
  using book = host_source;          ///< where the bookkeeping lies
  static constexpr caching_shape shape{};
  static constexpr borrowing borrow = borrowing::when_out_of_memory;
  /// What other libraries register or share keeps to plain device allocations; the rest grows in place.
  [[nodiscard]] static constexpr segment_kind kind_of(memory_class c) noexcept {
    return c == memory_class::communication ? segment_kind::fixed : segment_kind::growable;
  }
};

/// The size that PyTorch's `roundup_power2_divisions` gives: `divisions` steps per doubling; powers of two stay.
[[nodiscard]] constexpr std::size_t round_to_division(std::size_t bytes, std::size_t granularity, unsigned divisions) noexcept {
  const std::size_t plain = align_up(bytes, granularity);
  if (divisions <= 1 || bytes <= granularity * divisions || is_power_of_two(bytes)) return plain;
  const std::size_t power = std::size_t{1} << highest_bit(bytes);
  const std::size_t step = power / divisions;
  // bytes are above granularity * divisions, so a step is at least half the granularity
  return align_up((bytes + step - 1) / step * step, granularity);
}

static_assert(round_to_division(33 * MiB, 512, 4) == 40 * MiB && round_to_division(84 * MiB, 512, 4) == 96 * MiB);
static_assert(round_to_division(33 * MiB, 512, 8) == 36 * MiB && round_to_division(84 * MiB, 512, 8) == 88 * MiB);
static_assert(round_to_division(33 * MiB, 512, 2) == 48 * MiB && round_to_division(64 * MiB, 512, 4) == 64 * MiB);
static_assert(round_to_division(2049, 512, 4) == 2560 && round_to_division(3000, 512, 4) == 3072);

}  // namespace v0
}  // namespace tokenheap
