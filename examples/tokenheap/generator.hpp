// Requests out of a seed, with the statistics of a public chat trace.
#pragma once

#include <cstdint>
#include <vector>

#include "random.hpp"
#include "trace.hpp"

namespace program {

/// Makes chat requests that resemble the Mooncake conversation trace: lengths, answers, shared prefixes, arrivals.
///
/// docs/program.md says which statistics were measured there and how closely they are met.
class generator {
 public:
  explicit generator(std::uint64_t seed) : random_(seed) {}

  trace_request next();

 private:
  // what later requests of the same conversation start with
  struct past {
    std::uint32_t tokens = 0;
    std::uint32_t answer = 0;
    std::vector<std::uint64_t> prefix_ids;
  };

  void arrive(trace_request& request);
  bool continue_conversation(trace_request& request);

  random_stream random_;
  std::vector<past> past_;
  std::uint64_t tick_ = 0;
  std::uint32_t left_in_tick_ = 0;
  std::uint64_t fresh_id_ = 1;
};

}  // namespace program
