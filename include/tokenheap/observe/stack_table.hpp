// The stacks that samples were taken at, each kept once, in a table of fixed size.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// One stack and what was allocated from it, as estimated from its samples; the innermost frame comes first.
struct sampled_stack {
  const char* owner = "";
  void* const* frames = nullptr;
  std::size_t depth = 0;
  std::size_t live_bytes = 0;
  std::size_t live_samples = 0;
  std::size_t total_bytes = 0;
  std::size_t total_samples = 0;
};

/// Keeps each pair of owner and stack once. Stack 0 has no frames and takes what the table has no room for.
///
/// Threads   not safe
/// Cost      one hash and one comparison of the frames
class stack_table {
 public:
  stack_table() noexcept = default;
  stack_table(const stack_table&) = delete;
  stack_table& operator=(const stack_table&) = delete;
  ~stack_table() {
    std::free(frames_);
    std::free(entries_);
    std::free(slots_);
  }

  static constexpr std::size_t most_stacks = std::size_t{1} << 30;

  /// Takes memory for `stacks` stacks of `depth` frames, once; false if the heap has none. Requires  depth <= 64
  [[nodiscard]] bool open(std::size_t stacks, std::size_t depth) noexcept {
    if (stacks > most_stacks) return false;
    slot_count_ = slots_for(stacks);
    frames_ = static_cast<void**>(std::calloc((stacks + 1) * depth + 1, sizeof(void*)));
    entries_ = static_cast<sampled_stack*>(std::calloc(stacks + 1, sizeof(sampled_stack)));
    slots_ = static_cast<std::uint32_t*>(std::calloc(slot_count_, sizeof(std::uint32_t)));
    if (frames_ == nullptr || entries_ == nullptr || slots_ == nullptr) return false;
    depth_ = depth;
    most_ = stacks + 1;
    count_ = 1;
    entries_[0] = {.owner = "(more stacks)", .frames = frames_};
    return true;
  }
  /// Requires  stacks <= most_stacks
  [[nodiscard]] static std::size_t memory_for(std::size_t stacks, std::size_t depth) noexcept {
    return (stacks + 1) * (depth * sizeof(void*) + sizeof(sampled_stack)) + slots_for(stacks) * sizeof(std::uint32_t);
  }

  /// Returns   the number of this stack, new or known; 0 if there is no room. Requires  depth <= that of `open`
  [[nodiscard]] std::uint32_t number_of(const char* owner, void* const* frames, std::size_t depth) noexcept {
    std::uint64_t hash = mixed(address_of(owner));
    for (std::size_t k = 0; k != depth; ++k) hash = mixed(hash ^ address_of(frames[k]));
    std::size_t at = hash & (slot_count_ - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slot_count_ - 1)) {
      const sampled_stack& known = entries_[slots_[at]];
      if (known.owner == owner && known.depth == depth && same(known.frames, frames, depth)) return slots_[at];
    }
    if (count_ == most_) return 0;
    void** const kept = frames_ + count_ * depth_;
    for (std::size_t k = 0; k != depth; ++k) kept[k] = frames[k];
    entries_[count_] = {.owner = owner, .frames = kept, .depth = depth};
    return slots_[at] = static_cast<std::uint32_t>(count_++);
  }

  void came(std::uint32_t number, std::size_t bytes) noexcept {
    sampled_stack& s = entries_[number];
    s.live_bytes += bytes;
    s.total_bytes += bytes;
    ++s.live_samples;
    ++s.total_samples;
  }
  void went(std::uint32_t number, std::size_t bytes) noexcept {
    entries_[number].live_bytes -= bytes;
    --entries_[number].live_samples;
  }
  void all_went() noexcept {
    for (std::size_t k = 0; k != count_; ++k) entries_[k].live_bytes = entries_[k].live_samples = 0;
  }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] const sampled_stack& operator[](std::size_t k) const noexcept { return entries_[k]; }

  [[nodiscard]] static constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

 private:
  [[nodiscard]] static constexpr std::size_t slots_for(std::size_t stacks) noexcept {
    std::size_t slots = 2;
    while (slots < 2 * (stacks + 1)) slots *= 2;
    return slots;
  }
  [[nodiscard]] static bool same(void* const* a, void* const* b, std::size_t depth) noexcept {
    return depth == 0 || std::memcmp(a, b, depth * sizeof(void*)) == 0;
  }

  void** frames_ = nullptr;
  sampled_stack* entries_ = nullptr;
  std::uint32_t* slots_ = nullptr;
  std::size_t slot_count_ = 0;
  std::size_t depth_ = 0;
  std::size_t most_ = 0;
  std::size_t count_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
