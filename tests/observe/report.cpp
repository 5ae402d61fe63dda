#include <tokenheap/observe/report.hpp>

#include <support/catch.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace {

using nlohmann::json;
using namespace tokenheap;

std::string page_of(const memory_report& r, const report_limits& limits = {}) {
  std::string all;
  write_report(r, [&](std::string_view piece) { all += piece; }, limits);
  return all;
}

// what stands between two texts, which both must be there once
std::string between(const std::string& page, const std::string& from, const std::string& to) {
  const std::size_t start = page.find(from);
  REQUIRE(start != std::string::npos);
  REQUIRE(page.find(from, start + 1) == std::string::npos);
  const std::size_t end = page.find(to, start);
  REQUIRE(end != std::string::npos);
  return page.substr(start + from.size(), end - start - from.size());
}

json numbers_of(const std::string& page) {
  const json made = json::parse(between(page, "id=\"numbers\">", "</script>"), nullptr, false);
  REQUIRE(made.is_object());
  return made;
}

TEST_CASE("an empty report is a whole page") {
  const std::string page = page_of({});
  CHECK(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
  CHECK(page.ends_with("</body>\n</html>\n"));
  CHECK(between(page, "<title>", "</title>") == "tokenheap");
  const json made = numbers_of(page);
  for (const char* key : {"figures", "series", "maps", "histograms", "owners", "reasons", "files"}) {
    REQUIRE(made.contains(key));
    CHECK(made[key].empty());
  }
}

TEST_CASE("a page loads nothing, and says so to the browser") {
  const std::string page = page_of({});
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(page.find(" src=") == std::string::npos);
  CHECK(page.find("@import") == std::string::npos);
  CHECK(page.find("url(") == std::string::npos);
  for (const char* call : {"fetch(", "XMLHttpRequest", "WebSocket", "import(", "innerHTML", "eval("})
    CHECK(page.find(call) == std::string::npos);
  // the one address is the name of a language, which nobody asks for
  const std::size_t first = page.find("://");
  CHECK(page.substr(first - 4, 30) == "http://www.w3.org/2000/svg';\n\n");
  CHECK(page.find("://", first + 1) == std::string::npos);
}

TEST_CASE("text of anybody's stays text") {
  const char* evil = "</script></title><script>alert('1')</script>\xff\"";
  const report_figure figures[] = {{evil, evil, evil}};
  const report_owner owners[] = {{.name = evil, .current = 1, .peak = 2}};
  const report_event events[] = {{.seconds = 1, .who = evil, .detail = evil}};
  const report_reason reasons[] = {{.kind = evil, .reason = evil, .fix = evil, .events = events}};
  const report_state states[] = {{evil, report_tone::red}};
  const report_piece pieces[] = {{.label = evil}};
  const report_map maps[] = {{.name = evil, .note = evil, .states = states, .pieces = pieces}};
  const report_file files[] = {{evil, evil}};
  const std::string page = page_of({.title = evil, .summary = evil, .figures = figures, .maps = maps,
                                    .histograms_title = evil, .owners = owners, .reasons_title = evil,
                                    .reasons = reasons, .files = files});
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(page.find("</script></title>") == std::string::npos);
  CHECK(between(page, "<title>", "</title>") ==
        "&lt;/script&gt;&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\xef\xbf\xbd&quot;");
  const std::string same = std::string("</script></title><script>alert('1')</script>") + "\xef\xbf\xbd\"";
  const json made = numbers_of(page);
  CHECK(made["figures"][0]["value"] == same);
  CHECK(made["owners"][0]["name"] == same);
  CHECK(made["reasons"][0]["events"][0] == json::array({1, same, same}));
  CHECK(made["maps"][0]["cells"][0] == json::array({0, 0, 1, 1, 1, same, 1}));
  CHECK(made["maps"][0]["states"][0] == json({{"name", same}, {"tone", 4}}));
  CHECK(made["files"][0]["name"] == same);
}

TEST_CASE("numbers arrive as they were given") {
  const double times[] = {0, 1.5, 3};
  const double values[] = {10, 20, 15};
  const double gaps[] = {0.25, std::nan(""), 1};
  const report_line lines[] = {{"a", report_tone::blue, values}, {"b", report_tone::quiet, gaps}};
  const report_series series[] = {{.title = "t", .note = "n", .unit = report_unit::bytes, .stacked = true, .limit = 64,
                                   .limit_name = "all", .times = times, .lines = lines}};
  const double edges[] = {1, 2, 4};
  const std::uint64_t counts[] = {3, 5};
  const report_histogram histograms[] = {{.name = "h", .edges = edges, .counts = counts, .p50 = 2, .p99 = 3, .most = 4}};
  const json made = numbers_of(page_of({.series = series, .histograms = histograms}));
  const auto expected = [](const char* text) { return json::parse(text, nullptr, false); };
  CHECK(made["series"][0] == expected(R"({"title":"t","note":"n","unit":1,"stacked":true,"limit":64,"limitName":"all",
    "rows":3,"t":[0,1.5,3],"lines":[{"name":"a","tone":0,"v":[10,20,15]},{"name":"b","tone":8,"v":[0.25,null,1]}]})"));
  CHECK(made["histograms"][0] ==
        expected(R"({"name":"h","unit":3,"p50":2,"p99":3,"max":4,"edges":[1,2,4],"counts":[3,5]})"));
}

TEST_CASE("the largest owners come first, equal ones in their order") {
  const report_owner owners[] = {{.name = "a", .peak = 1}, {.name = "b", .peak = 3}, {.name = "c", .peak = 3},
                                 {.name = "d", .peak = 2}, {.name = "e", .peak = 0}};
  const json all = numbers_of(page_of({.owners = owners}));
  std::string order;
  for (const json& owner : all["owners"]) order += owner["name"].get<std::string>();
  CHECK(order == "bcdae");
  const json few = numbers_of(page_of({.owners = owners}, {.owners = 2}));
  CHECK(few["owners"].size() == 2);
  CHECK(few["allOwners"] == 5);
}

TEST_CASE("a page is bounded, whatever was measured") {
  std::vector<double> numbers(300000);
  for (std::size_t k = 0; k != numbers.size(); ++k) numbers[k] = static_cast<double>(k);
  const std::vector<report_line> lines(50, report_line{.name = "line", .values = numbers});
  const report_series series[] = {{.times = numbers, .lines = lines}};
  std::vector<report_piece> pieces(200000);
  for (std::size_t k = 0; k != pieces.size(); ++k) pieces[k] = {.begin = k, .lane = static_cast<std::uint32_t>(k / 1000)};
  const report_state states[] = {{"s", report_tone::aqua}};
  const report_map maps[] = {{.states = states, .pieces = pieces}};
  const std::vector<report_event> events(100000, report_event{.seconds = 1, .who = "w", .detail = "d"});
  const report_reason reasons[] = {{.events = events}};
  const std::vector<report_owner> owners(1000, report_owner{.name = "o", .peak = 1});
  const std::string page = page_of({.series = series, .maps = maps, .owners = owners, .reasons = reasons});
  CHECK(page.size() < 600000);
  const json made = numbers_of(page);
  CHECK(made["series"][0]["rows"] == 300000);
  CHECK(made["series"][0]["lines"].size() == most_report_lines);
  CHECK(made["series"][0]["t"].size() <= 2000);
  CHECK(made["series"][0]["t"].size() == made["series"][0]["lines"][0]["v"].size());
  CHECK(made["maps"][0]["pieces"] == 200000);
  CHECK(made["maps"][0]["cells"].size() <= 2064);
  CHECK(made["maps"][0]["cells"].back()[0] == 63);
  CHECK(made["reasons"][0]["count"] == 100000);
  CHECK(made["reasons"][0]["events"].size() == 400);
  CHECK(made["owners"].size() == 24);
}

TEST_CASE("of many events the first and the last are shown") {
  std::vector<report_event> events(1001);
  for (std::size_t k = 0; k != events.size(); ++k) events[k].seconds = static_cast<double>(k);
  const report_reason reasons[] = {{.events = events}};
  const json shown = numbers_of(page_of({.reasons = reasons}, {.events = 11}))["reasons"][0]["events"];
  REQUIRE(shown.size() == 11);
  for (std::size_t k = 0; k != 11; ++k) CHECK(shown[k][0] == 100 * k);
  CHECK(numbers_of(page_of({.reasons = reasons}, {.events = 1}))["reasons"][0]["events"].size() == 1);
}

}  // namespace
