// `tokenheap plan`: reads a model, plans it, and shows the answer.
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <tokenheap/plan/make_plan.hpp>

#include "commands.hpp"
#include "plan_search.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;

// columns of the terminal; of a file or a pipe 80
std::size_t terminal_width() {
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::clamp<std::size_t>(size.ws_col, 40, 120);
}

int write_page(const std::string& path, const std::string& page) {
  std::FILE* const file = std::fopen(path.c_str(), "wbe");
  bool written = file != nullptr && std::fwrite(page.data(), 1, page.size(), file) == page.size();
  if (file != nullptr && std::fclose(file) != 0) written = false;
  if (written) return all_well;
  std::fprintf(stderr, "tokenheap: --html %s: %s\n", path.c_str(), std::strerror(errno));
  return went_wrong;
}

int run_plan(const plan_options& options) {
  if (const complaint bad = check_together(options); !bad.empty()) return refuse(bad);
  plan::model model;
  std::string from;
  if (const complaint bad = read_model(options.path, model, from); !bad.empty()) return refuse(printable(bad));
  plan::reading<plan::answer> answer = plan::make_plan(model, options.asked);
  if (!answer) return refuse(printable(in_options(answer.error)));
  for (auto* const list : {&answer.value.advice, &answer.value.warnings})
    for (std::string& each : *list) each = in_options(each);
  plan_report report{options, model, answer.value, from, {}, {}, {}};
  if (options.search || !options.html.empty()) report.table = what_if_table(model, options, answer.value);
  if (options.search) report.cheapest = cheapest_words(model, options);
  if (options.arrival_rate > 0 || !options.trace.empty())
    if (const complaint bad = load_rows(model, options, report.load); !bad.empty()) return refuse(printable(bad));
  if (!options.html.empty())
    if (const int code = write_page(options.html, plan_page(report)); code != all_well) return code;
  if (options.json) return print(plan_json(report));
  const std::string page = options.html.empty() ? std::string() : "\nthe page: " + printable(options.html) + "\n";
  return print(plan_table(report, terminal_width()) + page);
}

}  // namespace

command declare_plan(CLI::App& app) {
  const auto chosen = std::make_shared<plan_options>();
  plan_arguments(app, *chosen);
  return [chosen] { return run_plan(*chosen); };
}

}  // namespace program
