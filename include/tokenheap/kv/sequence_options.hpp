// What a request says when it is opened.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/kv/root_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// With whom a request shares what it publishes, and whose blocks it finds, under one salt and adapter.
enum class share_scope : std::uint8_t {
  process,  ///< with every tenant
  tenant,   ///< with requests of the same tenant
  request,  ///< with its own forks alone
};

/// What a request wants besides blocks for its prompt.
struct sequence_options {
  prefix_key key{};             ///< salt, adapter and tenant: only equal keys share blocks
  share_scope share = share_scope::tenant;
  bool read_cache = true;       ///< false: find nothing, publish all the same
  bool recompute_last = true;   ///< leave the last prompt token to be computed, as every engine that samples needs
  bool partial = false;         ///< copy a block that agrees in its first tokens only; needs memory, or `copy` of the pool
  std::size_t lookahead = 0;    ///< slots beyond the prompt, for drafts
  std::size_t expected_tokens = 0;  ///< room in the block list for a request this long; saves moving it later
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
