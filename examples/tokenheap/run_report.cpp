#include "run_report.hpp"
#include "run_timeline.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <deque>
#include <memory>
#include <numeric>

#include <fmt/format.h>

#include <tokenheap/observe/openmetrics.hpp>
#include <tokenheap/observe/report.hpp>
#include <tokenheap/observe/timeline_json.hpp>
#include <tokenheap/observe/viz_json.hpp>
#include <tokenheap/observe/viz_pickle.hpp>

namespace program {
namespace {

using tokenheap::report_tone;
using tokenheap::report_unit;

// the width of a bin: a quarter of a doubling
constexpr double bin_width = 0.25;

std::string percent(double part, double whole) { return fmt::format("{:.1f} %", whole == 0 ? 0 : 100 * part / whole); }

std::string bytes(double n) {
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB"}) {
    if (n < 1024) break;
    n /= 1024;
    unit = larger;
  }
  // whole numbers as they are, others with three digits
  const int digits = n == std::floor(n) || n >= 100 ? 0 : n >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}", n, digits, unit);
}

std::string grouped(std::uint64_t n) {
  std::string text = fmt::to_string(n);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

// how long a call took, by powers
struct bins {
  std::vector<double> edges;
  std::vector<std::uint64_t> counts;

  explicit bins(const latency& calls) {
    if (calls.calls() == 0) return;
    const auto place = [](std::uint64_t ns) {
      return static_cast<long>(std::floor(std::log2(static_cast<double>(std::max<std::uint64_t>(ns, 1))) / bin_width));
    };
    const long first = place(calls.at_share(0));
    counts.resize(static_cast<std::size_t>(place(calls.at_share(1)) - first + 1));
    for (std::size_t k = 0; k <= counts.size(); ++k)
      edges.push_back(std::exp2(static_cast<double>(first + static_cast<long>(k)) * bin_width));
    for (const std::uint64_t ns : calls.all()) ++counts[static_cast<std::size_t>(place(ns) - first)];
  }
};

// builds the page; what a report only points to lives here
class run_page {
 public:
  run_page(const serve_report& of, const run_record& record) : of_(of), record_(record) {
    for (const run_sample& s : record_.samples) times_.push_back(s.seconds);
  }

  [[nodiscard]] tokenheap::memory_report made(std::span<const tokenheap::report_file> files) {
    figures();
    memory();
    blocks();
    hits();
    queue();
    pool_map();
    device_map();
    latencies();
    owners();
    reasons();
    return {.title = "tokenheap serve",
            .summary = summary(),
            .figures = figures_,
            .series = series_,
            .maps = maps_,
            .histograms_title = "Latency of calls to the pool",
            .histograms = histograms_,
            .owners = owners_,
            .reasons = reasons_,
            .files = files};
  }

 private:
  template <class Of>
  std::span<const double> column(Of&& of) {
    std::vector<double>& made = numbers_.emplace_back();
    for (const run_sample& s : record_.samples) made.push_back(static_cast<double>(of(s)));
    return made;
  }
  const char* text(std::string words) { return texts_.emplace_back(std::move(words)).c_str(); }
  [[nodiscard]] double block_bytes() const { return static_cast<double>(of_.options.cache_layout().block_bytes()); }

  // a quantity that was never there is left out
  static void put(std::vector<tokenheap::report_line>& lines, tokenheap::report_line line) {
    if (std::any_of(line.values.begin(), line.values.end(), [](double v) { return v != 0; })) lines.push_back(line);
  }

  const char* summary();
  void figures();
  void memory();
  void blocks();
  void hits();
  void queue();
  void pool_map();
  void device_map();
  void latencies();
  void owners();
  void reasons();
  std::span<const tokenheap::report_event> events(const std::vector<run_note>& notes);

  const serve_report& of_;
  const run_record& record_;
  std::vector<double> times_;
  std::deque<std::string> texts_;
  std::deque<std::vector<double>> numbers_;
  std::deque<std::vector<tokenheap::report_line>> lines_;
  std::deque<std::vector<tokenheap::report_event>> events_;
  std::deque<std::vector<tokenheap::report_piece>> pieces_;
  std::deque<bins> bins_;
  std::vector<tokenheap::report_figure> figures_;
  std::vector<tokenheap::report_series> series_;
  std::vector<tokenheap::report_map> maps_;
  std::vector<tokenheap::report_histogram> histograms_;
  std::vector<tokenheap::report_owner> owners_;
  std::vector<tokenheap::report_reason> reasons_;
};

const char* run_page::summary() {
  const served& s = of_.server.outcome();
  const kv::pool_stats pool = of_.server.pool_stats();
  const char* check = of_.check.verified == 0 ? "no logit was checked" : "every logit checked is equal, bit by bit";
  if (of_.check.mismatches != 0) check = "some logits DIFFER from those decoded alone";
  return text(fmt::format("{} requests were served out of {} blocks of {} tokens ({}): at most {} blocks were in use at once, "
                          "{} of the prompt tokens were found in the cache, {} preemptions made room, and {}.",
                          grouped(s.requests), grouped(pool.total), of_.options.block_tokens,
                          bytes(block_bytes() * static_cast<double>(pool.total)), grouped(pool.peak_live),
                          percent(static_cast<double>(s.prefix_hit_tokens), static_cast<double>(s.prompt_tokens)),
                          grouped(s.preemptions), check));
}

void run_page::figures() {
  const served& s = of_.server.outcome();
  const kv::pool_stats pool = of_.server.pool_stats();
  const auto put_figure = [&](const char* name, std::string value, std::string note) {
    figures_.push_back({name, text(std::move(value)), text(std::move(note))});
  };
  double most = 0;
  for (const run_sample& at : record_.samples)
    most = std::max(most, static_cast<double>(at.weights + at.keys_and_values + at.scratch + at.requests));
  put_figure("Memory, peak", bytes(most), "of all owners together");
  put_figure("Blocks in use, peak", grouped(pool.peak_live),
             fmt::format("of {}: {}", grouped(pool.total),
                         percent(static_cast<double>(pool.peak_live), static_cast<double>(pool.total))));
  put_figure("Prefix hits", percent(static_cast<double>(s.prefix_hit_tokens), static_cast<double>(s.prompt_tokens)),
             fmt::format("{} of {} prompt tokens", grouped(s.prefix_hit_tokens), grouped(s.prompt_tokens)));
  put_figure("Empty slots", fmt::format("{:.2f} %", s.paged.waste_percent()),
             fmt::format("{:.1f} % if each had reserved the longest", s.reserved.waste_percent()));
  put_figure("Preemptions", grouped(s.preemptions), fmt::format("{} blocks evicted", grouped(pool.evictions)));
  put_figure("Requests", grouped(s.requests),
             fmt::format("{} rejected, at most {} at once", s.rejected, s.most_running));
}

void run_page::memory() {
  auto& lines = lines_.emplace_back();
  const double size = block_bytes();
  const auto of_blocks = [size](std::size_t n) { return static_cast<double>(n) * size; };
  put(lines, {"weights", report_tone::violet, column([](const run_sample& s) { return s.weights; })});
  put(lines, {"kv in use", report_tone::blue, column([&](const run_sample& s) { return of_blocks(s.blocks.live); })});
  put(lines, {"kv in flight", report_tone::magenta, column([&](const run_sample& s) { return of_blocks(s.blocks.in_flight); })});
  put(lines, {"kv cached", report_tone::aqua, column([&](const run_sample& s) { return of_blocks(s.blocks.cached); })});
  // what the pool holds beside blocks that are live or cached: free ones, and what was granted beyond
  put(lines, {"kv free", report_tone::quiet, column([&](const run_sample& s) {
                const kv::pool_stats& b = s.blocks;
                return static_cast<double>(s.keys_and_values) - of_blocks(b.live + b.in_flight + b.cached);
              })});
  put(lines, {"scratch", report_tone::yellow, column([](const run_sample& s) { return s.scratch; })});
  put(lines, {"requests", report_tone::orange, column([](const run_sample& s) { return s.requests; })});
  series_.push_back({.title = "Memory over time, by owner",
                     .note = "Time is the workload's, since the first request came. Scratch is the most of each step.",
                     .unit = report_unit::bytes,
                     .stacked = true,
                     .times = times_,
                     .lines = lines});
}

void run_page::blocks() {
  auto& lines = lines_.emplace_back();
  put(lines, {"in use", report_tone::blue, column([](const run_sample& s) { return s.blocks.live; })});
  put(lines, {"in flight", report_tone::magenta, column([](const run_sample& s) { return s.blocks.in_flight; })});
  put(lines, {"cached", report_tone::aqua, column([](const run_sample& s) { return s.blocks.cached; })});
  put(lines, {"free", report_tone::quiet, column([](const run_sample& s) { return s.blocks.free; })});
  series_.push_back({.title = "Blocks by state",
                     .note = "Cached blocks hold a prefix that nobody reads now, and go when room is needed.",
                     .stacked = true,
                     .times = times_,
                     .lines = lines});
}

// of all so far, and of the last tenth of the run
void run_page::hits() {
  auto& lines = lines_.emplace_back();
  auto& recent = numbers_.emplace_back();
  const std::vector<run_sample>& all = record_.samples;
  const double window = all.empty() ? 0 : (all.back().seconds - all.front().seconds) / 10;
  std::size_t from = 0;
  for (const run_sample& s : all) {
    while (all[from].seconds + window < s.seconds) ++from;
    const std::size_t asked = s.blocks.asked_tokens - all[from].blocks.asked_tokens;
    const std::size_t found = s.blocks.reused_tokens - all[from].blocks.reused_tokens;
    recent.push_back(asked == 0 ? NAN : static_cast<double>(found) / static_cast<double>(asked));
  }
  lines.push_back({"last tenth of the run", report_tone::aqua, recent});
  lines.push_back({"so far", report_tone::blue, column([](const run_sample& s) {
                     const kv::pool_stats& b = s.blocks;
                     return b.asked_tokens == 0
                                ? NAN
                                : static_cast<double>(b.reused_tokens) / static_cast<double>(b.asked_tokens);
                   })});
  series_.push_back({.title = "Hit ratio of the prefix cache",
                     .note = "Share of the prompt tokens that were found, those of preempted requests included.",
                     .unit = report_unit::share,
                     .times = times_,
                     .lines = lines});
}

void run_page::queue() {
  auto& lines = lines_.emplace_back();
  put(lines, {"running", report_tone::blue, column([](const run_sample& s) { return s.running; })});
  put(lines, {"waiting", report_tone::orange, column([](const run_sample& s) { return s.waiting; })});
  series_.push_back({.title = "Requests",
                     .note = "Those that run, and those that wait for a place.",
                     .times = times_,
                     .lines = lines});
}

void run_page::pool_map() {
  static constexpr tokenheap::report_state states[] = {{"in use by one", report_tone::blue},
                                                       {"shared", report_tone::violet},
                                                       {"cached", report_tone::aqua},
                                                       {"free", report_tone::quiet}};
  auto& pieces = pieces_.emplace_back();
  std::size_t empty = 0;
  for (std::size_t id = 0; id != record_.blocks.size(); ++id) {
    const run_block& b = record_.blocks[id];
    const char* label = "";
    if (b.state == run_block::shared) label = text(fmt::format("read by {} requests", b.references));
    if (b.state == run_block::own && b.job != ~std::uint32_t{0}) label = text(fmt::format("of request {}", b.job));
    pieces.push_back({.begin = id, .state = b.state, .filled = b.filled, .label = label});
    empty += static_cast<std::size_t>(std::lround((1 - b.filled) * of_.options.block_tokens));
  }
  maps_.push_back({.name = "Pool kv at its fullest",
                   .note = text(fmt::format("Every block after {:.1f} s, in the order of their ids; shades tell requests "
                                            "apart. Their last blocks are pale where they are empty: {} slots in all.",
                                            record_.blocks_seconds, empty)),
                   .blocks = true,
                   .states = states,
                   .pieces = pieces});
}

void run_page::device_map() {
  static constexpr tokenheap::report_state states[] = {{"", report_tone::quiet},         {"handed out", report_tone::blue},
                                                       {"cached", report_tone::aqua},    {"pending", report_tone::magenta},
                                                       {"held back", report_tone::red}};
  auto& pieces = pieces_.emplace_back();
  // addresses without memory are many times as many as those with
  constexpr auto unmapped = static_cast<std::uint8_t>(tokenheap::piece_state::unmapped);
  for (const run_piece& p : of_.server.device_pieces())
    if (p.state != unmapped) pieces.push_back({.begin = p.begin, .size = p.bytes, .lane = p.segment, .state = p.state});
  if (pieces.empty()) return;
  maps_.push_back({.name = "Device memory at its fullest",
                   .note = "A strip for each segment that the caching allocator took; cached pieces between others "
                           "are fragments.",
                   .states = states,
                   .pieces = pieces});
}

void run_page::latencies() {
  const served& s = of_.server.outcome();
  const std::pair<const char*, const latency*> calls[] = {{"open", &s.open}, {"grow", &s.grow}, {"close", &s.close}};
  for (const auto& [name, all] : calls) {
    const bins& made = bins_.emplace_back(*all);
    histograms_.push_back({.name = name,
                           .edges = made.edges,
                           .counts = made.counts,
                           .p50 = static_cast<double>(all->at_share(0.5)),
                           .p99 = static_cast<double>(all->at_share(0.99)),
                           .most = static_cast<double>(all->at_share(1))});
  }
}

void run_page::owners() {
  const engine& e = of_.server;
  const auto put_owner = [&](const char* name, report_tone tone, owned_bytes held) {
    owners_.push_back({name, tone, static_cast<double>(held.current), static_cast<double>(held.peak)});
  };
  put_owner("weights", report_tone::violet, e.weights());
  put_owner("kv", report_tone::blue, e.keys_and_values());
  put_owner("scratch", report_tone::yellow, e.scratch());
  put_owner("requests", report_tone::orange, e.requests());
  // of kv: those that held most of it at once
  std::vector<std::size_t> order(record_.most_blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return record_.most_blocks[a] > record_.most_blocks[b]; });
  for (std::size_t k = 0; k != std::min<std::size_t>(order.size(), 6); ++k)
    owners_.push_back({text(fmt::format("of kv: request {}", order[k])), report_tone::blue, 0,
                       block_bytes() * static_cast<double>(record_.most_blocks[order[k]])});
}

std::span<const tokenheap::report_event> run_page::events(const std::vector<run_note>& notes) {
  auto& made = events_.emplace_back();
  for (const run_note& n : notes)
    made.push_back({n.seconds, text(fmt::format("request {}", n.job)), n.detail.c_str()});
  return made;
}

void run_page::reasons() {
  reasons_.push_back({.kind = "preempted",
                      .reason = "A running request needed a block and none could be had: the request that came last gave up its "
                                "blocks, and computes again what nobody kept.",
                      .fix = "more blocks (--blocks), a higher --watermark, or fewer requests at once (--max-batch)",
                      .events = events(record_.preempted)});
  reasons_.push_back({.kind = "put off",
                      .reason = "The first in line did not begin: its blocks and the watermark were more than the pool had.",
                      .fix = "more blocks (--blocks) or a lower --watermark",
                      .events = events(record_.put_off)});
  reasons_.push_back({.kind = "rejected",
                      .reason = "The request is longer than the whole pool.",
                      .fix = "more blocks (--blocks)",
                      .events = events(record_.rejected)});
}

// writes what `with` gives it to a file; all of it, or a complaint
template <class With>
complaint write_file(const std::string& path, With&& with) {
  const auto close = [](std::FILE* f) { std::fclose(f); };
  std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "wb"), close);
  if (file == nullptr) return fmt::format("--out: {} cannot be written", path);
  with([&](std::string_view text) { std::fwrite(text.data(), 1, text.size(), file.get()); });
  const bool failed = std::fflush(file.get()) != 0 || std::ferror(file.get()) != 0;
  return failed ? fmt::format("--out: {} could not be written to its end", path) : complaint();
}

}  // namespace

complaint write_run(const serve_report& report, const run_record& record, const std::string& folder) {
  static constexpr tokenheap::report_file files[] = {
      {"snapshot.json", "for docs.pytorch.org/memory_viz: which block was whose, and when"},
      {"snapshot.pickle", "the same, for PyTorch's own tools"},
      {"trace.json", "for ui.perfetto.dev or chrome://tracing: counters, requests, preemptions"},
      {"metrics.prom", "what Prometheus would have scraped at the end"}};
  run_page page(report, record);
  const tokenheap::memory_report made = page.made(files);
  const auto trace = timeline_of(record, static_cast<double>(report.options.cache_layout().block_bytes()));
  if (!trace) return "--out: no memory for the timeline";
  if (record.picture.status() != tokenheap::errc::ok) return "--out: no memory for the snapshot";
  const auto write = [&](const char* name, auto&& with) { return write_file(folder + "/" + name, with); };
  complaint bad = write("report.html", [&](auto&& sink) { tokenheap::write_report(made, sink); });
  if (bad.empty()) bad = write(files[0].name, [&](auto&& sink) { tokenheap::write_viz_json(record.picture, sink); });
  if (bad.empty()) bad = write(files[1].name, [&](auto&& sink) { tokenheap::write_viz_pickle(record.picture, sink); });
  if (bad.empty()) bad = write(files[2].name, [&](auto&& sink) { tokenheap::write_timeline_json(*trace, sink); });
  if (bad.empty())
    bad = write(files[3].name, [&](auto&& sink) {
      tokenheap::write_metrics(record.readings, [&](const char* text, std::size_t size) { sink(std::string_view(text, size)); });
    });
  return bad;
}

}  // namespace program
