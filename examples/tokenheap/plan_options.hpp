// What `tokenheap plan` is asked: its options, sizes as people write them, and the memory of known devices.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <tokenheap/plan/deployment.hpp>

#include "trace.hpp"

namespace CLI {
class App;
}

namespace program {

/// Everything that the command line says.
struct plan_options {
  std::string path;                       ///< of the model
  std::string gpu;                        ///< as it was given: a size or a name
  tokenheap::plan::deployment asked;
  bool sequences_given = false;
  double arrival_rate = 0;                ///< requests a second; 0: no load is planned for
  double prompt_mean = 0;
  double output_mean = 0;
  double seconds_per_token = 0;           ///< 0: assumed
  double prompt_tokens_per_second = 8000;
  double percentile = 99;
  std::string trace;
  trace_format format = trace_format::mooncake;
  std::string html;                       ///< the file of the page; empty: none
  bool search = false;
  bool explain = false;
  bool json = false;
};

/// A device whose memory is published.
struct known_device {
  const char* name;
  std::size_t gib;
};

/// Bytes as people write them: 80GiB, 80GB, 24576MiB, 1.5GiB, or a plain number.
///
/// Returns  an empty complaint, or what is wrong and how it is written
complaint memory_size(std::string_view text, std::size_t& bytes);

/// The same, or the name of a known device in any case.
complaint device_memory(std::string_view text, std::size_t& bytes);

/// One size for all of it, or some of graphs=SIZE,communication=SIZE,driver=SIZE.
complaint reserve_sizes(std::string_view text, tokenheap::plan::deployment& into);

void plan_arguments(CLI::App& app, plan_options& into);

/// What the checks of single options cannot see: options that need one another.
complaint check_together(const plan_options& options);

}  // namespace program
