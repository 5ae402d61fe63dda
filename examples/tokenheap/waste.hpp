// How many token slots paging and a contiguous reservation leave empty, over a whole trace.
#pragma once

#include <cstdint>

namespace program {

// sums over a trace of long requests pass 64 bits
__extension__ using wide = unsigned __int128;

/// A sum of tokens held and of slots reserved for them.
struct slot_sum {
  wide tokens = 0;
  wide slots = 0;

  /// Returns  how many percent of the slots stood empty; 0 where there were none
  [[nodiscard]] double waste_percent() const {
    if (slots == 0) return 0;
    return static_cast<double>(100 * static_cast<long double>(slots - tokens) / static_cast<long double>(slots));
  }
};

/// Adds up the internal waste of requests, each in closed form, exactly.
///
/// A request of `prompt` and `output` tokens holds prompt + t tokens at decode step t = 0 .. output - 1. Requests with
/// no prompt or no output hold nothing and count as skipped.
class waste_sum {
 public:
  waste_sum(std::uint32_t block_tokens, std::uint32_t reserve) : block_(block_tokens), reserve_(reserve) {}

  void add(std::uint64_t prompt, std::uint64_t output) {
    ++requests;
    if (prompt == 0 || output == 0) {
      ++skipped;
      return;
    }
    const std::uint64_t last = prompt + output - 1;
    const wide held = count_to(last) - count_to(prompt - 1);
    steps.tokens += held;
    steps.slots += block_ * (blocks_to(last) - blocks_to(prompt - 1));
    final.tokens += last;
    final.slots += wide{block_} * ((last + block_ - 1) / block_);
    if (prompt + output > reserve_) {
      ++do_not_fit;
      return;
    }
    reserved.tokens += held;
    reserved.slots += wide{reserve_} * output;
  }

  std::uint64_t requests = 0;
  std::uint64_t skipped = 0;
  std::uint64_t do_not_fit = 0;
  slot_sum steps;
  slot_sum final;
  slot_sum reserved;

 private:
  // 1 + 2 + ... + n
  static wide count_to(std::uint64_t n) { return wide{n} * (wide{n} + 1) / 2; }

  // the blocks of a sequence of 1, 2, ... n tokens, added up
  [[nodiscard]] wide blocks_to(std::uint64_t n) const {
    const wide full = n / block_;
    return block_ * (full * (full + 1) / 2) + (n % block_) * (full + 1);
  }

  std::uint32_t block_;
  std::uint32_t reserve_;
};

}  // namespace program
