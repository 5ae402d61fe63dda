// Seeded randomness that is the same on every machine: no engine or distribution of the standard library is involved.
#pragma once

#include <cstdint>

namespace program {

/// Mixes the bits of a number so that near numbers land far apart (the finaliser of splitmix64).
constexpr std::uint64_t mixed(std::uint64_t n) {
  n += 0x9E3779B97F4A7C15U;
  n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9U;
  n = (n ^ (n >> 27)) * 0x94D049BB133111EBU;
  return n ^ (n >> 31);
}

constexpr std::uint64_t mixed(std::uint64_t a, std::uint64_t b) { return mixed(mixed(a) ^ b); }

/// A stream of random numbers from one seed.
class random_stream {
 public:
  explicit random_stream(std::uint64_t seed) : state_(mixed(seed)) {}

  std::uint64_t next() { return mixed(state_++); }

  /// A number in [0, 1).
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// A whole number in [0, limit). Requires limit > 0.
  std::uint64_t below(std::uint64_t limit) { return static_cast<std::uint64_t>(unit() * static_cast<double>(limit)); }

 private:
  std::uint64_t state_;
};

}  // namespace program
