#include <tokenheap/observe/report_page.hpp>

#include <support/catch.hpp>

#include <string>

namespace {

using tokenheap::detail::report_head;
using tokenheap::detail::report_style;

// the names that a page gives to its colours, with the values in the order in which they are set
std::string value_of(std::string_view name, std::size_t from) {
  const std::string key = "--" + std::string(name) + ": #";
  const std::size_t at = report_style.find(key, from);
  return at == std::string_view::npos ? "" : std::string(report_style.substr(at + key.size(), 6));
}

TEST_CASE("each colour has a value on light and another on dark pages") {
  const std::size_t dark = report_style.find("prefers-color-scheme: dark");
  REQUIRE(dark != std::string_view::npos);
  for (const char* name : {"ground", "card", "ink", "soft", "grid", "axis", "blue", "aqua", "yellow", "violet", "red",
                           "green", "magenta", "orange", "quiet"}) {
    INFO(name);
    CHECK(value_of(name, 0).size() == 6);
    CHECK(value_of(name, dark).size() == 6);
    CHECK(value_of(name, 0) != value_of(name, dark));
  }
}

TEST_CASE("the head leaves the title open, and braces of the style are closed") {
  CHECK(report_head.ends_with("<title>"));
  int open = 0;
  for (const char letter : report_style) {
    open += letter == '{' ? 1 : letter == '}' ? -1 : 0;
    REQUIRE(open >= 0);
  }
  CHECK(open == 0);
  CHECK(report_style.find('<') == std::string_view::npos);
}

}  // namespace
