#pragma once

// What the tests of snapshots share: both forms as text, and the checker that reads them as PyTorch's viewer does.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <support/catch.hpp>
#include <tokenheap/observe/viz_json.hpp>
#include <tokenheap/observe/viz_pickle.hpp>

namespace viz_kit {

inline std::string as_json(const tokenheap::viz_snapshot& of) {
  std::string text;
  tokenheap::write_viz_json(of, [&](std::string_view piece) { text += piece; });
  return text;
}
inline std::string as_pickle(const tokenheap::viz_snapshot& of) {
  std::string bytes;
  tokenheap::write_viz_pickle(of, [&](std::string_view piece) { bytes += piece; });
  return bytes;
}

inline bool has_python() {
  static const bool found = std::system("python3 -c '' 2>/dev/null") == 0;
  return found;
}

inline void put_file(const std::string& path, const std::string& bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
  REQUIRE(std::fclose(file) == 0);
}

/// What viz_check.py says of two texts; empty where there is no python3.
inline std::string verdict(const std::string& name, const std::string& json, const std::string& pickle) {
  if (!has_python()) {
    WARN("python3 is missing: the snapshot of " << name << " is not checked");
    return {};
  }
  const std::string path = "viz_" + name;
  put_file(path + ".json", json);
  put_file(path + ".pickle", pickle);
  const std::string command =
      "python3 '" TOKENHEAP_SOURCE_DIR "/tests/observe/viz_check.py' " + path + ".json " + path + ".pickle 2>&1";
  std::FILE* const run = popen(command.c_str(), "r");
  REQUIRE(run != nullptr);
  std::string said;
  for (char piece[256]; std::fgets(piece, sizeof piece, run) != nullptr;) said += piece;
  const int status = pclose(run);
  if (status == 0) {
    std::remove((path + ".json").c_str());
    std::remove((path + ".pickle").c_str());
  }
  return (status == 0 ? "good: " : "bad: ") + said;
}

/// Requires that a viewer can show a snapshot.
inline void check(const tokenheap::viz_snapshot& of, const std::string& name) {
  REQUIRE(of.status() == tokenheap::errc::ok);
  REQUIRE(of.is_valid());
  const std::string said = verdict(name, as_json(of), as_pickle(of));
  INFO(said);
  CHECK(said.rfind("bad", 0) == std::string::npos);
}

inline std::size_t bytes_in(const tokenheap::viz_snapshot& of, tokenheap::viz_state state) {
  std::size_t sum = 0;
  for (const auto& s : of.segments())
    for (const auto& b : of.blocks(s)) sum += b.state == state ? b.size : 0;
  return sum;
}

}  // namespace viz_kit
