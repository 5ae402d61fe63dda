// What an allocation is, and the arithmetic on sizes that cannot go wrong unseen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

inline constexpr std::size_t KiB = std::size_t{1} << 10;
inline constexpr std::size_t MiB = std::size_t{1} << 20;
inline constexpr std::size_t GiB = std::size_t{1} << 30;

/// The alignment that a source gives when the caller names none: what `malloc` gives on x86-64.
inline constexpr std::size_t default_alignment = 16;

/// The largest alignment that any source of the library takes.
inline constexpr std::size_t max_alignment = GiB;

/// The largest size that any source of the library takes: room is left so that rounding up cannot wrap.
inline constexpr std::size_t max_allocation = (~std::size_t{0} >> 1) - max_alignment;

/// A piece of memory: where it starts and how many bytes the caller may use.
///
/// A null allocation (`data == nullptr`) is the answer "no". `size` is what was granted, at least what was asked.
/// Give it back as it came: with the size that was granted, not with the size that was asked.
struct allocation {
  void* data = nullptr;
  std::size_t size = 0;

  constexpr explicit operator bool() const noexcept { return data != nullptr; }
  friend constexpr bool operator==(const allocation&, const allocation&) = default;
};

[[nodiscard]] constexpr bool is_power_of_two(std::size_t n) noexcept { return n != 0 && (n & (n - 1)) == 0; }

[[nodiscard]] constexpr bool is_alignment(std::size_t n) noexcept { return is_power_of_two(n) && n <= max_alignment; }

/// True if a source may be asked for `bytes` at `alignment`; the one test at the door of every allocator.
[[nodiscard]] constexpr bool is_request(std::size_t bytes, std::size_t alignment) noexcept {
  return bytes != 0 && bytes <= max_allocation && is_alignment(alignment);
}

/// Rounds `n` up to a multiple of `alignment`, a power of two. Requires n <= SIZE_MAX - alignment + 1.
[[nodiscard]] constexpr std::size_t align_up(std::size_t n, std::size_t alignment) noexcept {
  return (n + alignment - 1) & ~(alignment - 1);
}

[[nodiscard]] constexpr std::size_t align_down(std::size_t n, std::size_t alignment) noexcept {
  return n & ~(alignment - 1);
}

[[nodiscard]] constexpr std::size_t divide_up(std::size_t n, std::size_t by) noexcept {
  return n / by + static_cast<std::size_t>(n % by != 0);
}

// of two sizes; <algorithm> has both too, and is 10,000 lines
[[nodiscard]] constexpr std::size_t larger(std::size_t a, std::size_t b) noexcept { return a < b ? b : a; }
[[nodiscard]] constexpr std::size_t smaller(std::size_t a, std::size_t b) noexcept { return b < a ? b : a; }

/// a + b into `out`; false if it does not fit, and then `out` is unspecified.
[[nodiscard]] constexpr bool checked_add(std::size_t a, std::size_t b, std::size_t& out) noexcept {
  out = a + b;
  return out >= a;
}

/// a * b into `out`; false if it does not fit, and then `out` is unspecified.
[[nodiscard]] constexpr bool checked_mul(std::size_t a, std::size_t b, std::size_t& out) noexcept {
#if TOKENHEAP_GNU
  // nvcc takes the builtin for no constant
  if (!std::is_constant_evaluated()) return !__builtin_mul_overflow(a, b, &out);
#endif
  out = a * b;
  return a == 0 || out / a == b;
}

/// The low half of a * b, and the high half into `high`.
[[nodiscard]] constexpr std::uint64_t multiply_wide(std::uint64_t a, std::uint64_t b, std::uint64_t& high) noexcept {
#if TOKENHEAP_GNU
  __extension__ typedef unsigned __int128 wide;  // nvcc takes no __extension__ before using
  const wide both = static_cast<wide>(a) * b;
  high = static_cast<std::uint64_t>(both >> 64);
  return static_cast<std::uint64_t>(both);
#else
  constexpr std::uint64_t half = 0xffffffff;
  const std::uint64_t low = (a & half) * (b & half), left = (a >> 32) * (b & half), right = (a & half) * (b >> 32);
  const std::uint64_t middle = (low >> 32) + (left & half) + right;  // fits: right is at most (2^32 - 1)^2
  high = (a >> 32) * (b >> 32) + (left >> 32) + (middle >> 32);
  return (middle << 32) | (low & half);
#endif
}

/// How many bits are 0 below the lowest one that is set. Requires n != 0.
[[nodiscard]] constexpr unsigned trailing_zeros(std::uint64_t n) noexcept {
#if TOKENHEAP_GNU
  return static_cast<unsigned>(__builtin_ctzll(n));
#else
  unsigned count = 0;
  for (; (n & 1) == 0; n >>= 1) ++count;
  return count;
#endif
}

/// The place of the highest bit that is set: 0 for 1, 63 for 2^63. Requires n != 0.
[[nodiscard]] constexpr unsigned highest_bit(std::uint64_t n) noexcept {
#if TOKENHEAP_GNU
  return 63U - static_cast<unsigned>(__builtin_clzll(n));
#else
  unsigned place = 0;
  while ((n >>= 1) != 0) ++place;
  return place;
#endif
}

/// The bytes in the other order. Compilers know these shifts and make one instruction of them.
[[nodiscard]] constexpr std::uint32_t byte_swapped(std::uint32_t n) noexcept {
  return n << 24 | (n & 0xff00) << 8 | (n >> 8 & 0xff00) | n >> 24;
}
[[nodiscard]] constexpr std::uint64_t byte_swapped(std::uint64_t n) noexcept {
  return std::uint64_t{byte_swapped(static_cast<std::uint32_t>(n))} << 32 | byte_swapped(static_cast<std::uint32_t>(n >> 32));
}

/// Rounds up into `out`; false if the result does not fit or `alignment` is no power of two.
[[nodiscard]] constexpr bool checked_align_up(std::size_t n, std::size_t alignment, std::size_t& out) noexcept {
  if (!is_power_of_two(alignment) || !checked_add(n, alignment - 1, out)) return false;
  out = align_down(out, alignment);
  return true;
}

/// Moves an address by bytes; the one place where byte arithmetic on addresses is written down.
[[nodiscard]] inline void* offset(void* address, std::size_t bytes) noexcept {
  return static_cast<unsigned char*>(address) + bytes;
}

[[nodiscard]] inline std::uintptr_t address_of(const void* address) noexcept {
  return reinterpret_cast<std::uintptr_t>(address);
}

}  // namespace v0
}  // namespace tokenheap
