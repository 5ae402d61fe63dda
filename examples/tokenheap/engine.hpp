// The server: continuous batching over a pool of KV blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "device_side.hpp"
#include "latency.hpp"
#include "request.hpp"
#include "run_record.hpp"
#include "tier_side.hpp"
#include "verify.hpp"
#include "waste.hpp"

namespace program {

/// The amounts of a server.
struct engine_options {
  std::uint32_t blocks = 0;
  std::uint32_t block_tokens = 16;
  kv::dtype kv_type = kv::dtype::float32;  ///< of keys and values in the blocks
  std::uint32_t max_batch = 32;
  std::uint32_t step_tokens = 256;
  double watermark = 0.005;
  double load = 2;
  tier_options tiers;         ///< below the pool; none by default
  bool hints = false;         ///< requests say whether what they add will be used again
  std::uint32_t tenants = 0;  ///< requests are theirs in turn; 0: nobody's
  std::uint64_t seed = 1;
  std::size_t device_bytes = 0;         ///< memory of the simulated device; 0: weights, KV and scratch are the host's
  std::optional<kv::block_id> corrupt;  ///< flip one byte of this block while somebody still reads it

  [[nodiscard]] kv::layout cache_layout() const { return layout_of_model(block_tokens, kv_type); }
};

/// What a run came to.
struct served {
  std::uint64_t requests = 0;
  std::uint64_t rejected = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t generated_tokens = 0;
  std::uint64_t computed_tokens = 0;
  std::uint64_t prefix_hit_tokens = 0;      ///< at the first admission of each request
  std::uint64_t recomputed_hit_tokens = 0;  ///< found again after a preemption
  std::uint64_t preemptions = 0;
  std::uint64_t tier_hit_tokens = 0;  ///< that the pool had forgotten and a tier had not
  std::uint64_t forks = 0;  ///< answers that began in the blocks of another one
  std::uint64_t steps = 0;
  std::uint64_t blocks_in_steps = 0;  ///< blocks in use, added up over the steps
  std::uint64_t most_running = 0;
  bool corrupted = false;
  slot_sum paged;     ///< tokens held and slots in blocks, added up over the steps
  slot_sum reserved;  ///< the same, had every request reserved the longest length
  latency open;
  latency grow;
  latency close;
};

/// Serves a workload: admission by watermark, prefix reuse, growth per token, preemption and recomputation.
///
/// Keys and values live in the pool's blocks, scratch in an arena that each step resets, requests in a slab, weights in
/// an arena of their own; on a simulated device all but the requests come from the caching allocator over it. Time is
/// the workload's: a computed token takes as long as makes the offered load what the options say, so that a run is the
/// same on every machine.
class engine {
 public:
  engine(const workload& work, const engine_options& options) : work_(work), options_(options) {}

  /// Makes weights and pool, and the device if there is one.
  complaint open();

  /// Serves all jobs. `wants_logits` says of which jobs the logits are kept; `progress` is told how many are done.
  complaint run(const std::function<bool(std::size_t)>& wants_logits, const std::function<void(std::size_t)>& progress);

  /// From now on notes what a report shows; after `open`.
  void watch(run_record& record);

  [[nodiscard]] const decoder& model() const { return model_; }
  [[nodiscard]] const served& outcome() const { return out_; }
  [[nodiscard]] const std::vector<recorded_logits>& recorded() const { return recorded_; }
  [[nodiscard]] const kv::pool_stats& pool_stats() const { return books_; }
  /// The tiers below the pool; null without any.
  [[nodiscard]] const tier_side* tiers() const { return tiers_ ? &*tiers_ : nullptr; }
  /// What was found on the device; null without one.
  [[nodiscard]] const device_outcome* device() const { return device_ ? &device_->outcome() : nullptr; }
  [[nodiscard]] owned_bytes weights() const { return device_ ? device()->weights : owned_by(weight_memory_); }
  [[nodiscard]] owned_bytes keys_and_values() const { return device_ ? device()->keys_and_values : owned_by(kv_memory_); }
  [[nodiscard]] owned_bytes scratch() const { return device_ ? device()->scratch : owned_by(scratch_memory_); }
  [[nodiscard]] owned_bytes requests() const { return owned_by(request_memory_); }
  /// What the device's memory looked like at its fullest; empty without a device or a watch.
  [[nodiscard]] std::span<const run_piece> device_pieces() const {
    return device_ ? std::span<const run_piece>(device_->fullest()) : std::span<const run_piece>();
  }

 private:
  complaint open_device();
  complaint arrive();
  complaint admit();
  bool admit_one(request& r);
  void grow_all();
  void preempt_last();
  complaint compute();
  complaint forward(std::span<const row> rows);
  std::span<row> plan_rows();
  [[nodiscard]] float* place_for_logits(std::size_t n);
  void take_logits(request& r, const float* logits);
  complaint fork(request& r, const float* logits);
  [[nodiscard]] kv::prefix_key key_of(const request& r) const;
  void copy_block(kv::block_id from, kv::block_id to);
  void wipe_block(kv::block_id id);
  void count_done(const request& r);
  void finish_done();
  void count_step();
  void corrupt();
  [[nodiscard]] double seconds() const;
  void note_rejected(std::size_t job);
  void note_put_off(const request& r, std::size_t wanted);
  void note_preempted(const request& r);
  void note_scratch();
  void note_step();
  void note_blocks(std::size_t live);
  void note_changes();
  void note_stays();
  void note_end();
  void note_readings();
  [[nodiscard]] complaint check_end() const;
  void end_device();
  [[nodiscard]] std::size_t blocks_for(std::size_t tokens) const {
    return tokenheap::divide_up(tokens, options_.block_tokens);
  }

  const workload& work_;
  engine_options options_;
  // memory first: what stands below in this class lives in it
  weight_memory weight_memory_;
  kv_memory kv_memory_;
  scratch_memory scratch_memory_;
  request_memory request_memory_;
  std::optional<device_side> device_;
  decoder model_;
  decoder device_model_;  // the same weights, on the device
  std::optional<block_pool> pool_;
  std::optional<tier_side> tiers_;
  std::deque<request_ptr> waiting_;   // in order of arrival
  std::vector<request_ptr> running_;  // in order of arrival: the last is the first to be preempted
  std::vector<request_ptr> forked_;   // in this step; they run from the next one on
  std::vector<recorded_logits> recorded_;
  served out_;
  kv::pool_stats books_;
  std::size_t arrived_ = 0;
  double clock_ms_ = 0;
  double ms_per_token_ = 0;
  std::size_t watermark_blocks_ = 0;
  run_record* record_ = nullptr;
  const request* put_off_ = nullptr;
  std::size_t scratch_in_step_ = 0;
  std::vector<std::uint8_t> was_live_;     // blocks, by id
  std::vector<std::size_t> stay_of_;       // by job: one more than the place of its stay
};

}  // namespace program
