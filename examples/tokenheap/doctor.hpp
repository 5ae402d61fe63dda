// What `tokenheap doctor` looks at: one finding per thing that a machine may lack.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace program {

enum class finding_state : std::uint8_t { good, limited, missing, unknown };

[[nodiscard]] constexpr const char* to_text(finding_state s) {
  constexpr const char* names[] = {"ok", "limited", "missing", "unknown"};
  return names[static_cast<std::size_t>(s)];
}

/// One thing that was looked at. `cost` and `fix` are empty where nothing is lacking.
struct finding {
  std::string name{};
  finding_state state = finding_state::unknown;
  std::string value{};
  std::string cost{};
  std::string fix{};  ///< a line to paste
  nlohmann::ordered_json numbers = nlohmann::ordered_json::object();
};

/// The files of /proc and /sys, which may lie below another directory; none of them need exist.
class machine_files {
 public:
  explicit machine_files(std::string root = "") : root_(std::move(root)) {}

  /// The content of a file, at most 64 KiB of it; nothing if it cannot be read.
  [[nodiscard]] std::optional<std::string> read(const std::string& path) const;
  /// The whole number that a file begins with.
  [[nodiscard]] std::optional<std::uint64_t> read_number(const std::string& path) const;
  [[nodiscard]] bool has(const std::string& path) const;
  [[nodiscard]] std::vector<std::string> list(const std::string& path) const;
  /// True if these are the files of the running system.
  [[nodiscard]] bool live() const { return root_.empty(); }

 private:
  std::string root_;
};

/// The whole number behind a word in a text such as /proc/meminfo.
[[nodiscard]] std::optional<std::uint64_t> number_after(std::string_view text, std::string_view word);

/// Bytes as a person reads them: 23.5 GiB.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

void look_at_devices(std::vector<finding>& into);
void look_at_memory(const machine_files& files, std::vector<finding>& into);
void look_at_pages(const machine_files& files, std::vector<finding>& into);
void look_at_services(const machine_files& files, std::uint16_t redis_port, std::vector<finding>& into);

}  // namespace program
