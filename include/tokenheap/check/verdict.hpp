// What a contract suite found, and the numbers it was run with.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a contract suite found: how many checks, how many broke, and the first clause that did.
///
/// Made so that any test framework can ask: `REQUIRE(v)`, `EXPECT_TRUE(v) << v.first_broken()`, or a plain `if`.
///
/// Threads   not safe
class verdict {
 public:
  /// Counts one check. `clause` must be a literal; `with` is the size, alignment or count that it was tried with.
  void expect(bool holds, const char* clause, std::size_t with = 0) noexcept {
    ++checks_;
    if (holds) return;
    if (failures_++ != 0) return;
    first_ = clause;
    with_ = with;
  }
  /// Adds the checks of another suite; the first broken clause stays the first.
  verdict& operator+=(const verdict& other) noexcept {
    if (failures_ == 0) {
      first_ = other.first_;
      with_ = other.with_;
    }
    checks_ += other.checks_;
    failures_ += other.failures_;
    return *this;
  }

  /// True if something was checked and nothing broke.
  [[nodiscard]] explicit operator bool() const noexcept { return checks_ != 0 && failures_ == 0; }
  [[nodiscard]] std::size_t checks() const noexcept { return checks_; }
  [[nodiscard]] std::size_t failures() const noexcept { return failures_; }
  /// The clause that broke first, as text; empty if none did.
  [[nodiscard]] const char* first_broken() const noexcept { return first_; }
  /// The number that the first broken clause was tried with.
  [[nodiscard]] std::size_t broken_with() const noexcept { return with_; }

 private:
  std::size_t checks_ = 0;
  std::size_t failures_ = 0;
  const char* first_ = "";
  std::size_t with_ = 0;
};

/// The numbers that the suites draw from: SplitMix64, the same on every machine.
class contract_random {
 public:
  constexpr explicit contract_random(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] constexpr std::uint64_t next() noexcept {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// Returns   a number below `n`; Requires n != 0
  [[nodiscard]] constexpr std::size_t below(std::size_t n) noexcept { return static_cast<std::size_t>(next() % n); }

 private:
  std::uint64_t state_;
};

/// The number of the highest bit that is set; Requires n != 0
[[nodiscard]] constexpr std::size_t log2_of(std::size_t n) noexcept {
  return static_cast<std::size_t>(std::bit_width(n)) - 1;
}

}  // namespace v0
}  // namespace tokenheap
