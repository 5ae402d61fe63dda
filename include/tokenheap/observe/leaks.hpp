// What is still out, by owner.
#pragma once

#include <cstring>

#include <tokenheap/observe/allocation_samples.hpp>
#include <tokenheap/policy/guard.hpp>

namespace tokenheap {
inline namespace v0 {

/// What an owner still holds, as estimated from samples, and the largest allocation among them.
struct owner_leak {
  const char* owner = "";
  std::size_t bytes = 0;
  std::size_t samples = 0;
  const void* largest = nullptr;
  std::size_t largest_bytes = 0;
};

/// Sums up by owner what is still out, most bytes first; owners beyond the room in `out` are counted in its last place.
///
/// Returns   how many places of `out` were written
inline std::size_t leaks_by_owner(const allocation_samples& samples, owner_leak* out, std::size_t most) noexcept {
  std::size_t count = 0;
  if (most == 0) return 0;
  samples.for_each_sample([&](const live_sample& s, const sampled_stack& from) {
    std::size_t k = 0;
    while (k != count && std::strcmp(out[k].owner, from.owner) != 0) ++k;
    if (k == most) {
      --k;
      out[k].owner = "(others)";
    } else if (k == count) {
      out[count++] = {.owner = from.owner};
    }
    out[k].bytes += s.weight;
    ++out[k].samples;
    if (s.granted > out[k].largest_bytes) {
      out[k].largest_bytes = s.granted;
      out[k].largest = reinterpret_cast<const void*>(s.address);
    }
  });
  for (std::size_t a = 1; a < count; ++a) {
    for (std::size_t b = a; b != 0 && out[b - 1].bytes < out[b].bytes; --b) {
      const owner_leak kept = out[b];
      out[b] = out[b - 1];
      out[b - 1] = kept;
    }
  }
  return count;
}

/// Reports one failure per owner that still holds something; fits `sample_options::at_end`.
///
/// With `sampling::fixed` and an interval of 1 the bytes are exact, else they are what the samples stand for.
inline void report_leaks(const allocation_samples& samples) noexcept {
  owner_leak owners[16];
  const std::size_t count = leaks_by_owner(samples, owners, 16);
  for (std::size_t k = 0; k != count; ++k) {
    report({.code = errc::leaked, .pool = owners[k].owner, .what = "bytes still out, by sampled stacks",
            .need = owners[k].bytes, .available = 0, .limit = 0, .address = owners[k].largest,
            .fix = "draw write_folded's lines as a flame graph: it shows who allocated them"});
  }
}

}  // namespace v0
}  // namespace tokenheap
