#include <tokenheap/observe/metric_text.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_label_value(out, text);
  return out;
}

const std::string bad = "\xEF\xBF\xBD";

}  // namespace

TEST_CASE("label values are escaped", "[metric_text]") {
  CHECK(escaped("") == "");
  CHECK(escaped("plain") == "plain");
  CHECK(escaped("a\"b") == "a\\\"b");
  CHECK(escaped("a\\b") == "a\\\\b");
  CHECK(escaped("a\nb") == "a\\nb");
  CHECK(escaped("\\\"\n") == "\\\\\\\"\\n");
  CHECK(escaped("a\tb{c}=,d") == "a\tb{c}=,d");
  CHECK(escaped("\xC3\xA9 \xE2\x98\x83 \xF0\x9F\x98\x80") == "\xC3\xA9 \xE2\x98\x83 \xF0\x9F\x98\x80");
}

TEST_CASE("what is no UTF-8 is replaced, byte by byte", "[metric_text]") {
  CHECK(escaped("\xFF") == bad);
  CHECK(escaped("a\x80z") == "a" + bad + "z");
  CHECK(escaped("\xC3") == bad);                              // cut off
  CHECK(escaped("\xC0\x80") == bad + bad);                    // overlong
  CHECK(escaped("\xE0\x80\x80") == bad + bad + bad);          // overlong
  CHECK(escaped("\xED\xA0\x80") == bad + bad + bad);          // a surrogate
  CHECK(escaped("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // beyond the end
  CHECK(escaped("\xE2\x98\"") == bad + bad + "\\\"");         // a quote inside a character is a quote
  CHECK(escaped("\xED\x9F\xBF") == "\xED\x9F\xBF");
  CHECK(escaped("\xF4\x8F\xBF\xBF") == "\xF4\x8F\xBF\xBF");
}

TEST_CASE("labels are put together with commas, and empty ones left out", "[metric_text]") {
  std::string labels;
  append_label(labels, "a", "");
  CHECK(labels.empty());
  append_label(labels, "a", "1");
  append_label(labels, "b", "");
  append_label(labels, "c", "x\"");
  CHECK(labels == "a=\"1\",c=\"x\\\"\"");
}

TEST_CASE("lines of the Prometheus format", "[metric_text]") {
  metric_text page;
  page.family("t_bytes", "bytes", metric_kind::gauge, "Some bytes.");
  page.sample("a=\"1\"", {"state", "live"}, std::uint64_t{18446744073709551615U});
  page.sample("", {"state", "free"}, std::uint64_t{0});
  page.sample("", 0.25);
  page.family("t_calls", "", metric_kind::counter, "Calls.");
  page.sample("a=\"1\"", std::uint64_t{7});
  page.family("t", "", metric_kind::info, "What.");
  page.sample("a=\"1\"", std::uint64_t{1});
  page.finish();
  CHECK(page.text() ==
        "# HELP t_bytes Some bytes.\n# TYPE t_bytes gauge\n"
        "t_bytes{a=\"1\",state=\"live\"} 18446744073709551615\nt_bytes{state=\"free\"} 0\nt_bytes 0.25\n"
        "# HELP t_calls_total Calls.\n# TYPE t_calls_total counter\nt_calls_total{a=\"1\"} 7\n"
        "# HELP t_info What.\n# TYPE t_info gauge\nt_info{a=\"1\"} 1\n");
}

TEST_CASE("lines of the OpenMetrics format", "[metric_text]") {
  metric_text page(metric_format::open_metrics);
  page.family("t_bytes", "bytes", metric_kind::counter, "Some bytes.");
  page.sample("", std::uint64_t{7});
  page.family("t", "", metric_kind::info, "What.");
  page.sample("a=\"1\"", std::uint64_t{1});
  page.finish();
  CHECK(page.text() ==
        "# HELP t_bytes Some bytes.\n# TYPE t_bytes counter\n# UNIT t_bytes bytes\nt_bytes_total 7\n"
        "# HELP t What.\n# TYPE t info\nt_info{a=\"1\"} 1\n# EOF\n");
}

TEST_CASE("a histogram adds its buckets up, and its bounds are fractions", "[metric_text]") {
  metric_text page;
  page.family("t_seconds", "seconds", metric_kind::histogram, "Time.");
  const double bounds[] = {1e-07, 2.5e-07, 0.001, 10};
  const std::uint64_t counts[] = {1, 0, 2, 3, 4};
  page.histogram("op=\"x\"", bounds, counts, 4, 0.5);
  CHECK(page.text() ==
        "# HELP t_seconds Time.\n# TYPE t_seconds histogram\n"
        "t_seconds_bucket{op=\"x\",le=\"1e-07\"} 1\nt_seconds_bucket{op=\"x\",le=\"2.5e-07\"} 1\n"
        "t_seconds_bucket{op=\"x\",le=\"0.001\"} 3\nt_seconds_bucket{op=\"x\",le=\"10.0\"} 6\n"
        "t_seconds_bucket{op=\"x\",le=\"+Inf\"} 10\nt_seconds_sum{op=\"x\"} 0.5\nt_seconds_count{op=\"x\"} 10\n");
}
