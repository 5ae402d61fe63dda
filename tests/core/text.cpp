#include <tokenheap/core/text.hpp>

#include <cstring>
#include <string>

#include <support/catch.hpp>

using tokenheap::text_buffer;

TEST_CASE("text and numbers stand one after the other", "[text]") {
  char out[64];
  text_buffer line(out, sizeof out);
  line << "pool " << std::size_t{0} << " of " << ~std::size_t{0};
  CHECK(std::string(out) == "pool 0 of 18446744073709551615");
  CHECK(line.length() == std::strlen(out));
}

TEST_CASE("hexadecimal", "[text]") {
  char out[64];
  text_buffer(out, sizeof out).hex(0xDEADbeef0) << "!";
  CHECK(std::string(out) == "0xdeadbeef0!");
}

TEST_CASE("what does not fit is cut off, and the end is always there", "[text][bad]") {
  char out[8];
  std::memset(out, 'x', sizeof out);
  text_buffer line(out, 5);
  line << "abcdefgh" << std::size_t{12};
  CHECK(std::string(out) == "abcd");
  CHECK(line.length() == 4);
  CHECK(out[5] == 'x');
}

TEST_CASE("no room and no text are harmless", "[text][bad]") {
  char out[2] = {'x', 'x'};
  text_buffer nothing(out, 0);
  nothing << "abc" << std::size_t{1};
  CHECK(nothing.length() == 0);
  CHECK(out[0] == 'x');
  text_buffer one(out, 1);
  one << nullptr << "abc";
  CHECK(out[0] == '\0');
  CHECK(one.length() == 0);
}

TEST_CASE("what was cut is known, and can be taken back", "[text][bad]") {
  char out[8];
  text_buffer line(out, sizeof out);
  line << "abc";
  CHECK(!line.cut());
  line << "defghi";
  CHECK(line.cut());
  line.back_to(3);
  CHECK(std::string(out) == "abc");
  CHECK((!line.cut() && line.length() == 3));
  line << "defg";
  CHECK(std::string(out) == "abcdefg");
  CHECK(!line.cut());
}
