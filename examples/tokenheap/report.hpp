// What `tokenheap serve` prints at the end: a table for people, or one JSON object.
#pragma once

#include <string>

#include "engine.hpp"

namespace program {

/// Everything that a run of the server has to say.
struct serve_report {
  const workload& work;
  const engine& server;
  const engine_options& options;
  const verification& check;
  double serve_seconds = 0;
  double verify_seconds = 0;
  std::string page = {};  ///< the file with the pictures; empty: none was asked for
};

std::string to_table(const serve_report& report);
std::string to_json(const serve_report& report);

}  // namespace program
