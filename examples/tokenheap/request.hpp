// One request while the server works on it: a slab object, with its tokens and its block table in the same slab.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <vector>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/hinted.hpp>
#include <tokenheap/kv/scrub.hpp>
#include <tokenheap/kv/sequence.hpp>

#include "memory.hpp"
#include "model.hpp"
#include "workload.hpp"

namespace program {

/// What one tenant's keys and values were, no other one ever reads.
struct serve_policy : kv::default_policy {
  using evict = kv::hinted;  // without hints it is lru
  using scrub = kv::scrub<kv::scrub_when::tenant_change>;
};

using block_pool = kv::block_pool<serve_policy>;
using sequence = kv::sequence<block_pool>;

/// What the server knows about a request: which job, which tokens, and how many of them are computed.
struct request {
  std::uint32_t job = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t known = 0;     ///< tokens of the prompt and those generated
  std::uint32_t computed = 0;  ///< of those, the ones whose keys and values are written
  std::uint32_t generated = 0;
  std::uint32_t admissions = 0;  ///< more than one: it was preempted in between
  std::uint32_t* tokens = nullptr;
  std::byte** addresses = nullptr;
  std::uint32_t addresses_known = 0;
  std::optional<sequence> blocks;
  kv::tenant_id tenant = 0;
  std::vector<kv::tier_key> names;  ///< of its full blocks, as the tiers know them
  std::size_t stored = 0;           ///< blocks of those that the tiers were given
  kv_view cache;

  [[nodiscard]] bool done() const { return generated == output_tokens; }
  [[nodiscard]] std::span<const std::uint32_t> all_tokens() const { return {tokens, known}; }

  /// Writes down where blocks start that came since the last call, or took the place of a shared one.
  void look_up(const block_pool& pool) {
    const std::span<const kv::block_id> ids = blocks->blocks();
    addresses_known = std::min(addresses_known, computed / static_cast<std::uint32_t>(blocks->block_tokens()));
    for (; addresses_known < ids.size(); ++addresses_known)
      addresses[addresses_known] = static_cast<std::byte*>(pool.data(ids[addresses_known]));
  }
};

/// Gives a request and everything in it back to its slab.
struct request_closer {
  request_memory* memory = nullptr;
  tokenheap::allocation self;
  tokenheap::allocation tokens;
  tokenheap::allocation addresses;

  void operator()(request* r) const {
    if (r == nullptr) return;
    r->~request();
    memory->deallocate(addresses);
    memory->deallocate(tokens);
    memory->deallocate(self);
  }
};

using request_ptr = std::unique_ptr<request, request_closer>;

/// Makes a request for job `n`; null if the memory has no room.
inline request_ptr open_request(request_memory& memory, const workload& work, std::size_t n, const kv::layout& shape) {
  const job& j = work.jobs()[n];
  const std::size_t blocks = tokenheap::divide_up(j.longest(), shape.block_tokens);
  request_closer closer{.memory = &memory,
                        .self = memory.allocate(sizeof(request), alignof(request)),
                        .tokens = memory.allocate(j.longest() * sizeof(std::uint32_t)),
                        .addresses = memory.allocate(blocks * sizeof(std::byte*))};
  if (!closer.self || !closer.tokens || !closer.addresses) {
    for (const auto piece : {closer.addresses, closer.tokens, closer.self}) memory.deallocate(piece);
    return request_ptr(nullptr, {});
  }
  auto* const made = new (closer.self.data) request;
  made->job = static_cast<std::uint32_t>(n);
  made->output_tokens = j.output_tokens;
  made->tokens = static_cast<std::uint32_t*>(closer.tokens.data);
  made->addresses = static_cast<std::byte**>(closer.addresses.data);
  made->cache = {shape, made->addresses};
  made->known = j.prompt_tokens;
  work.write_prompt(n, made->tokens);
  return request_ptr(made, closer);
}

}  // namespace program
