// A device for where there is none: its memory is memory of the process, its work is done when a call returns.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/source/system_calls.hpp>

namespace tokenheap {
inline namespace v0 {

/// Stands for a device on a machine without one, so that code written for streams and pinned memory runs as it is.
///
/// Streams do their work at once and events are always complete. Its memory is ordinary memory. Pinned memory is whole
/// pages locked into memory, within `ulimit -l`. Not for tests of stream order, where nothing ever goes wrong here:
/// that is the simulated device.
///
/// Threads   safe
/// Cost      copies and fills take as long as `memcpy` and `memset`; pinned memory 2 system calls and 1 page each
class host_device {
 public:
  /// The handle of a stream.
  struct stream_number {
    std::uint64_t number = 0;
    friend constexpr bool operator==(stream_number, stream_number) = default;
  };
  using stream = device_stream<stream_number>;
  using event = std::uint64_t;
  /// Sources that pin whole pages lock them themselves: there is nobody to register them with.
  static constexpr bool pins_by_locking = true;

  device_status allocate(std::size_t bytes, void*& out) noexcept {
    if (bytes == 0 || bytes > max_allocation) return {device_error::invalid_value, EINVAL};
    void* made = nullptr;
    if (const int error = ::posix_memalign(&made, alignment(), bytes); error != 0) return refused(error);
    out = made;
    return {};
  }
  device_status deallocate(void* p) noexcept { return std::free(p), device_status{}; }
  device_status memory(device_memory& out) noexcept {
    const auto pages = [](int what) { return static_cast<std::size_t>(::sysconf(what)); };
    out = {pages(_SC_AVPHYS_PAGES) * linux_calls::page_bytes(), pages(_SC_PHYS_PAGES) * linux_calls::page_bytes()};
    return {};
  }

  /// Whole pages, locked; one page more keeps their number.
  device_status allocate_pinned(std::size_t bytes, void*& out) noexcept {
    if (bytes == 0 || bytes > max_allocation) return {device_error::invalid_value, EINVAL};
    const std::size_t page = linux_calls::page_bytes();
    const std::size_t whole = align_up(bytes, page) + page;
    int error = 0;
    void* const made = linux_calls::map(nullptr, whole, false, error);
    if (made == nullptr) return refused(error);
    if (error = linux_calls::lock(offset(made, page), whole - page); error != 0) {
      (void)linux_calls::unmap(made, whole);
      return refused(error);
    }
    std::memcpy(made, &whole, sizeof whole);
    out = offset(made, page);
    return {};
  }
  /// Requires  a pointer of allocate_pinned that is still out, or null
  device_status deallocate_pinned(void* p) noexcept {
    if (p == nullptr) return {};
    void* const made = reinterpret_cast<void*>(address_of(p) - linux_calls::page_bytes());
    std::size_t whole = 0;
    std::memcpy(&whole, made, sizeof whole);
    const int error = linux_calls::unmap(made, whole);
    return error == 0 ? device_status{} : device_status{device_error::invalid_value, error};
  }
  /// Done as it is: the one who copies is the CPU, which reaches all memory.
  device_status register_host(void* p, std::size_t bytes) noexcept {
    return p != nullptr && bytes != 0 ? device_status{} : device_status{device_error::invalid_value, EINVAL};
  }
  device_status unregister_host(void*) noexcept { return {}; }

  device_status create_stream(stream& out) noexcept {
    const std::uint64_t number = next.fetch_add(1, std::memory_order_relaxed);
    out = {{number}, number};
    return {};
  }
  device_status destroy_stream(stream) noexcept { return {}; }
  device_status identify(stream_number handle, stream& out) noexcept {
    out = {handle, handle.number};
    return {};
  }
  device_status wait(stream, event) noexcept { return {}; }
  device_status synchronize(stream) noexcept { return {}; }
  device_status query(stream) noexcept { return {}; }
  device_status is_capturing(stream, bool& out) noexcept { return out = false, device_status{}; }

  device_status create_event(event& out) noexcept {
    out = next.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  device_status destroy_event(event) noexcept { return {}; }
  device_status record(event, stream) noexcept { return {}; }
  device_status query_event(event) noexcept { return {}; }
  device_status synchronize_event(event) noexcept { return {}; }

  device_status copy(void* to, const void* from, std::size_t bytes, stream) noexcept {
    if (bytes != 0) std::memcpy(to, from, bytes);
    return {};
  }
  device_status fill(void* to, unsigned char byte, std::size_t bytes, stream) noexcept {
    if (bytes != 0) std::memset(to, byte, bytes);
    return {};
  }

  [[nodiscard]] static constexpr int ordinal() noexcept { return 0; }
  device_status current(int& out) noexcept { return out = 0, device_status{}; }
  device_status synchronize() noexcept { return {}; }
  [[nodiscard]] static constexpr std::size_t alignment() noexcept { return 256; }
  [[nodiscard]] static const char* to_text(device_status status) noexcept { return v0::to_text(status.error); }

  friend constexpr bool operator==(host_device, host_device) = default;

 private:
  // a lock that `ulimit -l` forbids is memory that cannot be had, whichever of its three numbers the kernel gives
  [[nodiscard]] static device_status refused(int error) noexcept {
    const bool no_more = error == ENOMEM || error == EPERM || error == EAGAIN;
    return {no_more ? device_error::out_of_memory : device_error::failed, error};
  }

  // one row of numbers for streams and events: none is ever used twice
  inline static std::atomic<std::uint64_t> next{1};
};

static_assert(device<host_device> && !virtual_device<host_device>);

}  // namespace v0
}  // namespace tokenheap
