#include <tokenheap/observe/metric_families.hpp>

#include <support/catch.hpp>

#include <cctype>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

using namespace tokenheap;

namespace {

/// The names that stand in lines: with `_total`, `_info`, and for a histogram its three.
std::set<std::string> line_names() {
  std::set<std::string> all{"tokenheap_registered_pools"};
  for (const metric_family& of : metric_families) {
    const std::string name(of.name);
    switch (of.kind) {
      case metric_kind::gauge: all.insert(name); break;
      case metric_kind::counter: all.insert(name + "_total"); break;
      case metric_kind::info: all.insert(name + "_info"); break;
      case metric_kind::histogram:
        for (const char* end : {"_bucket", "_sum", "_count"}) all.insert(name + end);
    }
  }
  return all;
}

/// Every word of a file that begins like a metric.
std::set<std::string> named_in(const std::string& path) {
  std::ifstream file(std::string(TOKENHEAP_SOURCE_DIR) + "/" + path);
  const std::string text(std::istreambuf_iterator<char>{file}, {});
  std::set<std::string> found;
  for (std::size_t at = text.find("tokenheap_"); at != std::string::npos; at = text.find("tokenheap_", at + 1)) {
    std::size_t end = at;
    while (end != text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) ++end;
    found.insert(text.substr(at, end - at));
  }
  return found;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

TEST_CASE("names are what a linter of metrics wants", "[metric_families]") {
  std::set<std::string> seen;
  for (const metric_family& of : metric_families) {
    const std::string name(of.name);
    CAPTURE(name);
    CHECK(seen.insert(name).second);
    CHECK(name.rfind("tokenheap_", 0) == 0);
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos);
    for (const char* end : {"_total", "_info", "_bucket", "_sum", "_count"}) CHECK_FALSE(ends_with(name, end));
    if (!of.unit.empty()) CHECK(ends_with(name, "_" + std::string(of.unit)));
    CHECK(of.help.size() > 5);
    CHECK(of.help.back() == '.');
    CHECK(of.help.find_first_of("\\\n") == std::string_view::npos);
    CHECK(of.write != nullptr);
  }
}

TEST_CASE("a reading that counts nothing writes nothing but what it is", "[metric_families]") {
  const pool_reading none;
  const pool_label_text labels{.plain = "pool=\"p\"", .whole = "pool=\"p\"", .number = "", .added = 0};
  for (const metric_family& of : metric_families) {
    metric_text page;
    page.family(of.name, of.unit, of.kind, of.help);
    const std::size_t head = page.text().size();
    of.write(page, labels, none);
    CAPTURE(std::string(of.name));
    CHECK((page.text().size() == head) == (of.kind != metric_kind::info));
  }
}

TEST_CASE("the page, the dashboard and the alerts name metrics that exist", "[metric_families][docs]") {
  const std::set<std::string> real = line_names();
  for (const char* path : {"docs/stats.md", "docs/grafana.json", "docs/alerts.yml"}) {
    const auto found = named_in(path);
    CAPTURE(path);
    CHECK(found.size() >= 5);
    for (const std::string& name : found) {
      CAPTURE(name);
      // a page may say the name of a histogram without its ends
      CHECK((real.count(name) == 1 || name == "tokenheap_latency_seconds"));
    }
  }
}

TEST_CASE("docs/stats.md explains every metric", "[metric_families][docs]") {
  const auto found = named_in("docs/stats.md");
  for (const std::string& name : line_names()) {
    CAPTURE(name);
    CHECK((found.count(name) == 1 || name.rfind("tokenheap_latency_seconds", 0) == 0));
  }
  CHECK(found.count("tokenheap_latency_seconds") == 1);
}
