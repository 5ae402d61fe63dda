// What a server notes while it runs, for a report: a sample of each step, who was put off or preempted, and the fullest
// moment of its memory.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/pool_options.hpp>
#include <tokenheap/observe/pool_reading.hpp>
#include <tokenheap/observe/viz_snapshot.hpp>

namespace program {

namespace kv = tokenheap::kv;

/// One step of the server, when all of it was computed.
struct run_sample {
  double seconds = 0;  ///< of the workload's clock, since the first request came
  kv::pool_stats blocks;
  std::size_t weights = 0;
  std::size_t keys_and_values = 0;
  std::size_t scratch = 0;  ///< the most in this step
  std::size_t requests = 0;
  std::size_t running = 0;
  std::size_t waiting = 0;
};

/// Something that happened to a request.
struct run_note {
  double seconds = 0;
  std::uint32_t job = 0;
  std::string detail;
};

/// A block at the fullest moment.
struct run_block {
  enum : std::uint8_t { own, shared, cached, free } state = free;
  std::size_t references = 0;
  double filled = 1;
  std::uint32_t job = ~std::uint32_t{0};  ///< who holds it, if one request does
};

/// A piece of device memory at the fullest moment.
struct run_piece {
  std::uint32_t segment = 0;
  std::size_t begin = 0;  ///< within its segment
  std::size_t bytes = 0;
  std::uint8_t state = 0;
};

/// The time that a request held blocks without a break.
struct run_stay {
  std::uint32_t job = 0;
  double from = 0;
  double to = 0;
  std::size_t blocks = 0;  ///< the most
};

/// A block came into use, or went out of it.
struct run_change {
  double seconds = 0;
  kv::block_id id = 0;
  std::uint32_t job = 0;  ///< of one that came: whose it became first
  bool came = false;
};

struct run_record {
  std::vector<run_sample> samples;
  std::vector<run_note> rejected;
  std::vector<run_note> put_off;  ///< once for each time that a request begins to wait for blocks
  std::vector<run_note> preempted;
  std::vector<run_block> blocks;  ///< by id, at the fullest step
  double blocks_seconds = 0;
  std::size_t blocks_live = 0;
  std::vector<std::size_t> most_blocks;  ///< by job: the most that it held
  std::vector<run_stay> stays;
  std::vector<run_change> changes;
  std::vector<tokenheap::pool_reading> readings;  ///< of every pool, at the end
  tokenheap::viz_snapshot picture;                ///< the same for PyTorch's memory viewer
  std::deque<std::string> texts;                  ///< that the picture points to
};

}  // namespace program
