#include <tokenheap/plan/config_fields.hpp>

#include <support/catch.hpp>

#include <string>

namespace plan = tokenheap::plan;

namespace {

/// The complaint that one way of reading one object leads to.
template <class Read>
std::string complaint(const char* text, Read&& read) {
  const auto parsed = plan::parse_object(text, "c.json");
  if (!parsed) return parsed.error;
  std::string error;
  read(plan::config_fields(parsed.value, "c.json: ", error));
  return error;
}

std::string need(const char* text) {
  return complaint(text, [](const plan::config_fields& f) { CHECK(f.need({"n", "other"}, 100) >= 1); });
}

}  // namespace

TEST_CASE("config_fields: a number that must be there", "[plan][config]") {
  CHECK(need(R"({"n": 1})").empty());
  CHECK(need(R"({"n": 100})").empty());
  CHECK(need(R"({"other": 5})").empty());
  CHECK(need(R"({"n": null, "other": 5})").empty());
  CHECK(need(R"({"n": 7.0})").empty());
  CHECK(need("{}") == "c.json: n is missing");
  CHECK(need(R"({"n": null})") == "c.json: n is missing");
  CHECK(need(R"({"n": 0})") == "c.json: n is 0, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": 101})") == "c.json: n is 101, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": -1})") == "c.json: n is -1, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": 7.5})") == "c.json: n is 7.5, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": true})") == "c.json: n is true, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": "7"})") == "c.json: n is \"7\", a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": [7]})") == "c.json: n is a list, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"other": {}})") == "c.json: other is an object, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": 18446744073709551615})") ==
        "c.json: n is 18446744073709551615, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": 1e300})") == "c.json: n is 1e+300, a whole number from 1 to 100 is needed");
  CHECK(need(R"({"n": 1e999})") == "c.json: is no JSON, or was cut off");
}

TEST_CASE("config_fields: what may be missing", "[plan][config]") {
  CHECK(complaint(R"({"zero": 0, "three": 3, "yes": true, "word": "w", "minus": -1, "nothing": null})",
                  [](const plan::config_fields& f) {
                    CHECK(f.take({"absent"}, 9, 10) == 9);
                    CHECK(f.take({"absent", "three"}, 9, 10) == 3);
                    CHECK(f.count({"zero"}, 9, 10) == 0);
                    CHECK(f.flag("yes", false));
                    CHECK(f.flag("absent", true));
                    CHECK(f.text({"absent", "word"}) == "w");
                    CHECK(f.text({"absent"}, "x") == "x");
                    CHECK(f.is_minus_one("minus"));
                    CHECK_FALSE(f.is_minus_one("three"));
                    CHECK(f.has_null("nothing"));
                    CHECK_FALSE(f.has_null("absent"));
                    CHECK_FALSE(f.has("nothing"));
                    CHECK(f.is_text("word"));
                    CHECK(f.good());
                  }).empty());
  const auto flag = [](const plan::config_fields& f) { CHECK_FALSE(f.flag("b", false)); };
  CHECK(complaint(R"({"b": 1})", flag) == "c.json: b is 1, true or false is needed");
  const auto text = [](const plan::config_fields& f) { CHECK(f.text({"t"}).empty()); };
  CHECK(complaint(R"({"t": 1})", text) == "c.json: t is 1, a text is needed");
}

TEST_CASE("config_fields: lists and objects inside", "[plan][config]") {
  const auto numbers = [](const plan::config_fields& f) { static_cast<void>(f.numbers("l", 1, 9)); };
  CHECK(complaint(R"({"l": [1, 9]})", numbers).empty());
  CHECK(complaint(R"({"l": [1, "9"]})", numbers) == "c.json: l[1] is \"9\", a whole number from 1 to 9 is needed");
  CHECK(complaint(R"({"l": 4})", numbers) == "c.json: l is 4, a list is needed");
  const auto texts = [](const plan::config_fields& f) { static_cast<void>(f.texts("l")); };
  CHECK(complaint(R"({"l": ["a", 2]})", texts) == "c.json: l[1] is 2, a text is needed");
  CHECK(complaint(R"({"in": {"n": 5}})", [](const plan::config_fields& f) { CHECK(f.inside("in").need({"n"}, 9) == 5); })
            .empty());
  CHECK(complaint(R"({"in": {"n": "x"}})", [](const plan::config_fields& f) {
          static_cast<void>(f.inside("in").need({"n"}, 9));
        }) == "c.json: in.n is \"x\", a whole number from 1 to 9 is needed");
  CHECK(complaint(R"({"in": 3})", [](const plan::config_fields& f) { static_cast<void>(f.inside("in")); }) ==
        "c.json: in is 3, an object is needed");
  CHECK(complaint(R"({"a": 1, "any": {"n": 5}})", [](const plan::config_fields& f) {
          CHECK(f.first_inside().need({"n"}, 9) == 5);
          CHECK(f.first_inside().first_inside().take({"n"}, 3, 9) == 3);
        }).empty());
}

TEST_CASE("config_fields: the first complaint stays, and is plain text of a bounded length", "[plan][config]") {
  CHECK(complaint(R"({"a": -1, "b": -2})", [](const plan::config_fields& f) {
          static_cast<void>(f.need({"b"}, 9));
          static_cast<void>(f.need({"a"}, 9));
        }) == "c.json: b is -2, a whole number from 1 to 9 is needed");
  const std::string text = R"({"n": ")" + std::string(1000, 'x') + "\\n\u00e4\"}";
  CHECK(need(text.c_str()).size() < 120);
  CHECK(need("{\"n\": \"\xc3\xa4\"}") == "c.json: n is \"\\u00e4\", a whole number from 1 to 100 is needed");
}

TEST_CASE("parse_object: what is no object says so", "[plan][config][bad]") {
  const auto error = [](std::string text) { return plan::parse_object(std::move(text), "c.json").error; };
  CHECK(error("{}").empty());
  CHECK(error("\xef\xbb\xbf{}").empty());
  for (const char* text : {"", " ", "{", "{\"a\": ", "nul", "{\"a\" 1}", "{\"a\": \"\xff\"}", "{}x", "{\"a\": \"\n\"}"}) {
    CAPTURE(text);
    CHECK(error(text) == "c.json: is no JSON, or was cut off");
  }
  for (const char* text : {"1", "[]", "null", "\"{}\""}) CHECK(error(text) == "c.json: is JSON, but no object");
  const auto nested = [](std::size_t deep) {
    return "{\"a\":" + std::string(deep - 1, '[') + std::string(deep - 1, ']') + "}";
  };
  CHECK(error(nested(64)).empty());
  CHECK(error(nested(65)) == "c.json: nested deeper than 64 levels");
  CHECK(error(std::string(1'000'000, '[')) == "c.json: nested deeper than 64 levels");
  CHECK(error(R"({"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[[["})").empty());
  std::string large(plan::config_limits::bytes + 1, ' ');
  CHECK(error(std::move(large)) == "c.json: 67108865 bytes, at most 67108864 are read");
}

TEST_CASE("parse_object: words that Python writes in place of numbers", "[plan][config]") {
  const auto got = plan::parse_object(R"({"limit": [0.0, Infinity], "least":-Infinity, "word": "NaN, Infinity", "n": NaN})", "c");
  REQUIRE(got);
  CHECK(got.value["limit"][1] == 0);
  CHECK(got.value["least"] == 0);
  CHECK(got.value["n"] == 0);
  CHECK(got.value["word"] == "NaN, Infinity");
  CHECK_FALSE(plan::parse_object(R"({"a": 1Infinity})", "c"));
}
