#include <tokenheap/observe/error_codes.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>

using namespace tokenheap;

namespace {

bool is_reason(unsigned number) { return std::strcmp(to_text(static_cast<errc>(number)), "unknown") != 0; }

/// The rows `| E001 | out of memory | ... |` of the page: the reason by code.
std::map<std::string, std::string> rows_of_page(std::size_t& rows) {
  std::ifstream page(TOKENHEAP_SOURCE_DIR "/docs/errors.md");
  std::map<std::string, std::string> found;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("| E", 0) != 0) continue;
    ++rows;
    const std::size_t second = line.find(" | ", 2);
    const std::size_t third = line.find(" | ", second + 3);
    found[line.substr(2, second - 2)] = line.substr(second + 3, third - second - 3);
  }
  return found;
}

}  // namespace

TEST_CASE("every reason has a code of its own, and no code has another", "[observe]") {
  std::set<std::string> codes;
  std::size_t reasons = 0;
  for (unsigned number = 0; number != 256; ++number) {
    const auto reason = static_cast<errc>(number);
    INFO("errc " << number);
    if (!is_reason(number)) {
      CHECK(find_error(reason) == nullptr);
      CHECK(std::string(code_of(reason)) == "E999");
      continue;
    }
    ++reasons;
    const std::string code = code_of(reason);
    CHECK(code.size() == 4);
    CHECK(codes.insert(code).second);
    REQUIRE(find_error(code.c_str()) != nullptr);
    CHECK(find_error(code.c_str())->reason == reason);
    CHECK(std::strlen(find_error(reason)->what_to_do) > 10);
  }
  CHECK(reasons == sizeof error_codes / sizeof error_codes[0]);
}

TEST_CASE("codes that were published stay what they are", "[observe]") {
  STATIC_REQUIRE(find_error(errc::out_of_memory) != nullptr);
  CHECK(std::string(code_of(errc::ok)) == "E000");
  CHECK(std::string(code_of(errc::out_of_memory)) == "E001");
  CHECK(std::string(code_of(errc::limit_reached)) == "E002");
  CHECK(std::string(code_of(errc::in_use)) == "E012");
  CHECK(std::string(code_of(errc::leaked)) == "E014");
  CHECK(std::string(code_of(errc::forked)) == "E019");
}

TEST_CASE("a code that nobody gave is not found", "[observe][bad]") {
  CHECK(find_error("E999") == nullptr);
  CHECK(find_error("e001") == nullptr);
  CHECK(find_error("") == nullptr);
  CHECK(find_error(static_cast<const char*>(nullptr)) == nullptr);
}

TEST_CASE("docs/errors.md lists every reason under its code, and no other", "[observe]") {
  std::size_t rows = 0;
  const std::map<std::string, std::string> page = rows_of_page(rows);
  CHECK(rows == page.size());
  CHECK(page.size() == sizeof error_codes / sizeof error_codes[0]);
  for (const error_code& e : error_codes) {
    INFO(e.code);
    REQUIRE(page.count(e.code) == 1);
    CHECK(page.at(e.code) == to_text(e.reason));
  }
}
