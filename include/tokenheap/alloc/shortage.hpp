// Why there was no device memory.
#pragma once

#include <tokenheap/alloc/device_owners.hpp>
#include <tokenheap/concepts/device.hpp>

namespace tokenheap {
inline namespace v0 {

/// Why there was no device memory: everything that an operator asks first.
struct shortage {
  errc code = errc::ok;
  device_status device{};          ///< what the device said, if it was asked
  const char* pool = "";
  int ordinal = 0;
  std::size_t need = 0;            ///< bytes of the request, rounded up
  std::size_t limit = 0;           ///< bytes that the allocator, or the owner, may hold; the device's total if neither is limited
  std::size_t device_free = 0;     ///< bytes that the device has left
  std::size_t largest_free = 0;    ///< bytes of the largest free piece that the request may use
  std::size_t reserved = 0;        ///< bytes taken from the device
  std::size_t cached = 0;          ///< of these: free, for all streams and kinds of memory
  std::size_t pending = 0;         ///< of these: given back, but another stream may still use them
  owner_stats top[3] = {};         ///< who holds most
  const char* fix = "";

  explicit operator bool() const noexcept { return code != errc::ok; }
};

/// Writes a shortage as one line into `out` (always terminated) and returns its length without the terminator.
inline std::size_t describe(const shortage& s, char* out, std::size_t capacity) noexcept {
  text_buffer line(out, capacity);
  line << "pool '" << s.pool << "': " << to_text(s.code) << " on device " << static_cast<std::size_t>(s.ordinal)
       << ": need " << s.need << " bytes, limit " << s.limit << ", reserved " << s.reserved << ", cached " << s.cached
       << " (largest piece " << s.largest_free << "), pending " << s.pending << ", free on the device " << s.device_free;
  if (!s.device && s.device.error != device_error::out_of_memory)
    line << "; the device said: " << to_text(s.device.error) << " (" << static_cast<std::size_t>(s.device.native) << ")";
  for (const owner_stats& o : s.top)
    if (o.current != 0) line << "; " << o.name << " holds " << o.current << " in " << o.pieces;
  if (*s.fix != '\0') line << "; fix: " << s.fix;
  return line.length();
}

}  // namespace v0
}  // namespace tokenheap
