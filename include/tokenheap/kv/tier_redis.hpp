// The tier that machines share: blocks in Redis or Valkey, one server or a cluster.
#pragma once

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/recent_answers.hpp>
#include <tokenheap/kv/redis_servers.hpp>
#include <tokenheap/kv/tier_flights.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Which servers, what of them is believed and for how long, and how much may be on its way to them.
struct redis_tier_options {
  const char* servers = "127.0.0.1:6379";  ///< one, or several of a cluster with commas between; `[::1]:6379` for IPv6
  const char* user = "";
  const char* password = "";  ///< empty: no AUTH
  std::size_t block_bytes = 0;
  const char* prefix = "tokenheap";           ///< of all keys: up to 32 characters
  siphash_key key{};                          ///< a secret that all who share the blocks have; without it damage alone is found
  std::uint64_t ttl_ms = 3'600'000;           ///< 0: blocks stay until the server evicts them
  bool renew = true;                          ///< a load gives another `ttl_ms`; needs Redis 6.2 or any Valkey
  std::uint64_t deadline_ns = 2'000'000'000;  ///< of a batch: what has not come by then is a miss
  std::uint64_t recent_ns = 1'000'000'000;    ///< how long lookups believe an answer
  std::size_t recent = 16'384;                ///< names whose answers are remembered
  std::size_t in_flight = 1024;               ///< most requests at a time
  std::size_t batches = 64;
  breaker_options breaker{};
  const char* name = "redis";
};

/// Keeps blocks in Redis or Valkey, one key a block, and serves only bytes that are provably a block's own.
///
/// The last tier of a chain, and what machines have in common. It never waits: every call moves sockets on as far as they
/// go at once. Any trouble is a miss: a server that is down, slow, full, or talks nonsense, a value of another length or
/// with other bytes. `lookup` says `retry` while it asks, and answers from then on for `recent_ns`; it and all else say
/// `retry` at once for a server whose breaker is open. A store that fails, or that is not kept, is taken back; if the
/// server cannot be reached for that, this tier still says miss, and others see the block until its time is over.
/// Give blocks that are 128 bytes smaller than a power of two where memory matters (`redis_payload`).
///
/// Requires  no batch in flight when it ends
/// Fails     open says why; a server that is down is no reason
/// Threads   not safe
/// Cost      a store and a load copy nothing beside the socket; the checksum is computed while the socket is busy
template <tick_clock Clock = monotonic_clock>
class redis_tier {
 public:
  using options = redis_tier_options;

  /// Resolves names of servers, which may wait; connections open later, when they are needed.
  [[nodiscard]] static result<redis_tier> open(const options& with, const Clock& clock = Clock{}) noexcept {
    redis_tier made(with, clock);
    if (with.block_bytes == 0 || with.block_bytes > most_block)
      return made.refuse(errc::invalid_argument, with.block_bytes, "give block_bytes below 512 MiB");
    redis_names names;
    if (!names.open(with.prefix, with.key, with.block_bytes))
      return made.refuse(errc::invalid_argument, std::strlen(with.prefix), "give a prefix of 1 to 32 characters");
    redis_wire& wire = made.servers_.wire();
    wire.secret = with.key;
    wire.sum = with.key.low == 0 && with.key.high == 0 ? record_sum::xxh3 : record_sum::siphash;
    wire.block_bytes = with.block_bytes;
    wire.phrases.open(names, with.block_bytes + sizeof(tier_record), with.ttl_ms, with.renew);
    if (!made.flights_.open(with.batches) || !made.recent_.open(with.recent, with.recent_ns) ||
        !made.storing_.open(with.in_flight + 1) || !made.greet())
      return made.refuse(errc::out_of_memory, with.in_flight, "give recent, in_flight and batches above 0, or lower them");
    if (!made.servers_.open(with.servers, with.in_flight, with.deadline_ns, with.breaker))
      return made.refuse(errc::invalid_argument, 0, "give servers as HOST:PORT, with commas between, whose names resolve");
    return made;
  }
  redis_tier(redis_tier&&) noexcept = default;
  redis_tier& operator=(redis_tier&&) = delete;
  ~redis_tier() = default;

  /// Answers from what is known, and asks for what is not: `retry` until the answer is here.
  std::size_t lookup(const tier_key* keys, std::size_t n, tier_answer* out) noexcept {
    std::uint64_t now = pump();
    std::size_t hits = 0;
    bool asked = false;
    for (std::size_t k = 0; k != n; ++k) {
      const recent_answer known = recent_.of(keys[k], now);
      out[k] = answer_of(keys[k], known);
      if (known == recent_answer::unknown && out[k] == tier_answer::retry) asked = ask(keys[k], now) || asked;
      hits += out[k] == tier_answer::hit;
      count_lookup(out[k]);
    }
    if (asked) pump();
    return hits;
  }

  /// Asks for each block; its bytes go from the socket into the span. After a miss the span holds anything.
  [[nodiscard]] tier_ticket prepare_load(const tier_key* keys, const tier_span* to, std::size_t n) noexcept {
    const tier_ticket made = flights_.start(flights::way::load, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    const std::uint64_t now = clock_.now();
    stats_.loads += n;
    for (std::size_t k = 0; k != n; ++k) {
      b->items[k] = {};
      const recent_answer known = recent_.of(keys[k], now);
      const bool gone = known == recent_answer::absent || known == recent_answer::removed || storing_.find(keys[k]) != no_slot;
      if (!gone && is_whole_span(to[k])) start(*b, made, k, redis_verb::load, keys[k], to[k].address, now);
      ++(b->items[k].request == none ? stats_.load_failures : stats_.loading);
    }
    pump();
    return made;
  }
  /// Takes the answers of a load that is over: hit, miss, or `retry` where it could not be asked.
  std::size_t complete_load(tier_ticket which, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::load);
    if (b == nullptr || b->more.left != 0) return 0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) hits += (out[k] = b->items[k].answer) == tier_answer::hit;
    flights_.end(*b);
    return hits;
  }

  /// Sends each block, unless the server has it: then it stays for another time to live.
  [[nodiscard]] tier_ticket prepare_store(const tier_key* keys, const tier_span* from, std::size_t n) noexcept {
    const tier_ticket made = flights_.start(flights::way::store, n);
    batch* const b = flights_.find(made);
    if (b == nullptr) return {};
    const std::uint64_t now = clock_.now();
    stats_.stores += n;
    for (std::size_t k = 0; k != n; ++k) {
      item& it = b->items[k];
      it = {};
      if (storing_.find(keys[k]) != no_slot) {
        it.answer = tier_answer::pending;
        ++stats_.present;
        continue;
      }
      // where it is believed to be, a question of a few bytes may spare the whole block
      const bool there = recent_.of(keys[k], now) == recent_answer::present;
      const redis_verb verb = there ? redis_verb::touch : redis_verb::store;
      if (is_whole_span(from[k])) start(*b, made, k, verb, keys[k], from[k].address, now);
      ++(it.request == none ? stats_.refused : stats_.storing);
      if (it.request != none) storing_.insert(keys[k], it.request);
    }
    pump();
    return made;
  }
  /// Takes the answers of a store that is over; what is not kept is taken back from the server.
  std::size_t complete_store(tier_ticket which, bool keep, tier_answer* out) noexcept {
    batch* const b = flights_.find(which, flights::way::store);
    if (b == nullptr || b->more.left != 0) return 0;
    const std::uint64_t now = clock_.now();
    std::size_t hits = 0;
    for (std::size_t k = 0; k != b->count; ++k) {
      item& it = b->items[k];
      if (it.request != none) end_store(it, keep, now);
      hits += (out[k] = it.answer) == tier_answer::hit;
    }
    flights_.end(*b);
    if (!keep) pump();
    return hits;
  }

  [[nodiscard]] bool poll(tier_ticket which) noexcept {
    pump();
    const batch* const b = flights_.find(which);
    return b == nullptr || b->more.left == 0;
  }
  /// Asks the servers to forget blocks; from now on they are misses here, whether a server heard it or not.
  ///
  /// Returns   how many of them were known to be there
  std::size_t remove(const tier_key* keys, std::size_t n) noexcept {
    const std::uint64_t now = pump();
    std::size_t gone = 0;
    for (std::size_t k = 0; k != n; ++k) {
      const std::uint32_t request = is_in_flight(keys[k]) ? none : servers_.take();
      if (request == none) continue;
      const bool there = recent_.of(keys[k], now) == recent_answer::present;
      forget(request, keys[k], now);
      gone += there;
      stats_.removed += there;
    }
    pump();
    return gone;
  }

  [[nodiscard]] std::size_t block_bytes() const noexcept { return with_.block_bytes; }
  /// The last row counts only what this tier did: who else stores and evicts is not known (`adds_up(true)`).
  [[nodiscard]] tier_stats stats() const noexcept { return stats_; }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t loading = 0, storing = 0;
    bool good = true;
    flights_.each([&](const batch& b) {
      std::size_t open = 0;
      for (std::size_t k = 0; k != b.count; ++k) {
        open += b.items[k].open;
        loading += b.going == flights::way::load && b.items[k].open;
        storing += b.going == flights::way::store && b.items[k].request != none;
      }
      good = good && open == b.more.left;
    });
    return good && loading == stats_.loading && storing == stats_.storing && storing == storing_.size() &&
           stats_.adds_up(true) && servers_.is_valid() && recent_.is_valid() && storing_.is_valid();
  }
  /// What its connections have gone through.
  [[nodiscard]] const redis_wire_stats& wire_stats() const noexcept { return servers_.wire().stats; }
  /// The servers it knows, who serves what, and which are not asked at present.
  [[nodiscard]] const redis_servers& servers() const noexcept { return servers_; }

 private:
  static constexpr std::size_t most_block = 512 * MiB - sizeof(tier_record);  // the longest value that a server takes
  static constexpr std::uint32_t none = redis_servers::none;

  struct item {
    tier_answer answer = tier_answer::miss;
    std::uint32_t request = redis_servers::none;  // of a store: until it is complete
    bool open = false;                            // no answer yet
    bool ours = false;                            // of a store: this tier put it there
  };
  struct waits {
    std::size_t left = 0;
  };
  using flights = tier_flights<item, waits>;
  using batch = typename flights::batch;

  redis_tier(const options& with, const Clock& clock) noexcept : with_(with), clock_(clock) {}

  [[nodiscard]] failure refuse(errc code, std::size_t need, const char* fix) const noexcept {
    return {.code = code, .pool = with_.name, .what = "a tier in Redis", .need = need, .limit = most_block, .fix = fix};
  }
  [[nodiscard]] bool is_whole_span(const tier_span& s) const noexcept {
    return s.bytes == with_.block_bytes && s.address != nullptr;
  }
  /// The words that each connection begins with, if there is a password.
  [[nodiscard]] bool greet() noexcept {
    const std::size_t user = std::strlen(with_.user), password = std::strlen(with_.password);
    if (password == 0) return true;
    if (!greeting_.open(user + password + 96)) return false;
    text_buffer out(greeting_.first(), greeting_.size());
    out << (user != 0 ? "*3\r\n$4\r\nAUTH\r\n" : "*2\r\n$4\r\nAUTH\r\n");
    if (user != 0) out << "$" << user << "\r\n" << with_.user << "\r\n";
    out << "$" << password << "\r\n" << with_.password << "\r\n";
    servers_.wire().greeting = greeting_.first();
    servers_.wire().greeting_bytes = out.length();
    return true;
  }

  std::uint64_t pump() noexcept {
    const std::uint64_t now = clock_.now();
    servers_.pump(now, [this, now](std::uint32_t request, const redis_answer& a) { hear(request, a, now); });
    return now;
  }

  [[nodiscard]] tier_answer answer_of(const tier_key& key, recent_answer known) const noexcept {
    if (storing_.find(key) != no_slot) return tier_answer::pending;
    if (known == recent_answer::present) return tier_answer::hit;
    return known == recent_answer::absent || known == recent_answer::removed ? tier_answer::miss : tier_answer::retry;
  }
  void count_lookup(tier_answer a) noexcept {
    ++stats_.lookups;
    stats_.hits += a == tier_answer::hit;
    stats_.misses += a == tier_answer::miss;
    stats_.pending += a == tier_answer::pending;
    stats_.retries += a == tier_answer::retry;
  }
  void describe(redis_request& r, redis_verb verb, const tier_key& key, std::uint64_t now) const noexcept {
    r.verb = verb;
    r.key = key;
    r.deadline = now + with_.deadline_ns;
  }
  [[nodiscard]] bool ask(const tier_key& key, std::uint64_t now) noexcept {
    const std::uint32_t request = servers_.take();
    if (request == none) return false;
    describe(servers_[request], redis_verb::probe, key, now);
    if (!servers_.submit(request, now)) return servers_.give(request), false;
    recent_.note(key, recent_answer::asking, now);
    return true;
  }
  void start(batch& b, tier_ticket which, std::size_t at, redis_verb verb, const tier_key& key, void* span,
             std::uint64_t now) noexcept {
    item& it = b.items[at];
    const std::uint32_t request = servers_.take();
    it.answer = tier_answer::retry;
    if (request == none) return;
    redis_request& r = servers_[request];
    describe(r, verb, key, now);
    r.payload = span;
    r.batch = which;
    r.item = static_cast<std::uint32_t>(at);
    if (!servers_.submit(request, now)) return servers_.give(request);
    it.answer = tier_answer::miss;
    it.request = request;
    it.open = true;
    ++b.more.left;
  }
  void forget(std::uint32_t request, const tier_key& key, std::uint64_t now) noexcept {
    recent_.note(key, recent_answer::removed, now);
    describe(servers_[request], redis_verb::remove, key, now);
    if (!servers_.submit(request, now)) servers_.give(request);
  }
  [[nodiscard]] bool is_in_flight(const tier_key& key) noexcept {
    bool found = storing_.find(key) != no_slot;
    servers_.each_in_flight([&](std::uint32_t request) {
      found = found || (servers_[request].verb == redis_verb::load && servers_[request].key == key);
    });
    return found;
  }

  // ---- answers

  void hear(std::uint32_t request, const redis_answer& a, std::uint64_t now) noexcept {
    switch (servers_[request].verb) {
      case redis_verb::load: return hear_load(request, a, now);
      case redis_verb::store:
      case redis_verb::touch: return hear_store(request, a, now);
      case redis_verb::probe: return hear_probe(request, a, now);
      default:
        // unheard, it stays removed for as long as it is remembered
        if (a.what == redis_answer::kind::number && recent_.of(servers_[request].key, now) == recent_answer::removed)
          recent_.note(servers_[request].key, recent_answer::absent, now);
        servers_.give(request);
    }
  }
  [[nodiscard]] item& settle(const redis_request& r) noexcept {
    batch& b = *flights_.find(r.batch);
    --b.more.left;
    b.items[r.item].open = false;
    return b.items[r.item];
  }
  void hear_load(std::uint32_t request, const redis_answer& a, std::uint64_t now) noexcept {
    using kind = redis_answer::kind;
    const tier_key key = servers_[request].key;
    const bool whole = a.what == kind::whole;
    settle(servers_[request]).answer = whole ? tier_answer::hit : tier_answer::miss;
    --stats_.loading;
    ++(whole ? stats_.loaded : stats_.load_failures);
    if (a.what == kind::damaged) {
      // it would stand in the way of a good one
      ++stats_.lost;
      return forget(request, key, now);
    }
    recent_.note(key, whole                      ? recent_answer::present
                      : a.what == kind::absent ? recent_answer::absent
                                                 : recent_answer::unknown, now);
    servers_.give(request);
  }
  void hear_store(std::uint32_t request, const redis_answer& a, std::uint64_t now) noexcept {
    using kind = redis_answer::kind;
    redis_request& r = servers_[request];
    if (r.verb == redis_verb::touch && a.what == kind::number && a.number == 0) {
      r.verb = redis_verb::store;  // it was there a moment ago, and left
      if (servers_.submit(request, now)) return;
    }
    const bool stored = r.verb == redis_verb::store && a.what == kind::done;
    const bool there = r.verb == redis_verb::store ? a.what == kind::absent : a.what == kind::number;
    item& it = settle(r);
    it.ours = stored;
    it.answer = stored || there ? tier_answer::hit : tier_answer::miss;
    // of a store without an answer nobody knows what became: here it was never there
    recent_.note(r.key, stored || there ? recent_answer::present : recent_answer::removed, now);
  }
  void hear_probe(std::uint32_t request, const redis_answer& a, std::uint64_t now) noexcept {
    using kind = redis_answer::kind;
    const tier_key key = servers_[request].key;
    servers_.give(request);
    if (recent_.of(key, now) != recent_answer::asking) return;  // something later is known by now
    const bool there = a.what == kind::number && a.number == static_cast<long long>(servers_.wire().phrases.value_bytes());
    const bool other = a.what == kind::number || (a.what == kind::error && redis_text::starts_with(a.text, a.length, "WRONGTYPE"));
    recent_.note(key, there ? recent_answer::present : other ? recent_answer::absent : recent_answer::unknown, now);
  }
  void end_store(item& it, bool keep, std::uint64_t now) noexcept {
    const tier_key key = servers_[it.request].key;
    storing_.erase(it.request);
    --stats_.storing;
    const bool hit = it.answer == tier_answer::hit;
    if (hit && it.ours && !keep) {
      it.answer = tier_answer::miss;
      ++stats_.refused;
      return forget(it.request, key, now);
    }
    ++(!hit ? stats_.refused : it.ours ? stats_.stored : stats_.present);
    servers_.give(it.request);
  }

  options with_;
  Clock clock_;
  redis_servers servers_;
  column<char> greeting_;
  recent_answers recent_;
  tier_keys storing_;  // by request
  flights flights_;
  tier_stats stats_;
};

static_assert(tier<redis_tier<>>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
