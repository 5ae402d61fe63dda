#include "run_timeline.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace program {

tokenheap::result<tokenheap::timeline> timeline_of(const run_record& record, double block_bytes) {
  const std::size_t notes = record.rejected.size() + record.put_off.size() + record.preempted.size();
  auto made = tokenheap::timeline::open({.name = "tokenheap serve",
                                         .events = 1 + 8 * record.samples.size() + record.stays.size() + notes,
                                         .names = std::min<std::size_t>(64 + record.most_blocks.size(), 65'535),
                                         .slices = 1,
                                         .slice_bytes = 1});
  if (!made) return made;
  tokenheap::timeline& to = *made;
  const auto ns = [](double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); };
  const tokenheap::timeline_name memory = to.name("memory"), pool = to.name("kv");
  std::size_t evicted = 0;
  for (const run_sample& s : record.samples) {
    const std::pair<const char*, std::size_t> held[] = {
        {"weights", s.weights}, {"kv", s.keys_and_values}, {"scratch", s.scratch}, {"requests", s.requests}};
    for (const auto& [name, bytes] : held) to.counter(ns(s.seconds), memory, to.name(name), bytes);
    to.counter(ns(s.seconds), pool, to.name("blocks in use"), s.blocks.live);
    to.counter(ns(s.seconds), pool, to.name("blocks cached"), s.blocks.cached);
    to.counter(ns(s.seconds), pool, to.name("blocks free"), s.blocks.free);
    if (s.blocks.evictions != evicted)
      to.mark(ns(s.seconds), tokenheap::timeline_mark::eviction, pool, to.name("cached blocks"), s.blocks.evictions - evicted);
    evicted = s.blocks.evictions;
  }
  const auto who = [&](std::uint32_t job) { return to.name(fmt::format("request {}", job)); };
  for (std::size_t n = 0; n != record.stays.size(); ++n) {
    const run_stay& s = record.stays[n];
    // a piece of its own for each: only its size means something
    const tokenheap::allocation piece{reinterpret_cast<void*>(n + 1), static_cast<std::size_t>(block_bytes) * s.blocks};
    to.came(ns(s.from), pool, who(s.job), piece);
    to.went(ns(s.to), piece);
  }
  using tokenheap::timeline_mark;
  for (const run_note& n : record.preempted) to.mark(ns(n.seconds), timeline_mark::preemption, pool, who(n.job));
  for (const run_note& n : record.put_off) to.mark(ns(n.seconds), timeline_mark::refusal, pool, who(n.job));
  for (const run_note& n : record.rejected) to.mark(ns(n.seconds), timeline_mark::refusal, pool, who(n.job));
  return made;
}

}  // namespace program
