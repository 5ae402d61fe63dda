// Command-line options that refuse what is not meant: the checks that every subcommand shares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "trace.hpp"

namespace program {

inline constexpr std::uint64_t most_blocks = 1U << 26;
inline constexpr std::uint64_t most_requests = 100'000'000;
inline constexpr std::uint64_t any_seed = ~std::uint64_t{0};

using option_check = std::function<std::string(std::string&)>;

/// Takes a count as a person writes one: digits only, so that -1, 1e3 and 0x10 are errors instead of surprises.
inline option_check whole(std::uint64_t least, std::uint64_t most, const std::string& word = {}) {
  const std::string wanted = (word.empty() ? std::string("needs") : "needs '" + word + "' or") +
                             " a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  return [=](std::string& text) -> std::string {
    if (!word.empty() && text == word) return {};
    const std::string reply = wanted + ", found '" + text + "'";
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return reply;
    std::uint64_t value = 0;
    for (const char c : text)
      if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, c - '0', &value)) return reply;
    return value < least || value > most ? reply : std::string();
  };
}

inline option_check decimal(double least, double most) {
  return [=](std::string& text) -> std::string {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0' && value >= least && value <= most) return {};
    return fmt::format("needs a number from {} to {}, found '{}'", least, most, text);
  };
}

inline CLI::Option* checked(CLI::Option* option, const option_check& check) {
  return option->check(CLI::Validator(check, ""));
}

template <class Number>
CLI::Option* count_option(CLI::App& app, const std::string& name, Number& into, std::uint64_t least, std::uint64_t most,
                          const std::string& text) {
  return checked(app.add_option(name, into, text), whole(least, most));
}

/// An option that takes a count or one word, which stands for `value_of_word`.
template <class Number>
CLI::Option* count_or_word(CLI::App& app, const std::string& name, Number& into, const std::string& word,
                           Number value_of_word, std::uint64_t least, std::uint64_t most, const std::string& text) {
  const auto take = [&into, word, value_of_word](const std::string& given) {
    into = given == word ? value_of_word : static_cast<Number>(std::stoull(given));
  };
  return checked(app.add_option_function<std::string>(name, take, text), whole(least, most, word));
}

/// The file and its format; both commands that read a trace ask for it in the same way.
inline CLI::Option* trace_options(CLI::App& app, std::string& path, trace_format& format) {
  app.add_option("--trace", path, "the trace file");
  const auto take = [&format](const std::string& name) {
    format = name == "azure" ? trace_format::azure : trace_format::mooncake;
  };
  const auto known = [](std::string& name) -> std::string {
    if (name == "mooncake" || name == "azure") return {};
    return "needs mooncake or azure, found '" + name + "'";
  };
  return checked(app.add_option_function<std::string>("--format", take, "mooncake (JSON lines) or azure (CSV)"), known);
}

/// An option that takes one of a few words.
inline CLI::Option* word_option(CLI::App& app, const std::string& name, std::string& into,
                                const std::vector<std::string>& words, const std::string& text) {
  const auto known = [words](std::string& given) -> std::string {
    if (std::find(words.begin(), words.end(), given) != words.end()) return {};
    return fmt::format("needs {}, found '{}'", fmt::join(words, " or "), given);
  };
  return checked(app.add_option(name, into, text), known);
}

}  // namespace program
