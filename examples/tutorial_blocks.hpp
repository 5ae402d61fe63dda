// What the tutorial's programs share from step 2 on: the shape of a block, and where a token's keys and values are.
#pragma once

#include <cstddef>

#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/source/host.hpp>

#include "tutorial_model.hpp"

// [layout]
namespace kv = tokenheap::kv;
inline constexpr std::size_t block = 8;  // tokens in a block; engines take 16 or more
inline constexpr kv::layout shape{
    .layers = layers, .kv_heads = heads, .head_size = head, .type = kv::dtype::float32, .block_tokens = block};
using pool_type = kv::block_pool<>;
using sequence = kv::sequence<pool_type>;
// [layout]

// [row]
// where the keys or values of a token are: in which block of the sequence, and where in it
inline auto rows_of(const pool_type& pool, const sequence& s) {
  return [&](std::size_t layer, std::size_t plane, std::size_t at) {
    const std::size_t inside = shape.offset_of({.layer = layer, .plane = plane, .head = 0, .token = at % block});
    return reinterpret_cast<float*>(static_cast<char*>(pool.data(s.blocks()[at / block])) + inside);
  };
}
// [row]
