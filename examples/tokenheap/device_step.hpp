// One step of the decoder on a device: its inputs, its memory, and what its kernels touch.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "device_side.hpp"

namespace program {

using touch = tokenheap::sim_access;

template <class T>
touch reads(const T* first, std::size_t count) {
  return {first, count * sizeof(T), touch::read};
}
template <class T>
touch writes(T* first, std::size_t count) {
  return {first, count * sizeof(T), touch::write};
}

/// Where a step runs: takes memory from the caching allocator until it ends, and tells the device of each kernel.
///
/// The rows, the tables of their blocks and the logits that are wanted go over the stream of copies, everything else is
/// on the stream of kernels.
class device_step {
 public:
  static constexpr bool is_watched = true;

  explicit device_step(device_side& on) : on_(on) {}
  device_step(const device_step&) = delete;
  device_step& operator=(const device_step&) = delete;
  ~device_step() { end(); }

  /// Puts the rows on the device: what comes back lies there, and so does all that it points to. Empty: no memory.
  std::span<const row> inputs(std::span<const row> plan);

  /// Takes memory until the step ends; null if there is none.
  [[nodiscard]] float* take(std::size_t count, memory_class of);

  void launch(std::initializer_list<touch> touches) { launch(std::span<const touch>(touches)); }
  void launch(std::span<const touch> touches) { on_.launch(touches); }
  /// An empty list for a kernel that touches many places.
  [[nodiscard]] std::vector<touch>& list() {
    list_.clear();
    return list_;
  }
  /// What a kernel touches that looks into the tables of blocks.
  [[nodiscard]] touch read_inputs() const { return {inputs_.data, inputs_.size, touch::read}; }

  /// Fetches the logits into the places that the plan names, and gives the memory back; false if something went wrong.
  bool finish();

 private:
  void end();

  device_side& on_;
  std::vector<tokenheap::allocation> pieces_;
  std::vector<touch> list_;
  tokenheap::allocation inputs_;  // taken on the stream of copies, read on the other one
  tokenheap::allocation logits_;  // taken on the stream of kernels, read on the other one
  std::size_t wanted_ = 0;
};

}  // namespace program
