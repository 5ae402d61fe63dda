#include <tokenheap/observe/viz_json.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

TEST_CASE("a snapshot is JSON, text by text", "[observe]") {
  viz_snapshot s;
  s.begin_segment({.address = 4096, .frame = {.name = "a \"pool\"\\", .filename = nullptr, .line = 7}});
  s.add(viz_block{.address = 4096, .size = 512});
  s.arrange();
  std::string text;
  write_viz_json(s, [&](std::string_view piece) { text += piece; });
  CHECK(text ==
        R"({"segments":[{"device":0,"address":4096,"total_size":512,"allocated_size":0,"active_size":0,)"
        R"("requested_size":0,"stream":0,"segment_type":"large","segment_pool_id":[0,0],"is_expandable":false,)"
        R"("frames":[{"name":"a \u0022pool\u0022\u005c","filename":"","line":7}],"blocks":[{"address":4096,"size":512,)"
        R"("requested_size":0,"state":"inactive","frames":[{"name":"memory","filename":"","line":0}]}]}],)"
        R"("device_traces":[[]],"allocator_settings":{"allocator":"tokenheap"},"external_annotations":[]})");
}

TEST_CASE("an empty snapshot is whole", "[observe]") {
  std::string text;
  write_viz_json(viz_snapshot{}, [&](std::string_view piece) { text += piece; });
  CHECK(text == R"({"segments":[],"device_traces":[[]],"allocator_settings":{"allocator":"tokenheap"},"external_annotations":[]})");
}

#if __has_include(<nlohmann/json.hpp>)
#include <nlohmann/json.hpp>

TEST_CASE("any text goes through a parser and comes out again", "[observe]") {
  viz_snapshot s;
  s.add(viz_event{.address = viz_snapshot::too_far - 1,
                  .frame = {.name = "</script>\n\x01 caf\xc3\xa9 \xff", .filename = "\xe2\x82"}});
  std::string text;
  write_viz_json(s, [&](std::string_view piece) { text += piece; });
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  REQUIRE(parsed.is_object());
  const auto& event = parsed["device_traces"][0][0];
  REQUIRE(event["frames"][0]["name"].is_string());
  CHECK(event["frames"][0]["name"] == "</script>\n\x01 caf\xc3\xa9 \xef\xbf\xbd");
  CHECK(event["frames"][0]["filename"] == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(event["addr"] == 9007199254740991U);
}
#endif
