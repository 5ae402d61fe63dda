#pragma once

// What tests of the C interface share: a struct as a caller of this version hands it over, and a host tier by its parts.

#include <cstddef>
#include <cstdint>

#include <support/catch.hpp>
#include <tokenheap/adapt/c_tiers.hpp>

namespace c_kit {

template <class T>
T fresh() {
  T made{};
  made.size = sizeof made;
  made.version = TOKENHEAP_C_VERSION;
  return made;
}

inline constexpr std::size_t bytes = 512;
using host = tokenheap::adapt::c_tier_of<tokenheap::kv::host_tier<tokenheap::adapt::c_memory>>;

inline void open(host& tier, std::size_t blocks, std::size_t batches = 8) {
  const tokenheap::failure why = tier.keep(tokenheap::kv::host_tier<tokenheap::adapt::c_memory>::open(
      {.block_bytes = bytes, .room = {.blocks = blocks}, .batches = batches, .name = tier.name()}, tier.memory));
  REQUIRE(why.code == tokenheap::errc::ok);
}

inline th_block_name name_of(std::uint64_t n) { return {.hash = {n, n * n}, .group = 1, .reserved = 0}; }

}  // namespace c_kit
