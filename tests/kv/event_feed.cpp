#include <tokenheap/kv/event_feed.hpp>

#include <support/catch.hpp>

#include <kv/event_kit.hpp>

using namespace kit;

namespace {

using lines = std::vector<std::string>;
using tiny_pool = kv::block_pool<telling<kv::radix_index<>, 512>>;

template <class Pool>
void publish_one(Pool& pool, kv::token first, std::size_t tokens = 4) {
  auto s = opened(pool, count_up(tokens, first), {.recompute_last = false});
  REQUIRE(s.publish(tokens) == errc::ok);
}

}  // namespace

TEST_CASE("event_feed: first what is there, then what is new", "[kv][events]") {
  auto pool = pool_of<telling_radix>(8, 4);
  publish_one(pool, 0);
  auto feed = feed_of();
  CHECK(feed.poll(pool) == kv::feed_answer::snapshot);
  CHECK(feed.next() == 1);
  CHECK(feed.poll(pool) == kv::feed_answer::idle);
  CHECK(feed.batch().empty());
  publish_one(pool, 50);
  CHECK(lines_of(feed, pool) == lines{"stored 1 4"});
  feed.restart();
  CHECK(lines_of(feed, pool) == lines{"snapshot cleared", "snapshot stored 1 4", "snapshot stored 1 4"});
}

TEST_CASE("event_feed: who polls too rarely gets a snapshot, and goes on from there", "[kv][events]") {
  auto pool = pool_of<tiny_pool>(16, 4);
  auto feed = feed_of();
  auto mirror = mirror_of(16, 4);
  CHECK(follow(feed, pool, mirror) == 1);
  for (kv::token n = 0; n != 5; ++n) publish_one(pool, 100 * n);
  CHECK(follow(feed, pool, mirror) == 0);
  for (kv::token n = 5; n != 11; ++n) publish_one(pool, 100 * n);
  CHECK(follow(feed, pool, mirror) == 1);
  CHECK(held_by(mirror, 4) == findable(pool, 16));
  publish_one(pool, 5000);
  CHECK(follow(feed, pool, mirror) == 0);
  CHECK(held_by(mirror, 4) == findable(pool, 16));
}

TEST_CASE("event_feed: one event larger than the ring is a gap for all", "[kv][events][bad]") {
  auto pool = pool_of<tiny_pool>(64, 4);
  auto feed = feed_of();
  auto mirror = mirror_of(64, 4);
  CHECK(follow(feed, pool, mirror) == 1);
  publish_one(pool, 0, 64);
  CHECK(follow(feed, pool, mirror) == 1);
  CHECK(mirror.match(kv::event_mirror::root_of(0), count_up(64)) == 64);
}

TEST_CASE("event_feed: one event larger than a poll's limit is read alone", "[kv][events]") {
  auto pool = pool_of<telling_radix>(64, 4);
  auto feed = feed_of(100);
  auto mirror = mirror_of(64, 4);
  CHECK(follow(feed, pool, mirror) == 1);
  publish_one(pool, 0, 64);
  publish_one(pool, 500, 4);
  REQUIRE(feed.poll(pool) == kv::feed_answer::news);
  CHECK(events_of(feed.batch()).size() == 1);
  for (const kv::event& e : feed.batch()) CHECK(mirror.apply(e) == errc::ok);
  REQUIRE(feed.poll(pool) == kv::feed_answer::news);
  for (const kv::event& e : feed.batch()) CHECK(mirror.apply(e) == errc::ok);
  CHECK(feed.poll(pool) == kv::feed_answer::idle);
  CHECK(held_by(mirror, 4) == findable(pool, 64));
}

TEST_CASE("event_feed: a reader that comes back goes on where it was, or is told that it cannot", "[kv][events]") {
  auto pool = pool_of<tiny_pool>(16, 4);
  auto first = feed_of();
  CHECK(lines_of(first, pool) == lines{"snapshot cleared"});
  publish_one(pool, 0);
  publish_one(pool, 100);
  auto again = feed_of();
  again.resume(1);
  CHECK(lines_of(again, pool) == lines{"stored 1 4"});
  again.resume(3);  // of another pool, or of an earlier life
  CHECK(lines_of(again, pool).front() == "snapshot cleared");
  for (kv::token n = 2; n != 12; ++n) publish_one(pool, 100 * n);
  again.resume(2);
  CHECK(lines_of(again, pool).front() == "snapshot cleared");
}

TEST_CASE("event_feed: two readers do not disturb each other", "[kv][events]") {
  auto pool = pool_of<telling_chain>(16, 4);
  auto a = feed_of();
  auto b = feed_of();
  auto at_a = mirror_of(16, 4);
  auto at_b = mirror_of(16, 4);
  for (kv::token n = 0; n != 20; ++n) {
    publish_one(pool, 100 * (n % 7));
    static_cast<void>(follow(a, pool, at_a));
    if (n % 5 == 0) b.restart(), static_cast<void>(follow(b, pool, at_b));
  }
  static_cast<void>(follow(b, pool, at_b));
  CHECK(held_by(at_a, 4) == findable(pool, 16));
  CHECK(held_by(at_b, 4) == findable(pool, 16));
}

TEST_CASE("event_feed: what cannot be read says so", "[kv][events][bad]") {
  const auto none = kv::event_feed::open({.bytes = 0, .name = "router"});
  REQUIRE(!none);
  CHECK((none.why().code == errc::invalid_argument && std::string(none.why().pool) == "router"));
  const auto huge = kv::event_feed::open({.bytes = ~std::size_t{0}});
  REQUIRE(!huge);
  CHECK(huge.why().code == errc::out_of_memory);

  auto pool = pool_of<telling_radix>(4, 4);
  auto feed = feed_of();
  CHECK(feed.poll(pool) == kv::feed_answer::snapshot);
  pool.close();
  CHECK(feed.poll(pool) == kv::feed_answer::failed);
  CHECK(feed.batch().empty());
  CHECK(feed.next() == 0);
  // without a cache there is nothing to tell
  auto bare = pool_of<telling_radix>(4, 4, false);
  auto other = feed_of();
  CHECK(lines_of(other, bare) == lines{"snapshot cleared"});
}
