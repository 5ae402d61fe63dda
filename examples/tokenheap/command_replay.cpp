#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "replay.hpp"

namespace program {
namespace {

constexpr std::uint64_t default_capacity_mib = 80 * 1024;

struct replay_options {
  std::string trace;
  std::string format;
  std::string allocator = "tokenheap";
  std::uint64_t capacity_mib = default_capacity_mib;
  std::uint64_t device = 0;
  bool growing_scratch = false;
  bool json = false;
};

std::string mib(std::uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string to_json(const replay_options& options, const replay_trace& trace, const replay_outcome& out) {
  std::uint64_t calls = 0;
  for (const auto& [kind, n] : out.device_calls) calls += n;
  const nlohmann::ordered_json made{
      {"allocator", options.allocator},
      {"capacity_bytes", options.capacity_mib << 20},
      {"events", trace.events.size()},
      {"allocations", out.allocations},
      {"frees", out.frees},
      {"streams", trace.streams},
      {"unmatched_frees", trace.unmatched_frees},
      {"empty_requests", trace.empty_requests},
      {"failures_in_trace", trace.failures_in_trace},
      {"live_at_end", trace.live_at_end},
      {"peak_live_bytes", out.peak_live},
      {"peak_reserved_bytes", out.peak_reserved},
      {"fragmentation_percent", out.fragmentation_percent()},
      {"device_calls", calls},
      {"device_calls_by_kind", out.device_calls},
      {"waits", out.waits},
      {"event_records", out.events},
      {"failures", out.failures},
      {"failed_bytes", out.failed_bytes},
      {"ns_per_operation", out.nanoseconds / static_cast<double>(trace.events.size())},
  };
  return made.dump() + "\n";
}

std::string to_table(const replay_options& options, const replay_trace& trace, const replay_outcome& out) {
  std::string calls;
  for (const auto& [kind, n] : out.device_calls) calls += fmt::format("{}{} {}", calls.empty() ? "" : ", ", n, kind);
  std::string made;
  const auto row = [&](const char* name, const std::string& value) { made += fmt::format("{:<24}{}\n", name, value); };
  row("allocator", fmt::format("{}, device of {} MiB", options.allocator, options.capacity_mib));
  row("events", fmt::format("{} ({} allocations, {} frees, {} streams)", trace.events.size(), out.allocations, out.frees,
                            trace.streams));
  row("left out", fmt::format("{} frees of unknown pieces, {} requests of 0 bytes, {} failures in the trace",
                              trace.unmatched_frees, trace.empty_requests, trace.failures_in_trace));
  row("peak live", mib(out.peak_live));
  row("peak reserved", mib(out.peak_reserved));
  row("fragmentation at peak", fmt::format("{:.1f} %", out.fragmentation_percent()));
  row("device calls", calls.empty() ? "none" : calls);
  row("waits, event records", fmt::format("{}, {}", out.waits, out.events));
  row("failures", fmt::format("{} ({})", out.failures, mib(out.failed_bytes)));
  row("time per operation", fmt::format("{:.1f} ns", out.nanoseconds / static_cast<double>(trace.events.size())));
  return made;
}

complaint read(const replay_options& options, replay_trace& out) {
  if (options.growing_scratch) {
    out = growing_scratch();
    return {};
  }
  const replay_format format = options.format == "rmm-csv"   ? replay_format::rmm_csv
                               : options.format == "stalloc" ? replay_format::stalloc
                                                             : replay_format::memory_viz_json;
  return read_replay(options.trace, format, options.device, out);
}

int run_replay(const replay_options& options) {
  if (options.growing_scratch != options.trace.empty())
    return refuse("--trace: give a trace with its --format, or --growing-scratch");
  if (!options.growing_scratch && options.format.empty()) return refuse("--format: a trace has one; none was given");
  replay_trace trace;
  if (const complaint bad = read(options, trace); !bad.empty()) return refuse(bad);
  replay_outcome out;
  const auto replay = options.allocator == "pytorch" ? replay_pytorch : replay_tokenheap;
  if (const complaint bad = replay(trace, options.capacity_mib << 20, out); !bad.empty()) {
    std::fprintf(stderr, "tokenheap: %s\n", bad.c_str());
    return went_wrong;
  }
  return print(options.json ? to_json(options, trace, out) : to_table(options, trace, out));
}

}  // namespace

command declare_replay(CLI::App& app) {
  const auto chosen = std::make_shared<replay_options>();
  app.add_option("--trace", chosen->trace, "the trace file");
  word_option(app, "--format", chosen->format, {"rmm-csv", "stalloc", "memory-viz-json"},
              "rmm-csv (RMM's log), stalloc (lines of 1|0 ptr size stream) or memory-viz-json (PyTorch's snapshot)");
  app.add_flag("--growing-scratch", chosen->growing_scratch,
               "in place of a trace: 100 MiB, then 64 KiB more each time, 1000 times, each given back before the next");
  word_option(app, "--allocator", chosen->allocator, {"tokenheap", "pytorch"},
              "tokenheap (default): the caching allocator over a simulated device; pytorch: a model of PyTorch's rules");
  count_option(app, "--capacity", chosen->capacity_mib, 1, 1 << 24, "MiB of the device (default 81920)");
  count_option(app, "--device", chosen->device, 0, 1023, "which device of a snapshot (default 0)");
  app.add_flag("--json", chosen->json, "print one JSON object instead of the table");
  return [chosen] { return run_replay(*chosen); };
}

}  // namespace program
