#include <tokenheap/kv/tier_file.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "tier_suite.hpp"

using namespace tokenheap;
using namespace tokenheap::kv;
using namespace support;

namespace {

// a file in memory, and everything that can go wrong with one
struct disk {
  std::vector<unsigned char> bytes = {};
  bool is_there = true;
  bool locked = false;
  std::size_t room = ~std::size_t{0};    // ENOSPC beyond
  std::size_t alive = ~std::size_t{0};   // bytes that are still written before the process is dead
  std::size_t at_once = ~std::size_t{0}; // most bytes a call
  int read_error = 0;
  bool sync_works = true;
  std::vector<std::size_t> synced = {};  // how long the file was at each sync
  int interrupt = 0;  // calls that answer EINTR first
};

struct disk_calls {
  std::shared_ptr<disk> on;

  disk_calls(std::shared_ptr<disk> which) noexcept : on(std::move(which)) {}
  int open(const char*, int& error) noexcept { return error = ENOENT, on->is_there ? 3 : -1; }
  void close(int) noexcept { on->locked = false; }
  bool lock(int) noexcept { return !on->locked && (on->locked = true); }
  bool size(int, std::uint64_t& out) noexcept { return out = on->bytes.size(), true; }
  bool truncate(int, std::uint64_t n) noexcept { return on->bytes.resize(n), true; }
  bool sync(int) noexcept { return on->synced.push_back(on->bytes.size()), on->sync_works; }
  io_moved read(int, const iovec* parts, int n, std::uint64_t at) noexcept {
    if (on->interrupt > 0) return --on->interrupt, io_moved{0, EINTR};
    if (on->read_error != 0) return {0, on->read_error};
    return move(parts, n, at, [this](unsigned char* p, std::size_t from, std::size_t k) {
      const std::size_t there = from < on->bytes.size() ? std::min(k, on->bytes.size() - from) : 0;
      if (there != 0) std::memcpy(p, on->bytes.data() + from, there);
      return there;
    });
  }
  io_moved write(int, const iovec* parts, int n, std::uint64_t at) noexcept {
    if (on->interrupt > 0) return --on->interrupt, io_moved{0, EINTR};
    const io_moved moved = move(parts, n, at, [this](unsigned char* p, std::size_t to, std::size_t k) {
      const std::size_t fits = to < on->room ? std::min({k, on->room - to, on->alive}) : 0;
      if (to + fits > on->bytes.size() && fits != 0) on->bytes.resize(to + fits);
      if (fits != 0) std::memcpy(on->bytes.data() + to, p, fits);
      on->alive -= fits;
      return fits;
    });
    return moved.bytes == 0 ? io_moved{0, ENOSPC} : moved;
  }

 private:
  template <class One>
  io_moved move(const iovec* parts, int n, std::uint64_t at, One one) {
    std::size_t all = 0;
    for (int k = 0; k != n; ++k) {
      const std::size_t wanted = std::min(parts[k].iov_len, on->at_once - all);
      const std::size_t moved = one(static_cast<unsigned char*>(parts[k].iov_base), at + all, wanted);
      all += moved;
      if (moved != parts[k].iov_len) break;
    }
    return {all, 0};
  }
};

// the same disk behind a queue of two: each look at it does one call of one move, the oldest or any
struct queued_calls : disk_calls {
  std::vector<file_move*> moves = {};
  bool in_order = true;
  std::mt19937_64 random{7};

  using disk_calls::disk_calls;
  bool start(int, file_move& move) noexcept {
    if (moves.size() == 2) return false;
    move.is = file_move::state::running;
    return moves.push_back(&move), true;
  }
  void reap(int fd) noexcept {
    if (moves.empty()) return;
    const std::size_t at = in_order ? 0 : random() % moves.size();
    file_move& move = *moves[at];
    moves.erase(moves.begin() + static_cast<std::ptrdiff_t>(at));
    const int n = move.left();
    const std::uint64_t place = move.at + move.moved;
    io_moved made{};
    switch (move.going) {
      case file_move::way::read: made = read(fd, move.parts, n, place); break;
      case file_move::way::write: made = write(fd, move.parts, n, place); break;
      case file_move::way::sync: made.error = sync(fd) ? 0 : EIO;
    }
    if (move.take(made)) move.is = file_move::state::waiting;
  }
};
static_assert(file_io<queued_calls> && queues_file_moves<queued_calls> && !queues_file_moves<disk_calls>);

constexpr std::size_t block = 200;
constexpr std::size_t slot = 4 * KiB;

file_tier_options of(std::size_t blocks) { return {.block_bytes = block, .max_bytes = (blocks + 1) * slot}; }
file_tier_options keyed() {
  file_tier_options with = of(2);
  with.key = {5, 6};
  return with;
}
std::vector<tier_key> some(std::uint64_t n) {
  std::vector<tier_key> keys;
  for (std::uint64_t k = 0; k != n; ++k) keys.push_back(key_of(k));
  return keys;
}
std::size_t hits(const std::vector<tier_answer>& all) {
  std::size_t n = 0;
  for (const tier_answer a : all) n += a == tier_answer::hit;
  return n;
}

struct real_file {
  std::string path = "tier_file_test." + std::to_string(::getpid());
  ~real_file() { std::remove(path.c_str()); }
};

}  // namespace

TEST_CASE("a file tier keeps the contract, on a real file and with calls that move a few bytes each") {
  const real_file at;
  file_tier_options with = of(6);
  with.path = at.path.c_str();
  {
    auto t = file_tier<>::open(with);
    REQUIRE(t);
    check_tier(*t);
    CHECK(file_tier<>::open(with).error() == errc::in_use);
  }
  const auto on = std::make_shared<disk>();
  on->at_once = 77;
  auto slow = file_tier<disk_calls, tier_arc>::open(of(6), {on});
  REQUIRE(slow);
  on->interrupt = 50;
  check_tier(*slow, {}, 100);
}

TEST_CASE("with calls that queue the contract holds too, whatever ends first, and syncs come after the writes") {
  for (const bool durable : {false, true}) {
    const auto on = std::make_shared<disk>();
    on->at_once = 177;
    file_tier_options with = of(6);
    with.durable = durable;
    queued_calls calls(on);
    calls.in_order = false;
    auto t = file_tier<queued_calls>::open(with, static_cast<queued_calls&&>(calls));
    REQUIRE(t);
    on->interrupt = 50;
    check_tier(*t, {}, 200);
  }
}

TEST_CASE("with calls that queue a batch is on its way when prepare returns, and nothing of it is used before it is over") {
  const auto on = std::make_shared<disk>();
  file_tier_options with = of(4);
  with.durable = true;
  auto t = file_tier<queued_calls>::open(with, {on});
  REQUIRE(t);
  const std::vector<tier_key> keys = some(4);
  std::vector<std::vector<unsigned char>> bytes;
  std::vector<tier_span> spans;
  for (const tier_key& k : keys) bytes.push_back(block_of(k, block));
  for (auto& b : bytes) spans.push_back({b.data(), block});
  std::vector<tier_answer> out(4, tier_answer::retry);
  const tier_ticket storing = t->prepare_store(keys.data(), spans.data(), 4);
  CHECK(t->stats().storing == 4);
  CHECK(t->complete_store(storing, true, out.data()) == 0);
  CHECK(out == all(4, tier_answer::retry));
  CHECK(lookup(*t, keys) == all(4, tier_answer::pending));
  CHECK(t->remove(keys.data(), 4) == 0);
  CHECK(on->synced.empty());
  wait_for(*t, storing, {});
  CHECK(on->synced == std::vector{4 * slot + block + 64});  // once, when all of it was written
  CHECK(t->complete_store(storing, true, out.data()) == 4);

  // two loads and a store in flight together: what is loaded stays
  std::vector<unsigned char> to(2 * block);
  const tier_span first{to.data(), block};
  const tier_span second{to.data() + block, block};
  const tier_ticket a = t->prepare_load(keys.data(), &first, 1);
  const tier_ticket b = t->prepare_load(keys.data(), &second, 1);
  const tier_key fresh = key_of(9);
  const tier_ticket c = t->prepare_store(&fresh, spans.data(), 1);
  CHECK(t->stats().loading == 2);
  CHECK(t->remove(keys.data(), 1) == 0);
  wait_for(*t, b, {});
  CHECK(t->complete_load(b, out.data()) == 1);
  wait_for(*t, a, {});
  CHECK(t->complete_load(a, out.data()) == 1);
  CHECK(std::vector(to.begin(), to.begin() + block) == bytes[0]);
  CHECK(std::vector(to.begin() + block, to.end()) == bytes[0]);
  wait_for(*t, c, {});
  CHECK(t->complete_store(c, true, out.data()) == 1);
  CHECK(lookup(*t, {keys[0], keys[1]}) == std::vector{tier_answer::hit, tier_answer::miss});
  CHECK(t->is_valid());
}

TEST_CASE("what was whole comes back after the file is opened again, the oldest leaves first, and removed stays away") {
  const real_file at;
  file_tier_options with = of(4);
  with.path = at.path.c_str();
  with.durable = true;
  for (const file_scan scan : {file_scan::whole, file_scan::headers}) {
    std::remove(at.path.c_str());
    with.scan = scan;
    {
      auto t = file_tier<>::open(with);
      REQUIRE(t);
      CHECK(hits(store(*t, some(4))) == 4);
      const tier_key gone = key_of(2);
      CHECK(t->remove(&gone, 1) == 1);
      CHECK(hits(store(*t, {key_of(7)}, false)) == 0);
    }
    auto t = file_tier<>::open(with);
    REQUIRE(t);
    CHECK(t->stats().recovered == 3);
    CHECK(t->damaged_at_open() == 0);
    CHECK(t->is_valid());
    CHECK(hits(store(*t, {key_of(5), key_of(6)})) == 2);
    CHECK(load(*t, {key_of(0), key_of(1), key_of(2), key_of(3), key_of(7)}) ==
          std::vector{tier_answer::miss, tier_answer::hit, tier_answer::miss, tier_answer::hit, tier_answer::miss});
  }
}

TEMPLATE_TEST_CASE("a death at any byte of a write leaves whole records and misses", "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const auto whole = std::make_shared<disk>();
  {
    auto t = tested::open(of(3), {whole});
    REQUIRE(t);
    store(*t, some(3));
  }
  for (std::size_t cut = 0; cut <= 2 * (block + 64); cut += 7) {
    CAPTURE(cut);
    const auto on = std::make_shared<disk>(*whole);
    on->locked = false;
    {
      auto t = tested::open(of(3), {on});
      REQUIRE(t);
      on->alive = cut;
      store(*t, {key_of(10), key_of(11)});  // over the slots of 0 and 1
      CHECK(t->is_valid());
    }
    on->alive = ~std::size_t{0};
    auto t = tested::open(of(3), {on});
    REQUIRE(t);
    CHECK(t->is_valid());
    const std::size_t written = cut / (block + 64);
    const std::vector<tier_answer> got = load(*t, {key_of(10), key_of(11), key_of(2)});
    CHECK((got[0] == tier_answer::hit) == (written >= 1));
    CHECK((got[1] == tier_answer::hit) == (written >= 2));
    CHECK(got[2] == tier_answer::hit);
  }
}

TEMPLATE_TEST_CASE("no bit of a record can flip unseen, whether it flips before opening or after",
                   "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const file_tier_options with = GENERATE(of(2), keyed());
  const auto whole = std::make_shared<disk>();
  {
    auto t = tested::open(with, {whole});
    REQUIRE(t);
    store(*t, some(2));
  }
  // with a key of the user's own, SipHash stands over the payload; without one XXH3 does
  for (std::size_t bit = 0; bit < 8 * (block + 64); bit += 5) {
    CAPTURE(bit);
    const auto before = std::make_shared<disk>(*whole);
    const auto after = std::make_shared<disk>(*whole);
    before->bytes[slot + bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    auto t = tested::open(with, {before});
    REQUIRE(t);
    CHECK(load(*t, some(2)) == std::vector{tier_answer::miss, tier_answer::hit});
    CHECK(t->damaged_at_open() == 1);
    auto u = tested::open(with, {after});
    REQUIRE(u);
    after->bytes[slot + bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    CHECK(load(*u, some(2)) == std::vector{tier_answer::miss, tier_answer::hit});
    CHECK(u->stats().lost == 1);
    CHECK(u->is_valid());
    CHECK(lookup(*u, some(1)) == all(1, tier_answer::miss));
    CHECK(hits(store(*u, some(1))) == 1);
  }
}

TEMPLATE_TEST_CASE("two records in each other's slots are still themselves, and a copy of one is the same block once",
                   "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const auto on = std::make_shared<disk>();
  {
    auto t = tested::open(of(4), {on});
    REQUIRE(t);
    store(*t, some(3));
  }
  on->bytes.resize(5 * slot);
  std::swap_ranges(on->bytes.begin() + slot, on->bytes.begin() + 2 * slot, on->bytes.begin() + 2 * slot);
  std::copy_n(on->bytes.begin() + slot, slot, on->bytes.begin() + 4 * slot);
  auto t = tested::open(of(4), {on});
  REQUIRE(t);
  CHECK(t->is_valid());
  CHECK(t->stats().blocks == 3);
  CHECK(hits(load(*t, some(3))) == 3);
}

TEMPLATE_TEST_CASE("a full disk refuses stores and leaves no trace; what is there is served",
                   "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const auto on = std::make_shared<disk>();
  on->room = slot + slot + 100;
  auto t = tested::open(of(4), {on});
  REQUIRE(t);
  CHECK(store(*t, some(3)) == std::vector{tier_answer::hit, tier_answer::miss, tier_answer::miss});
  CHECK(t->stats().refused == 2);
  CHECK(t->is_valid());
  CHECK(load(*t, some(3)) == std::vector{tier_answer::hit, tier_answer::miss, tier_answer::miss});
  on->room = ~std::size_t{0};
  CHECK(hits(store(*t, some(3))) == 3);
  on->room = 0;
  CHECK(tested::open(of(4), {std::make_shared<disk>(disk{.room = 100})}).error() == errc::system_refused);
}

TEMPLATE_TEST_CASE("reads that fail, and a sync that fails, are misses", "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const auto on = std::make_shared<disk>();
  file_tier_options with = of(4);
  with.durable = true;
  auto t = tested::open(with, {on});
  REQUIRE(t);
  on->sync_works = false;
  CHECK(hits(store(*t, some(2))) == 0);
  CHECK(lookup(*t, some(2)) == all(2, tier_answer::miss));
  on->sync_works = true;
  CHECK(hits(store(*t, some(2))) == 2);
  on->read_error = EIO;
  CHECK(load(*t, some(2)) == all(2, tier_answer::miss));
  CHECK(t->stats().lost == 2);
  on->read_error = 0;
  CHECK(hits(store(*t, some(2))) == 2);
  on->bytes.resize(slot + 30);
  CHECK(load(*t, some(2)) == all(2, tier_answer::miss));
  CHECK(t->is_valid());
}

TEMPLATE_TEST_CASE("a file cut anywhere opens, and serves what is whole", "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const auto whole = std::make_shared<disk>();
  {
    auto t = tested::open(of(3), {whole});
    REQUIRE(t);
    store(*t, some(3));
  }
  for (std::size_t length = 0; length < whole->bytes.size(); length += 101) {
    CAPTURE(length);
    const auto on = std::make_shared<disk>(*whole);
    on->bytes.resize(length);
    auto t = tested::open(of(3), {on});
    REQUIRE(t);
    std::size_t expected = 0;
    for (std::size_t k = 1; k <= 3; ++k) expected += length >= k * slot + block + 64;
    CHECK(hits(load(*t, some(3))) == expected);
    CHECK(t->is_valid());
  }
}

TEMPLATE_TEST_CASE("a file of another program is left alone; another key or size begins afresh, with nothing to be confused with",
                   "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  const auto on = std::make_shared<disk>();
  on->bytes.assign(3 * slot, 'x');
  const auto refused = tested::open(of(3), {on});
  CHECK(refused.error() == errc::invalid_argument);
  CHECK(on->bytes == std::vector<unsigned char>(3 * slot, 'x'));

  const auto ours = std::make_shared<disk>();
  {
    auto t = tested::open(of(3), {ours});
    REQUIRE(t);
    store(*t, some(3));
  }
  const std::vector<unsigned char> old = ours->bytes;
  file_tier_options other = of(3);
  other.key = {1, 2};
  {
    auto t = tested::open(other, {ours});
    REQUIRE(t);
    CHECK(hits(load(*t, some(3))) == 0);
    // somebody puts the old records back behind the new front
    ours->bytes.resize(old.size());
    std::copy(old.begin() + slot, old.end(), ours->bytes.begin() + slot);
  }
  auto t = tested::open(other, {ours});
  REQUIRE(t);
  CHECK(t->stats().recovered == 0);
  CHECK(t->damaged_at_open() == 3);
  CHECK(hits(load(*t, some(3))) == 0);
}

TEMPLATE_TEST_CASE("noise behind a good front is never served, and never more than a miss",
                   "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  std::mt19937_64 random(5);
  for (int round = 0; round != 40; ++round) {
    const auto on = std::make_shared<disk>();
    { REQUIRE(tested::open(of(4), {on})); }
    on->bytes.resize(slot + random() % (5 * slot));
    for (std::size_t k = slot; k < on->bytes.size(); ++k) on->bytes[k] = static_cast<unsigned char>(random());
    // and headers that look right
    for (std::size_t k = slot; k + 64 < on->bytes.size(); k += slot) {
      tier_record r;
      r.key_low = key_of(k / slot).low, r.key_high = key_of(k / slot).high, r.group = key_of(k / slot).group;
      r.payload_bytes = round % 2 != 0 ? block : random();
      std::memcpy(on->bytes.data() + k, &r, sizeof r);
    }
    file_tier_options with = of(4);
    with.scan = round % 4 < 2 ? file_scan::whole : file_scan::headers;
    auto t = tested::open(with, {on});
    REQUIRE(t);
    CHECK(hits(load(*t, some(5))) == 0);
    CHECK(t->is_valid());
    CHECK(hits(store(*t, some(4))) == 4);
    CHECK(hits(load(*t, some(4))) == 4);
  }
}

TEMPLATE_TEST_CASE("a file tier that cannot be says why", "", disk_calls, queued_calls) {
  using tested = file_tier<TestType>;
  CHECK(tested::open({.block_bytes = 0, .max_bytes = 1 * MiB}, {std::make_shared<disk>()}).error() == errc::invalid_argument);
  CHECK(tested::open({.block_bytes = block, .max_bytes = slot}, {std::make_shared<disk>()}).error() == errc::limit_reached);
  CHECK(tested::open(of(1), {std::make_shared<disk>(disk{.is_there = false})}).error() == errc::system_refused);
  CHECK(tested::open(of(1), {std::make_shared<disk>(disk{.bytes = {1, 2}})}).error() == errc::invalid_argument);
  CHECK(file_tier<>::open({.path = "/", .block_bytes = block, .max_bytes = 1 * MiB}).error() == errc::system_refused);
  CHECK(file_tier<>::open({.path = "/dev/null", .block_bytes = block, .max_bytes = 1 * MiB}).error() ==
        errc::invalid_argument);
}
