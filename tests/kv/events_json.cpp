#include <tokenheap/kv/events_json.hpp>

#include <support/catch.hpp>

#include <kv/event_kit.hpp>

// every text is read again by a parser that is not ours
#if __has_include(<nlohmann/json.hpp>)
#include <nlohmann/json.hpp>

using namespace kit;
using nlohmann::json;

namespace {

struct written_text {
  std::string text;
  kv::event_batch left;
  errc code;
};

written_text written(kv::event_batch batch, const kv::events_json_options& with = {}, std::size_t capacity = 1 << 16) {
  std::vector<char> out(capacity + 1, '\x7f');
  std::size_t n = 99;
  const errc code = kv::write_json(batch, with, out.data(), capacity, n);
  REQUIRE(out[capacity] == '\x7f');
  if (capacity != 0) REQUIRE(std::strlen(out.data()) == n);
  return {std::string(out.data(), n), batch, code};
}

// a pool that stored two blocks at once, one more, evicted it, and was cleared
struct story {
  telling_radix pool = pool_of<telling_radix>(4, 4);
  kv::event_feed feed = feed_of();

  story() {
    REQUIRE(feed.poll(pool) == kv::feed_answer::snapshot);
    {
      auto s = opened(pool, count_up(12), {.key = {.adapter = 3}});
      REQUIRE(s.publish(8) == errc::ok);
      REQUIRE(s.publish(12) == errc::ok);
    }
    REQUIRE(pool.evict(1) == 1);
    REQUIRE(pool.reset() == errc::ok);
    REQUIRE(feed.poll(pool) == kv::feed_answer::news);
  }
};

const char* adapter_name(void* user, std::uint64_t adapter) noexcept {
  return adapter == 3 ? static_cast<const char*>(user) : nullptr;
}

}  // namespace

TEST_CASE("events_json: vLLM's names and values", "[kv][events]") {
  const story at;
  const auto got = written(at.feed.batch(), {.microseconds = 1'700'000'000'000'042, .rank = 2});
  REQUIRE(got.code == errc::ok);
  CHECK(got.left.empty());
  const json all = json::parse(got.text);
  CHECK(all["ts"].get<double>() == Approx(1'700'000'000.000042));
  CHECK(got.text.find("\"ts\":1700000000.000042,") != std::string::npos);
  CHECK((all["seq"] == 0 && all["snapshot"] == false && all["data_parallel_rank"] == 2));
  const json& events = all["events"];
  REQUIRE(events.size() == 4);
  const json& first = events[0];
  CHECK(first["type"] == "BlockStored");
  CHECK(first["token_ids"] == json({0, 1, 2, 3, 4, 5, 6, 7}));
  CHECK((first["block_size"] == 4 && first["lora_id"] == 3 && first["lora_name"].is_null()));
  CHECK((first["medium"] == "GPU" && first["group_idx"] == 0 && first["parent_block_hash"].is_null()));
  REQUIRE(first["block_hashes"].size() == 2);
  CHECK(first["block_hashes"][0].get<std::string>().size() == 32);
  CHECK(!first.contains("extra_keys"));
  CHECK(!first.contains("kv_cache_spec_kind"));
  CHECK(events[1]["parent_block_hash"] == first["block_hashes"][1]);
  CHECK(events[2]["type"] == "BlockRemoved");
  CHECK(events[2]["block_hashes"] == events[1]["block_hashes"]);
  CHECK((events[2]["reason"] == "asked" && events[2]["medium"] == "GPU" && events[2]["group_idx"] == 0));
  CHECK(events[3]["type"] == "AllBlocksCleared");
}

TEST_CASE("events_json: a name is its sixteen bytes, or its first 64 bits as a number", "[kv][events]") {
  kv::event_ring ring;
  REQUIRE(ring.open(1024));
  kv::detail::event_record* const out = ring.add(1, 0);
  out->say({.kind = kv::event_kind::removed});
  *out->first_name() = {0xfedcba9876543210, 0x0f1e2d3c4b5a6978};
  const kv::event_batch batch(reinterpret_cast<const unsigned char*>(out), 80);
  CHECK(json::parse(written(batch).text)["events"][0]["block_hashes"][0] == "1032547698badcfe78695a4b3c2d1e0f");
  const auto number = json::parse(written(batch, {.names = kv::name_form::number}).text);
  CHECK(number["events"][0]["block_hashes"][0].get<std::uint64_t>() == 0xfedcba9876543210);
}

TEST_CASE("events_json: what a key came to stands with the first block, and the salt nowhere", "[kv][events]") {
  auto pool = pool_of<telling_radix>(4, 4);
  auto feed = feed_of();
  REQUIRE(feed.poll(pool) == kv::feed_answer::snapshot);
  const std::string salt = "hunter2";
  auto s = opened(pool, count_up(12), {.key = salted(salt)});
  REQUIRE(s.publish(8) == errc::ok);
  REQUIRE(s.publish(12) == errc::ok);
  REQUIRE(feed.poll(pool) == kv::feed_answer::news);
  const auto got = written(feed.batch(), {.spec_kind = "sliding_window", .sliding_window = 4096});
  CHECK(got.text.find(salt) == std::string::npos);
  const json events = json::parse(got.text)["events"];
  REQUIRE(events[0]["extra_keys"].size() == 2);
  CHECK(events[0]["extra_keys"][0][0].get<std::string>().size() == 32);
  CHECK(events[0]["extra_keys"][1].is_null());
  CHECK(!events[1].contains("extra_keys"));
  CHECK(events[1]["kv_cache_spec_kind"] == "sliding_window");
  CHECK(events[1]["kv_cache_spec_sliding_window"] == 4096);
}

TEST_CASE("events_json: names of adapters are escaped, whatever their bytes", "[kv][events]") {
  const story at;
  const std::pair<std::string, std::string> names[] = {
      {"plain", "plain"},
      {"a\"b\\c/d", "a\"b\\c/d"},
      {"\x01\n\t\x1f\x7f", "\x01\n\t\x1f\x7f"},
      {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xf5x", "\xef\xbf\xbdx"},
      {"", ""},
  };
  for (const auto& [name, expected] : names) {
    std::string copy = name;
    const auto got = written(at.feed.batch(), {.adapter_name = &adapter_name, .user = copy.data()});
    REQUIRE(got.code == errc::ok);
    CHECK(json::parse(got.text)["events"][0]["lora_name"] == expected);
  }
}

TEST_CASE("events_json: with too little room a text is whole or not there, and nothing is lost", "[kv][events][bad]") {
  const story at;
  const auto whole = json::parse(written(at.feed.batch(), {.rank = 0}).text);
  for (std::size_t capacity = 0; capacity != 900; ++capacity) {
    CAPTURE(capacity);
    kv::event_batch left = at.feed.batch();
    json events = json::array();
    while (!left.empty()) {
      const auto got = written(left, {.rank = 0}, capacity);
      if (got.code != errc::ok) {
        REQUIRE(got.code == errc::too_large);
        REQUIRE(got.text.empty());
        REQUIRE(events_of(got.left).size() == events_of(left).size());
        break;
      }
      REQUIRE(got.text.size() < capacity);
      const json part = json::parse(got.text);
      REQUIRE(part["seq"] == events.size());
      for (const json& e : part["events"]) events.push_back(e);
      left = got.left;
    }
    if (left.empty()) REQUIRE(events == whole["events"]);
    // each event alone has fewer than 420 characters
    if (capacity >= 420) REQUIRE(left.empty());
  }
}

TEST_CASE("events_json: a snapshot says so, and begins with a clearing", "[kv][events]") {
  story at;
  auto s = opened(at.pool, count_up(12), {.key = {.tenant = 1}});
  REQUIRE(s.publish(12) == errc::ok);
  at.feed.restart();
  REQUIRE(at.feed.poll(at.pool) == kv::feed_answer::snapshot);
  const json all = json::parse(written(at.feed.batch()).text);
  CHECK((all["snapshot"] == true && all["seq"] == 5 && !all.contains("data_parallel_rank")));
  CHECK(all["events"][0]["type"] == "AllBlocksCleared");
  CHECK(all["events"][1]["block_hashes"].size() == 3);
  CHECK(written(kv::event_batch{}).code == errc::too_large);
}

#else
TEST_CASE("events_json: not tested, for want of nlohmann-json", "[kv][events]") {
  WARN("cmake/deps.sh installs nlohmann-json3-dev");
}
#endif
