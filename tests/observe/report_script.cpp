#include <tokenheap/observe/report_script.hpp>

#include <support/catch.hpp>

#include <string>

namespace {

using namespace tokenheap::detail;

TEST_CASE("no script ends its element, and none writes markup") {
  for (const std::string_view script : {report_tools, report_charts}) {
    CHECK(script.find("</") == std::string_view::npos);
    CHECK(script.find("innerHTML") == std::string_view::npos);
    CHECK(script.find("insertAdjacent") == std::string_view::npos);
    CHECK(script.find("document.write") == std::string_view::npos);
  }
}

TEST_CASE("the tones of the script are those of the library, in their order") {
  CHECK(report_tools.find("['blue', 'aqua', 'yellow', 'violet', 'red', 'green', 'magenta', 'orange', 'quiet']") !=
        std::string_view::npos);
}

}  // namespace
