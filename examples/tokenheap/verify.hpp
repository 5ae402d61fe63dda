// Decodes requests again, alone and with a plain contiguous cache, and compares every logit bit by bit.
#pragma once

#include <cstdint>
#include <vector>

#include "model.hpp"
#include "workload.hpp"

namespace program {

/// What the server computed for one request: the logits of each step, one after the other. Empty: not to be checked.
using recorded_logits = std::vector<float>;

/// The outcome of the check.
struct verification {
  std::uint64_t verified = 0;
  std::uint64_t mismatches = 0;
  std::uint64_t tokens = 0;
  bool out_of_memory = false;
  std::vector<complaint> differences;  ///< the first one of each request that differs, a few at most
};

/// Checks every request that has recorded logits, on as many threads as the machine has cores, four at most.
verification verify(const decoder& model, kv::dtype type, const workload& work,
                    const std::vector<recorded_logits>& recorded);

}  // namespace program
