// A stream that lives for the copies of one call.
#pragma once

#include <tokenheap/concepts/device.hpp>

namespace tokenheap {
inline namespace v0 {

/// Makes a stream when the first copy needs one, and waits for its copies; no stream of the program is touched.
///
/// For calls off the hot path that move contents and return when they have arrived.
///
/// Threads   one at a time
/// Streams   a new one each time
template <device Device>
class copy_stream {
 public:
  explicit copy_stream(Device& on) noexcept : on_(on) {}
  copy_stream(const copy_stream&) = delete;
  copy_stream& operator=(const copy_stream&) = delete;
  ~copy_stream() { static_cast<void>(close()); }

  [[nodiscard]] device_status copy(void* to, const void* from, std::size_t bytes) noexcept {
    if (!open_) {
      const device_status status = on_.create_stream(stream_);
      if (!status) return status;
      open_ = true;
    }
    return on_.copy(to, from, bytes, stream_);
  }
  /// Waits for the copies and ends the stream; says whether they arrived.
  [[nodiscard]] device_status close() noexcept {
    if (!open_) return {};
    open_ = false;
    const device_status status = on_.synchronize(stream_);
    static_cast<void>(on_.destroy_stream(stream_));
    return status;
  }

 private:
  Device& on_;
  typename Device::stream stream_{};
  bool open_ = false;
};

}  // namespace v0
}  // namespace tokenheap
