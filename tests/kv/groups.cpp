#include <tokenheap/kv/groups.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace kv = tokenheap::kv;
using namespace tokenheap;
using kv::group_kind;

namespace {

constexpr kv::group_rule window{.name = "window", .kind = group_kind::window, .block_tokens = 32, .span = 128};
constexpr kv::group_rule chunked{.name = "chunked", .kind = group_kind::chunked, .block_tokens = 16, .span = 64};
constexpr kv::group_rule state{.name = "state", .kind = group_kind::state, .span = 100, .fixed = 2, .keep = 2};

std::vector<kv::page_key> pages_of(const kv::group_sequence& s, std::size_t group) {
  std::vector<kv::page_key> keys;
  for (std::size_t at = s.held(group).first; at < s.held(group).end; ++at) keys.push_back(s.page(group, at));
  return keys;
}

std::vector<std::size_t> out_of(const kv::page_space& space) {
  std::vector<std::size_t> counts;
  for (std::size_t g = 0; g < space.groups(); ++g) counts.push_back(space.pages_out(g));
  return counts;
}

}  // namespace

// scenario 42: 159 tokens of which 1 is in flight free nothing; when the step is settled, 1 block
static_assert(kv::needed_blocks(window, 158, 159) == kv::block_range{0, 5});
static_assert(kv::needed_blocks(window, 159, 159) == kv::block_range{1, 5});
// scenario 44
static_assert(kv::most_window_blocks(1024, 2048, 8192, 16) == 193);
static_assert(kv::needed_blocks(chunked, 63, 70) == kv::block_range{0, 5});
static_assert(kv::needed_blocks(chunked, 64, 70) == kv::block_range{4, 5});
static_assert(kv::needed_blocks(chunked, 64, 64) == kv::block_range{4, 4});
static_assert(kv::needed_blocks(state, 99, 250) == kv::block_range{0, 2});
static_assert(kv::needed_blocks(state, 350, 350) == kv::block_range{1, 3});
static_assert(kv::needed_blocks({.kind = group_kind::state}, 350, 350) == kv::block_range{0, 0});
static_assert(kv::needed_blocks({.kind = group_kind::cross}, 5, 5, 6193) == kv::block_range{0, 388});
static_assert(kv::needed_blocks({}, 49, 49) == kv::block_range{0, 4});
static_assert(kv::why_not(kv::group_rule{}) == nullptr);

TEST_CASE("scenario 42: blocks go back behind a window when the step is settled", "[kv][groups]") {
  const std::size_t pages[] = {64};
  const kv::group_rule rules[] = {window};
  auto space = kv::page_space::open({.bytes = 64 * KiB, .page_bytes = pages, .groups = 1});
  REQUIRE(space);
  auto s = kv::group_sequence::open(*space, rules);
  REQUIRE(s);
  REQUIRE(s->grow(159).code == errc::ok);
  const auto all = pages_of(*s, 0);
  REQUIRE(s->settle(158) == errc::ok);
  CHECK(space->pages_out(0) == 5);
  REQUIRE(s->settle(159) == errc::ok);
  CHECK(space->pages_out(0) == 4);
  CHECK(s->page(0, 0).generation == 0);
  CHECK_FALSE(space->is_current(all[0]));
  CHECK(pages_of(*s, 0) == std::vector<kv::page_key>(all.begin() + 1, all.end()));
  // drafts that are taken back find the window whole
  REQUIRE(s->grow(200).code == errc::ok);
  CHECK(s->held(0) == kv::block_range{1, 12});
  CHECK(s->rewind(201) == errc::invalid_argument);
  REQUIRE(s->rewind(200) == errc::ok);
  CHECK(pages_of(*s, 0) == std::vector<kv::page_key>(all.begin() + 1, all.end()));
  CHECK(s->settle(160) == errc::invalid_argument);
  CHECK(s->settle(158) == errc::invalid_argument);
  CHECK(s->settled() == 159);
  s->close();
  CHECK(s->grow(1).code == errc::not_open);
  CHECK(s->settle(1) == errc::not_open);
  CHECK(s->rewind(1) == errc::not_open);
  CHECK(space->pages_out(0) == 0);
}

TEST_CASE("scenario 43: a refusal of the last group changes nothing and names the group", "[kv][groups]") {
  const std::size_t pages[] = {100, 300, 1000};
  const kv::group_rule rules[] = {
      {.name = "full"}, {.name = "slide", .kind = group_kind::window, .span = 32}, state};
  auto space = kv::page_space::open({.bytes = 6000, .page_bytes = pages, .groups = 3,
                                     .placement = kv::page_placement::packed, .chunk_bytes = 1000});
  REQUIRE(space);
  auto s = kv::group_sequence::open(*space, rules);
  REQUIRE(s);
  REQUIRE(s->grow(48).code == errc::ok);
  CHECK(out_of(*space) == std::vector<std::size_t>{3, 3, 2});

  const std::vector<kv::page_key> before[] = {pages_of(*s, 0), pages_of(*s, 1), {s->state_page(2, 0), s->state_page(2, 1)}};
  const auto takes = space->stats().takes;
  // 7 blocks of the first group fit into its chunk, those of the second take both empty chunks: none for a checkpoint
  const auto no = s->grow(52);
  CHECK(no.code == errc::out_of_memory);
  CHECK(std::string(no.what) == "state");
  CHECK(no.need == 1);
  CHECK(no.available == 0);
  const auto wide = s->grow(150);
  CHECK(std::string(wide.what) == "slide");
  CHECK(wide.need == 10);
  CHECK(wide.available == 3);
  CHECK(s->tokens() == 48);
  CHECK(out_of(*space) == std::vector<std::size_t>{3, 3, 2});
  CHECK(space->stats().takes == takes);
  CHECK(pages_of(*s, 0) == before[0]);
  CHECK(pages_of(*s, 1) == before[1]);
  CHECK(std::vector<kv::page_key>{s->state_page(2, 0), s->state_page(2, 1)} == before[2]);
  CHECK(s->is_valid());

  // one block behind the window makes the difference
  REQUIRE(s->settle(48) == errc::ok);
  REQUIRE(s->grow(52).code == errc::ok);
  CHECK(out_of(*space) == std::vector<std::size_t>{7, 6, 3});
  CHECK(s->page(2, 0).group == 2);
  const auto full = kv::group_sequence::open(*space, rules);
  CHECK(full.error() == errc::out_of_memory);
  CHECK(std::string(full.why().what) == "state");
  s->close();
  CHECK(space->stats().used == 0);
  CHECK(space->stats().empty == 6000);
  CHECK(space->is_valid());
}

TEST_CASE("scenario 44: the most pages of a window, wherever the steps begin", "[kv][groups]") {
  const std::size_t pages[] = {64};
  const kv::group_rule rules[] = {{.name = "window", .kind = group_kind::window, .span = 1024}};
  auto space = kv::page_space::open({.bytes = 64 * 1024, .page_bytes = pages, .groups = 1});
  REQUIRE(space);
  std::size_t most = 0;
  for (std::size_t odd = 1; odd <= 16; ++odd) {
    auto s = kv::group_sequence::open(*space, rules);
    REQUIRE(s);
    std::size_t step = 1024 + odd;
    while (s->tokens() + step <= 8192) {
      REQUIRE(s->grow(step).code == errc::ok);
      most = std::max(most, space->pages_out(0));
      REQUIRE(s->settle(s->tokens()) == errc::ok);
      CHECK(space->pages_out(0) <= kv::most_window_blocks(1024, 1, 8192, 16));
      step = 2048;
    }
  }
  CHECK(most == kv::most_window_blocks(1024, 2048, 8192, 16));
}

TEST_CASE("checkpoints of a state: the last settled ones stay, those of drafts go with the drafts", "[kv][groups]") {
  const std::size_t pages[] = {1000};
  const kv::group_rule rules[] = {state};
  auto space = kv::page_space::open({.bytes = 32'000, .page_bytes = pages, .groups = 1});
  REQUIRE(space);
  auto s = kv::group_sequence::open(*space, rules);
  REQUIRE(s);
  CHECK(space->pages_out(0) == 2);
  REQUIRE(s->grow(550).code == errc::ok);
  CHECK(s->held(0) == kv::block_range{0, 5});
  REQUIRE(s->settle(410) == errc::ok);
  CHECK(s->held(0) == kv::block_range{2, 5});
  REQUIRE(s->rewind(60) == errc::ok);
  CHECK(s->held(0) == kv::block_range{2, 4});
  CHECK(space->pages_out(0) == 4);
  auto moved = std::move(*s);
  s->close();
  CHECK(s->is_valid());
  CHECK(moved.is_valid());
  CHECK(space->pages_out(0) == 4);
  moved.close();
  CHECK(space->pages_out(0) == 0);
}

TEST_CASE("sequences follow their pages when room is made", "[kv][groups]") {
  const std::size_t pages[] = {100, 800};
  const kv::group_rule rules[] = {{.name = "full"}, {.name = "state", .kind = group_kind::state}};
  auto space = kv::page_space::open({.bytes = 4800, .page_bytes = pages, .groups = 2, .chunk_bytes = 800});
  REQUIRE(space);
  std::deque<kv::group_sequence> live;
  for (int n = 0; n < 3; ++n) {
    auto s = kv::group_sequence::open(*space, rules);
    REQUIRE(s);
    live.push_back(std::move(*s));
  }
  // in turn, so that each has pages in each of the three chunks
  for (int n = 0; n < 8; ++n) {
    for (auto& s : live) REQUIRE(s.grow(16).code == errc::ok);
  }
  std::vector<kv::page_move> moves(space->most_moves());
  std::size_t copied = 0;
  const auto copy = [&](std::size_t from, std::size_t to, std::size_t n) noexcept { copied += from != to ? n : 0; };
  CHECK_FALSE(kv::make_room(*space, moves.data(), live, copy));
  live[1].close();  // 8 pages and a state
  auto fourth = kv::group_sequence::open(*space, rules);
  REQUIRE(fourth);
  CHECK(kv::group_sequence::open(*space, rules).error() == errc::out_of_memory);
  REQUIRE(kv::make_room(*space, moves.data(), live, copy));
  CHECK((copied == 500 || copied == 600));
  for (const auto& s : live) CHECK(s.is_valid());
  auto fifth = kv::group_sequence::open(*space, rules);
  CHECK(fifth);
  CHECK_FALSE(kv::make_room(*space, moves.data(), live, copy));
  // every page is held once
  std::vector<std::size_t> held;
  for (const std::size_t at : {0U, 2U}) {
    for (const auto& key : pages_of(live[at], 0)) held.push_back(space->offset_of(key));
  }
  std::sort(held.begin(), held.end());
  CHECK(held.size() == 16);
  CHECK(std::adjacent_find(held.begin(), held.end()) == held.end());
  CHECK(space->is_valid());
}

TEST_CASE("rules that make no sense, and sizes that overflow, are refused", "[kv][groups][bad]") {
  const std::size_t pages[] = {64};
  auto space = kv::page_space::open({.name = "room", .bytes = 64 * KiB, .page_bytes = pages, .groups = 1});
  REQUIRE(space);
  const kv::group_rule bad[] = {{.name = "a", .block_tokens = 0},
                                {.name = "b", .kind = group_kind::window},
                                {.name = "c", .kind = group_kind::chunked},
                                {.name = "d", .kind = group_kind::state, .fixed = ~std::size_t{0}}};
  for (const auto& rule : bad) {
    CAPTURE(rule.name);
    const auto no = kv::group_sequence::open(*space, &rule);
    CHECK(no.error() == errc::invalid_argument);
    CHECK(std::string(no.why().pool) == "room");
    CHECK(std::string(no.why().what) == rule.name);
    CHECK(std::string(no.why().fix).size() > 10);
  }
  const kv::group_rule cross{.name = "cross", .kind = group_kind::cross, .block_tokens = 1};
  CHECK(kv::group_sequence::open(*space, &cross, ~std::size_t{0}).error() == errc::out_of_memory);
  CHECK(kv::group_sequence::open(*space, &cross, 1025).error() == errc::out_of_memory);
  CHECK(kv::group_sequence::open(*space, &cross, 1024));
  CHECK(space->pages_out(0) == 0);
  const kv::group_rule full{.name = "full"};
  auto s = kv::group_sequence::open(*space, &full);
  REQUIRE(s);
  REQUIRE(s->grow(1).code == errc::ok);
  CHECK(s->grow(~std::size_t{0}).code == errc::size_overflow);
  CHECK(s->grow(~std::size_t{0} / 2).code == errc::size_overflow);
  CHECK(s->grow(~std::size_t{0} / 4).code == errc::out_of_memory);
  CHECK(s->tokens() == 1);
  CHECK(space->pages_out(0) == 1);
}

TEST_CASE("a hybrid model's sequences come and go at random and leave nothing behind", "[kv][groups]") {
  const unsigned seed = 43;
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t pages[] = {512, 768, 256, 640, 5000, 128};
  const kv::group_rule rules[] = {{.name = "full"}, window, chunked, {.name = "cross", .kind = group_kind::cross},
                                  state, {.name = "draft", .block_tokens = 64}};
  auto space = kv::page_space::open({.bytes = 512 * KiB, .page_bytes = pages, .groups = 6});
  REQUIRE(space);
  std::deque<kv::group_sequence> all;
  std::size_t refused = 0, closed = 0;
  for (int round = 0; round < 5000; ++round) {
    CAPTURE(round);
    if (all.size() < 12 && random() % 4 == 0) {
      auto opened = kv::group_sequence::open(*space, rules, random() % 300);
      if (opened) all.push_back(std::move(*opened));
    }
    if (all.empty()) continue;
    auto& s = all[random() % all.size()];
    const auto before = out_of(*space);
    switch (random() % 4) {
      case 0:
      case 1:
        if (s.grow(random() % 200).code != errc::ok) {
          ++refused;
          REQUIRE(out_of(*space) == before);
        }
        break;
      case 2: REQUIRE(s.settle(s.settled() + random() % (s.tokens() - s.settled() + 1)) == errc::ok); break;
      default: REQUIRE(s.rewind(random() % (s.tokens() - s.settled() + 1)) == errc::ok);
    }
    REQUIRE(s.is_valid());
    if (random() % 64 == 0) all.pop_front(), ++closed;
    std::vector<std::size_t> held(6);
    for (const auto& each : all) {
      for (std::size_t g = 0; g < 6; ++g) held[g] += each.held(g).end - each.held(g).first;
      held[4] += state.fixed;
    }
    REQUIRE(out_of(*space) == held);
    if (round % 100 == 0) REQUIRE(space->is_valid());
  }
  CHECK(refused > 100);
  CHECK(closed > 20);
  all.clear();
  CHECK(space->stats().used == 0);
  CHECK(space->stats().idle == 0);
  CHECK(space->is_valid());
}
