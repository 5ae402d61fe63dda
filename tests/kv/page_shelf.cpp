#include <tokenheap/kv/page_shelf.hpp>

#include <support/catch.hpp>

#include <list>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using namespace tokenheap;

namespace {

struct shelf_policy : kv::default_policy {
  using events = kv::shelf_events;
};
using pool_type = kv::block_pool<shelf_policy>;
using sequence = kv::sequence<pool_type>;

std::vector<kv::token> tokens(std::size_t n, kv::token first = 1) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

// an engine in small: full attention in a pool of ids, other groups in a page space, all of them shared
class engine {
 public:
  engine(std::vector<kv::search_group> groups, std::size_t blocks, std::vector<std::size_t> pages, std::size_t bytes,
         std::size_t chunk)
      : groups_(std::move(groups)), page_bytes_(std::move(pages)), marks_(bytes) {
    auto pool = pool_type::open({.blocks = blocks, .block_tokens = groups_[0].block_tokens});
    auto space = kv::page_space::open({.bytes = bytes, .page_bytes = page_bytes_.data(), .groups = page_bytes_.size(),
                                       .chunk_bytes = chunk});
    REQUIRE(pool);
    REQUIRE(space);
    pool_.emplace(std::move(*pool));
    space_.emplace(std::move(*space));
    auto shelf = kv::page_shelf::open(*space_, blocks);
    REQUIRE(shelf);
    shelf_.emplace(std::move(*shelf));
    pool_->events().shelf = &*shelf_;
  }

  struct request {
    std::vector<kv::token> prompt;
    sequence blocks;
    std::size_t reused = 0;
    struct held {
      std::size_t group;
      std::size_t at;
      kv::page_key page;
      kv::block_id beside;  // no_block: the request's own
    };
    std::vector<held> pages;
  };

  std::size_t hit(const std::vector<kv::token>& prompt) {
    return kv::find_shared(*pool_, *shelf_, groups_.data(), prompt).tokens;
  }

  // what the request found is held in all groups, then its blocks are taken, then the pages: all of it, or nothing
  std::optional<request> open(const std::vector<kv::token>& prompt) {
    const auto found = kv::find_shared(*pool_, *shelf_, groups_.data(), std::span(prompt).first(prompt.size() - 1));
    std::vector<request::held> pages;
    kv::each_hit(*shelf_, groups_.data(), found, [&](std::size_t g, std::size_t at, kv::block_id id) {
      pages.push_back({g, at, shelf_->hold(g, id), id});
    });
    auto blocks = sequence::open(*pool_, prompt);
    std::vector<std::size_t> need;
    for (std::size_t g = 1; g < groups_.size(); ++g) {
      need.push_back(prompt.size() / groups_[g].block_tokens - found.tokens / groups_[g].block_tokens);
    }
    if (!blocks || !shelf_->make_fit(need.data())) {
      for (const auto& each : pages) REQUIRE(shelf_->let_go(each.group, each.beside) == errc::ok);
      return {};
    }
    for (const auto& each : pages) {
      REQUIRE(each.page.generation != 0);
      REQUIRE(mark_of(each.page) == mark(prompt, each.group, each.at));
    }
    for (std::size_t g = 0; g < need.size(); ++g) {
      for (std::size_t n = 0; n < need[g]; ++n) {
        const std::size_t at = found.tokens / groups_[g + 1].block_tokens + n;
        const auto page = space_->take(g);
        mark_of(page) = mark(prompt, g, at);
        pages.push_back({g, at, page, kv::no_block});
      }
    }
    return request{prompt, std::move(*blocks), found.tokens, std::move(pages)};
  }

  // publishes what was computed, and puts the pages of published blocks onto the shelf
  void publish(request& r) {
    REQUIRE(r.blocks.publish(r.prompt.size()) == errc::ok);
    for (auto& each : r.pages) {
      if (each.beside != kv::no_block) continue;
      const std::size_t ends = (each.at + 1) * (groups_[each.group + 1].block_tokens / groups_[0].block_tokens) - 1;
      const kv::block_id id = r.blocks.blocks()[ends];
      if (shelf_->put(each.group, id, each.page) == errc::ok) each.beside = id;
    }
  }
  void close(request& r) {
    for (const auto& each : r.pages) {
      if (each.beside == kv::no_block) {
        REQUIRE(space_->give(each.page) == errc::ok);
      } else {
        REQUIRE(shelf_->let_go(each.group, each.beside) == errc::ok);
      }
    }
    r.pages.clear();
    REQUIRE(r.blocks.close() == errc::ok);
  }
  // moves pages together, those of requests and those on the shelf
  bool move_together(std::list<request>& live) {
    std::vector<kv::page_move> moves(space_->most_moves());
    moves.resize(space_->vacate(moves.data()));
    for (const auto& each : moves) mark_of(each.to) = mark_of(each.from);
    shelf_->follow(moves.data(), moves.size());
    for (auto& r : live) {
      for (auto& each : r.pages) {
        for (const auto& move : moves) each.page = each.page == move.from ? move.to : each.page;
        if (each.beside != kv::no_block) REQUIRE(shelf_->page(each.group, each.beside) == each.page);
        REQUIRE(mark_of(each.page) == mark(r.prompt, each.group, each.at));
      }
    }
    return !moves.empty();
  }
  // a request from its beginning to its end
  std::size_t run(const std::vector<kv::token>& prompt) {
    auto r = open(prompt);
    REQUIRE(r);
    publish(*r);
    close(*r);
    return r->reused;
  }

  [[nodiscard]] bool is_valid() const { return pool_->is_valid() && space_->is_valid() && shelf_->is_valid(); }
  [[nodiscard]] pool_type& pool() { return *pool_; }
  [[nodiscard]] kv::page_shelf& shelf() { return *shelf_; }
  [[nodiscard]] kv::page_space& space() { return *space_; }

 private:
  std::uint64_t& mark_of(const kv::page_key& page) { return marks_[space_->offset_of(page)]; }
  // what a page must hold: it stands for the tokens up to its end, in its group
  [[nodiscard]] std::uint64_t mark(const std::vector<kv::token>& prompt, std::size_t group, std::size_t at) const {
    std::uint64_t sum = group + 1;
    for (std::size_t n = 0; n < (at + 1) * groups_[group + 1].block_tokens; ++n) sum = (sum ^ prompt[n]) * 0x100000001b3;
    return sum;
  }

  std::vector<kv::search_group> groups_;
  std::vector<std::size_t> page_bytes_;
  std::vector<std::uint64_t> marks_;
  std::optional<pool_type> pool_;
  std::optional<kv::page_space> space_;
  std::optional<kv::page_shelf> shelf_;
};

// full attention and two windows of 2 blocks
engine three_groups() {
  const std::size_t w = kv::window_blocks(32, 16);
  return {{{}, {.last_blocks = w}, {.last_blocks = w}}, 12, {64, 64}, 64 * 24, 64};
}

}  // namespace

TEST_CASE("scenario 39 over a pool and a shelf: what is evicted shortens the hit, or does not", "[kv][shelf]") {
  struct gone {
    std::size_t group, block;
  };
  const auto prompt = tokens(48);
  // evicts blocks of the pool from the end, and pages one by one
  const auto hit_without = [&](std::size_t full, std::initializer_list<gone> pages) {
    engine e = three_groups();
    auto r = e.open(prompt);
    REQUIRE(r);
    const std::vector<kv::block_id> ids(r->blocks.blocks().begin(), r->blocks.blocks().end());
    e.publish(*r);
    e.close(*r);
    CHECK(e.pool().evict(full) == full);
    for (const auto& each : pages) CHECK(e.shelf().evict(each.group, ids[each.block]));
    CHECK(e.is_valid());
    return e.hit(prompt);
  };
  CHECK(hit_without(0, {}) == 48);
  CHECK(hit_without(0, {{0, 0}}) == 48);
  CHECK(hit_without(0, {{1, 0}}) == 48);
  CHECK(hit_without(3, {}) == 0);
  CHECK(hit_without(1, {}) == 32);
  CHECK(hit_without(0, {{0, 2}}) == 32);
  CHECK(hit_without(0, {{1, 2}}) == 32);
  CHECK(hit_without(1, {{0, 0}, {1, 0}}) == 0);

  // the tables: all blocks of the pool, the last two of each window
  engine e = three_groups();
  CHECK(e.run(tokens(49)) == 0);
  auto again = e.open(tokens(49));
  REQUIRE(again);
  CHECK(again->reused == 48);
  CHECK(again->blocks.cached_tokens() == 48);
  REQUIRE(again->pages.size() == 4);
  for (std::size_t n = 0; n < 4; ++n) {
    CHECK(again->pages[n].group == n / 2);
    CHECK(again->pages[n].at == 1 + n % 2);
    CHECK(again->pages[n].beside == again->blocks.blocks()[1 + n % 2]);
  }
  CHECK(e.shelf().unheld() == 2);
  e.close(*again);
}

TEST_CASE("scenario 40 over a pool and a shelf: a group that drops its last block does so once", "[kv][shelf]") {
  for (unsigned who = 1; who < 8; ++who) {
    CAPTURE(who);
    std::vector<kv::search_group> groups(3);
    for (unsigned g = 0; g < 3; ++g) groups[g] = {.last_blocks = g == 2 ? 2U : 0U, .drop_last = (who >> g & 1) != 0};
    engine e(groups, 12, {64, 64}, 64 * 24, 64);
    CHECK(e.run(tokens(96)) == 0);
    CHECK(e.hit(tokens(96)) == 80);
  }
}

TEST_CASE("scenario 14: room for one group is never made out of another group's hits of the same request",
          "[kv][shelf]") {
  // room for 8 pages in all; two prompts of two blocks in two groups fill it
  engine e({{}, {.last_blocks = 2}, {.last_blocks = 2}}, 12, {64, 64}, 64 * 8, 64);
  CHECK(e.run(tokens(33, 1)) == 0);
  CHECK(e.run(tokens(33, 1000)) == 0);
  CHECK(e.space().available(0) == 0);
  // the first prompt's pages are the next to leave; a request that found them needs 2 more pages in each group
  auto longer = tokens(65, 1);
  auto r = e.open(longer);
  REQUIRE(r);
  CHECK(r->reused == 32);
  CHECK(r->pages.size() == 8);
  CHECK(e.hit(tokens(32, 1)) == 32);
  CHECK(e.hit(tokens(32, 1000)) == 0);
  // nothing is left that nobody holds: refused, and all as before
  const auto used = e.space().stats().used;
  const std::size_t live = e.pool().stats().live;
  CHECK_FALSE(e.open(tokens(17, 5000)));
  CHECK(e.space().stats().used == used);
  CHECK(e.pool().stats().live == live);
  CHECK(e.hit(tokens(32, 1)) == 32);
  CHECK(e.is_valid());
  e.close(*r);
  CHECK(e.is_valid());
}

TEST_CASE("full attention keeps what the others lost: they are computed again beside the same blocks", "[kv][shelf]") {
  engine e = three_groups();
  const auto prompt = tokens(65);
  CHECK(e.run(prompt) == 0);
  auto r = e.open(prompt);
  REQUIRE(r);
  const kv::block_id last = r->blocks.blocks()[3];
  e.close(*r);
  REQUIRE(e.shelf().evict(1, last));
  const std::size_t live = e.pool().stats().published;
  r = e.open(prompt);
  REQUIRE(r);
  CHECK(r->reused == 48);
  CHECK(r->blocks.cached_tokens() == 64);
  e.publish(*r);
  CHECK(e.pool().stats().published == live);  // no second copy
  e.close(*r);
  CHECK(e.hit(prompt) == 64);
  CHECK(e.is_valid());
}

TEST_CASE("a state is found behind its checkpoints alone", "[kv][shelf]") {
  engine e({{}, {.block_tokens = 64, .last_blocks = 1}}, 32, {512}, 512 * 8, 512);
  CHECK(e.run(tokens(200)) == 0);
  CHECK(e.shelf().pages() == 3);
  CHECK(e.hit(tokens(200)) == 192);
  CHECK(e.hit(tokens(191)) == 128);
  CHECK(e.hit(tokens(63)) == 0);
  CHECK(e.pool().evict(1) == 1);  // the block at 176 to 192
  CHECK(e.hit(tokens(200)) == 128);
  CHECK(e.shelf().pages() == 2);
}

TEST_CASE("a page whose block left is found by nobody, and goes back when it is let go", "[kv][shelf]") {
  engine e = three_groups();
  auto r = e.open(tokens(16));
  REQUIRE(r);
  e.publish(*r);
  const kv::block_id id = r->blocks.blocks()[0];
  const auto page = e.shelf().page(0, id);
  e.shelf().drop(&id, 1);
  CHECK_FALSE(e.shelf().has(0, id));
  CHECK(e.shelf().hold(0, id).generation == 0);
  CHECK(e.space().is_current(page));
  CHECK(e.shelf().put(0, id, e.space().take(0)) == errc::in_use);
  CHECK(e.hit(tokens(16)) == 0);
  CHECK(e.is_valid());
  e.close(*r);
  CHECK_FALSE(e.space().is_current(page));
  CHECK(e.shelf().pages() == 0);
  CHECK(e.is_valid());
}

TEST_CASE("misuse of a shelf is refused and changes nothing", "[kv][shelf][bad]") {
  engine e = three_groups();
  auto& shelf = e.shelf();
  const auto page = e.space().take(0);
  CHECK(shelf.put(1, 0, page) == errc::invalid_argument);
  CHECK(shelf.put(0, 12, page) == errc::invalid_argument);
  CHECK(shelf.put(2, 0, page) == errc::invalid_argument);
  CHECK(shelf.put(0, 3, page) == errc::ok);
  CHECK(shelf.put(0, 3, page) == errc::in_use);
  CHECK_FALSE(shelf.evict(0, 3));
  CHECK(shelf.let_go(0, 3) == errc::ok);
  CHECK(shelf.let_go(0, 3) == errc::double_free);
  CHECK(shelf.let_go(1, 3) == errc::double_free);
  CHECK(shelf.evict(0, 3));
  CHECK_FALSE(shelf.evict(0, 3));
  CHECK(shelf.put(0, 3, page) == errc::invalid_argument);  // it went back
  CHECK(kv::page_shelf::open(e.space(), ~std::size_t{0}).error() == errc::out_of_memory);
  CHECK(e.is_valid());
}

TEST_CASE("requests share pages of all groups at random, and never find what is not theirs", "[kv][shelf]") {
  const unsigned seed = 33'775;
  CAPTURE(seed);
  std::mt19937 random(seed);
  engine e({{.block_tokens = 4}, {.block_tokens = 4, .last_blocks = 2}, {.block_tokens = 16, .last_blocks = 1}}, 96,
           {64, 320}, 640 * 16, 640);
  std::list<engine::request> live;
  std::size_t reused = 0, refused = 0;
  std::size_t moved = 0;
  for (int round = 0; round < 4000; ++round) {
    CAPTURE(round);
    if (random() % 2 == 0) {
      // a tree of prompts: each stretch of 8 tokens is one of two
      std::vector<kv::token> prompt;
      for (std::size_t n = 1 + random() % 12; n != 0; --n) {
        const auto first = static_cast<kv::token>(100 * (random() % 3 == 0));
        for (kv::token t = 0; t < 8; ++t) prompt.push_back(first + t);
      }
      auto r = e.open(prompt);
      if (!r) {
        ++refused;
        if (!live.empty()) e.close(live.front()), live.pop_front();
      } else {
        reused += r->reused;
        live.push_back(std::move(*r));
      }
    } else if (!live.empty()) {
      auto at = std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
      if (random() % 8 != 0) e.publish(*at);
      e.close(*at);
      live.erase(at);
    }
    if (random() % 32 == 0) e.pool().evict(random() % 8);
    if (random() % 16 == 0) moved += e.move_together(live);
    if (round % 50 == 0) REQUIRE(e.is_valid());
  }
  CHECK(reused > 1000);
  CHECK(refused > 10);
  CHECK(moved > 10);
  for (auto& each : live) e.close(each);
  CHECK(e.shelf().unheld() == e.shelf().pages());
  CHECK(e.pool().reset() == errc::ok);
  CHECK(e.shelf().pages() == 0);
  CHECK(e.space().stats().used == 0);
  CHECK(e.is_valid());
}
