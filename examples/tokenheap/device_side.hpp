// The device that a server computes on: its memory, a stream for kernels, one for copies, and what orders the two.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>

#include "model.hpp"
#include "run_record.hpp"
#include "trace.hpp"

namespace program {

using tokenheap::memory_class;

/// What a run on a device came to, read when it is over.
struct device_outcome {
  std::size_t capacity = 0;
  std::size_t used_peak = 0;
  std::size_t calls[tokenheap::sim_calls] = {};
  std::size_t device_calls = 0;
  std::size_t violations = 0;
  std::vector<std::string> findings;  ///< the first violations in words
  bool books_hold = false;            ///< the allocator's structures and sums, before anything was taken down
  bool is_clean = false;              ///< nothing was left on the device afterwards
  tokenheap::device_stats memory;
  owned_bytes weights;
  owned_bytes keys_and_values;
  owned_bytes scratch;

  [[nodiscard]] bool is_well() const { return violations == 0 && books_hold && is_clean; }
};

class device_side;

/// Memory for keys and values as the block pool wants it: a source without streams.
struct device_kv {
  using space = tokenheap::device_space;
  device_side* on = nullptr;

  [[nodiscard]] tokenheap::allocation allocate(std::size_t bytes, std::size_t alignment) noexcept;
  void deallocate(tokenheap::allocation a) noexcept;
};

/// A simulated device with real memory and its race check on, and the caching allocator over it.
///
/// Kernels run on the CPU when they are launched, and tell the device what they touch; whether their order would hold
/// on a real device is what the race check says. The first thing that goes wrong is kept in `problem`.
class device_side {
 public:
  using allocator = tokenheap::caching_allocator<tokenheap::sim_device>;
  using stream = allocator::stream;

  explicit device_side(std::size_t bytes) : machine_({.capacity = bytes, .backed = true}), device_(machine_.device()) {}
  device_side(const device_side&) = delete;
  device_side& operator=(const device_side&) = delete;
  ~device_side() { close(); }

  /// Makes streams and events, and room on the host for what `results` rows of logits come to.
  complaint open(std::size_t results);

  /// Copies the weights of a decoder to the device, and makes one that finds them there.
  complaint upload(const decoder& host, decoder& there);

  /// Takes memory for work on a stream; a null allocation if there is none.
  [[nodiscard]] tokenheap::allocation take(stream s, std::size_t bytes, memory_class of);
  /// Gives it back on the stream that it was taken for.
  void give(tokenheap::allocation a) { allocator_->deallocate(a); }
  /// The same for a piece that the other stream has used too.
  void give(tokenheap::allocation a, stream used_by);

  /// Pinned memory that no copy reads any more, to be filled and sent; null if there is none.
  [[nodiscard]] std::byte* stage(std::size_t bytes);
  /// Copies what was staged last to the device.
  bool send(void* to, std::size_t bytes);
  /// Copies rows of logits to the host's `results`, behind all kernels so far.
  bool fetch(const void* from, std::size_t bytes);
  /// Waits until the results are there.
  bool arrive(std::size_t bytes);
  /// Kernels from now on run behind all copies so far.
  bool compute_after_copies();
  /// Tells the device what the next kernel touches.
  bool launch(std::span<const tokenheap::sim_access> touches);

  [[nodiscard]] device_kv& keys_and_values() { return kv_; }
  [[nodiscard]] stream compute() const { return compute_; }
  [[nodiscard]] stream copies() const { return copies_; }
  [[nodiscard]] float* results() const { return static_cast<float*>(results_); }
  [[nodiscard]] const complaint& problem() const { return problem_; }

  /// From now on looks at the memory after each piece that is taken.
  void watch() { watched_ = true; }
  /// What a class holds now, and the most that steps held since the last call.
  [[nodiscard]] std::size_t held(memory_class of) { return allocator_->owner(static_cast<std::uint16_t>(of)).current; }
  [[nodiscard]] std::size_t step_peak() { return std::exchange(step_peak_, 0); }
  /// Every piece, at the moment when most was out.
  [[nodiscard]] const std::vector<run_piece>& fullest() const { return fullest_; }
  [[nodiscard]] allocator& memory() { return *allocator_; }

  /// Notes what the allocator holds; then `close` takes everything down and looks at what was found.
  void read_books();
  void close();
  [[nodiscard]] const device_outcome& outcome() const { return out_; }

 private:
  // pinned memory for what goes to the device; a copy may read it long after it was put into the stream
  struct staging {
    void* pinned = nullptr;
    std::size_t bytes = 0;
    tokenheap::sim_event sent{};
  };

  bool is_well(tokenheap::device_status status, const char* what);
  bool make_room(staging& s, std::size_t bytes);
  void look();

  tokenheap::sim_machine machine_;
  tokenheap::sim_device device_;
  std::optional<allocator> allocator_;
  device_kv kv_{this};
  stream compute_;
  stream copies_;
  std::vector<tokenheap::sim_event> events_;
  tokenheap::sim_event copied_{};
  tokenheap::sim_event computed_{};
  tokenheap::sim_event fetched_{};
  std::array<staging, 2> staged_;  // one is filled while the other one is copied
  std::size_t turn_ = 0;
  void* results_ = nullptr;
  std::vector<tokenheap::allocation> weights_;
  std::uint16_t step_owner_ = 0;
  bool watched_ = false;
  std::size_t step_peak_ = 0;
  std::size_t most_out_ = 0;
  std::vector<run_piece> fullest_;
  complaint problem_;
  device_outcome out_;
};

}  // namespace program
