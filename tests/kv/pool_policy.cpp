#include <tokenheap/kv/pool_policy.hpp>

#include <cstdint>
#include <vector>

#include <kv/kit.hpp>

using namespace kit;

namespace {

// an order that remembers what it was told; blocks leave as lru says
struct told : kv::lru {
  std::vector<std::pair<kv::block_id, int>> values;
  std::vector<kv::block_id> reused;
  void value(kv::block_id id, const kv::worth& of) noexcept { values.emplace_back(id, of.priority); }
  void reuse(kv::block_id id) noexcept { reused.push_back(id); }
};

// events that remember what they were told
struct heard {
  std::vector<std::string> lines;
  std::size_t blocks = 0;
  bool open(std::size_t n, std::size_t, std::uint64_t) noexcept { return blocks = n, true; }
  template <class Index>
  void on_stored(const Index& index, typename Index::position, const kv::block_id* chain, std::size_t from,
                 std::size_t to) noexcept {
    for (std::size_t at = from; at < to; ++at) {
      lines.push_back("stored " + std::to_string(chain[at]) + " " + std::to_string(index.tokens_of(chain[at])[0]));
    }
  }
  template <class Index>
  void on_removed(const Index& index, const kv::block_id* ids, std::size_t n, kv::removal why) noexcept {
    for (std::size_t at = 0; at < n; ++at) {
      lines.push_back("removed " + std::to_string(ids[at]) + " " + std::to_string(static_cast<int>(why)) +
                      (index.is_published(ids[at]) ? "" : " too late"));
    }
  }
  void on_all_cleared() noexcept { lines.emplace_back("cleared"); }
};

struct listening : kv::default_policy {
  using evict = told;
  using events = heard;
};

using listening_pool = kv::block_pool<listening>;

}  // namespace

TEST_CASE("pool_policy: an order hears what blocks are worth, and when they are found again", "[kv]") {
  auto pool = listening_pool::open({.blocks = 8, .block_tokens = 4});
  REQUIRE(pool);
  const std::vector<kv::retained_range> ranges{{.first = 0, .end = 5, .value = {.priority = 90}},
                                               {.first = 5, .end = 6, .value = {.priority = 40}}};
  const auto prompt = count_up(13);
  {
    auto s = kv::sequence<listening_pool>::open(*pool, prompt, {.value = {.priority = 10}, .retention = ranges});
    REQUIRE(s->publish(4) == errc::ok);
    REQUIRE(s->publish(12) == errc::ok);
  }
  const auto again = kv::sequence<listening_pool>::open(*pool, count_up(9));
  pool->with_order([](told& order) {
    CHECK(order.values == std::vector<std::pair<kv::block_id, int>>{{0, 90}, {1, 90}, {2, 10}});
    CHECK(order.reused == std::vector<kv::block_id>{0, 1});
  });
}

TEST_CASE("pool_policy: events hear what is stored, what leaves and why, while the index still knows it", "[kv]") {
  auto pool = listening_pool::open({.blocks = 4, .block_tokens = 4});
  REQUIRE(pool);
  CHECK(pool->events().blocks == 4);
  {
    auto s = kv::sequence<listening_pool>::open(*pool, count_up(12));
    REQUIRE(s->publish(8) == errc::ok);
    REQUIRE(s->publish(12) == errc::ok);
  }
  CHECK(pool->evict(1) == 1);
  static_cast<void>(kv::sequence<listening_pool>::open(*pool, count_up(12, 50)));
  CHECK(pool->reset() == errc::ok);
  CHECK(pool->events().lines == std::vector<std::string>{"stored 0 0", "stored 1 4", "stored 2 8", "removed 2 1",
                                                         "removed 1 0", "removed 0 2", "cleared"});
}
