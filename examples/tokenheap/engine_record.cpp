// What the server notes for a report; it does so only if somebody asked.
#include "engine.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <tokenheap/observe/reading_of.hpp>
#include <tokenheap/observe/reading_of_kv.hpp>
#include <tokenheap/observe/viz_device.hpp>
#include <tokenheap/observe/viz_kv.hpp>

namespace program {

double engine::seconds() const { return (clock_ms_ - work_.jobs().front().arrival_ms) / 1000; }

void engine::watch(run_record& record) {
  record_ = &record;
  if (device_) device_->watch();
  note_step();  // how it begins: nobody holds a block
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
  // when it comes back, another stay begins
  if (r.job < stay_of_.size()) stay_of_[r.job] = 0;
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
  note_stays();
  note_changes();
}

void engine::note_stays() {
  stay_of_.resize(work_.jobs().size());
  for (const request_ptr& r : running_) {
    std::size_t& place = stay_of_[r->job];
    if (place == 0) {
      record_->stays.push_back({.job = r->job, .from = seconds()});
      place = record_->stays.size();
    }
    run_stay& stay = record_->stays[place - 1];
    stay.to = seconds();
    stay.blocks = std::max(stay.blocks, r->blocks->blocks().size());
  }
}

// what changed since the last step; a block that went and came back in between was there all the time
void engine::note_changes() {
  was_live_.resize(options_.blocks);
  std::vector<std::uint32_t> holder(options_.blocks, 0);
  for (std::size_t n = running_.size(); n-- != 0;)
    for (const kv::block_id id : running_[n]->blocks->blocks()) holder[id] = running_[n]->job;
  pool_->for_each_block([&](kv::block_id id, std::size_t references, bool, bool) {
    const bool live = references != 0;
    if (live == (was_live_[id] != 0)) return;
    was_live_[id] = live;
    record_->changes.push_back({seconds(), id, holder[id], live});
  });
}

void engine::note_end() {
  if (record_ == nullptr) return;
  note_readings();
  tokenheap::viz_snapshot& picture = record_->picture;
  if (device_) collect(picture, device_->memory());
  // the pool lies in a piece of the device's memory, and is shown beside it
  const std::uint16_t number = device_ ? 1 : 0;
  collect(picture, *pool_, {.device = number});
  std::vector<const char*> names(work_.jobs().size());
  for (const run_change& c : record_->changes) {
    const char*& name = names[c.job];
    if (name == nullptr) name = record_->texts.emplace_back(fmt::format("request {}", c.job)).c_str();
    tokenheap::viz_event e{.device = number,
                           .action = tokenheap::device_action::alloc,
                           .address = tokenheap::address_of(pool_->data(c.id)),
                           .bytes = options_.cache_layout().block_bytes(),
                           .microseconds = 1 + static_cast<std::uint64_t>(c.seconds * 1e6),
                           .frame = {.name = c.came ? name : "kv", .filename = "kv", .line = c.id}};
    if (!c.came) {
      e.action = tokenheap::device_action::free_requested;
      picture.add(e);
      e.action = tokenheap::device_action::free_completed;
    }
    picture.add(e);
  }
}

void engine::note_readings() {
  const auto read = [&](auto& pool, const char* name, bool on_device) {
    tokenheap::pool_reading& made = record_->readings.emplace_back();
    made.pool = name;
    made.owner = "serve";
    made.space = on_device ? "device" : "host";
    if (on_device) made.device = "0";
    read_pool(pool, made);
  };
  read(weight_memory_, "weights", false);
  read(scratch_memory_, "scratch", false);
  read(request_memory_, "requests", false);
  if (device_) read(device_->memory(), "device", true);
  if (tiers_)
    for (const tier_outcome& t : tiers_->outcome()) {
      tokenheap::pool_reading& made = record_->readings.emplace_back();
      made.pool = "kv " + t.name;
      made.owner = "serve";
      made.space = t.name;
      made.kind = "tier";
      read_stats(t.stats, made);
    }
  read(*pool_, "kv", device_.has_value());
  tokenheap::pool_reading& kv = record_->readings.back();
  kv.failures.add("out_of_memory", record_->put_off.size() + record_->preempted.size());
  kv.failures.add("too_large", record_->rejected.size());
  const std::pair<const char*, const latency*> calls[] = {{"open", &out_.open}, {"grow", &out_.grow}, {"close", &out_.close}};
  for (const auto& [name, all] : calls) {
    tokenheap::latency_histogram counts;
    for (const std::uint64_t ns : all->all()) counts.add(ns);
    kv.latencies.push_back({name, counts.read()});
  }
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
