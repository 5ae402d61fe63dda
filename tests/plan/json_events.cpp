#include <tokenheap/plan/json_events.hpp>

#include <support/catch.hpp>

namespace plan = tokenheap::plan;

namespace {

// writes down what it hears
struct listener : plan::json_events<listener> {
  std::string heard;
  std::string stop_at;

  bool say(const std::string& what) {
    heard += what + ' ';
    return what != stop_at || refuse("stopped at " + what);
  }
  bool opened(bool object) { return say((object ? "{" : "[") + std::to_string(depth())); }
  bool closed() { return say("/" + std::to_string(depth())); }
  bool named(std::string& name) { return say(name + ":"); }
  bool scalar(const plan::json_scalar& value) {
    switch (value.is) {
      case plan::json_scalar::kind::whole: return say(std::to_string(value.whole));
      case plan::json_scalar::kind::real: return say("r" + std::to_string(static_cast<int>(value.real)));
      case plan::json_scalar::kind::text: return say("'" + std::string(value.text) + "'");
      case plan::json_scalar::kind::other: break;
    }
    return say("?");
  }
};

}  // namespace

TEST_CASE("events come in order, with their depth", "[plan][json]") {
  listener l;
  REQUIRE(l.read(R"({"a": [1, -2, 2.0, "x", null, true], "b": {"c": 18446744073709551615}})", 0));
  CHECK(l.heard == "{1 a: [2 1 r-2 r2 'x' ? ? /1 b: {2 c: 18446744073709551615 /1 /0 ");
}

TEST_CASE("what is no JSON is refused at its byte, and a reader can stop", "[plan][json][bad]") {
  const auto error = [](std::string_view text) {
    listener l;
    CHECK_FALSE(l.read(text, 8));
    return l.error();
  };
  CHECK(error("") == "no JSON, or cut off (byte 9)");
  CHECK(error("{\"a\": }") == "no JSON, or cut off (byte 15)");
  CHECK(error("{} x") == "no JSON, or cut off (byte 12)");
  CHECK(error(std::string(100'000, '[')) == "no JSON, or cut off (byte 100009)");
  CHECK(error("{\"a\": \"\xff\"}").find("no JSON") == 0);
  listener l;
  l.stop_at = "2";
  CHECK_FALSE(l.read("[1, 2, 3", 0));
  CHECK(l.heard == "[1 1 2 ");
  CHECK(l.error() == "stopped at 2");
}
