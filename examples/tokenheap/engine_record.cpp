// What the server notes for a report; it does so only if somebody asked.
#include "engine.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace program {

double engine::seconds() const { return (clock_ms_ - work_.jobs().front().arrival_ms) / 1000; }

void engine::watch(run_record& record) {
  record_ = &record;
  if (device_) device_->watch();
}

void engine::note_rejected(std::size_t job) {
  if (record_ == nullptr) return;
  record_->rejected.push_back({seconds(), static_cast<std::uint32_t>(job),
                               fmt::format("needs {} blocks, and the pool has {}", blocks_for(work_.jobs()[job].longest() - 1),
                                           options_.blocks)});
}

// the first in line is asked anew at each step: it counts once
void engine::note_put_off(const request& r, std::size_t wanted) {
  if (record_ == nullptr || put_off_ == &r) return;
  put_off_ = &r;
  record_->put_off.push_back({seconds(), r.job,
                              fmt::format("needs {} blocks and {} to be left over; {} are available",
                                          wanted - watermark_blocks_, watermark_blocks_, pool_->stats().available())});
}

void engine::note_preempted(const request& r) {
  if (record_ == nullptr) return;
  record_->preempted.push_back({seconds(), r.job,
                                fmt::format("gave up {} blocks with {} tokens, while {} others ran",
                                            r.blocks->blocks().size(), r.blocks->length(), running_.size())});
}

// while the scratch of a step is still there
void engine::note_scratch() {
  if (record_ == nullptr) return;
  scratch_in_step_ = device_ ? device_->step_peak() : scratch_memory_.policy<counters>().values().granted.current;
}

void engine::note_step() {
  if (record_ == nullptr) return;
  const kv::pool_stats now = pool_->stats();
  record_->samples.push_back({.seconds = seconds(),
                              .blocks = now,
                              .weights = device_ ? device_->held(memory_class::weights) : weights().current,
                              .keys_and_values = device_ ? device_->held(memory_class::kv) : keys_and_values().current,
                              .scratch = std::exchange(scratch_in_step_, 0),
                              .requests = requests().current,
                              .running = running_.size(),
                              .waiting = waiting_.size()});
  record_->most_blocks.resize(work_.jobs().size());
  for (const request_ptr& r : running_)
    record_->most_blocks[r->job] = std::max(record_->most_blocks[r->job], r->blocks->blocks().size());
  if (now.live > record_->blocks_live) note_blocks(now.live);
}

void engine::note_blocks(std::size_t live) {
  record_->blocks_live = live;
  record_->blocks_seconds = seconds();
  std::vector<run_block>& all = record_->blocks;
  all.assign(options_.blocks, {});
  pool_->with_events([&](auto&, const auto& index) {
    for (kv::block_id id = 0; id < options_.blocks; ++id)
      if (index.is_published(id)) all[id].state = run_block::cached;
  });
  for (kv::block_id id = 0; id < options_.blocks; ++id) {
    all[id].references = pool_->references(id);
    if (all[id].references != 0) all[id].state = all[id].references == 1 ? run_block::own : run_block::shared;
  }
  for (const request_ptr& r : running_) {
    const std::span<const kv::block_id> ids = r->blocks->blocks();
    for (const kv::block_id id : ids) all[id].job = r->job;
    const std::size_t last = r->blocks->length() - (ids.size() - 1) * options_.block_tokens;
    if (!ids.empty()) all[ids.back()].filled = static_cast<double>(last) / options_.block_tokens;
  }
}

}  // namespace program
