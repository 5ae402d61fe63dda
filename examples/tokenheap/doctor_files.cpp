#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "doctor.hpp"

namespace program {
namespace {

/// The whole number at the start of a text, behind blanks; nothing if there is none or it does not fit.
std::optional<std::uint64_t> leading_number(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos || text[first] < '0' || text[first] > '9') return {};
  std::uint64_t value = 0;
  for (std::size_t k = first; k != text.size() && text[k] >= '0' && text[k] <= '9'; ++k) {
    const auto digit = static_cast<std::uint64_t>(text[k] - '0');
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value) || __builtin_add_overflow(value, digit, &value)) return {};
  }
  return value;
}

}  // namespace

std::optional<std::string> machine_files::read(const std::string& path) const {
  constexpr std::size_t most = 64 * 1024;
  std::error_code none;
  if (std::filesystem::is_directory(root_ + path, none)) return {};
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen((root_ + path).c_str(), "r"), &std::fclose);
  if (file == nullptr) return {};
  std::string text(most, '\0');
  text.resize(std::fread(text.data(), 1, most, file.get()));
  if (std::ferror(file.get()) != 0) return {};
  return text;
}

std::optional<std::uint64_t> machine_files::read_number(const std::string& path) const {
  const auto text = read(path);
  return text ? leading_number(*text) : std::nullopt;
}

bool machine_files::has(const std::string& path) const {
  std::error_code none;
  return std::filesystem::exists(root_ + path, none);
}

std::vector<std::string> machine_files::list(const std::string& path) const {
  std::vector<std::string> names;
  std::error_code wrong;
  for (std::filesystem::directory_iterator at(root_ + path, wrong), end; !wrong && at != end; at.increment(wrong))
    names.push_back(at->path().filename().string());
  return names;
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view word) {
  const std::size_t at = text.find(word);
  return at == std::string_view::npos ? std::nullopt : leading_number(text.substr(at + word.size()));
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1024 && unit != 6; ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace program
