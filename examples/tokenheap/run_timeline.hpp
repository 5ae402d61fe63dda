// A run of the server for Perfetto and chrome://tracing.
#pragma once

#include <tokenheap/observe/timeline.hpp>

#include "run_record.hpp"

namespace program {

/// Counters of owners and blocks, stays of requests in the pool as slices, marks for what was refused or taken away.
tokenheap::result<tokenheap::timeline> timeline_of(const run_record& record, double block_bytes);

}  // namespace program
