// What it costs to show memory: a snapshot of 100,000 events in both forms, and a ring that is kept all the time.
//
// A limit stands beside each: the same bytes put together by hand, a plain array of the last events.

#include <benchmark/benchmark.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <tokenheap/observe/timeline.hpp>
#include <tokenheap/observe/timeline_json.hpp>
#include <tokenheap/observe/viz_column.hpp>
#include <tokenheap/observe/viz_json.hpp>
#include <tokenheap/observe/viz_pickle.hpp>
#include <tokenheap/policy/trace.hpp>

namespace {

using namespace tokenheap;

constexpr std::size_t events = 100'000, blocks = 10'000;

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_observe: %s\n", why);
  std::exit(1);
}

void per_event(benchmark::State& state, std::size_t bytes) {
  state.counters["ns_per_event"] = benchmark::Counter(
      static_cast<double>(events) / 1e9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["bytes_per_event"] = static_cast<double>(bytes) / static_cast<double>(events);
}

void fill(viz_snapshot& s) {
  s.begin_segment({.address = std::uint64_t{1} << 45, .frame = {.name = "kv", .filename = "gpu 0"}});
  std::uint64_t at = std::uint64_t{1} << 45;
  for (std::size_t k = 0; k != blocks; at += 4096 * (1 + k % 7), ++k) {
    s.add(viz_block{.address = at, .size = 4096 * (1 + k % 7), .requested = 4000, .state = static_cast<viz_state>(k % 3),
                    .frame = {.name = "kv", .filename = "gpu 0"}});
  }
  for (std::size_t k = 0; k != events; ++k) {
    s.add(viz_event{.action = static_cast<device_action>(k % 3), .address = (std::uint64_t{1} << 45) + k * 512,
                    .bytes = 1000 + k, .stream = k % 4, .frame = {.name = "gpu 0", .filename = "tokenheap"}});
  }
  s.arrange();
  if (!s.is_valid()) fail("no snapshot");
}

const viz_snapshot& picture() {
  static viz_snapshot made;
  if (made.events().empty()) fill(made);
  return made;
}

// into memory, so that no disk is measured
struct kept {
  void operator()(std::string_view piece) {
    if (used + piece.size() > room.size()) fail("no room");
    std::memcpy(room.data() + used, piece.data(), piece.size());
    used += piece.size();
  }
  std::vector<char> room = std::vector<char>(64 * MiB);
  std::size_t used = 0;
};

void json(benchmark::State& state) {
  kept to;
  for (auto _ : state) to.used = 0, write_viz_json(picture(), to);
  per_event(state, to.used);
}

void pickle(benchmark::State& state) {
  kept to;
  for (auto _ : state) to.used = 0, write_viz_pickle(picture(), to);
  per_event(state, to.used);
}

// into a file, as a program does
void to_file(benchmark::State& state) {
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) fail("no file");
  std::size_t bytes = 0;
  for (auto _ : state) {
    std::rewind(file);
    bytes = 0;
    write_viz_json(picture(), [&](std::string_view piece) { bytes += std::fwrite(piece.data(), 1, piece.size(), file); });
    if (std::fflush(file) != 0) fail("the file is full");
  }
  std::fclose(file);
  per_event(state, bytes);
}

// the text of an event in one piece of code: no walk, no escapes, no blocks
void json_limit(benchmark::State& state) {
  kept to;
  for (auto _ : state) {
    to.used = 0;
    for (const viz_event& e : picture().events()) {
      char* at = to.room.data() + to.used;
      char* const end = at + 512;
      const auto text = [&](std::string_view piece) { std::memcpy(at, piece.data(), piece.size()), at += piece.size(); };
      const auto number = [&](std::uint64_t value) { at = std::to_chars(at, end, value).ptr; };
      text(R"({"action":")"), text(to_text(e.action)), text(R"(","addr":)"), number(e.address);
      text(R"(,"size":)"), number(e.bytes), text(R"(,"stream":)"), number(e.stream), text(R"(,"time_us":)");
      number(e.microseconds), text(R"(,"compile_context":"N/A","user_metadata":"","frames":[{"name":")");
      text(e.frame.name), text(R"(","filename":")"), text(e.frame.filename), text(R"(","line":)"), number(e.frame.line);
      text("}]},");
      to.used = static_cast<std::size_t>(at - to.room.data());
    }
    benchmark::ClobberMemory();
  }
  per_event(state, to.used);
}

// 100,000 events out of a ring and into a snapshot, pieces and stretches found
void collected(benchmark::State& state) {
  static event_ring<trace_event, trace_shape{.events = 131'072}> ring;
  for (std::size_t k = 0; k != events; ++k) {
    const std::size_t piece = k / 2 % 5000;
    ring.record({k % 2 == 0 ? trace_kind::allocate : trace_kind::deallocate, reinterpret_cast<void*>((piece + 1) * 4096),
                 4000, 4096});
  }
  viz_snapshot made;
  for (auto _ : state) {
    made.reset();
    collect(made, ring, "ring");
    if (made.status() != errc::ok) fail("no snapshot");
  }
  per_event(state, made.events().size());
}

// two events; the ring is told as a column of layers tells it
template <class Ring>
void record(benchmark::State& state) {
  static Ring ring;
  std::size_t bytes = 64;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes);
    ring.record({trace_kind::allocate, &bytes, bytes, 64});
    ring.record({trace_kind::deallocate, &bytes, 0, bytes});
    benchmark::ClobberMemory();
  }
  state.counters["ns_per_event"] =
      benchmark::Counter(2e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

struct plain_ring {
  void record(const trace_event& e) { last[at++ % 1024] = e; }
  trace_event last[1024];
  std::size_t at = 0;
};

// the same in a timeline: a counter each
void timeline_counter(benchmark::State& state) {
  auto made = timeline::open({});
  if (!made) fail("no timeline");
  std::uint64_t now = 0;
  for (auto _ : state) {
    ++now;
    made->counter(now, 1, 2, now);
    made->counter(now, 1, 3, now);
    benchmark::ClobberMemory();
  }
  state.counters["ns_per_event"] =
      benchmark::Counter(2e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void timeline_json(benchmark::State& state) {
  auto made = timeline::open({.events = events});
  if (!made) fail("no timeline");
  for (std::size_t k = 0; k != events; ++k) made->counter(k * 1'000'003, made->name("kv"), made->name("tenant"), k * 4096);
  kept to;
  for (auto _ : state) to.used = 0, write_timeline_json(*made, to);
  per_event(state, to.used);
}

#define OBSERVE(function, name, unit) BENCHMARK(function)->Name("observe/" name)->Unit(benchmark::unit)

OBSERVE(json, "snapshot_json", kMillisecond);
OBSERVE(json_limit, "snapshot_json/limit", kMillisecond);
OBSERVE(to_file, "snapshot_json/file", kMillisecond);
OBSERVE(pickle, "snapshot_pickle", kMillisecond);
OBSERVE(collected, "snapshot_collect", kMillisecond);
OBSERVE(timeline_json, "timeline_json", kMillisecond);
OBSERVE(timeline_counter, "timeline", kNanosecond);
BENCHMARK_TEMPLATE(record, ring_trace<>)->Name("observe/trace_ring");
BENCHMARK_TEMPLATE(record, plain_ring)->Name("observe/trace_ring/limit");

}  // namespace

BENCHMARK_MAIN();
