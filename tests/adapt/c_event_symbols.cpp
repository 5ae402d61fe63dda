#include <tokenheap/adapt/c_event_symbols.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>
#include <utility>

#include <tokenheap/adapt/c_sequence_symbols.hpp>
#include <tokenheap/adapt/c_kv_symbols.hpp>

#include "c_kit.hpp"

using namespace tokenheap;
using c_kit::fresh;

namespace {

using names = std::set<std::pair<std::uint64_t, std::uint64_t>>;

/// Brings a copy of what a pool has up to date.
void follow(th_feed* feed, names& known) {
  for (;;) {
    auto e = fresh<th_event>();
    REQUIRE(th_feed_next(feed, &e) == th_ok);
    if (e.kind == th_event_none) return;
    if (e.kind == th_event_cleared) known.clear();
    for (std::uint64_t k = 0; k != e.name_count; ++k) {
      const std::pair name{e.names[k].low, e.names[k].high};
      if (e.kind == th_event_stored) known.insert(name);
      if (e.kind == th_event_removed) REQUIRE(known.erase(name) == 1);
    }
  }
}

}  // namespace

TEST_CASE("who follows the events of C knows what the pool has, also after falling behind") {
  auto with = fresh<th_pool_options>();
  with.blocks = 64;
  with.block_tokens = 4;
  with.events = 1;
  th_pool* const pool = th_pool_open(&with);
  auto small = fresh<th_feed_options>();
  small.bytes = 256;
  th_feed* const feed = th_feed_open(pool, &small);
  th_feed* const late = th_feed_open(pool, nullptr);
  names known, slow;
  std::uint64_t events = 0;
  for (std::uint32_t round = 0; round != 20000; ++round) {
    const std::uint32_t prompt[8] = {round % 7, round, 3, 4, 5, 6, 7, round % 3};
    th_sequence* const one = th_sequence_open(pool, prompt, 8, nullptr);
    REQUIRE(th_sequence_publish(one, 8) == th_ok);
    REQUIRE(th_sequence_close(one) == th_ok);
    if (round % 5 == 0) follow(feed, known);
    ++events;
  }
  follow(feed, known);
  follow(late, slow);  // more than its pool keeps: a snapshot
  auto now = fresh<th_pool_stats>();
  REQUIRE(th_pool_stats_of(pool, &now) == th_ok);
  REQUIRE((known.size() == now.published_blocks && known == slow && now.published_blocks == 64));

  REQUIRE(th_pool_evict(pool, 64, nullptr) == th_ok);
  auto wrong = fresh<th_event>();
  wrong.size = 5;
  REQUIRE(th_feed_next(feed, &wrong) == th_wrong_size);  // and no event is lost by it
  follow(feed, known);
  REQUIRE(known.empty());
  REQUIRE((th_feed_close(feed) == th_ok && th_feed_close(late) == th_ok && th_feed_close(late) == th_stale_handle));
  REQUIRE(th_pool_close(pool) == th_ok);
}

TEST_CASE("a feed of C goes on where a reader says that it was") {
  auto with = fresh<th_pool_options>();
  with.blocks = 8;
  with.events = 1;
  th_pool* const pool = th_pool_open(&with);
  const std::uint32_t prompt[32] = {1};
  th_sequence* const one = th_sequence_open(pool, prompt, 32, nullptr);
  REQUIRE((th_sequence_publish(one, 16) == th_ok && th_sequence_publish(one, 32) == th_ok));
  auto from = fresh<th_feed_options>();
  from.resume = 1;
  from.resume_at = 1;
  th_feed* const feed = th_feed_open(pool, &from);
  auto e = fresh<th_event>();
  REQUIRE(th_feed_next(feed, &e) == th_ok);
  REQUIRE((e.kind == th_event_stored && e.number == 1 && e.snapshot == 0 && e.name_count == 1 && e.at_root == 0));
  REQUIRE((th_feed_close(feed) == th_ok && th_sequence_close(one) == th_ok && th_pool_close(pool) == th_ok));
}

TEST_CASE("events of C are JSON for routers, as many as fit, and none is lost to a text that is too short") {
  auto with = fresh<th_pool_options>();
  with.blocks = 8;
  with.block_tokens = 2;
  with.events = 1;
  th_pool* const pool = th_pool_open(&with);
  th_feed* const feed = th_feed_open(pool, nullptr);
  char text[400];
  std::size_t length = 0;
  REQUIRE(th_feed_json(feed, nullptr, text, sizeof text, &length) == th_ok);
  REQUIRE(std::string(text, length) == "{\"ts\":0.000000,\"seq\":0,\"snapshot\":true,\"events\":[{\"type\":\"AllBlocksCleared\","
                                       "\"medium\":\"GPU\",\"group_idx\":0}]}");
  REQUIRE(th_feed_json(feed, nullptr, text, sizeof text, &length) == th_ok);
  REQUIRE((length == 0 && text[0] == '\0'));

  const std::uint32_t prompt[4] = {5, 6, 7, 8};
  th_sequence* const one = th_sequence_open(pool, prompt, 4, nullptr);
  REQUIRE((th_sequence_publish(one, 2) == th_ok && th_sequence_publish(one, 4) == th_ok));
  auto how = fresh<th_feed_json_options>();
  how.microseconds = 1'500'000;
  how.rank_plus_one = 3;
  how.numbers = 1;
  REQUIRE(th_feed_json(feed, &how, text, 60, &length) == th_too_large);
  REQUIRE((length == 0 && text[0] == '\0' && adapt::c_last_reason().limit == 60));
  REQUIRE(th_feed_json(feed, &how, text, 300, &length) == th_ok);
  std::string first(text, length);
  REQUIRE(first.starts_with("{\"ts\":1.500000,\"seq\":0,\"snapshot\":false,\"events\":[{\"type\":\"BlockStored\","));
  REQUIRE(first.find("\"token_ids\":[5,6],\"block_size\":2") != std::string::npos);
  REQUIRE(first.find("[7,8]") == std::string::npos);
  REQUIRE(first.ends_with("],\"data_parallel_rank\":2}"));
  REQUIRE(th_feed_json(feed, &how, text, sizeof text, &length) == th_ok);
  REQUIRE(std::string(text, length).find("\"token_ids\":[7,8]") != std::string::npos);
  REQUIRE(th_feed_json(feed, &how, nullptr, 0, &length) == th_invalid_argument);
  REQUIRE(th_feed_json(nullptr, &how, text, 4, &length) == th_invalid_argument);
  REQUIRE((th_feed_close(feed) == th_ok && th_sequence_close(one) == th_ok && th_pool_close(pool) == th_ok));
}
