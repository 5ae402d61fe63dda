#include <tokenheap/kv/prefix_index.hpp>

#include <support/catch.hpp>
#include <tokenheap/kv/hash_chain.hpp>

#include <vector>

namespace kv = tokenheap::kv;
using index_type = kv::radix_index<>;

TEMPLATE_TEST_CASE("an index finds the longest published prefix, past branches and runs", "[kv][prefix_index]",
                   kv::radix_index<>, kv::hash_chain_index<>) {
  auto made = TestType::open({.blocks = 16, .block_tokens = 2});
  REQUIRE(made);
  auto& tree = *made;
  const auto root = tree.hold_root({});
  REQUIRE(root != 0);
  const auto put = [&](typename TestType::position at, kv::block_id id, kv::token first) {
    const kv::token two[] = {first, first + 1};
    tree.write(id, 0, two, 2);
    tree.publish(at, &id, 1);
    return tree.position_of(id);
  };
  const auto head = put(root, 0, 10);
  const auto left = put(head, 1, 20);
  put(head, 2, 30);
  put(head, 3, 40);
  put(left, 4, 50);
  CHECK(tree.size() == 5);
  CHECK(tree.is_valid());
  CHECK(tree.has_children(0));
  CHECK_FALSE(tree.has_children(4));
  const std::vector<kv::token> prompt{10, 11, 20, 21, 50, 51, 60, 61};
  kv::block_id out[4] = {};
  REQUIRE(tree.match(root, prompt.data(), 4, out) == 3);
  CHECK(std::vector<kv::block_id>(out, out + 3) == std::vector<kv::block_id>{0, 1, 4});
  CHECK(tree.match(root, prompt.data(), 2, out) == 2);
  CHECK(tree.match(root, prompt.data() + 2, 3, out) == 0);
  // an equal block is found in the place of the first one when that goes
  CHECK(put(left, 5, 50) == tree.position_of(4));
  CHECK(tree.position_of(5) == tree.position_of(4));
  tree.remove(4);
  CHECK(tree.is_valid());
  REQUIRE(tree.match(root, prompt.data(), 4, out) == 3);
  CHECK(out[2] == 5);
  for (const kv::block_id id : {5U, 3U, 1U, 2U, 0U}) {
    tree.remove(id);
    CHECK(tree.is_valid());
  }
  CHECK(tree.size() == 0);
  tree.let_go_root(root);
}

TEST_CASE("a run is published at once and its end is taken off step by step", "[kv][prefix_index]") {
  auto made = index_type::open({.blocks = 8, .block_tokens = 1});
  REQUIRE(made);
  auto& tree = *made;
  const auto root = tree.hold_root({});
  for (kv::token t = 0; t < 5; ++t) tree.write(t, 0, &t, 1);
  const kv::block_id run[] = {0, 1, 2, 3, 4};
  tree.publish(root, run, 5);
  CHECK(tree.size() == 5);
  CHECK(tree.is_valid());
  CHECK_FALSE(tree.remove_end(2));
  for (kv::block_id id = 4; id > 0; --id) {
    CHECK(tree.remove_end(id));
    CHECK(tree.is_valid());
  }
  // the first one hangs below a root, which is not so simple
  CHECK_FALSE(tree.remove_end(0));
  tree.remove(0);
  CHECK(tree.size() == 0);
  tree.let_go_root(root);
}

TEMPLATE_TEST_CASE("chains are taken off from their ends, and what is not so simple between them too",
                   "[kv][prefix_index]", kv::radix_index<>, kv::hash_chain_index<>) {
  auto made = TestType::open({.blocks = 16, .block_tokens = 1});
  REQUIRE(made);
  auto& tree = *made;
  const auto root = tree.hold_root({});
  for (kv::token t = 0; t < 12; ++t) {
    const kv::token kept = t >= 8 ? t - 4 : t;  // 8 to 11 hold what 4 to 7 hold
    tree.write(t, 0, &kept, 1);
  }
  const kv::block_id run[] = {0, 1, 2, 3, 4, 5};
  tree.publish(root, run, 6);
  const kv::block_id branch[] = {6, 7};
  tree.publish(tree.position_of(3), branch, 2);
  const kv::block_id again[] = {8, 9};
  tree.publish(tree.position_of(3), again, 2);
  REQUIRE(tree.size() == 10);
  REQUIRE(tree.is_valid());
  // a whole end, a duplicate, a primary that hands over, then a branch
  const kv::block_id first[] = {5, 9, 4, 7};
  tree.remove(first, 4);
  CHECK(tree.is_valid());
  CHECK(tree.size() == 6);
  CHECK_FALSE(tree.has_children(6));
  const kv::block_id rest[] = {6, 8, 3, 2};
  tree.remove(rest, 4);
  CHECK(tree.is_valid());
  CHECK(tree.size() == 2);
  CHECK_FALSE(tree.has_children(1));
  const kv::block_id last[] = {1, 0};
  tree.remove(last, 2);
  CHECK(tree.is_valid());
  CHECK(tree.size() == 0);
  tree.let_go_root(root);
}
