#include <tokenheap/plan/byte_reader.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using plan::byte_reader;

TEST_CASE("memory is read in order and never past its end", "[plan][byte_reader]") {
  const std::string bytes = files::bytes_of<std::uint32_t>(0x01020304) + "abc";
  byte_reader from{std::string_view(bytes)};
  std::uint32_t number = 0;
  std::string text;
  REQUIRE(from.size() == 7);
  REQUIRE(from.number(number));
  CHECK(number == 0x01020304);
  CHECK_FALSE(from.number(number));
  CHECK_FALSE(from.text(text, 4));
  CHECK_FALSE(from.text(text, ~std::uint64_t{0}));
  CHECK_FALSE(from.skip(4));
  CHECK_FALSE(from.skip(~std::uint64_t{0}));
  CHECK(from.at() == 4);  // what was refused took nothing
  REQUIRE(from.skip(1));
  REQUIRE(from.text(text, 2));
  CHECK(text == "bc");
  CHECK(from.left() == 0);
  CHECK(from.text(text, 0));
  CHECK(text.empty());
}

TEST_CASE("a file is read through its window as memory is", "[plan][byte_reader]") {
  const files::folder here;
  std::string bytes(200'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
  auto file = byte_reader::open(here.write("a", bytes));
  REQUIRE(file);
  byte_reader memory{std::string_view(bytes)};
  std::mt19937_64 random(20);
  std::string a, b;
  while (memory.left() != 0) {
    const std::uint64_t n = random() % 3 == 0 ? random() % 90'000 : random() % 9;
    const bool skips = random() % 4 == 0;
    REQUIRE((skips ? file.value.skip(n) : file.value.text(a, n)) == (skips ? memory.skip(n) : memory.text(b, n)));
    REQUIRE(a == b);
    REQUIRE(file.value.at() == memory.at());
  }
  byte_reader moved = std::move(file.value);
  CHECK(moved.at() == 200'000);
}

TEST_CASE("what is no plain file is not opened", "[plan][byte_reader][bad]") {
  const files::folder here;
  CHECK(byte_reader::open(here.in("none")).error == here.in("none") + ": there is no such file");
  CHECK(byte_reader::open(here.path()).error == here.path() + ": is no plain file");
  CHECK_FALSE(byte_reader::open(here.in("none") + std::string(1, '\0') + "x"));
  CHECK_FALSE(byte_reader::open(""));
  REQUIRE(::mkfifo(here.in("pipe").c_str(), 0600) == 0);
  CHECK(byte_reader::open(here.in("pipe")).error == here.in("pipe") + ": is no plain file");
  REQUIRE(::symlink("round", here.in("round").c_str()) == 0);
  CHECK(byte_reader::open(here.in("round")).error.find("cannot be opened") != std::string::npos);
}

TEST_CASE("a file that became shorter ends where it ends", "[plan][byte_reader][bad]") {
  const files::folder here;
  const std::string path = here.write("a", std::string(100'000, 'x'));
  auto file = byte_reader::open(path);
  REQUIRE(file);
  REQUIRE(::truncate(path.c_str(), 10) == 0);
  std::string text;
  REQUIRE(file.value.skip(20));
  CHECK_FALSE(file.value.text(text, 1));
  CHECK(file.value.at() == 20);
}

TEST_CASE("a text is read whole or not at all", "[plan][byte_reader]") {
  const files::folder here;
  const std::string path = here.write("a", "12345");
  CHECK(plan::read_text(path, 5).value == "12345");
  CHECK(plan::read_text(path, 4).error == path + ": has 5 bytes, at most 4 are read");
  CHECK(plan::read_text(here.write("empty", ""), 4).value.empty());
  CHECK_FALSE(plan::read_text(here.in("none"), 4));
}

TEST_CASE("names are shown without what does not print", "[plan][byte_reader]") {
  CHECK(plan::printable("a\n\x7f\xff z") == "a??? z");
  CHECK(plan::printable(std::string(81, 'a')) == std::string(80, 'a') + "...");
}
