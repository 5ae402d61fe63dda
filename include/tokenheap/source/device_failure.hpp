// What a device's refusal means to those who asked a source for memory.
#pragma once

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// The reason of the library for an error of a device.
[[nodiscard]] constexpr errc to_errc(device_error error) noexcept {
  switch (error) {
    case device_error::ok: return errc::ok;
    case device_error::out_of_memory: return errc::out_of_memory;
    case device_error::invalid_value: return errc::invalid_argument;
    case device_error::invalid_handle: return errc::stale_handle;
    case device_error::not_ready: return errc::in_use;
    case device_error::no_device:
    case device_error::unsupported: return errc::unsupported;
    default: return errc::system_refused;
  }
}

/// What the caller can do about an error of a device.
[[nodiscard]] constexpr const char* fix_of(device_error error) noexcept {
  switch (error) {
    case device_error::ok: return "";
    case device_error::not_ready: return "wait for the work, then ask again";
    case device_error::out_of_memory: return "ask for less, give memory back, or trim what other allocators keep";
    case device_error::invalid_value: return "ask for a size that the device takes";
    case device_error::invalid_handle: return "keep streams and events alive until what they order has been given back";
    case device_error::no_device: return "run where there is a driver and a device, or take a host_device or a simulated one";
    case device_error::gone: return "give memory back before the process ends; destructors of statics come too late";
    case device_error::capture_refused:
    case device_error::capture_broken: return "ask before the capture begins";
    case device_error::forked: return "open the device in the child alone, or start the child by exec";
    case device_error::unsupported: return "this device cannot do it";
    case device_error::failed: return "the device has failed: start the process anew";
  }
  return "";
}

/// The refusal of `need` bytes by a device, in full; `what` names what was asked for.
[[nodiscard]] constexpr failure refusal_by(device_status status, const char* pool, const char* what,
                                           std::size_t need) noexcept {
  return {.code = to_errc(status.error), .pool = pool, .what = what, .need = need, .fix = fix_of(status.error)};
}

}  // namespace v0
}  // namespace tokenheap
