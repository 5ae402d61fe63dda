#include <tokenheap/plan/gguf_windows.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using files::gguf_writer;
using flags = std::vector<bool>;

namespace {

struct found {
  plan::gguf_windows windows;
  std::vector<std::string> warnings;
};

found windows(const std::string& architecture, const gguf_writer& w, std::size_t layers) {
  const std::string bytes = w.header();
  plan::byte_reader from{std::string_view(bytes)};
  const auto file = plan::read_gguf(from, "m");
  REQUIRE(file.error.empty());
  plan::gguf_fields fields(file.value, architecture);
  found out;
  out.windows = plan::windows_of(fields, architecture, layers, out.warnings);
  CHECK(fields.error().empty());
  return out;
}

gguf_writer window(const std::string& architecture, std::uint32_t span) {
  return gguf_writer().u32(architecture + ".attention.sliding_window", span);
}

}  // namespace

TEST_CASE("windows stand where the file or its architecture says", "[plan][gguf]") {
  CHECK(windows("llama", gguf_writer(), 2).windows.at == flags{false, false});
  const found gemma = windows("gemma3", window("gemma3", 1024), 8);
  CHECK(gemma.windows.at == flags{true, true, true, true, true, false, true, true});
  CHECK(gemma.windows.span == 1024);
  CHECK(gemma.warnings.empty());
  CHECK(windows("gpt-oss", window("gpt-oss", 128), 4).windows.at == flags{true, false, true, false});
  CHECK(windows("smallthinker", window("smallthinker", 128), 5).windows.at == flags{false, true, true, true, false});
  const found chunks = windows("llama4", gguf_writer(), 4);
  CHECK(chunks.windows.at == flags{true, true, true, false});
  CHECK(chunks.windows.chunked);
  CHECK(chunks.windows.span == 8192);
}

TEST_CASE("a pattern in the file goes before what is known", "[plan][gguf]") {
  const std::string key = "gemma3.attention.sliding_window_pattern";
  CHECK(windows("gemma3", window("gemma3", 9).u32(key, 3), 4).windows.at == flags{true, true, false, true});
  CHECK(windows("gemma3", window("gemma3", 9).u32(key, 0), 2).windows.at == flags{true, true});
  CHECK(windows("gemma3", window("gemma3", 9).u32(key, 1), 2).windows.at == flags{false, false});
  CHECK(windows("gemma3", window("gemma3", 9).bools(key, {false, true, true}), 3).windows.at == flags{false, true, true});
  CHECK(windows("gemma3", window("gemma3", 9).u32s(key, {0, 1}), 3).windows.at == flags{false, true, false});
  CHECK(windows("new", window("new", 9).u32("new.attention.sliding_window_pattern", 2), 2).windows.at == flags{true, false});
}

TEST_CASE("windows of which nobody knows the layers are counted as full, with a warning", "[plan][gguf]") {
  const found guess = windows("phi3", window("phi3", 2047), 2);
  CHECK(guess.windows.at == flags{false, false});
  CHECK(guess.windows.span == 0);
  REQUIRE(guess.warnings.size() == 1);
  CHECK(guess.warnings[0].find("a window of 2047 tokens") != std::string::npos);
}
