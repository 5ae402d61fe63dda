#include "report.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace program {
namespace {

using json = nlohmann::ordered_json;

double mean_blocks(const served& s) {
  return s.steps == 0 ? 0 : static_cast<double>(s.blocks_in_steps) / static_cast<double>(s.steps);
}

const char* name_of(kv::dtype type) {
  const auto* const found = std::find_if(std::begin(cache_formats), std::end(cache_formats),
                                         [&](const cache_format& f) { return f.type == type; });
  return found == std::end(cache_formats) ? "" : found->name;
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::array<std::pair<const char*, owned_bytes>, 4> owners(const engine& e) {
  return {
      {{"weights", e.weights()}, {"kv", e.keys_and_values()}, {"scratch", e.scratch()}, {"requests", e.requests()}}};
}

std::array<std::pair<const char*, const latency*>, 3> calls(const served& s) {
  return {{{"open", &s.open}, {"grow", &s.grow}, {"close", &s.close}}};
}

// one number for all logits of the run: two runs with the same one computed the same bits
std::uint64_t digest(const std::vector<recorded_logits>& all) {
  std::uint64_t sum = 0xCBF29CE484222325;
  const auto add = [&](std::uint64_t word) { sum = (sum ^ word) * 0x100000001B3; };
  for (const recorded_logits& one : all) {
    add(one.size());
    for (const float value : one) add(std::bit_cast<std::uint32_t>(value));
  }
  return sum;
}

json device_json(const device_outcome& d) {
  const tokenheap::device_stats& m = d.memory;
  json out{{"name", "sim"},
           {"violations", d.violations},
           {"books_hold", d.books_hold},
           {"is_clean", d.is_clean},
           {"capacity_bytes", d.capacity},
           {"used_peak_bytes", d.used_peak},
           {"reserved_bytes", m.all.reserved_bytes.current},
           {"reserved_peak_bytes", m.all.reserved_bytes.peak},
           {"allocated_bytes", m.all.allocated_bytes.current},
           {"allocated_peak_bytes", m.all.allocated_bytes.peak},
           {"cached_bytes", m.cached_bytes},
           {"pending_bytes", m.pending_bytes},
           {"allocations", m.all.allocation.allocated},
           {"num_device_alloc", m.num_device_alloc},
           {"num_device_free", m.num_device_free},
           {"num_borrows", m.num_borrows},
           {"num_events", m.num_events},
           {"num_sync_all_streams", m.num_sync_all_streams},
           {"num_alloc_retries", m.num_alloc_retries},
           {"device_calls", d.device_calls}};
  for (unsigned k = 0; k < tokenheap::sim_calls; ++k)
    if (d.calls[k] != 0) out["calls"][tokenheap::to_text(static_cast<tokenheap::sim_call>(k))] = d.calls[k];
  return out;
}

std::string bytes(std::size_t n) {
  if (n < 10 * tokenheap::KiB) return fmt::format("{} B", n);
  if (n < 10 * tokenheap::MiB) return fmt::format("{:.1f} KiB", static_cast<double>(n) / tokenheap::KiB);
  return fmt::format("{:.1f} MiB", static_cast<double>(n) / tokenheap::MiB);
}

std::string device_table(const device_outcome& d) {
  using tokenheap::sim_call;
  const tokenheap::device_stats& m = d.memory;
  const auto calls = [&](sim_call which) { return d.calls[static_cast<unsigned>(which)]; };
  std::string text = fmt::format("\n{:<28}{:>14}   of {}\n", "device", "sim", bytes(d.capacity));
  const auto row = [&](std::string_view name, const auto& value, const std::string& note) {
    text += fmt::format("  {:<26}{:>14}   {}\n", name, value, note);
  };
  row("violations", d.violations, "accesses that some timing lets overlap, and other misuse");
  row("device calls", d.device_calls, fmt::format("{} kernels, {} copies", calls(sim_call::launch), calls(sim_call::copy)));
  row("pieces handed out", m.all.allocation.allocated,
      fmt::format("{} calls for memory, {} to give it back; {} events, {} borrowed by the other stream", m.num_device_alloc,
                  m.num_device_free, m.num_events, m.num_borrows));
  row("reserved", bytes(m.all.reserved_bytes.current), "peak " + bytes(m.all.reserved_bytes.peak));
  row("handed out, peak", bytes(m.all.allocated_bytes.peak),
      fmt::format("{} cached, {} pending", bytes(m.cached_bytes), bytes(m.pending_bytes)));
  return text;
}

}  // namespace

std::string to_json(const serve_report& r) {
  const served& s = r.server.outcome();
  const kv::pool_stats pool = r.server.pool_stats();
  json out{{"requests", s.requests},
           {"rejected", s.rejected},
           {"left_out", r.work.left_out()},
           {"prompt_tokens", s.prompt_tokens},
           {"generated_tokens", s.generated_tokens},
           {"computed_tokens", s.computed_tokens},
           {"prefix_hit_tokens", s.prefix_hit_tokens},
           {"recomputed_hit_tokens", s.recomputed_hit_tokens},
           {"preemptions", s.preemptions},
           {"tier_hit_tokens", s.tier_hit_tokens},
           {"forks", s.forks},
           {"tenants", r.options.tenants},
           {"scrubbed", pool.scrubbed},
           {"evictions", pool.evictions},
           {"steps", s.steps},
           {"most_running", s.most_running},
           {"block_tokens", r.options.block_tokens},
           {"kv_dtype", name_of(r.options.kv_type)},
           {"block_bytes", r.options.cache_layout().block_bytes()},
           {"blocks_total", pool.total},
           {"blocks_peak", pool.peak_live},
           {"blocks_mean", mean_blocks(s)},
           {"waste_percent", s.paged.waste_percent()},
           {"reserved_tokens", r.work.longest()},
           {"reserved_waste_percent", s.reserved.waste_percent()}};
  for (const auto& [name, owned] : owners(r.server))
    out["owners"][name] = {{"current_bytes", owned.current}, {"peak_bytes", owned.peak}};
  out["kv_bookkeeping_bytes"] = pool.bookkeeping_bytes;
  for (const auto& [name, call] : calls(s))
    out["latency_ns"][name] = {{"calls", call->calls()},
                               {"p50", call->at_share(0.5)},
                               {"p99", call->at_share(0.99)},
                               {"max", call->at_share(1)}};
  if (const tier_side* below = r.server.tiers())
    for (const auto& [name, t] : below->outcome())
      out["tiers"][name] = {{"blocks", t.blocks},     {"capacity", t.capacity},           {"lookups", t.lookups},
                            {"hits", t.hits},         {"stored", t.stored},               {"present", t.present},
                            {"refused", t.refused},   {"loaded", t.loaded},               {"load_failures", t.load_failures},
                            {"evicted", t.evicted},   {"recovered", t.recovered},         {"lost", t.lost}};
  if (const device_outcome* d = r.server.device()) out["device"] = device_json(*d);
  out["logits_digest"] = fmt::format("{:016x}", digest(r.server.recorded()));
  out["verified"] = r.check.verified;
  out["mismatches"] = r.check.mismatches;
  out["serve_seconds"] = r.serve_seconds;
  out["verify_seconds"] = r.verify_seconds;
  if (!r.page.empty()) out["report"] = r.page;
  return out.dump() + "\n";
}

std::string to_table(const serve_report& r) {
  const served& s = r.server.outcome();
  const kv::pool_stats pool = r.server.pool_stats();
  std::string text;
  const auto row = [&](std::string_view name, const std::string& value, const std::string& note = {}) {
    text += fmt::format("{:<28}{:>14}{}{}\n", name, value, note.empty() ? "" : "   ", note);
  };
  row("requests", fmt::to_string(s.requests), fmt::format("at most {} at once", s.most_running));
  if (s.rejected != 0) row("  rejected", fmt::to_string(s.rejected), "longer than the whole pool");
  if (r.work.left_out() != 0) row("  left out", fmt::to_string(r.work.left_out()), "without a prompt or an output");
  row("prompt tokens", fmt::to_string(s.prompt_tokens));
  row("generated tokens", fmt::to_string(s.generated_tokens));
  row("prefix hits, tokens", fmt::to_string(s.prefix_hit_tokens),
      fmt::format("{:.1f} % of the prompt tokens", percent(s.prefix_hit_tokens, s.prompt_tokens)));
  row("preemptions", fmt::to_string(s.preemptions),
      fmt::format("{} tokens found again afterwards", s.recomputed_hit_tokens));
  if (const tier_side* below = r.server.tiers()) {
    row("tier hits, tokens", fmt::to_string(s.tier_hit_tokens), "the pool had forgotten them");
    for (const auto& [name, t] : below->outcome())
      row("  " + name, fmt::to_string(t.loaded),
          fmt::format("blocks loaded, {} stored, {} of {} held, {} evicted", t.stored, t.blocks, t.capacity, t.evicted));
  }
  if (s.forks != 0) row("forks", fmt::to_string(s.forks), "answers that began in the blocks of another one");
  if (r.options.tenants != 0)
    row("tenants", fmt::to_string(r.options.tenants), fmt::format("{} blocks wiped between them", pool.scrubbed));
  row("blocks", fmt::to_string(pool.total),
      fmt::format("of {} tokens, {} each, {}", r.options.block_tokens, bytes(r.options.cache_layout().block_bytes()),
                  name_of(r.options.kv_type)));
  row("  in use, peak", fmt::to_string(pool.peak_live), fmt::format("{:.1f} %", percent(pool.peak_live, pool.total)));
  row("  in use, mean", fmt::format("{:.1f}", mean_blocks(s)), fmt::format("over {} steps", s.steps));
  row("  evicted", fmt::to_string(pool.evictions));
  row("empty slots, paged", fmt::format("{:.2f} %", s.paged.waste_percent()));
  row("empty slots, contiguous", fmt::format("{:.2f} %", s.reserved.waste_percent()),
      fmt::format("{} tokens reserved each", r.work.longest()));
  text += fmt::format("\n{:<28}{:>14}{:>14}\n", "memory by owner", "now", "peak");
  for (const auto& [name, owned] : owners(r.server))
    text += fmt::format("  {:<26}{:>14}{:>14}\n", name, bytes(owned.current), bytes(owned.peak));
  if (const device_outcome* d = r.server.device()) text += device_table(*d);
  text += fmt::format("\n{:<14}{:>14}{:>14}{:>14}{:>14}\n", "latency, ns", "calls", "p50", "p99", "max");
  for (const auto& [name, call] : calls(s))
    text += fmt::format("  {:<12}{:>14}{:>14}{:>14}{:>14}\n", name, call->calls(), call->at_share(0.5),
                        call->at_share(0.99), call->at_share(1));
  text += fmt::format("\nserved in {:.1f} s; {} requests decoded again in {:.1f} s", r.serve_seconds, r.check.verified,
                      r.verify_seconds);
  const char* verdict = r.check.verified == 0 ? "\n" : ": all logits equal, bit by bit\n";
  text += r.check.mismatches != 0 ? fmt::format(": {} DIFFER\n", r.check.mismatches) : verdict;
  if (!r.page.empty()) text += fmt::format("report: {}\n", r.page);
  return text;
}

}  // namespace program
