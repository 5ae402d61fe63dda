#include <tokenheap/observe/viz_pickle.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

#include <observe/viz_kit.hpp>

using namespace tokenheap;

namespace {

std::string with_number(std::uint64_t value) {
  std::string bytes;
  {
    auto to = [&](std::string_view piece) { bytes += piece; };
    viz_pickle format(to);
    format.number(value);
  }
  return bytes;
}

}  // namespace

TEST_CASE("a number takes the shortest form that JavaScript's reader knows", "[observe]") {
  const auto expect = [](std::uint64_t value, std::string form) { CHECK(with_number(value) == "\x80\x02" + form + "."); };
  expect(0, std::string("K\0", 2));
  expect(255, "K\xff");
  expect(256, std::string("M\0\1", 3));
  expect(65535, "M\xff\xff");
  expect(65536, std::string("J\0\0\1\0", 5));
  expect(2147483647, "J\xff\xff\xff\x7f");
  expect(2147483648, std::string("\x8a\x05\0\0\0\x80\0", 7));
  expect(std::uint64_t{1} << 39, std::string("\x8a\x06\0\0\0\0\x80\0", 8));
  expect((std::uint64_t{1} << 53) - 1, "\x8a\x07\xff\xff\xff\xff\xff\xff\x1f");
}

TEST_CASE("a text is written once, and a frame too", "[observe]") {
  std::string bytes;
  {
    auto to = [&](std::string_view piece) { bytes += piece; };
    viz_pickle format(to);
    format.open_list();
    const char* const name = "pool \xff";
    for (int k = 0; k != 2; ++k) format.item(), format.text(name);
    format.item(), format.key(viz_key::line), format.item(), format.key(viz_key::line);
    format.close_list();
  }
  const std::string line(1, static_cast<char>(viz_key::line)), first(1, static_cast<char>(viz_keys));
  CHECK(bytes == std::string("\x80\x02](X\x08\0\0\0pool \xef\xbf\xbdq", 18) + first + "h" + first +
                     std::string("X\4\0\0\0lineq", 10) + line + "h" + line + "e.");
}

// lists longer than one APPENDS, more texts than there are notes and short memos, numbers of every length
TEST_CASE("a large snapshot means the same in both forms", "[observe]") {
  std::vector<std::string> names;
  for (int k = 0; k != 700; ++k) names.push_back("owner \"" + std::to_string(k) + "\" \xc3\xa9\xff");
  viz_snapshot s;
  std::uint64_t at = std::uint64_t{1} << 45;
  for (std::size_t g = 0; g != 3; ++g, at += std::uint64_t{1} << 40) {
    s.begin_segment({.device = static_cast<std::uint16_t>(g), .address = at, .stream = g << 50, .large = g != 1,
                     .expandable = g == 2, .frame = {.name = names[g].c_str(), .filename = "segments"}});
    std::uint64_t inside = at;
    for (std::size_t b = 0; b != 1000 + 1001 * g; ++b) {
      const std::uint64_t size = std::uint64_t{1} << (b % 20);
      s.add(viz_block{.address = inside, .size = size, .requested = size - size / 3, .state = static_cast<viz_state>(b % 3),
                      .frame = {.name = names[b * b % 700].c_str(), .filename = "blocks", .line = b % 5 == 0 ? b : 0}});
      inside += size;
    }
  }
  for (std::uint64_t k = 0; k != 2501; ++k) {
    s.add(viz_event{.device = static_cast<std::uint16_t>(k % 2), .action = device_action::oom, .address = k << (k % 40),
                    .bytes = k, .frame = {.name = names[k % 700].c_str(), .filename = nullptr}});
  }
  s.arrange();
  viz_kit::check(s, "large");
}

TEST_CASE("the checker finds what is wrong", "[observe]") {
  if (!viz_kit::has_python()) {
    WARN("python3 is missing");
    return;
  }
  const auto says = [](viz_snapshot& s, const char* what) {
    s.arrange();
    const std::string said = viz_kit::verdict("wrong", viz_kit::as_json(s), viz_kit::as_pickle(s));
    INFO(said);
    CHECK(said.rfind("bad", 0) == 0);
    CHECK(said.find(what) != std::string::npos);
  };
  const auto one = [](viz_snapshot& s) {
    s.begin_segment({.address = 1000});
    s.add(viz_block{.address = 1000, .size = 100, .requested = 10, .state = viz_state::allocated});
    s.add(viz_block{.address = 1100, .size = 100});
  };
  {
    viz_snapshot s;
    one(s), one(s);
    says(s, "overlap");
  }
  const std::pair<device_action, const char*> wrong[] = {
      {device_action::free_completed, "free_completed of what is active later"},
      {device_action::free_requested, "free_requested of what is not pending later"},
      {device_action::segment_map, "segment_map of what holds blocks before"},
      {device_action::segment_alloc, "segment_alloc of a part"},
      {device_action::segment_free, "segment_free of what is there later"}};
  for (const auto& [action, what] : wrong) {
    viz_snapshot s;
    one(s);
    s.add(viz_event{.action = action, .address = 1000, .bytes = 100});
    says(s, what);
  }
  viz_snapshot s;
  one(s);
  s.add(viz_event{.action = device_action::alloc, .address = 1100, .bytes = 10});
  says(s, "alloc of what is not allocated later");
  s.reset();
  one(s);
  s.arrange();
  const std::string json = viz_kit::as_json(s);
  std::string pickle = viz_kit::as_pickle(s);
  CHECK(viz_kit::verdict("other", json, pickle).rfind("good", 0) == 0);
  pickle[pickle.find("K\x0a") + 1] = 11;  // the requested bytes
  CHECK(viz_kit::verdict("other", json, pickle).find("not what the JSON is") != std::string::npos);
  pickle.replace(pickle.size() - 1, 1, "0.");
  CHECK(viz_kit::verdict("other", json, pickle).find("POP") != std::string::npos);
}
