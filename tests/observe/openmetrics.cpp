#include <tokenheap/observe/openmetrics.hpp>

#include <support/catch.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace tokenheap;

namespace {

/// A reading in which everything is counted.
pool_reading full(std::string name, std::uint64_t from = 1) {
  pool_reading r;
  r.pool = std::move(name);
  r.kind = "block_pool";
  for (state_amounts* of : {&r.bytes, &r.blocks}) {
    for (std::uint64_t* n : {&of->live, &of->pending, &of->cached, &of->free, &of->evictable, &of->pinned, &of->reserved,
                             &of->limit, &of->peak})
      *n = from++;
  }
  for (std::uint64_t* n : {&r.pieces, &r.pending_pieces, &r.block_bytes, &r.block_tokens, &r.soft_limit, &r.largest_free,
                           &r.bookkeeping, &r.allocations, &r.deallocations, &r.allocated_bytes, &r.queried_tokens,
                           &r.hit_tokens, &r.scrubbed})
    *n = from++;
  for (labelled_counts* list : {&r.failures, &r.evictions, &r.waste, &r.device_calls, &r.lookups, &r.stores, &r.loads,
                                &r.moves, &r.wire}) {
    list->add("one", from++);
    list->add("other", from++);
  }
  r.owners = {{"weights", from, from + 1}, {"kv \"quoted\"", from, from + 2}};
  latency_counts times;
  times.in[3] = from;
  times.sum_ns = 1'500'000'000;
  r.latencies = {{"open", times}, {"store\n", times}};
  return r;
}

/// Lines that are no comments; a page in which one stands twice is refused by scrapers.
std::set<std::string> series(const std::string& page, std::size_t& lines) {
  std::istringstream in(page);
  std::set<std::string> all;
  lines = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    ++lines;
    all.insert(line.substr(0, line.rfind(' ')));
  }
  return all;
}

bool has_promtool() { return std::system("command -v promtool >/dev/null 2>&1") == 0; }

/// What `promtool check metrics < ` or `check rules ` says of a text, and its status.
std::string promtool(const char* what, const std::string& text, int& status) {
  char name[] = "promtool_input_XXXXXX";  // in the working directory, which is that of the build
  const int file = ::mkstemp(name);
  if (file < 0) return "no file to write to";
  std::FILE* const out = ::fdopen(file, "w");
  std::fwrite(text.data(), 1, text.size(), out);
  std::fclose(out);
  std::FILE* const run = ::popen((std::string("promtool check ") + what + name + " 2>&1").c_str(), "r");
  std::string said;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, run) != nullptr) said += buffer;
  status = ::pclose(run);
  ::unlink(name);
  return said;
}

bool is_left_out() {
  if (has_promtool()) return false;
  WARN("skipped: promtool is not here; cmake/deps.sh installs it");
  return true;
}

void check_with_promtool(const std::string& page) {
  if (is_left_out()) return;
  int status = -1;
  const std::string said = promtool("metrics < ", page, status);
  INFO(said);
  CHECK(status == 0);
  CHECK(said.empty());
}

std::string file_text(const std::string& path) {
  std::ifstream file(std::string(TOKENHEAP_SOURCE_DIR) + "/" + path);
  return {std::istreambuf_iterator<char>{file}, {}};
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

const std::vector<std::string> hostile = {
    "", "plain", "with \"quotes\"", "back\\slash", "line\nend", "\\n", "a\tb\r", "{pool=\"x\"} 1", "# EOF", "\xFF\xFE",
    "\xFE\xFF", "\xC3\xA9t\xC3\xA9", "\xED\xA0\x80", "\xF0\x9F\x98\x80", "100%s%n", "$(reboot)", "';--", std::string(300, 'x'),
    "\x01\x1B[31m", "tokenheap_pool_bytes", "le", "+Inf", "NaN"};

}  // namespace

TEST_CASE("the page of an empty registry", "[openmetrics]") {
  CHECK(to_metrics({}) ==
        "# HELP tokenheap_registered_pools Pools in the registry.\n# TYPE tokenheap_registered_pools gauge\n"
        "tokenheap_registered_pools 0\n");
  CHECK(to_metrics({}, metric_format::open_metrics) ==
        "# HELP tokenheap_registered_pools Pools in the registry.\n# TYPE tokenheap_registered_pools gauge\n"
        "# UNIT tokenheap_registered_pools pools\ntokenheap_registered_pools 0\n# EOF\n");
}

TEST_CASE("the page of one pool, word for word", "[openmetrics]") {
  pool_reading r;
  r.pool = "chat", r.owner = "llama", r.space = "device", r.device = "0", r.kind = "block_pool";
  r.blocks.live = 3, r.blocks.free = 5, r.blocks.evictable = 0, r.blocks.limit = 8;
  r.queried_tokens = 80, r.hit_tokens = 32;
  r.failures.add("too_large", 1);
  const std::string labels = R"(pool="chat",space="device",device="0",owner="llama")";
  CHECK(to_metrics({r}) == "# HELP tokenheap_registered_pools Pools in the registry.\n"
                           "# TYPE tokenheap_registered_pools gauge\ntokenheap_registered_pools 1\n"
                           "# HELP tokenheap_pool_info A registered pool, and what kind it is.\n"
                           "# TYPE tokenheap_pool_info gauge\ntokenheap_pool_info{" + labels + ",kind=\"block_pool\"} 1\n"
                           "# HELP tokenheap_pool_blocks KV blocks of a pool by state; the states do not overlap.\n"
                           "# TYPE tokenheap_pool_blocks gauge\n"
                           "tokenheap_pool_blocks{" + labels + ",state=\"live\"} 3\n"
                           "tokenheap_pool_blocks{" + labels + ",state=\"free\"} 5\n"
                           "# HELP tokenheap_pool_within_blocks KV blocks within those states: cached that can be evicted, "
                           "references that pins hold, promised.\n# TYPE tokenheap_pool_within_blocks gauge\n"
                           "tokenheap_pool_within_blocks{" + labels + ",state=\"evictable\"} 0\n"
                           "# HELP tokenheap_pool_capacity_blocks KV blocks that a pool has, the sum of its states.\n"
                           "# TYPE tokenheap_pool_capacity_blocks gauge\ntokenheap_pool_capacity_blocks{" + labels + "} 8\n"
                           "# HELP tokenheap_pool_limit_blocks KV blocks that a pool may have.\n"
                           "# TYPE tokenheap_pool_limit_blocks gauge\ntokenheap_pool_limit_blocks{" + labels + "} 8\n"
                           "# HELP tokenheap_failures_total Requests that were refused, by reason.\n"
                           "# TYPE tokenheap_failures_total counter\n"
                           "tokenheap_failures_total{" + labels + ",reason=\"too_large\"} 1\n"
                           "# HELP tokenheap_prefix_queried_tokens_total Prompt tokens that were looked up in the cache.\n"
                           "# TYPE tokenheap_prefix_queried_tokens_total counter\n"
                           "tokenheap_prefix_queried_tokens_total{" + labels + "} 80\n"
                           "# HELP tokenheap_prefix_hit_tokens_total Prompt tokens that were found in the cache.\n"
                           "# TYPE tokenheap_prefix_hit_tokens_total counter\n"
                           "tokenheap_prefix_hit_tokens_total{" + labels + "} 32\n");
}

TEST_CASE("a pool that counts everything is in every family", "[openmetrics]") {
  const std::string page = to_metrics({full("all")});
  for (const metric_family& of : metric_families) {
    CAPTURE(std::string(of.name));
    const char* const end = of.kind == metric_kind::counter ? "_total " : (of.kind == metric_kind::info ? "_info " : " ");
    CHECK(page.find("# TYPE " + std::string(of.name) + end) != std::string::npos);
  }
  CHECK(page.find("tokenheap_fragmentation_ratio{pool=\"all\"} 0\n") != std::string::npos);
  CHECK(page.find(R"(tokenheap_owner_bytes{pool="all",owner="kv \"quoted\""} )") != std::string::npos);
  CHECK(page.find(R"(tokenheap_latency_seconds_sum{pool="all",op="store\n"} 1.5)") != std::string::npos);
  CHECK(page.find(R"(tokenheap_latency_seconds_bucket{pool="all",op="open",le="1e-06"} )") != std::string::npos);
  check_with_promtool(page);
}

TEST_CASE("the OpenMetrics page has units, infos and an end", "[openmetrics]") {
  const std::string page = to_metrics({full("all")}, metric_format::open_metrics);
  CHECK(page.find("# TYPE tokenheap_pool info\n") != std::string::npos);
  CHECK(page.find("# TYPE tokenheap_allocated_bytes counter\n# UNIT tokenheap_allocated_bytes bytes\n") != std::string::npos);
  CHECK(page.find("\ntokenheap_allocated_bytes_total{pool=\"all\"} ") != std::string::npos);
  CHECK(page.substr(page.size() - 6) == "# EOF\n");
  std::size_t lines = 0, plain_lines = 0;
  CHECK(series(page, lines) == series(to_metrics({full("all")}), plain_lines));
  CHECK(lines == plain_lines);
}

TEST_CASE("hostile names make no line that they should not", "[openmetrics]") {
  std::vector<pool_reading> pools;
  for (const std::string& name : hostile) {
    pools.push_back(full(name));
    pools.back().owner = name;
    pools.back().space = name;
    pools.back().device = name;
    pools.back().latencies[0].op = name;
    pools.back().owners[0].owner = name;
  }
  const std::string page = to_metrics(pools);
  std::size_t lines = 0;
  const auto all = series(page, lines);
  CHECK(all.size() == lines);
  for (const std::string& one : all) CHECK(one.rfind("tokenheap_", 0) == 0);
  check_with_promtool(page);
}

TEST_CASE("pools with equal labels are told apart by a number", "[openmetrics]") {
  std::vector<pool_reading> pools(5);
  for (pool_reading& p : pools) p.pool = "same", p.pieces = 1, p.owners = {{"a", 1, 2}};
  pools[2].pool = "another";
  pools[3].owner = "b";
  const std::string page = to_metrics(pools);
  CHECK(page.find("tokenheap_pool_pieces{pool=\"same\",state=\"live\"} 1\n"
                  "tokenheap_pool_pieces{pool=\"same\",number=\"2\",state=\"live\"} 1\n"
                  "tokenheap_pool_pieces{pool=\"another\",state=\"live\"} 1\n"
                  "tokenheap_pool_pieces{pool=\"same\",owner=\"b\",state=\"live\"} 1\n"
                  "tokenheap_pool_pieces{pool=\"same\",number=\"3\",state=\"live\"} 1\n") != std::string::npos);
  CHECK(page.find("tokenheap_owner_bytes{pool=\"same\",owner=\"a\",number=\"3\"} 1\n") != std::string::npos);
  CHECK(page.find("tokenheap_owner_bytes{pool=\"same\",owner=\"b/a\"} 1\n") != std::string::npos);
  std::size_t lines = 0;
  CHECK(series(page, lines).size() == lines);

  // two names that no longer differ once they are escaped
  pools.resize(2);
  pools[0].pool = "\xFF", pools[1].pool = "\xFE";
  CHECK(series(to_metrics(pools), lines).size() == lines);
  check_with_promtool(to_metrics(pools));
}

TEST_CASE("a page comes in pieces that are its text", "[openmetrics]") {
  const std::vector<pool_reading> pools = {full("a"), full("b")};
  std::string whole;
  std::size_t pieces = 0, largest = 0;
  write_metrics(pools, [&](const char* text, std::size_t size) {
    whole.append(text, size);
    largest = std::max(largest, size);
    ++pieces;
  });
  CHECK(whole == to_metrics(pools));
  CHECK(pieces == std::size(metric_families) + 1);
  CHECK(largest < whole.size());
}

TEST_CASE("a hundred registered pools are one page", "[openmetrics]") {
  std::vector<pool_reading> pools;
  const unsigned seed = 2026;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int k = 0; k != 100; ++k) {
    pools.push_back(full("pool " + std::to_string(k), random() % 1'000'000'000));
    pools.back().space = k % 2 == 0 ? "device" : "host";
  }
  const std::string page = to_metrics(pools);
  std::size_t lines = 0;
  CHECK(series(page, lines).size() == lines);
  std::size_t of_one = 0;
  static_cast<void>(series(to_metrics({full("pool")}), of_one));
  CHECK(lines == 1 + 100 * (of_one - 1));
  check_with_promtool(page);
}

TEST_CASE("a page that is wrong is refused: the check above can fail", "[openmetrics]") {
  if (is_left_out()) return;
  int status = 0;
  CHECK(promtool("metrics < ", "tokenheap_things 1\n", status).find("no help text") != std::string::npos);
  CHECK(status != 0);
  CHECK_FALSE(promtool("metrics < ", "tokenheap_things{pool=\"a\"b\"} 1\n", status).empty());
  CHECK(status != 0);
}

TEST_CASE("the five alerts and every query of the dashboard are queries", "[openmetrics][docs]") {
  const std::string alerts = file_text("docs/alerts.yml");
  // of a dashboard: a rule for each of its queries, with the variables filled in
  std::string text = file_text("docs/grafana.json"), rules = "groups:\n  - name: dashboard\n    rules:\n";
  replace_all(text, "$__rate_interval", "5m");
  replace_all(text, "$job", ".*");
  replace_all(text, "$pool", ".*");
  std::size_t queries = 0;
  const std::string mark = "\"expr\": ";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    const std::size_t from = at + mark.size();
    const std::size_t end = text.find_first_of("\n", from);
    std::string query = text.substr(from, end - from);  // a JSON text is a YAML text
    if (query.back() == ',') query.pop_back();
    rules += "      - record: query_" + std::to_string(queries++) + "\n        expr: " + query + "\n";
  }
  CHECK(queries >= 15);
  if (is_left_out()) return;
  int status = -1;
  std::string said = promtool("rules ", alerts, status);
  INFO(said);
  CHECK(status == 0);
  CHECK(said.find("5 rules found") != std::string::npos);
  said = promtool("rules ", rules, status);
  INFO(said);
  CHECK(status == 0);
  CHECK(said.find(std::to_string(queries) + " rules found") != std::string::npos);
}
