#include <tokenheap/adapt/lmcache_connector.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <map>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/kv/tier_host.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

// the interface as LMCache 8a72c30 lays it out in csrc/storage_backends/connector_{interface,types}.h
namespace lmcache::connector {

struct Completion {
  std::uint64_t future_id = 0;
  bool ok = true;
  std::vector<std::uint8_t> result_bytes;
  std::string error;
};

class IStorageConnector {
 public:
  virtual ~IStorageConnector() = default;
  virtual int event_fd() const = 0;
  virtual std::uint64_t submit_batch_get(const std::vector<std::string>& keys, const std::vector<void*>& bufs,
                                         const std::vector<std::size_t>& lens, std::size_t batch_chunk_num_bytes) = 0;
  virtual std::uint64_t submit_batch_set(const std::vector<std::string>& keys, const std::vector<void*>& bufs,
                                         const std::vector<std::size_t>& lens, std::size_t batch_chunk_num_bytes) = 0;
  virtual std::uint64_t submit_batch_exists(const std::vector<std::string>& keys) = 0;
  virtual std::uint64_t submit_batch_delete(const std::vector<std::string>& keys) = 0;
  virtual std::vector<Completion> drain_completions() = 0;
  virtual void close() = 0;
};

}  // namespace lmcache::connector

namespace {

using lmcache::connector::Completion;
using lmcache::connector::IStorageConnector;
using host = kv::host_tier<>;
using connector = lmcache_connector<IStorageConnector, host>;
using masks = std::vector<std::uint8_t>;

constexpr std::size_t bytes = 48;

/// What LMCache's own client does: it sleeps on the event file, drains, and sorts completions by future.
struct client {
  IStorageConnector& c;
  std::map<std::uint64_t, Completion> done;

  Completion wait(std::uint64_t future) {
    while (!done.contains(future)) {
      pollfd event{c.event_fd(), POLLIN, 0};
      REQUIRE(::poll(&event, 1, 30000) == 1);
      for (Completion& one : c.drain_completions()) {
        const std::uint64_t id = one.future_id;
        REQUIRE_FALSE(done.contains(id));
        done[id] = static_cast<Completion&&>(one);
      }
    }
    return done.at(future);
  }
};

struct chunks {
  std::vector<std::string> keys;
  std::vector<std::vector<unsigned char>> memory;
  std::vector<void*> bufs;
  std::vector<std::size_t> lens;
  explicit chunks(const std::vector<int>& numbers, bool filled) {
    for (const int n : numbers) {
      keys.push_back(std::string("model@0x1@0@").append(std::to_string(n)));
      memory.emplace_back(bytes, static_cast<unsigned char>(filled ? n + 1 : 0));
    }
    for (auto& m : memory) bufs.push_back(m.data()), lens.push_back(m.size());
  }
};

struct fixture {
  host_source heap;
  result<host> tier = host::open({.block_bytes = bytes, .room = {.blocks = 8}}, heap);
  connector c{*tier, {.secret = {5, 6}}};
  client user{c, {}};

  Completion set(chunks& of) { return user.wait(c.submit_batch_set(of.keys, of.bufs, of.lens, bytes)); }
  Completion get(chunks& of) { return user.wait(c.submit_batch_get(of.keys, of.bufs, of.lens, bytes)); }
};

}  // namespace

TEST_CASE("LMCache stores chunks, asks for them, reads them and deletes them, by masks") {
  fixture f;
  REQUIRE(f.c.event_fd() >= 0);
  chunks a({1, 2, 3}, true);
  const Completion set = f.set(a);
  CHECK(set.ok);
  CHECK(set.result_bytes == masks{1, 1, 1});
  chunks asked({3, 9, 1}, false);
  const Completion there = f.user.wait(f.c.submit_batch_exists(asked.keys));
  CHECK(there.ok);
  CHECK(there.result_bytes == masks{1, 0, 1});
  const Completion got = f.get(asked);
  CHECK_FALSE(got.ok);  // for clients that look at no mask
  CHECK(got.error == "1 of 3 chunks are not there");
  CHECK(got.result_bytes == masks{1, 0, 1});
  CHECK(asked.memory[0] == std::vector<unsigned char>(bytes, 4));
  CHECK(asked.memory[2] == std::vector<unsigned char>(bytes, 2));
  CHECK(f.user.wait(f.c.submit_batch_delete(asked.keys)).result_bytes == masks{1, 0, 1});
  CHECK(f.user.wait(f.c.submit_batch_exists(a.keys)).result_bytes == masks{0, 1, 0});
  f.c.close();
  CHECK(f.tier->stats().stored == 3);
  CHECK(f.tier->is_valid());
}

TEST_CASE("a read of which a part missed is ok for a client that looks at the mask") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 8}}, heap);
  connector c(*tier, {.partial_is_ok = true});
  client user{c, {}};
  chunks a({1}, true), asked({1, 2}, false);
  CHECK(user.wait(c.submit_batch_set(a.keys, a.bufs, a.lens, bytes)).ok);
  const Completion got = user.wait(c.submit_batch_get(asked.keys, asked.bufs, asked.lens, bytes));
  CHECK(got.ok);
  CHECK(got.error == "");
  CHECK(got.result_bytes == masks{1, 0});
}

TEST_CASE("the event file is readable while completions wait, and not after they were drained") {
  fixture f;
  const auto readable = [&](int ms) {
    pollfd event{f.c.event_fd(), POLLIN, 0};
    return ::poll(&event, 1, ms) == 1;
  };
  CHECK_FALSE(readable(0));
  chunks a({1}, true);
  const std::uint64_t first = f.c.submit_batch_set(a.keys, a.bufs, a.lens, bytes);
  const std::uint64_t second = f.c.submit_batch_exists(a.keys);
  CHECK(second == first + 1);
  f.user.wait(second);
  CHECK(f.user.done.size() == 2);
  CHECK(f.c.drain_completions().empty());
  CHECK_FALSE(readable(0));
}

TEST_CASE("what is wrong with a batch is in the text of its completion, with the numbers") {
  fixture f;
  chunks a({1, 2}, true);
  const auto text = [&](std::uint64_t future) {
    const Completion c = f.user.wait(future);
    CHECK_FALSE(c.ok);
    CHECK(c.result_bytes.empty());
    return c.error;
  };
  CHECK(text(f.c.submit_batch_exists({})) == "no keys");
  CHECK(text(f.c.submit_batch_get({}, {}, {}, bytes)) == "no keys");
  CHECK(text(f.c.submit_batch_set(a.keys, {a.bufs[0]}, a.lens, bytes)) ==
        "2 keys, 1 buffers and 2 lengths: give as many of each");
  CHECK(text(f.c.submit_batch_set(a.keys, a.bufs, a.lens, 64)) ==
        "chunks of 64 bytes in a tier of 48: open the tier with the chunk's size");
  a.lens[1] = bytes - 1;  // a buffer of a wrong size is that key's miss
  const Completion set = f.set(a);
  CHECK(set.result_bytes == masks{1, 0});
  CHECK_FALSE(set.ok);
  CHECK(set.error == "1 of 2 chunks were not stored");
  chunks twice({4, 4}, true);
  CHECK(f.set(twice).ok);
}

TEST_CASE("a batch that the tier refuses is a failed completion") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 8}, .batches = 1}, heap);
  chunks held({5}, true), a({1}, true);
  const kv::tier_key name{1, 2, 3};
  const kv::tier_span span{held.bufs[0], bytes};
  const kv::tier_ticket only = tier->prepare_store(&name, &span, 1);
  connector c(*tier);
  client user{c, {}};
  const Completion no = user.wait(c.submit_batch_set(a.keys, a.bufs, a.lens, bytes));
  CHECK_FALSE(no.ok);
  CHECK(no.error == "the tier 'host' refused a batch of 1 keys");
  c.close();
  kv::tier_answer out{};
  CHECK(tier->complete_store(only, true, &out) == 1);
}

TEST_CASE("closed, it takes nothing more and says so; closing twice does nothing") {
  fixture f;
  chunks a({1}, true);
  f.set(a);
  f.c.close();
  f.c.close();
  CHECK(f.c.event_fd() == -1);
  CHECK(f.c.submit_batch_exists(a.keys) == 0);
  CHECK(f.c.submit_batch_get(a.keys, a.bufs, a.lens, bytes) == 0);
  CHECK(f.c.drain_completions().empty());
  connector again(*f.tier, {.secret = {5, 6}});  // the tier kept what was stored
  client user{again, {}};
  CHECK(user.wait(again.submit_batch_exists(a.keys)).result_bytes == masks{1});
}

TEST_CASE("many threads submit while one drains: every future completes once") {
  fixture f;
  constexpr int threads = 4, each = 50;
  std::vector<std::thread> all;
  std::vector<std::vector<std::uint64_t>> futures(threads);
  for (int t = 0; t != threads; ++t) {
    all.emplace_back([&, t] {
      for (int k = 0; k != each; ++k)
        futures[static_cast<std::size_t>(t)].push_back(
            f.c.submit_batch_exists({std::string("k").append(std::to_string(k))}));
    });
  }
  f.user.wait(threads * each);
  for (std::thread& t : all) t.join();
  std::map<std::uint64_t, int> seen;
  for (const auto& list : futures)
    for (const std::uint64_t id : list) ++seen[id];
  CHECK(seen.size() == threads * each);
  for (const auto& [id, count] : seen) {
    CHECK(count == 1);
    CHECK(f.user.wait(id).ok);
  }
}
