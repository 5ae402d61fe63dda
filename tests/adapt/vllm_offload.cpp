#include <tokenheap/adapt/vllm_offload.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/kv/tiers.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

constexpr std::size_t bytes = 64;

offload_key key_of(std::uint32_t n, std::size_t length = 32) {
  std::vector<unsigned char> hash(length);
  for (std::size_t k = 0; k != length; ++k) hash[k] = static_cast<unsigned char>(n >> (8 * (k % 4)) ^ k);
  return offload_key::of(hash, n % 2);
}
std::uint32_t number_of(const offload_key& key) {
  std::uint32_t n = 0;
  for (std::uint32_t k = 0; k != 4; ++k) n |= static_cast<std::uint32_t>(key.bytes[k] ^ k) << (8 * k);
  return n;
}

using host = kv::host_tier<>;

/// Blocks of an engine for some keys, filled with what belongs to them.
struct job {
  std::vector<offload_key> keys;
  std::vector<std::vector<unsigned char>> blocks;
  std::vector<kv::tier_span> spans;
  std::unique_ptr<bool[]> flags;
  std::vector<offload_key> evicted;

  explicit job(const std::vector<std::uint32_t>& numbers, bool filled = true)
      : flags(new bool[numbers.size() + 1]()), evicted(numbers.size()) {
    for (const std::uint32_t n : numbers) {
      keys.push_back(key_of(n));
      blocks.emplace_back(bytes, static_cast<unsigned char>(filled ? n + 1 : 0));
    }
    for (auto& b : blocks) spans.push_back({b.data(), b.size()});
  }
  std::span<bool> chosen() { return {flags.get(), keys.size()}; }
  std::vector<bool> said() const { return std::vector<bool>(flags.get(), flags.get() + keys.size()); }
};

template <class Offload>
std::size_t store(Offload& o, job& j, bool success = true) {
  const auto plan = o.prepare_store(j.keys, j.spans, j.chosen(), j.evicted);
  REQUIRE(plan);
  if (!plan->ticket) return 0;
  while (!o.poll(plan->ticket)) {
  }
  return o.complete_store(plan->ticket, success);
}
template <class Offload>
std::vector<bool> load(Offload& o, const std::vector<std::uint32_t>& numbers) {
  job j(numbers, false);
  const kv::tier_ticket ticket = o.prepare_load(j.keys, j.spans);
  REQUIRE(ticket);
  while (!o.poll(ticket)) {
  }
  o.complete_load(ticket, j.chosen());
  const auto got = j.said();
  for (std::size_t k = 0; k != numbers.size(); ++k)
    if (got[k]) CHECK(j.blocks[k] == std::vector<unsigned char>(bytes, static_cast<unsigned char>(numbers[k] + 1)));
  return got;
}

struct told {
  std::uint32_t key;
  bool removed;
  bool operator==(const told&) const = default;
};
template <class Offload>
std::vector<told> events(Offload& o) {
  std::vector<told> all;
  CHECK(o.take_events([&](const offload_event& e) { all.push_back({number_of(e.key), e.removed}); }) == 0);
  return all;
}

struct fixture {
  host_source heap;
  result<host> tier;
  result<vllm_offload<host>> offload;
  explicit fixture(std::size_t blocks, const vllm_offload_options& with = {})
      : tier(host::open({.block_bytes = bytes, .room = {.blocks = blocks}}, heap)),
        offload(vllm_offload<host>::open(with, *tier)) {
    REQUIRE(tier);
    REQUIRE(offload);
  }
};

constexpr auto miss = lookup_result::miss, hit = lookup_result::hit, pending = lookup_result::hit_pending;

}  // namespace

TEST_CASE("a block is a miss, then pending, then a hit, and comes back with its bytes") {
  fixture f(4);
  auto& o = *f.offload;
  CHECK(o.lookup(key_of(1)) == miss);
  CHECK(o.lookup({}) == miss);
  job j({1, 2});
  const auto plan = o.prepare_store(j.keys, j.spans, j.chosen());
  REQUIRE(plan);
  CHECK(plan->stores == 2);
  CHECK(plan->evicted == 0);
  CHECK(o.in_flight() == 1);
  CHECK(o.lookup(key_of(1)) == pending);
  CHECK(events(o).empty());  // only completed stores are told
  REQUIRE(o.poll(plan->ticket));
  std::unique_ptr<bool[]> stored(new bool[2]());
  CHECK(o.complete_store(plan->ticket, true, {stored.get(), 2}) == 2);
  CHECK((stored[0] && stored[1]));
  CHECK(o.lookup(key_of(1)) == hit);
  CHECK(o.lookup(key_of(1, 16)) == miss);
  CHECK(load(o, {2, 3, 1}) == std::vector<bool>{true, false, true});
  CHECK(events(o) == std::vector<told>{{1, false}, {2, false}});
  CHECK(o.complete_store(plan->ticket, true) == 0);  // a job ends once
  CHECK(o.in_flight() == 0);
  CHECK(o.is_valid());
}

TEST_CASE("a store that failed leaves no trace and no event") {
  fixture f(4);
  job j({1, 2});
  CHECK(store(*f.offload, j, false) == 0);
  CHECK(f.offload->lookup(key_of(1)) == miss);
  CHECK(events(*f.offload).empty());
  CHECK(f.offload->known() == 0);
  CHECK(f.tier->stats().blocks == 0);
}

TEST_CASE("only what is not there, not on its way and not named before in the batch is stored") {
  fixture f(8);
  auto& o = *f.offload;
  job a({1, 2}), b({2, 3}), c({1, 2, 3, 4, 4, 5});
  CHECK(store(o, a) == 2);
  const auto plan = o.prepare_store(b.keys, b.spans, b.chosen());
  CHECK(plan->stores == 1);
  CHECK(b.said() == std::vector<bool>{false, true});
  CHECK(store(o, c) == 2);
  CHECK(c.said() == std::vector<bool>{false, false, false, true, false, true});
  CHECK(o.complete_store(plan->ticket, true) == 1);
  job again({1, 2, 3});
  const auto nothing = o.prepare_store(again.keys, again.spans, again.chosen());
  REQUIRE(nothing);
  CHECK_FALSE(nothing->ticket);
  CHECK(nothing->stores == 0);
  CHECK(load(o, {1, 2, 3, 4, 5}) == std::vector<bool>(5, true));
  CHECK(f.tier->stats().stored == 5);
}

TEST_CASE("a store evicts who is longest unused, says whom, and never a key of its own batch") {
  fixture f(4);
  auto& o = *f.offload;
  job a({1, 2, 3, 4}), b({1, 5, 6});
  CHECK(store(o, a) == 4);
  o.touch(std::vector<offload_key>{key_of(2)});
  static_cast<void>(events(o));
  const auto plan = o.prepare_store(b.keys, b.spans, b.chosen(), b.evicted);
  REQUIRE(plan);
  CHECK(plan->stores == 2);
  REQUIRE(plan->evicted == 2);
  CHECK(number_of(b.evicted[0]) == 3);
  CHECK(number_of(b.evicted[1]) == 4);
  CHECK(o.lookup(key_of(3)) == miss);
  CHECK(o.complete_store(plan->ticket, true) == 2);
  CHECK(events(o) == std::vector<told>{{3, true}, {4, true}, {5, false}, {6, false}});
  CHECK(load(o, {1, 2, 3, 4, 5, 6}) == std::vector<bool>{true, true, false, false, true, true});
  CHECK(f.tier->stats().evicted == 0);  // nobody left unseen
}

TEST_CASE("a store that would evict its own keys, or what is held, is refused and changes nothing") {
  fixture f(4);
  auto& o = *f.offload;
  job a({1, 2, 3, 4}), own({1, 2, 3, 5, 6}), two({5, 6}), five({11, 12, 13, 14, 15});
  CHECK(store(o, a) == 4);
  static_cast<void>(events(o));
  const auto refused = [&](job& j, errc code, std::size_t need, std::size_t available) {
    const std::size_t known = o.known();
    const auto no = o.prepare_store(j.keys, j.spans, j.chosen(), j.evicted);
    REQUIRE_FALSE(no);
    CHECK(no.error() == code);
    CHECK(no.why().need == need);
    CHECK(no.why().available == available);
    CHECK(std::string(no.why().pool) == "offload");
    CHECK(std::string(no.why().fix) != "");
    CHECK(j.said() == std::vector<bool>(j.keys.size(), false));
    CHECK(o.known() == known);
    CHECK(events(o).empty());
  };
  refused(own, errc::out_of_memory, 2, 1);  // only 4 may leave
  refused(five, errc::too_large, 5, 4);
  job reads({1, 2, 3}, false);
  const kv::tier_ticket load_job = o.prepare_load(reads.keys, reads.spans);
  REQUIRE(load_job);
  refused(two, errc::out_of_memory, 2, 1);
  REQUIRE(o.poll(load_job));
  CHECK(o.complete_load(load_job) == 3);
  for (std::uint32_t n = 1; n != 5; ++n) CHECK(o.lookup(key_of(n)) == hit);
  CHECK(store(o, two) == 2);
  CHECK(o.is_valid());
  CHECK(f.tier->is_valid());
}

TEST_CASE("wrong arguments are refused") {
  fixture f(4, {.batches = 1});
  auto& o = *f.offload;
  job j({1, 2});
  const auto error = [&](std::span<const offload_key> keys, std::span<const kv::tier_span> from, std::span<bool> chosen,
                         std::span<offload_key> evicted) {
    return o.prepare_store(keys, from, chosen, evicted).error();
  };
  const std::span<const kv::tier_span> spans(j.spans);
  CHECK(error(j.keys, spans.first(1), j.chosen(), {}) == errc::invalid_argument);
  CHECK(error(j.keys, spans, j.chosen().first(1), {}) == errc::invalid_argument);
  CHECK(error(j.keys, spans, j.chosen(), std::span(j.evicted).first(1)) == errc::invalid_argument);
  j.keys[1] = {};
  CHECK(error(j.keys, spans, j.chosen(), {}) == errc::invalid_argument);
  CHECK_FALSE(o.prepare_load(j.keys, j.spans));
  j.keys[1] = key_of(2);
  CHECK_FALSE(o.prepare_load(j.keys, spans.first(1)));
  CHECK_FALSE(o.prepare_load({}, {}));
  const auto plan = o.prepare_store(j.keys, spans, j.chosen());
  REQUIRE(plan);
  job more({3});
  CHECK(error(more.keys, more.spans, more.chosen(), {}) == errc::limit_reached);
  CHECK(o.lookup(key_of(3)) == miss);
  CHECK_FALSE(o.prepare_load(more.keys, more.spans));
  CHECK(o.complete_load(plan->ticket) == 0);  // the job of a store is none of a load
  CHECK(o.complete_store(plan->ticket, true) == 2);
  CHECK(o.poll({}));
  CHECK(vllm_offload<host>::open({.batches = 0}, *f.tier).error() == errc::out_of_memory);
  CHECK(vllm_offload<host>::open({.events = 0}, *f.tier).error() == errc::out_of_memory);
}

TEST_CASE("what a tier lost is told as removed when it is asked for; a span of a wrong size is only a miss") {
  fixture f(4);
  auto& o = *f.offload;
  job j({1, 2});
  CHECK(store(o, j) == 2);
  static_cast<void>(events(o));
  const kv::tier_key name = tier_name(key_of(1), {});
  CHECK(f.tier->remove(&name, 1) == 1);
  CHECK(events(o).empty());
  CHECK(o.lookup(key_of(1)) == miss);
  CHECK(events(o) == std::vector<told>{{1, true}});
  job reads({2}, false);
  reads.spans[0].bytes = bytes - 1;
  const kv::tier_ticket ticket = o.prepare_load(reads.keys, reads.spans);
  REQUIRE(ticket);
  CHECK(o.complete_load(ticket, reads.chosen()) == 0);
  CHECK(events(o).empty());
  CHECK(o.lookup(key_of(2)) == hit);
}

TEST_CASE("reset removes what is stored and leaves jobs alone") {
  fixture f(8);
  auto& o = *f.offload;
  job a({1, 2, 3}), b({4});
  CHECK(store(o, a) == 3);
  job reads({1}, false);
  const kv::tier_ticket read = o.prepare_load(reads.keys, reads.spans);
  const auto plan = o.prepare_store(b.keys, b.spans, b.chosen());
  static_cast<void>(events(o));
  CHECK(o.reset() == 2);
  CHECK(events(o).size() == 2);
  CHECK(o.complete_load(read) == 1);
  CHECK(o.complete_store(plan->ticket, true) == 1);
  std::set<std::uint32_t> known;
  o.each_key([&](const offload_key& key) { known.insert(number_of(key)); });
  CHECK(known == std::set<std::uint32_t>{1, 4});
  CHECK(o.reset() == 2);
  CHECK(f.tier->stats().blocks == 0);
}

TEST_CASE("blocks that were there before are heard of once they are asked to be stored") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 4}}, heap);
  auto before = vllm_offload<host>::open({}, *tier);
  job j({1, 2});
  CHECK(store(*before, j) == 2);
  auto after = vllm_offload<host>::open({}, *tier);
  CHECK(after->lookup(key_of(1)) == hit);
  CHECK(after->known() == 0);
  CHECK(store(*after, j) == 0);
  CHECK(events(*after) == std::vector<told>{{1, false}, {2, false}});
  job more({3, 4, 5});
  CHECK(store(*after, more) == 3);
  CHECK(events(*after) == std::vector<told>{{1, true}, {3, false}, {4, false}, {5, false}});
}

TEST_CASE("over a chain, and over a reference, the same words") {
  host_source heap;
  auto upper = host::open({.block_bytes = bytes, .room = {.blocks = 2}}, heap);
  auto lower = host::open({.block_bytes = bytes, .room = {.blocks = 8}}, heap);
  const kv::tier_ref both[] = {*upper, *lower};
  auto chain = kv::tier_chain<>::open({}, both, 2, heap);
  REQUIRE(chain);
  auto o = vllm_offload<kv::tier_chain<>>::open({}, *chain);
  REQUIRE(o);
  for (std::uint32_t n = 0; n != 6; ++n) {
    job j({n});
    CHECK(store(*o, j) == 1);
  }
  CHECK(load(*o, {0, 1, 2, 3, 4, 5, 6}) == std::vector<bool>{true, true, true, true, true, true, false});
  CHECK(o->known() == 6);
  auto single = host::open({.block_bytes = bytes, .room = {.blocks = 2}}, heap);
  kv::tier_ref ref(*single);
  auto r = vllm_offload<kv::tier_ref>::open({}, ref);
  job a({1, 2}), b({3});
  CHECK(store(*r, a) == 2);
  CHECK(store(*r, b) == 1);
  CHECK(number_of(b.evicted[0]) == 1);
}

TEST_CASE("random jobs: every byte is its key's, and the events tell at any time what is stored") {
  const auto seed = static_cast<std::uint32_t>(GENERATE(1, 2, 3, 4));
  CAPTURE(seed);
  std::mt19937 random(seed);
  fixture f(12, {.events = 100000});
  auto& o = *f.offload;
  std::set<std::uint32_t> replayed;
  struct flight {
    kv::tier_ticket ticket;
    job work;
    bool is_load;
  };
  std::vector<flight> flights;
  const auto replay = [&] {
    for (const told& t : events(o)) {
      CHECK(replayed.contains(t.key) == t.removed);
      t.removed ? static_cast<void>(replayed.erase(t.key)) : static_cast<void>(replayed.insert(t.key));
    }
    std::set<std::uint32_t> known;
    o.each_key([&](const offload_key& key) { known.insert(number_of(key)); });
    CHECK(known == replayed);
  };
  for (int step = 0; step != 600; ++step) {
    std::vector<std::uint32_t> numbers(1 + random() % 5);
    for (std::uint32_t& n : numbers) n = static_cast<std::uint32_t>(random() % 30);
    job j(numbers, random() % 2 == 0);
    const bool is_load = random() % 2 == 0;
    if (is_load) {
      const kv::tier_ticket t = o.prepare_load(j.keys, j.spans);
      if (t) flights.push_back({t, std::move(j), true});
    } else {
      j = job(numbers);
      const auto plan = o.prepare_store(j.keys, j.spans, j.chosen(), j.evicted);
      if (plan) {
        for (std::size_t k = 0; k != plan->evicted; ++k) CHECK(o.lookup(j.evicted[k]) != hit);
        if (plan->ticket) flights.push_back({plan->ticket, std::move(j), false});
      }
    }
    while (flights.size() > random() % 4) {
      const std::size_t which = random() % flights.size();
      flight& done = flights[which];
      REQUIRE(o.poll(done.ticket));
      if (done.is_load) {
        o.complete_load(done.ticket, done.work.chosen());
        for (std::size_t k = 0; k != done.work.keys.size(); ++k)
          if (done.work.flags[k])
            CHECK(done.work.blocks[k][bytes - 1] == static_cast<unsigned char>(number_of(done.work.keys[k]) + 1));
      } else {
        o.complete_store(done.ticket, random() % 8 != 0);
      }
      flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(which));
    }
    replay();
    if (flights.empty()) {
      for (const std::uint32_t n : replayed) CHECK(o.lookup(key_of(n)) == hit);
      CHECK(f.tier->stats().blocks == replayed.size());
    }
    if (step % 32 == 0) CHECK((o.is_valid() && f.tier->is_valid()));
  }
  CHECK(f.tier->stats().evicted == 0);
}

namespace {

/// What vLLM's CPUOffloadingManager with LRU would do (vllm/v1/kv_offload/cpu/manager.py 0358cbb), in the plainest way.
struct plain_manager {
  std::size_t capacity;
  std::vector<std::uint32_t> order;  // ready blocks, the longest unused first
  std::map<std::uint32_t, int> held;
  std::set<std::uint32_t> storing;

  bool is_ready(std::uint32_t n) const { return std::find(order.begin(), order.end(), n) != order.end(); }
  lookup_result lookup(std::uint32_t n) {
    if (storing.contains(n)) return lookup_result::hit_pending;
    if (!is_ready(n)) return lookup_result::miss;
    order.erase(std::find(order.begin(), order.end(), n));
    order.push_back(n);
    return lookup_result::hit;
  }
  /// keys_to_store and evicted_keys, or nothing.
  bool prepare_store(const std::vector<std::uint32_t>& keys, std::vector<std::uint32_t>& stores,
                     std::vector<std::uint32_t>& evicted) {
    for (const std::uint32_t n : keys) {
      if (lookup(n) == lookup_result::miss && std::find(stores.begin(), stores.end(), n) == stores.end())
        stores.push_back(n);
    }
    const std::size_t used = order.size() + storing.size();
    const std::size_t want = stores.size() > capacity - used ? stores.size() - (capacity - used) : 0;
    for (const std::uint32_t n : order) {
      const bool own = std::find(keys.begin(), keys.end(), n) != keys.end();
      if (evicted.size() != want && held[n] == 0 && !own) evicted.push_back(n);
    }
    if (evicted.size() != want) return false;
    for (const std::uint32_t n : evicted) order.erase(std::find(order.begin(), order.end(), n));
    storing.insert(stores.begin(), stores.end());
    return true;
  }
};

}  // namespace

TEST_CASE("random jobs choose, evict and refuse exactly as vLLM's manager with LRU does") {
  const auto seed = static_cast<std::uint32_t>(GENERATE(11, 12, 13));
  CAPTURE(seed);
  std::mt19937 random(seed);
  fixture f(10);
  auto& o = *f.offload;
  plain_manager m{.capacity = 10, .order = {}, .held = {}, .storing = {}};
  struct flight {
    kv::tier_ticket ticket;
    std::vector<std::uint32_t> keys;
    bool is_load;
    std::unique_ptr<job> memory;
  };
  std::vector<flight> flights;
  std::size_t refusals = 0, evictions = 0;
  for (int step = 0; step != 1500; ++step) {
    std::vector<std::uint32_t> numbers(1 + random() % 6);
    for (std::uint32_t& n : numbers) n = static_cast<std::uint32_t>(random() % 24);
    auto work = std::make_unique<job>(numbers);
    const auto what = random() % 5;
    if (what == 0) {
      for (const std::uint32_t n : numbers) CHECK(o.lookup(key_of(n)) == m.lookup(n));
    } else if (what == 1) {  // as vLLM does: only what was just found is loaded
      std::vector<std::uint32_t> there;
      for (const std::uint32_t n : numbers)
        if (o.lookup(key_of(n)) == hit) there.push_back(n);
      for (const std::uint32_t n : numbers) m.lookup(n);
      if (there.empty() || flights.size() > 3) continue;
      work = std::make_unique<job>(there, false);
      const kv::tier_ticket t = o.prepare_load(work->keys, work->spans);
      REQUIRE(t);
      for (const std::uint32_t n : there) m.lookup(n), ++m.held[n];
      flights.push_back({t, there, true, std::move(work)});
    } else if (what != 4 && flights.size() < 4) {
      std::vector<std::uint32_t> stores, evicted;
      const bool takes = m.prepare_store(numbers, stores, evicted);
      const auto plan = o.prepare_store(work->keys, work->spans, work->chosen(), work->evicted);
      REQUIRE(static_cast<bool>(plan) == takes);
      refusals += !takes;
      if (!takes) continue;
      REQUIRE(plan->stores == stores.size());
      REQUIRE(plan->evicted == evicted.size());
      evictions += evicted.size();
      for (std::size_t k = 0; k != evicted.size(); ++k) CHECK(number_of(work->evicted[k]) == evicted[k]);
      if (plan->ticket) flights.push_back({plan->ticket, stores, false, std::move(work)});
    } else if (!flights.empty()) {
      const std::size_t which = random() % flights.size();
      flight& done = flights[which];
      const bool success = random() % 6 != 0;
      if (done.is_load) {
        CHECK(o.complete_load(done.ticket) == done.keys.size());
        for (const std::uint32_t n : done.keys) --m.held[n];
      } else {
        CHECK(o.complete_store(done.ticket, success) == (success ? done.keys.size() : 0));
        for (const std::uint32_t n : done.keys) {
          m.storing.erase(n);
          if (success) m.order.push_back(n);
        }
      }
      flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }
  CHECK(refusals > 10);
  CHECK(evictions > 100);
}
