#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "doctor.hpp"
#include "options.hpp"

namespace program {
namespace {

struct doctor_options {
  bool json = false;
  std::string root;
  std::uint16_t redis_port = 6379;
};

std::string as_json(const std::vector<finding>& all) {
  nlohmann::ordered_json out;
  nlohmann::ordered_json lacking = nlohmann::ordered_json::array();
  for (const finding& f : all) {
    nlohmann::ordered_json one{{"state", to_text(f.state)}, {"value", f.value}};
    one.update(f.numbers);
    one["cost"] = f.cost;
    one["fix"] = f.fix;
    out[f.name] = std::move(one);
    if (f.state != finding_state::good) lacking.push_back(f.name);
  }
  out["lacking"] = std::move(lacking);
  // names of devices and files are whatever bytes they are
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string as_text(const std::vector<finding>& all) {
  std::string text;
  for (const finding& f : all) {
    text += fmt::format("{:<9}{:<24}{}\n", to_text(f.state), f.name, f.value);
    if (!f.cost.empty()) text += fmt::format("{:<11}costs: {}\n", "", f.cost);
    if (!f.fix.empty()) text += fmt::format("{:<11}fix:   {}\n", "", f.fix);
  }
  return text;
}

int run_doctor(const doctor_options& options) {
  const machine_files files(options.root);
  std::vector<finding> all;
  look_at_devices(all);
  look_at_memory(files, all);
  look_at_pages(files, all);
  look_at_services(files, options.redis_port, all);
  return print(options.json ? as_json(all) : as_text(all));
}

}  // namespace

command declare_doctor(CLI::App& app) {
  const auto chosen = std::make_shared<doctor_options>();
  app.add_flag("--json", chosen->json, "print one JSON object instead of the table");
  app.add_option("--root", chosen->root, "read /proc and /sys below this directory (default: the running system's)");
  count_option(app, "--redis-port", chosen->redis_port, 1, 65535, "port of 127.0.0.1 where Redis is looked for (default 6379)");
  return [chosen] { return run_doctor(*chosen); };
}

}  // namespace program
