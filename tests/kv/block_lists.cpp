#include <tokenheap/kv/block_lists.hpp>

#include <algorithm>
#include <cstdint>
#include <list>
#include <random>
#include <vector>

#include <support/catch.hpp>

namespace kv = tokenheap::kv;

TEST_CASE("block_lists: the same as standard lists, whatever is added and taken out", "[kv][block_lists]") {
  constexpr std::size_t blocks = 40;
  constexpr std::size_t lists = 5;
  kv::block_lists ours;
  REQUIRE(ours.open(blocks, lists));
  std::vector<std::list<kv::block_id>> plain(lists);
  const unsigned seed = 7;
  INFO("seed " << seed);
  std::mt19937 dice(seed);
  for (int round = 0; round < 20000; ++round) {
    const auto id = static_cast<kv::block_id>(dice() % blocks);
    const std::size_t list = dice() % lists;
    if (ours.contains(id)) {
      const auto home = std::find_if(plain.begin(), plain.end(), [id](const std::list<kv::block_id>& one) {
        return std::find(one.begin(), one.end(), id) != one.end();
      });
      REQUIRE(home != plain.end());
      const bool ends = home->back() == id;
      REQUIRE(ours.ended_by(id) == (ends ? static_cast<std::size_t>(home - plain.begin()) : kv::block_lists::none));
      home->remove(id);
      const std::size_t emptied = ours.remove(id);
      REQUIRE(emptied == (home->empty() ? static_cast<std::size_t>(home - plain.begin()) : kv::block_lists::none));
    } else if (dice() % 2 == 0) {
      ours.add(list, id);
      plain[list].push_back(id);
    } else {
      ours.add_first(list, id);
      plain[list].push_front(id);
    }
    REQUIRE(ours.walk(list) == plain[list].size());
    REQUIRE(ours.is_empty(list) == plain[list].empty());
    kv::block_id at = ours.first(list);
    for (const kv::block_id wanted : plain[list]) {
      REQUIRE(at == wanted);
      at = ours.next(at);
    }
    REQUIRE(at == kv::no_block);
    REQUIRE(ours.fetch_after(id) < blocks);
  }
}

TEST_CASE("block_lists: a block that is in none is in none", "[kv][block_lists]") {
  kv::block_lists lists;
  REQUIRE(lists.open(2, 1));
  CHECK((!lists.contains(0) && !lists.contains(1) && !lists.contains(2) && !lists.contains(kv::no_block)));
  lists.add(0, 0);
  CHECK((lists.contains(0) && lists.count() == 2 && lists.bytes() >= 3 * 12));
  CHECK(lists.remove(0) == 0);
  CHECK((!lists.contains(0) && lists.first(0) == kv::no_block));
}
