#include <tokenheap/observe/timeline_json.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

namespace {

std::string written(const timeline& t) {
  std::string text;
  write_timeline_json(t, [&](std::string_view piece) { text += piece; });
  return text;
}

}  // namespace

TEST_CASE("a timeline as text", "[observe]") {
  auto t = timeline::open({.events = 8, .slice_bytes = 10});
  REQUIRE(t);
  const auto kv = t->name("kv"), owner = t->name("tenant \"a\"");
  t->counter(1'234'567, kv, owner, 4096);
  t->mark(2'000'000, timeline_mark::preemption, kv, owner, 3);
  const allocation a{reinterpret_cast<void*>(256), 64};
  t->came(3'000'001, kv, owner, a);
  CHECK(written(*t) ==
        R"({"displayTimeUnit":"ms","otherData":{"lost":0},"traceEvents":[)"
        R"({"name":"process_name","ph":"M","pid":1,"args":{"name":"tokenheap"}},)"
        R"({"name":"kv: tenant \u0022a\u0022","cat":"kv","ph":"C","pid":1,"tid":1,"ts":1234.567,"args":{"value":4096}},)"
        R"({"name":"preemption","cat":"kv","ph":"i","pid":1,"tid":1,"ts":2000.000,"s":"p",)"
        R"("args":{"owner":"tenant \u0022a\u0022","value":3}},)"
        R"({"name":"tenant \u0022a\u0022","cat":"kv","ph":"b","pid":1,"tid":1,"ts":3000.001,"id":1,)"
        R"("args":{"bytes":64,"address":256}}]})"
        "\n");
  t->went(3'000'999, a);
  const std::string text = written(*t);
  CHECK(text.find(R"("ph":"e","pid":1,"tid":1,"ts":3000.999,"id":1}]})") != std::string::npos);
}

#if __has_include(<nlohmann/json.hpp>)
#include <map>
#include <random>

#include <nlohmann/json.hpp>

TEST_CASE("whatever is recorded is JSON, and slices have two ends or one", "[observe]") {
  auto t = timeline::open({.name = "</script>\x02\xff", .events = 1000, .names = 8, .slices = 50, .slice_bytes = 500});
  REQUIRE(t);
  std::mt19937 random(23);
  const char* const names[] = {"a\\b", "caf\xc3\xa9", "\xf0\x9f", "new\nline", "\"", "<b>", "x", "y", "no room"};
  std::uint64_t now = 0;
  for (int k = 0; k != 3000; ++k) {
    now += random() % 5000;
    const auto pool = t->name(names[random() % 3]), owner = t->name(names[random() % 9]);
    const allocation a{reinterpret_cast<void*>(std::uintptr_t{64} * (1 + random() % 90)), random() % 1000};
    switch (random() % 4) {
      case 0: t->counter(now, pool, owner, random()); break;
      case 1: t->mark(now, static_cast<timeline_mark>(random() % 5), pool, owner, random()); break;
      case 2: t->came(now, pool, owner, a); break;
      default: t->went(now, {a.data, 1000}); break;
    }
  }
  const auto parsed = nlohmann::json::parse(written(*t), nullptr, false);
  REQUIRE(parsed.is_object());
  CHECK(parsed["otherData"]["lost"] == t->lost());
  CHECK(t->lost() != 0);
  const auto& events = parsed["traceEvents"];
  REQUIRE(events.is_array());
  std::map<std::string, int> phases;
  std::map<int, double> open;
  int wrong = 0;
  for (const auto& e : events) {
    const std::string phase = e["ph"].is_string() ? e["ph"].get<std::string>() : "?";
    ++phases[phase];
    wrong += !e["name"].is_string() || !e["pid"].is_number();
    if (phase == "M") continue;
    wrong += !e["ts"].is_number() || !e["cat"].is_string();
    if (phase == "C") wrong += !e["args"]["value"].is_number();
    if (phase == "b") wrong += !open.emplace(e["id"].get<int>(), e["ts"].get<double>()).second || e["args"]["bytes"] < 500;
    if (phase == "e") {
      const auto begun = open.find(e["id"].get<int>());
      wrong += begun == open.end() || begun->second > e["ts"].get<double>();
      if (begun != open.end()) open.erase(begun);
    }
  }
  CHECK(wrong == 0);
  CHECK(open.size() == t->open_slices());
  CHECK(phases["M"] == 1);
  CHECK(phases["b"] > 50);
  CHECK(phases["e"] + static_cast<int>(open.size()) == phases["b"]);
  CHECK(phases["C"] + phases["i"] + phases["e"] == 1000);
  CHECK(phases.size() == 5);
  CHECK(events[0]["args"]["name"] == "</script>\x02\xef\xbf\xbd");
}
#endif
