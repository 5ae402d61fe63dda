// Which classes of device memory a call is about.
#pragma once

#include <tokenheap/alloc/caching_options.hpp>

namespace tokenheap {
inline namespace v0 {

/// Some of the memory classes: one, several joined by `|`, or all.
class class_set {
 public:
  constexpr class_set() noexcept = default;
  constexpr class_set(memory_class one) noexcept : bits_(1u << static_cast<unsigned>(one)) {}
  [[nodiscard]] static constexpr class_set all() noexcept { return class_set((1u << memory_classes) - 1); }

  [[nodiscard]] constexpr bool has(memory_class c) const noexcept { return (bits_ >> static_cast<unsigned>(c) & 1u) != 0; }
  friend constexpr class_set operator|(class_set a, class_set b) noexcept { return class_set(a.bits_ | b.bits_); }
  [[nodiscard]] constexpr class_set without(class_set other) const noexcept { return class_set(bits_ & ~other.bits_); }
  friend constexpr bool operator==(class_set, class_set) = default;

 private:
  constexpr explicit class_set(unsigned bits) noexcept : bits_(bits) {}
  unsigned bits_ = 0;
};
[[nodiscard]] constexpr class_set operator|(memory_class a, memory_class b) noexcept { return class_set(a) | class_set(b); }

/// What becomes of the contents of the pieces that are out while their class sleeps.
struct sleep_options {
  bool keep_contents = true;  ///< in pinned memory of the host; otherwise they are lost
};

}  // namespace v0
}  // namespace tokenheap
