// A router follows the cache of an engine: by events, after missing some, and in the JSON that vLLM's routers read.

#include <cstdio>
#include <cstring>
#include <numeric>
#include <vector>

#include <tokenheap/kv/event_feed.hpp>
#include <tokenheap/kv/event_mirror.hpp>
#include <tokenheap/kv/events.hpp>
#include <tokenheap/kv/events_json.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "events: expected %s\n", #condition);       \
      return 1;                                                        \
    }                                                                  \
  } while (false)

// [policy]
struct told : kv::default_policy {
  using lock = tokenheap::spin_lock;  // the router's thread reads while the engine goes on
  using events = kv::event_stream<kv::event_shape{.bytes = 64 * tokenheap::KiB}>;
};
using pool_type = kv::block_pool<told>;
using sequence = kv::sequence<pool_type>;
// [policy]

// [follow]
// brings a mirror up to date; false if an event does not fit what came before
bool follow(kv::event_feed& feed, pool_type& pool, kv::event_mirror& mirror) {
  for (;;) {
    const kv::feed_answer got = feed.poll(pool);
    if (got == kv::feed_answer::failed) return false;
    if (got == kv::feed_answer::idle) return true;
    for (const kv::event& e : feed.batch()) {
      if (mirror.apply(e) != errc::ok) return false;
    }
  }
}
// [follow]

int main() {
  auto opened = pool_type::open({.blocks = 64, .name = "worker 0"});
  auto made_feed = kv::event_feed::open();
  auto made_mirror = kv::event_mirror::open({.blocks = 64});
  if (!opened || !made_feed || !made_mirror) return 1;
  pool_type& pool = *opened;
  kv::event_feed& feed = *made_feed;
  kv::event_mirror& mirror = *made_mirror;
  std::vector<kv::token> prompt(100);
  std::iota(prompt.begin(), prompt.end(), 1);

  // [route]
  EXPECT(follow(feed, pool, mirror));  // the first poll brings what is there already
  {
    auto request = sequence::open(pool, prompt);
    if (!request || request->publish(100) != errc::ok) return 1;
  }
  EXPECT(follow(feed, pool, mirror));
  EXPECT(mirror.match(kv::event_mirror::root_of(0), prompt) == 96);  // so this worker has 96 tokens of it
  EXPECT(pool.evict(2) == 2);
  EXPECT(follow(feed, pool, mirror));
  EXPECT(mirror.match(kv::event_mirror::root_of(0), prompt) == 64);
  // [route]

  // [gap]
  for (kv::token n = 0; n != 1000; ++n) {  // more than 64 KiB of events
    prompt[0] = n;
    auto request = sequence::open(pool, prompt);
    if (!request || request->publish(100) != errc::ok) return 1;
  }
  EXPECT(feed.poll(pool) == kv::feed_answer::snapshot);
  for (const kv::event& e : feed.batch()) EXPECT(mirror.apply(e) == errc::ok);
  EXPECT(mirror.size() == pool.stats().published);
  // [gap]

  // [json]
  EXPECT(pool.evict(3) == 3);
  EXPECT(feed.poll(pool) == kv::feed_answer::news);
  kv::event_batch left = feed.batch();
  for (const kv::event& e : left) EXPECT(mirror.apply(e) == errc::ok);
  char text[512];
  while (!left.empty()) {  // as many events as fit into one text
    std::size_t length = 0;
    EXPECT(kv::write_json(left, {.microseconds = 1'700'000'000'000'000, .rank = 0}, text, sizeof text, length) == errc::ok);
    EXPECT(length == std::strlen(text) && std::strstr(text, "\"type\":\"BlockRemoved\"") != nullptr);
    // ... send text[0, length) to the router ...
  }
  // [json]

  // [tier]
  kv::hash128 name{};
  {
    auto request = sequence::open(pool, prompt);
    if (!request || request->publish(16) != errc::ok) return 1;
    pool.with_events([&](auto& stream, const auto&) {
      name = stream.name_of(request->blocks()[0]);
      // the block is in host memory as well now
      stream.announce({.medium = kv::event_medium::host, .block_tokens = 16, .names = {&name, 1}});
    });
  }
  EXPECT(pool.reset() == errc::ok);
  EXPECT(follow(feed, pool, mirror));
  EXPECT(mirror.match(kv::event_mirror::root_of(0), prompt, kv::only(kv::event_medium::device)) == 0);
  EXPECT(mirror.match(kv::event_mirror::root_of(0), prompt, kv::only(kv::event_medium::host)) == 16);
  // [tier]
  std::printf("events: a router followed %llu events\n", static_cast<unsigned long long>(feed.next()));
  return 0;
}
