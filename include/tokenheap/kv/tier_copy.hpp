// How bytes get into a tier's host memory and out of it: by the CPU, or by a device on a stream of its own.
#pragma once

#include <concepts>
#include <cstring>

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How far the copies behind a mark are.
enum class copy_state : unsigned char { running, done, failed };

/// Copies blocks: `add` each, `flush` them as one batch behind a mark, ask `poll(mark)`, and `end(mark)` when it is over.
///
/// `flush` returns 0 if it cannot, and then nothing is in flight. What poll has called done or failed is not touched again.
template <class C>
concept copier = requires(C& c, void* to, const void* from, std::size_t n, std::uint64_t mark) {
  { c.add(to, from, n) } noexcept -> std::same_as<bool>;
  { c.flush() } noexcept -> std::same_as<std::uint64_t>;
  { c.poll(mark) } noexcept -> std::same_as<copy_state>;
  { c.end(mark) } noexcept -> std::same_as<void>;
  { C::reaches_devices } -> std::convertible_to<bool>;
};

/// Copies at once, with the CPU: for blocks in host memory.
class memory_copier {
 public:
  static constexpr bool reaches_devices = false;
  [[nodiscard]] bool add(void* to, const void* from, std::size_t n) noexcept { return std::memcpy(to, from, n), true; }
  [[nodiscard]] std::uint64_t flush() noexcept { return 1; }
  [[nodiscard]] copy_state poll(std::uint64_t) noexcept { return copy_state::done; }
  void end(std::uint64_t) noexcept {}
};

/// Copies with a device, on a stream of its own, one event a batch, and layer by layer if blocks are cut that way.
///
/// With `layers` above 1 a batch brings layer 0 of all blocks, then layer 1, so that a model can begin to compute while
/// the rest is on its way: `join(mark, layer, stream)` lets a stream wait for one layer. `after(stream)` orders all later
/// batches behind what a stream does now: call it before a store, with the stream that wrote the blocks, and before a
/// load, with the one that used the memory last.
///
/// Requires  a device that outlives it, and no copy in flight when it ends
/// Fails     flush returns 0; a batch whose event fails polls as failed
/// Threads   not safe
template <device Device>
class device_copier {
 public:
  static constexpr bool reaches_devices = true;
  static constexpr std::size_t max_layers = 256;

  explicit device_copier(const Device& on, std::size_t layers = 1) noexcept
      : device_(on), layers_(layers == 0 || layers > max_layers ? 1 : layers) {}
  device_copier(device_copier&& other) noexcept
      : device_(other.device_), layers_(other.layers_), stream_(other.stream_), open_(other.open_),
        moves_(static_cast<column<move>&&>(other.moves_)), count_(other.count_),
        events_(static_cast<column<entry>&&>(other.events_)) {
    other.open_ = false;
    other.count_ = 0;
  }
  device_copier& operator=(device_copier&&) = delete;
  ~device_copier() {
    for (std::size_t k = 0; k != events_.size(); ++k)
      if (events_[k].made) (void)device_.destroy_event(events_[k].event);
    if (open_) (void)device_.destroy_stream(stream_);
  }

  /// Orders later batches behind all that `s` has been given so far.
  [[nodiscard]] bool after(const typename Device::stream& s) noexcept {
    if (!begin()) return false;
    const std::size_t k = spare();
    if (k == none) return false;
    return device_.record(events_[k].event, s) && device_.wait(stream_, events_[k].event);
  }

  [[nodiscard]] bool add(void* to, const void* from, std::size_t n) noexcept {
    if (n % layers_ != 0 || !moves_.grow(count_ + 1)) return false;
    moves_[count_++] = {to, from, n};
    return true;
  }

  [[nodiscard]] std::uint64_t flush() noexcept {
    const std::size_t n = count_;
    count_ = 0;
    const std::size_t first = begin() ? spare() : none;
    if (first == none) return 0;
    for (std::size_t layer = 0; layer != layers_; ++layer) {
      bool good = true;
      for (std::size_t k = 0; good && k != n; ++k) {
        const std::size_t part = moves_[k].bytes / layers_;
        const void* const from = static_cast<const unsigned char*>(moves_[k].from) + layer * part;
        good = static_cast<bool>(device_.copy(offset(moves_[k].to, layer * part), from, part, stream_));
      }
      if (!good || !device_.record(events_[first + layer].event, stream_)) return (void)device_.synchronize(stream_), 0;
    }
    for (std::size_t layer = 0; layer != layers_; ++layer) events_[first + layer].busy = true;
    return first + 1;
  }

  [[nodiscard]] copy_state poll(std::uint64_t mark) noexcept {
    const device_status s = device_.query_event(events_[mark - 1 + layers_ - 1].event);
    if (s.error == device_error::not_ready) return copy_state::running;
    return s ? copy_state::done : copy_state::failed;
  }
  void end(std::uint64_t mark) noexcept {
    for (std::size_t layer = 0; layer != layers_; ++layer) events_[mark - 1 + layer].busy = false;
  }

  /// Lets `s` wait for one layer of a batch; the last layer stands for all of it.
  [[nodiscard]] bool join(std::uint64_t mark, std::size_t layer, const typename Device::stream& s) noexcept {
    return layer < layers_ && static_cast<bool>(device_.wait(s, events_[mark - 1 + layer].event));
  }
  [[nodiscard]] const typename Device::stream& stream() const noexcept { return stream_; }
  [[nodiscard]] std::size_t layers() const noexcept { return layers_; }

 private:
  static constexpr std::size_t none = ~std::size_t{0};
  struct move {
    void* to;
    const void* from;
    std::size_t bytes;
  };
  struct entry {
    typename Device::event event;
    bool made;
    bool busy;
  };

  [[nodiscard]] bool begin() noexcept { return open_ || (open_ = static_cast<bool>(device_.create_stream(stream_))); }

  /// The first of as many events side by side as there are layers, none of them in use.
  [[nodiscard]] std::size_t spare() noexcept {
    for (std::size_t k = 0; k != events_.size(); k += layers_)
      if (!events_[k].busy) return k;
    const std::size_t first = events_.size();
    column<entry> more;
    if (!more.open(first + layers_)) return none;
    for (std::size_t k = 0; k != first; ++k) more[k] = events_[k];
    events_ = static_cast<column<entry>&&>(more);
    for (std::size_t k = first; k != first + layers_; ++k)
      if (!(events_[k].made = static_cast<bool>(device_.create_event(events_[k].event)))) {
        events_[first].busy = true;  // a row that is not whole is never given out
        return none;
      }
    return first;
  }

  Device device_;
  std::size_t layers_;
  typename Device::stream stream_{};
  bool open_ = false;
  column<move> moves_;
  std::size_t count_ = 0;
  column<entry> events_;
};

static_assert(copier<memory_copier>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
