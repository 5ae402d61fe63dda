// The subcommands of `tokenheap`, and the code with which the process ends.
#pragma once

#include <functional>
#include <string>

#include "trace.hpp"

namespace CLI {
class App;
}

namespace program {

/// How the process ends; `bad_input` is also what a wrong option gives.
enum exit_code : int { all_well = 0, went_wrong = 1, bad_input = 2 };

/// A subcommand that was declared: run it after the options were read. It returns an exit code.
using command = std::function<int()>;

command declare_serve(CLI::App& app);
command declare_prefix(CLI::App& app);
command declare_waste(CLI::App& app);
command declare_generate(CLI::App& app);
command declare_replay(CLI::App& app);
command declare_plan(CLI::App& app);
command declare_doctor(CLI::App& app);

/// Says on stderr what went wrong and returns `bad_input`.
int refuse(const complaint& why);

/// Writes to stdout, at once and in full; a full disk or a closed pipe is an error of the program.
int print(const std::string& text);

}  // namespace program
