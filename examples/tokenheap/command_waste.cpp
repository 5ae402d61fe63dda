#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "waste.hpp"

namespace program {
namespace {

struct waste_options {
  std::string trace;
  trace_format format = trace_format::mooncake;
  std::uint32_t block_tokens = 16;
  std::uint32_t reserve = 2048;
  bool json = false;
};

int run_waste(const waste_options& options) {
  waste_sum sum(options.block_tokens, options.reserve);
  const complaint bad = read_trace(options.trace, options.format, [&](trace_request&& request) -> complaint {
    sum.add(request.prompt_tokens, request.output_tokens);
    return {};
  });
  if (!bad.empty()) return refuse(bad);
  const double left_out = 100.0 * static_cast<double>(sum.do_not_fit) / static_cast<double>(sum.requests);
  if (options.json) {
    const nlohmann::ordered_json out{{"requests", sum.requests},
                                     {"skipped", sum.skipped},
                                     {"block_tokens", options.block_tokens},
                                     {"waste_steps_percent", sum.steps.waste_percent()},
                                     {"waste_final_percent", sum.final.waste_percent()},
                                     {"reserve", options.reserve},
                                     {"reserved_waste_steps_percent", sum.reserved.waste_percent()},
                                     {"do_not_fit", sum.do_not_fit},
                                     {"do_not_fit_percent", left_out}};
    return print(out.dump() + "\n");
  }
  std::string text;
  const auto row = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<44}{:>14}\n", name, value);
  };
  row("requests", fmt::to_string(sum.requests));
  row("  without a prompt or an output, left out", fmt::to_string(sum.skipped));
  row(fmt::format("empty slots, blocks of {} tokens", options.block_tokens), "");
  row("  over all decode steps", fmt::format("{:.2f} %", sum.steps.waste_percent()));
  row("  at the final token", fmt::format("{:.2f} %", sum.final.waste_percent()));
  row(fmt::format("empty slots, {} tokens reserved each", options.reserve), "");
  row("  over all decode steps", fmt::format("{:.2f} %", sum.reserved.waste_percent()));
  row("  requests that do not fit, left out", fmt::format("{} ({:.1f} %)", sum.do_not_fit, left_out));
  return print(text);
}

}  // namespace

command declare_waste(CLI::App& app) {
  const auto chosen = std::make_shared<waste_options>();
  trace_options(app, chosen->trace, chosen->format)->required();
  app.get_option("--trace")->required();
  count_option(app, "--block-tokens", chosen->block_tokens, 1, longest_request, "tokens in a block (default 16)");
  count_option(app, "--reserve", chosen->reserve, 1, longest_request,
               "tokens of a contiguous reservation (default 2048)");
  app.add_flag("--json", chosen->json, "print one JSON object instead of the table");
  return [chosen] { return run_waste(*chosen); };
}

}  // namespace program
