// The tiers below the server's pool: what they are made of, and the traffic between them and the blocks of requests.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>
#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/tier_redis.hpp>
#endif
#include <tokenheap/kv/tiers.hpp>

#include "request.hpp"
#include "trace.hpp"

namespace program {

/// What `--tiers` names, from above to below.
struct tier_options {
  std::uint32_t device_blocks = 0;  ///< 0: as `--blocks` says
  std::uint32_t host_blocks = 0;
  std::string file;
  std::uint64_t file_bytes = 0;
  std::string redis;  ///< HOST:PORT

  [[nodiscard]] bool empty() const { return host_blocks == 0 && file.empty() && redis.empty(); }
};

/// Reads `device:N,host:N,file:PATH:BYTES,redis:HOST:PORT`, each once and in this order; sizes may end in K, M or G.
complaint read_tiers(const std::string& text, tier_options& out);

/// What a tier came to.
struct tier_outcome {
  std::string name;
  kv::tier_stats stats;
};

/// Blocks that are published go into the tiers, and those of a prompt that the pool has forgotten come back.
class tier_side {
 public:
  complaint open(const tier_options& with, const kv::layout& shape, std::uint64_t seed);

  /// Stores the blocks of a request that were published since the last call.
  complaint store(request& r, const block_pool& pool);

  /// Fills blocks of a request behind its cached ones; returns how many.
  std::uint32_t load(request& r, const block_pool& pool);

  [[nodiscard]] std::vector<tier_outcome> outcome() const;
  [[nodiscard]] bool is_valid() const;
  [[nodiscard]] std::uint64_t loaded_blocks() const { return loaded_; }

 private:
  complaint open_redis(const tier_options& with, std::size_t bytes);
  void ask(const kv::tier_key* names, std::size_t n);
  void name_blocks(request& r, std::size_t blocks);
  void span_blocks(const request& r, const block_pool& pool, std::size_t from, std::size_t to);

  tokenheap::host_source heap_;
  kv::sip128 names_;
  std::optional<kv::host_tier<>> host_;
  std::optional<kv::file_tier<>> file_;
#if defined(TOKENHEAP_HAS_REDIS)
  std::optional<kv::redis_tier<>> redis_;
#endif
  std::vector<kv::tier_ref> below_;
  std::optional<kv::tier_chain<>> chain_;
  std::vector<kv::tier_span> spans_;
  std::vector<kv::tier_answer> answers_;
  std::uint64_t loaded_ = 0;
};

}  // namespace program
