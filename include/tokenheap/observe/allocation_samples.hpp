// The stacks of some allocations, chosen so that each byte has the same chance: who holds the memory, at almost no cost.
#pragma once

#include <cmath>
#include <cstdint>

#include <tokenheap/alloc/device_trace.hpp>
#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/observe/owner_scope.hpp>
#include <tokenheap/observe/sample_table.hpp>
#include <tokenheap/observe/stack_table.hpp>
#include <tokenheap/observe/stack_walk.hpp>

namespace tokenheap {
inline namespace v0 {

class allocation_samples;

/// Where samples fall.
enum class sampling : unsigned char {
  poisson,  ///< after random distances: no pattern of a program escapes it
  fixed,    ///< after equal distances; with an interval of 1 every allocation is a sample
};

/// How often a sample is taken and how much is kept of them.
struct sample_options {
  std::size_t interval = 512 * KiB;  ///< bytes between two samples, on average
  sampling by = sampling::poisson;
  std::size_t samples = 4096;  ///< sampled allocations that can be out together; more are counted as lost
  std::size_t stacks = 1024;   ///< different stacks; the rest is counted together
  std::size_t depth = 32;      ///< frames of each, at most 64
  std::uint64_t seed = 1;
  const char* owner = "";      ///< of what is allocated outside every `owner_scope`; lives as long as the samples
  stack_walk walk = &walk_by_backtrace;
  void (*at_end)(const allocation_samples&) noexcept = nullptr;  ///< told at the end, such as `&report_leaks`
};

/// A trace policy that keeps the stacks of sampled allocations and estimates from them who holds how many bytes.
///
/// `with<allocation_samples>` over any source, or the `trace` of a caching allocator's policy. All its memory is taken
/// at construction; what finds no room in it is counted. For exact leaks take `sampling::fixed` with an interval of 1.
///
/// Fails     without memory at construction it records nothing, and `is_open()` is false
/// Threads   not safe; put it below a lock
/// Cost      a subtraction for an allocation, a load for a give-back; a stack walk for each sample
/// Example   examples/budget.cpp
class allocation_samples {
 public:
  using options = sample_options;

  allocation_samples() noexcept : allocation_samples(options{}) {}
  explicit allocation_samples(const options& with) noexcept : with_(with), random_(stack_table::mixed(with.seed + 1)) {
    if (with_.interval == 0) with_.interval = 1;
    if (with_.depth > 64) with_.depth = 64;
    open_ = stacks_.open(with_.stacks, with_.depth) && live_.open(with_.samples);
    // the first walk may allocate: let it be here
    void* frames[4];
    if (open_ && with_.walk != nullptr) static_cast<void>(with_.walk(frames, 4));
    left_ = open_ ? first_distance() : INT64_MAX;
  }
  allocation_samples(const allocation_samples&) = delete;
  allocation_samples& operator=(const allocation_samples&) = delete;
  ~allocation_samples() {
    if (with_.at_end != nullptr) with_.at_end(*this);
  }

  TOKENHEAP_INLINE void record(const trace_event& e) noexcept {
    if (e.kind == trace_kind::allocate) {
      came(address_of(e.address), e.granted);
    } else if (e.kind == trace_kind::deallocate) {
      went(address_of(e.address));
    } else if (e.kind == trace_kind::reset) {
      forget_all();
    }
  }
  TOKENHEAP_INLINE void record(const device_event& e) noexcept {
    if (e.action == device_action::alloc) {
      came(e.address, e.bytes);
    } else if (e.action == device_action::free_requested) {
      went(e.address);
    }
  }

  /// Counts an allocation; for allocators of one's own that have no trace policy.
  TOKENHEAP_INLINE void came(std::size_t address, std::size_t bytes) noexcept {
    left_ -= static_cast<std::int64_t>(bytes);
    if (left_ < 0) [[unlikely]] sample(address, bytes);
  }
  TOKENHEAP_INLINE void went(std::size_t address) noexcept {
    if (live_.may_have(address)) [[unlikely]] forget(address);
  }

  /// Stacks, the one without frames first. `visit(const sampled_stack&)`
  template <class Visit>
  void for_each_stack(Visit&& visit) const {
    for (std::size_t k = 0; k != stacks_.size(); ++k)
      if (stacks_[k].total_samples != 0) visit(stacks_[k]);
  }
  /// Sampled allocations that are out. `visit(const live_sample&, const sampled_stack&)`
  template <class Visit>
  void for_each_sample(Visit&& visit) const {
    live_.for_each([&](const live_sample& s) { visit(s, stacks_[s.stack]); });
  }

  [[nodiscard]] bool is_open() const noexcept { return open_; }
  [[nodiscard]] const options& chosen() const noexcept { return with_; }
  /// Bytes that are out, as estimated.
  [[nodiscard]] std::size_t live_bytes() const noexcept { return live_bytes_; }
  [[nodiscard]] std::size_t live_samples() const noexcept { return live_.size(); }
  [[nodiscard]] std::size_t taken() const noexcept { return taken_; }
  /// Samples for which there was no room.
  [[nodiscard]] std::size_t lost() const noexcept { return lost_; }
  /// The memory that the samples may ever take.
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    if (!open_) return 0;
    return stack_table::memory_for(with_.stacks, with_.depth) + sample_table::memory_for(with_.samples);
  }

 private:
  /// The bytes that a sample stands for, and the distance to the next one.
  [[nodiscard]] std::size_t next_weight(std::size_t bytes) noexcept {
    const auto interval = static_cast<std::int64_t>(with_.interval);
    if (with_.by == sampling::fixed) {
      const std::int64_t crossed = 1 + (-(left_ + 1)) / interval;
      left_ += crossed * interval;
      return static_cast<std::size_t>(crossed * interval);
    }
    left_ = first_distance();
    const double size = static_cast<double>(bytes);
    return static_cast<std::size_t>(size / -std::expm1(-size / static_cast<double>(interval)) + 0.5);
  }
  [[nodiscard]] std::int64_t first_distance() noexcept {
    if (with_.by == sampling::fixed) return static_cast<std::int64_t>(with_.interval) - 1;
    random_ += 0x9e3779b97f4a7c15;
    const double u = static_cast<double>((stack_table::mixed(random_) >> 11) + 1) * 0x1p-53;  // in (0, 1]
    return static_cast<std::int64_t>(-std::log(u) * static_cast<double>(with_.interval));
  }

  TOKENHEAP_COLD void sample(std::size_t address, std::size_t bytes) noexcept {
    if (!open_) return static_cast<void>(left_ = INT64_MAX);
    const std::size_t weight = next_weight(bytes);
    ++taken_;
    void* frames[64];
    std::size_t depth = with_.walk == nullptr ? 0 : with_.walk(frames, with_.depth);
    if (depth > with_.depth) depth = with_.depth;
    const char* const scope = owner_scope::current();
    const std::uint32_t stack = stacks_.number_of(scope == nullptr ? with_.owner : scope, frames, depth);
    // a piece that never came back, such as one of an arena that was cut anew, makes room for what lies there now
    if (live_.may_have(address)) forget(address);
    if (!live_.insert({address, bytes, weight, stack})) return static_cast<void>(++lost_);
    stacks_.came(stack, weight);
    live_bytes_ += weight;
  }
  TOKENHEAP_NOINLINE void forget(std::size_t address) noexcept {
    const live_sample s = live_.take(address);
    if (s.address == 0) return;
    stacks_.went(s.stack, s.weight);
    live_bytes_ -= s.weight;
  }
  TOKENHEAP_COLD void forget_all() noexcept {
    live_.clear();
    stacks_.all_went();
    live_bytes_ = 0;
  }

  std::int64_t left_ = 0;
  sample_table live_;
  options with_;
  stack_table stacks_;
  std::uint64_t random_;
  std::size_t live_bytes_ = 0;
  std::size_t taken_ = 0;
  std::size_t lost_ = 0;
  bool open_ = false;
};

static_assert(trace_policy<allocation_samples>);

}  // namespace v0
}  // namespace tokenheap
