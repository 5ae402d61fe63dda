#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "generator.hpp"
#include "options.hpp"

namespace program {
namespace {

struct generate_options {
  std::uint32_t requests = 1000;
  std::uint64_t seed = 1;
};

int run_generate(const generate_options& options) {
  generator requests(options.seed);
  for (std::uint32_t i = 0; i < options.requests; ++i) {
    const trace_request r = requests.next();
    const std::string line =
        fmt::format("{{\"timestamp\": {:.0f}, \"input_length\": {}, \"output_length\": {}, \"hash_ids\": [{}]}}\n",
                    r.arrival_ms, r.prompt_tokens, r.output_tokens, fmt::join(r.prefix_ids, ", "));
    if (const int code = print(line); code != all_well) return code;
  }
  return all_well;
}

}  // namespace

command declare_generate(CLI::App& app) {
  const auto chosen = std::make_shared<generate_options>();
  count_option(app, "--requests", chosen->requests, 1, most_requests, "how many (default 1000)");
  count_option(app, "--seed", chosen->seed, 0, any_seed, "of the generator (default 1)");
  return [chosen] { return run_generate(*chosen); };
}

}  // namespace program
