// What `tokenheap serve --out` leaves in its folder: a page with pictures, and the same for other people's tools.
#pragma once

#include <string>

#include "report.hpp"
#include "run_record.hpp"

namespace program {

/// Writes every file into a folder that is there; empty if all went well.
complaint write_run(const serve_report& report, const run_record& record, const std::string& folder);

}  // namespace program
