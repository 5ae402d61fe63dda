#include <tokenheap/observe/flame.hpp>

#include <support/catch.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace tokenheap;

namespace {

std::vector<std::size_t> walked;

std::size_t walk_made_up(void** frames, std::size_t most) noexcept {
  std::size_t depth = 0;
  for (; depth != walked.size() && depth != most; ++depth) frames[depth] = reinterpret_cast<void*>(walked[depth]);
  return depth;
}

void name_made_up(void* frame, text_buffer& to) noexcept {
  to << "f" << address_of(frame);
  if (address_of(frame) == 9) to << "<a;b>\n";
}

void name_at_length(void*, text_buffer& to) noexcept {
  for (int k = 0; k != 50; ++k) to << "0123456789";
}

std::vector<std::string> lines_of(const allocation_samples& s, const folded_options& with) {
  std::vector<std::string> lines;
  write_folded(s, [&](const char* text, std::size_t length) { lines.emplace_back(text, length); }, with);
  return lines;
}

const sample_options all{.interval = 1, .by = sampling::fixed, .owner = "kv", .walk = &walk_made_up};

}  // namespace

TEST_CASE("folded lines run from the outermost frame to the innermost, with live bytes", "[observe]") {
  allocation_samples s(all);
  walked = {3, 2, 1};
  s.came(0x1000, 100);
  s.came(0x2000, 20);
  walked = {4, 1};
  s.came(0x3000, 7);
  {
    const owner_scope other("weights");
    s.came(0x4000, 5);
  }
  const folded_options named{.name = &name_made_up};
  CHECK(lines_of(s, named) ==
        std::vector<std::string>{"kv;f1;f2;f3 120\n", "kv;f1;f4 7\n", "weights;f1;f4 5\n"});
  s.went(0x1000);
  s.went(0x3000);
  CHECK(lines_of(s, named) == std::vector<std::string>{"kv;f1;f2;f3 20\n", "weights;f1;f4 5\n"});
  CHECK(lines_of(s, {.what = folded_options::count::total_bytes, .name = &name_made_up}) ==
        std::vector<std::string>{"kv;f1;f2;f3 120\n", "kv;f1;f4 7\n", "weights;f1;f4 5\n"});
  CHECK(lines_of(s, {.what = folded_options::count::live_samples, .name = &name_made_up}) ==
        std::vector<std::string>{"kv;f1;f2;f3 1\n", "weights;f1;f4 1\n"});
  CHECK(lines_of(s, {.what = folded_options::count::total_samples, .name = &name_made_up}) ==
        std::vector<std::string>{"kv;f1;f2;f3 2\n", "kv;f1;f4 1\n", "weights;f1;f4 1\n"});
}

TEST_CASE("names cannot break a line, and a deep stack is cut from the inside", "[observe][bad]") {
  sample_options with = all;
  with.owner = "";
  with.depth = 64;
  allocation_samples s(with);
  walked = {9};
  s.came(0x1000, 10);
  CHECK(lines_of(s, {.name = &name_made_up}) == std::vector<std::string>{"(no owner);f9<a,b>  10\n"});
  allocation_samples deep(with);
  walked.assign(64, 5);
  deep.came(0x1000, 10);
  const std::vector<std::string> lines = lines_of(deep, {.name = &name_at_length});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].size() < 8192);
  CHECK(lines[0].substr(lines[0].size() - 4) == " 10\n");
  // 8192 less the owner and the value leave room for 16 frames of 501
  std::size_t frames = 0;
  for (const char c : lines[0]) frames += c == ';';
  CHECK(frames == 16);
}

TEST_CASE("nothing live is nothing written", "[observe][bad]") {
  allocation_samples s(all);
  CHECK(lines_of(s, {}).empty());
  walked = {1};
  s.came(0x1000, 10);
  s.went(0x1000);
  CHECK(lines_of(s, {}).empty());
}

TEST_CASE("a frame is named by its symbol, by its module, or by its address", "[observe]") {
  char text[512];
  text_buffer known(text, sizeof text);
  // the dynamic linker knows the C library's functions; a return address lies behind the call
  name_by_symbol(static_cast<unsigned char*>(reinterpret_cast<void*>(&std::puts)) + 4, known);
  CHECK(std::string(text) == "puts");
  text_buffer nowhere(text, sizeof text);
  name_by_symbol(reinterpret_cast<void*>(0x11), nowhere);
  CHECK(std::string(text) == "0x10");
  static int in_this_module = 0;
  text_buffer module(text, sizeof text);
  name_by_symbol(&in_this_module + 1, module);
  CHECK(std::string(text).find("0x") != std::string::npos);
}
