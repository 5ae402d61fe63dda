#include <tokenheap/observe/file_sink.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

TEST_CASE("what goes into a file comes out of it", "[observe]") {
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  file_sink to(file);
  to("one, ");
  to(std::string_view("two\0three", 9));
  CHECK(to.status() == errc::ok);
  std::rewind(file);
  char read[32] = {};
  CHECK(std::fread(read, 1, sizeof read, file) == 14);
  CHECK(std::string(read, 14) == std::string("one, two\0three", 14));
  std::fclose(file);
}

TEST_CASE("a full disk is told, and stays told", "[observe][bad]") {
  std::FILE* const file = std::fopen("/dev/full", "wb");
  if (file == nullptr) {
    WARN("there is no /dev/full");
    return;
  }
  file_sink to(file);
  to("short");
  CHECK(to.status() == errc::system_refused);
  to("more");
  CHECK(to.status() == errc::system_refused);
  std::fclose(file);
}
