#include <tokenheap/kv/page_space.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace kv = tokenheap::kv;
using namespace tokenheap;

namespace {

void check_identity(const kv::page_space& space) {
  const auto s = space.stats();
  CHECK(s.used + s.idle + s.tails + s.empty + s.remainder == s.bytes);
  CHECK(space.is_valid());
}

// vLLM's rule for one page size: the attention block grows, 16 tokens at a time, to the page of the state
constexpr std::size_t padded_tokens(std::size_t state, std::size_t token) { return divide_up(state, 16 * token) * 16; }

}  // namespace

TEST_CASE("unequal pages lose at most 2 % where equal pages blow attention blocks up", "[kv][page_space]") {
  struct shape {
    const char* name;
    std::size_t state, token, padded;
  };
  // state bytes per layer, attention bytes per token and layer, tokens of the padded block
  const std::size_t gdn = 32 * 128 * 128 * 2 + (2 * 16 * 128 + 32 * 128) * 3 * 2;
  const shape shapes[] = {{"gated delta net, 16 and 32 heads of 128", gdn, 2048, 544},
                          {"the least state that inflates to 7,808 tokens", 487 * 16 * 1024 + 1, 1024, 7808},
                          {"the largest state that inflates to 7,808 tokens", 7808 * 1024, 1024, 7808},
                          {"Mamba2, 128 heads of 64 by 128, float", 128 * 64 * 128 * 4 + 10'240 * 3 * 2, 1024, 4160}};
  for (const auto& of : shapes) {
    CAPTURE(of.name);
    REQUIRE(padded_tokens(of.state, of.token) == of.padded);
    for (const auto how : {kv::page_placement::numbered, kv::page_placement::packed}) {
      const std::size_t pages[] = {16 * of.token, align_up(of.state, 256)};
      auto opened = kv::page_space::open({.bytes = 16 * GiB, .page_bytes = pages, .groups = 2, .placement = how});
      REQUIRE(opened);
      auto& space = *opened;
      // half of the room in states, the rest in attention blocks
      for (std::size_t n = 8 * GiB / pages[1]; n != 0; --n) REQUIRE(space.take(1).generation != 0);
      while (space.take(0).generation != 0) {
      }
      const auto s = space.stats();
      const double lost = 100.0 * static_cast<double>(s.bytes - s.used) / static_cast<double>(s.bytes);
      CHECK(lost <= 2.0);
      check_identity(space);
    }
  }
}

TEST_CASE("an empty chunk moves to another group, and old keys stay stale", "[kv][page_space]") {
  const std::size_t pages[] = {100, 400};
  auto opened = kv::page_space::open({.bytes = 850, .page_bytes = pages, .groups = 2, .chunk_bytes = 400});
  REQUIRE(opened);
  auto& space = *opened;
  std::vector<kv::page_key> keys(8);
  REQUIRE(space.take(0, 8, keys.data()) == errc::ok);
  CHECK(space.take(1).generation == 0);
  CHECK(space.take(0, 1, keys.data()) == errc::out_of_memory);
  CHECK(space.stats().remainder == 50);
  for (int i = 0; i < 4; ++i) CHECK(space.give(keys[static_cast<std::size_t>(i)]) == errc::ok);
  CHECK(space.give(keys[0]) == errc::double_free);
  CHECK(space.available(1) == 1);
  const std::size_t both[] = {1, 1}, one[] = {0, 1};
  CHECK_FALSE(space.would_fit(both));
  CHECK(space.first_short(both) == 1);
  CHECK(space.would_fit(one));
  const auto state = space.take(1);
  CHECK(space.offset_of(state) == 0);
  CHECK(space.is_current(state));
  CHECK_FALSE(space.is_current(keys[1]));
  CHECK(space.give(keys[0]) == errc::stale_handle);
  CHECK(space.give({.group = 2, .number = 0, .generation = 1}) == errc::foreign_pointer);
  CHECK(space.give({.group = 0, .number = 8, .generation = 1}) == errc::foreign_pointer);
  CHECK(space.give({}) == errc::foreign_pointer);
  check_identity(space);
  CHECK(space.give(state) == errc::ok);
  for (std::size_t i = 4; i < 8; ++i) CHECK(space.give(keys[i]) == errc::ok);
  CHECK(space.stats().empty == 800);
  check_identity(space);
}

TEST_CASE("takes come from the fullest chunk", "[kv][page_space]") {
  const std::size_t pages[] = {10};
  auto opened = kv::page_space::open({.bytes = 120, .page_bytes = pages, .groups = 1, .chunk_bytes = 40});
  REQUIRE(opened);
  std::vector<kv::page_key> keys(12);
  REQUIRE(opened->take(0, 12, keys.data()) == errc::ok);
  // chunk 0 keeps 1 page, chunk 1 keeps 3, chunk 2 keeps 2
  for (const std::size_t at : {0U, 1U, 2U, 4U, 8U, 9U}) REQUIRE(opened->give(keys[at]) == errc::ok);
  CHECK(opened->take(0).number / 4 == 1);
  CHECK(opened->take(0).number / 4 == 2);
  CHECK(opened->take(0).number / 4 == 2);
  CHECK(opened->take(0).number / 4 == 0);
  check_identity(*opened);
}

TEST_CASE("random takes and gives never overlap, in both placements", "[kv][page_space]") {
  const unsigned seed = 20'261;
  CAPTURE(seed);
  for (const auto how : {kv::page_placement::numbered, kv::page_placement::packed}) {
    std::mt19937 random(seed);
    const std::size_t pages[] = {96, 1000, 272};
    auto opened = kv::page_space::open({.bytes = 1 * MiB, .page_bytes = pages, .groups = 3, .placement = how});
    REQUIRE(opened);
    std::map<std::size_t, std::size_t> out;  // offset to end
    std::vector<kv::page_key> keys;
    for (int round = 0; round < 20'000; ++round) {
      const bool grow = (round / 2000) % 2 == 0;
      if (random() % 8 < (grow ? 6U : 2U)) {
        const auto key = opened->take(random() % 3);
        if (key.generation == 0) continue;
        const std::size_t from = opened->offset_of(key), to = from + pages[key.group];
        const auto next = out.lower_bound(from);
        REQUIRE((next == out.end() || next->first >= to));
        REQUIRE((next == out.begin() || std::prev(next)->second <= from));
        REQUIRE(to <= 1 * MiB);
        if (how == kv::page_placement::numbered) REQUIRE(from == key.number * pages[key.group]);
        out[from] = to;
        keys.push_back(key);
      } else if (!keys.empty()) {
        std::swap(keys[random() % keys.size()], keys.back());
        REQUIRE(out.erase(opened->offset_of(keys.back())) == 1);
        REQUIRE(opened->give(keys.back()) == errc::ok);
        REQUIRE(opened->give(keys.back()) != errc::ok);
        keys.pop_back();
      }
      if (round % 500 == 0) check_identity(*opened);
    }
    for (const auto& key : keys) REQUIRE(opened->give(key) == errc::ok);
    CHECK(opened->stats().used == 0);
    CHECK(opened->stats().idle == 0);
    check_identity(*opened);
  }
}

TEST_CASE("vacate empties the chunk with the fewest bytes, and only where its pages have room", "[kv][page_space]") {
  const std::size_t pages[] = {10, 40};
  auto opened = kv::page_space::open({.bytes = 160, .page_bytes = pages, .groups = 2, .chunk_bytes = 40});
  REQUIRE(opened);
  auto& space = *opened;
  std::vector<kv::page_key> keys(15);
  REQUIRE(space.take(0, 15, keys.data()) == errc::ok);
  std::vector<kv::page_move> moves(space.most_moves());
  REQUIRE(moves.size() == 4);
  CHECK(space.vacate(moves.data()) == 0);  // 1 idle page
  // chunk 0 keeps 2 pages, chunk 1 and 2 have 1 idle page each: 5 idle pages in all
  for (const std::size_t at : {0U, 2U, 4U, 9U}) REQUIRE(space.give(keys[at]) == errc::ok);
  CHECK(space.available(1) == 0);
  REQUIRE(space.vacate(moves.data()) == 2);
  CHECK(moves[0].from == keys[1]);
  CHECK(moves[1].from == keys[3]);
  for (std::size_t at = 0; at < 2; ++at) {
    CHECK(space.is_current(moves[at].to));
    CHECK_FALSE(space.is_current(moves[at].from));
    CHECK(space.offset_of(moves[at].to) >= 40);
  }
  CHECK(space.pages_out(0) == 11);
  CHECK(space.stats().moves == 2);
  CHECK(space.vacate(moves.data()) == 0);
  CHECK(space.available(1) == 1);
  const auto state = space.take(1);
  CHECK(space.offset_of(state) == 0);
  CHECK(space.give(keys[1]) == errc::double_free);
  check_identity(space);
}

TEST_CASE("pages that are moved keep their bytes, and a refusal then means that the room is full", "[kv][page_space]") {
  const unsigned seed = 7808;
  CAPTURE(seed);
  for (const auto how : {kv::page_placement::numbered, kv::page_placement::packed}) {
    std::mt19937 random(seed);
    const std::size_t pages[] = {96, 1000, 272};
    auto opened = kv::page_space::open({.bytes = 128 * KiB, .page_bytes = pages, .groups = 3, .placement = how,
                                        .chunk_bytes = 2000});
    REQUIRE(opened);
    auto& space = *opened;
    std::vector<std::uint32_t> bytes(128 * KiB);  // of the room: each byte holds the mark of its page
    struct held {
      kv::page_key key;
      std::uint32_t mark;
    };
    std::vector<held> out;
    std::vector<kv::page_move> moves(space.most_moves());
    const auto room_of = [&](const kv::page_key& key) {
      return bytes.begin() + static_cast<std::ptrdiff_t>(space.offset_of(key));
    };
    std::uint32_t marks = 0;
    std::size_t refused = 0;
    for (int round = 0; round < 10'000; ++round) {
      CAPTURE(round);
      // each group has its time, so that others leave it their room
      const std::size_t group = random() % 4 == 0 ? random() % 3 : static_cast<std::size_t>(round) / 700 % 3;
      if (random() % 8 < ((round / 500) % 2 == 0 ? 7U : 2U)) {
        auto key = space.take(group);
        while (key.generation == 0) {
          const std::size_t n = space.vacate(moves.data());
          if (n == 0) break;
          for (std::size_t at = 0; at < n; ++at) {
            std::copy_n(room_of(moves[at].from), pages[moves[at].from.group], room_of(moves[at].to));
            for (auto& each : out) each.key = each.key == moves[at].from ? moves[at].to : each.key;
          }
          key = space.take(group);
        }
        if (key.generation == 0) {
          ++refused;
          // less than a chunk of each group is idle
          REQUIRE(space.stats().empty == 0);
          REQUIRE(space.stats().idle < 3 * space.chunk_bytes());
          continue;
        }
        std::fill_n(room_of(key), pages[group], ++marks);
        out.push_back({key, marks});
      } else if (!out.empty()) {
        std::swap(out[random() % out.size()], out.back());
        const auto& last = out.back();
        const auto at = room_of(last.key);
        REQUIRE(std::all_of(at, at + static_cast<std::ptrdiff_t>(pages[last.key.group]),
                            [&](std::uint32_t mark) { return mark == last.mark; }));
        REQUIRE(space.give(last.key) == errc::ok);
        out.pop_back();
      }
      if (round % 100 == 0) check_identity(space);
    }
    CHECK(refused > 100);
    CHECK(space.stats().moves > 100);
    for (const auto& each : out) REQUIRE(space.give(each.key) == errc::ok);
    CHECK(space.stats().empty + space.stats().remainder == space.stats().bytes);
    check_identity(space);
  }
}
