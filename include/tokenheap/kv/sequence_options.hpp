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

  /// How many tokens of a prompt may come from the cache.
  [[nodiscard]] constexpr std::size_t reusable(std::size_t prompt) const noexcept {
    return !read_cache || prompt == 0 ? 0 : prompt - (recompute_last ? 1 : 0);
  }

  /// The key under which blocks are looked for and published; `fresh` is a number that no request had before.
  [[nodiscard]] constexpr prefix_key shared_key(std::uint64_t fresh) const noexcept {
    prefix_key made = key;
    if (share == share_scope::process) made.tenant = 0;
    if (share == share_scope::request) made.request = fresh;
    return made;
  }

  /// What to change before a request can be opened with these, or null.
  [[nodiscard]] constexpr const char* why_not() const noexcept {
    if (key.tenant > max_tenant) return "number tenants from 0 to 4294967294";
    if (key.salt == nullptr && key.salt_bytes != 0) return "give the bytes of the salt, or no salt";
    return nullptr;
  }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
