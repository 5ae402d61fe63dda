// tokenheap: serves request traces out of memory that the library manages, and measures what that costs.
#include <cstdio>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <tokenheap/core/config.hpp>

#include "commands.hpp"

namespace program {

int refuse(const complaint& why) {
  std::fprintf(stderr, "tokenheap: %s\n", why.c_str());
  return bad_input;
}

int print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (written) return all_well;
  std::perror("tokenheap: standard output");
  return went_wrong;
}

namespace {

int run(int argc, char** argv) {
  CLI::App app("Serves request traces out of memory that tokenheap manages, and measures what that costs.",
               "tokenheap");
  app.require_subcommand(1);
  const auto& version = tokenheap::library_version;
  app.set_version_flag("--version", std::to_string(version.major_number) + "." + std::to_string(version.minor_number) +
                                        "." + std::to_string(version.patch_number));
  std::vector<std::pair<CLI::App*, command>> commands;
  const auto add = [&](const char* name, const char* text, command (*declare)(CLI::App&)) {
    CLI::App* sub = app.add_subcommand(name, text);
    commands.emplace_back(sub, declare(*sub));
  };
  add("serve", "serve a trace with a small decoder, then check every logit", declare_serve);
  add("waste", "slots that paging and a contiguous reservation leave empty", declare_waste);
  add("prefix", "replay the prefix ids of a trace through the prefix index", declare_prefix);
  add("generate", "print the requests of the seeded generator as a Mooncake trace", declare_generate);
  add("replay", "replay an allocation trace through the caching allocator over a simulated device", declare_replay);
  add("plan", "how much memory a model takes, how many users it serves, and what to change", declare_plan);
  add("doctor", "what this machine offers, what each lack costs, and how to mend it", declare_doctor);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    return refuse(std::string(e.what()) + "\nTry 'tokenheap --help'.");
  }
  for (const auto& [sub, run_it] : commands)
    if (sub->parsed()) return run_it();
  return bad_input;
}

}  // namespace
}  // namespace program

int main(int argc, char** argv) {
  try {
    return program::run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("tokenheap: memory ran out: give fewer requests or blocks, or a shorter trace\n", stderr);
    return program::went_wrong;
  }
}
