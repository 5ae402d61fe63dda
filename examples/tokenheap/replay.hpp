// Allocation traces: reading them, and what came of replaying one through an allocator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "trace.hpp"

namespace program {

enum class replay_format { rmm_csv, stalloc, memory_viz_json };

/// One call of a trace: a piece that comes, or one that goes.
struct replay_event {
  std::uint64_t bytes = 0;  ///< 0: the piece goes
  std::uint32_t piece = 0;
  std::uint32_t stream = 0;
};

/// A trace with addresses and streams renumbered from 0, and what could not be taken over.
struct replay_trace {
  std::vector<replay_event> events;
  std::uint32_t pieces = 0;
  std::uint32_t streams = 0;
  std::uint64_t unmatched_frees = 0;    ///< of pieces that came before the trace began
  std::uint64_t failures_in_trace = 0;  ///< requests that failed when the trace was taken
  std::uint64_t empty_requests = 0;     ///< of 0 bytes: they ask for nothing
  std::uint64_t live_at_end = 0;        ///< pieces that the trace does not give back
};

/// The most bytes that one request of a trace may ask for, and the most events that are replayed.
inline constexpr std::uint64_t largest_piece = std::uint64_t{1} << 46;
inline constexpr std::uint64_t most_events = std::uint64_t{1} << 31;

/// Collects a trace call by call, in the words of its file.
class replay_recorder {
 public:
  explicit replay_recorder(replay_trace& out) : out_(out) {}

  /// Returns  a complaint that names `size_field` or `address_field`
  complaint come(std::uint64_t address, std::uint64_t bytes, std::uint64_t stream);
  complaint go(std::uint64_t address, std::uint64_t stream);
  void finish() { out_.live_at_end = live_.size(); }

  const char* address_field = "addr";
  const char* size_field = "size";

 private:
  std::uint32_t stream_of(std::uint64_t stream);

  replay_trace& out_;
  std::unordered_map<std::uint64_t, std::uint32_t> live_;
  std::unordered_map<std::uint64_t, std::uint32_t> streams_;
};

/// Reads a whole trace; of a snapshot the calls on device `device`.
///
/// Returns  an empty complaint, or file, line, field and reason
complaint read_replay(const std::string& path, replay_format format, std::size_t device, replay_trace& out);
complaint read_snapshot(const std::string& path, std::size_t device, replay_recorder& out);

/// One stream: 100 MiB, then 64 KiB more each time, a thousand times, each given back before the next one.
replay_trace growing_scratch();

/// What a replay came to. `device_calls` counts by kind what the trace itself caused.
struct replay_outcome {
  std::uint64_t allocations = 0;
  std::uint64_t frees = 0;
  std::uint64_t failures = 0;
  std::uint64_t failed_bytes = 0;
  std::uint64_t peak_live = 0;         ///< bytes as requested
  std::uint64_t peak_reserved = 0;     ///< bytes that the device gave
  std::uint64_t live_at_peak = 0;      ///< requested bytes when `peak_reserved` was reached
  std::map<std::string, std::uint64_t> device_calls;
  std::uint64_t waits = 0;
  std::uint64_t events = 0;
  double nanoseconds = 0;              ///< of a second replay, in which nothing was watched

  /// Reserved and not asked for, when most was reserved.
  [[nodiscard]] double fragmentation_percent() const {
    return peak_reserved == 0 ? 0 : 100 * (1 - static_cast<double>(live_at_peak) / static_cast<double>(peak_reserved));
  }
};

/// Replays a trace through the library's caching allocator over a simulated device of `capacity` bytes.
complaint replay_tokenheap(const replay_trace& trace, std::uint64_t capacity, replay_outcome& out);

/// Replays a trace through a model of PyTorch's rules, for a device of `capacity` bytes.
complaint replay_pytorch(const replay_trace& trace, std::uint64_t capacity, replay_outcome& out);

}  // namespace program
