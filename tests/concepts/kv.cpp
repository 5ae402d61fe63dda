#include <tokenheap/concepts/kv.hpp>

#include <support/catch.hpp>

#include <tokenheap/kv/pool_state.hpp>

namespace kv = tokenheap::kv;

namespace {

// one defect each
struct order : kv::lru {};
struct order_throws : kv::lru {
  void push(kv::block_id) {}
};
struct order_without_answer : kv::lru {
  void remove(kv::block_id) noexcept {}
};
struct order_without_victim {
  bool open(std::size_t) noexcept { return true; }
  void push(kv::block_id) noexcept {}
  bool remove(kv::block_id) noexcept { return true; }
  std::size_t size() const noexcept { return 0; }
  bool contains(kv::block_id) const noexcept { return false; }
};
struct hash_throws {
  std::uint64_t operator()(const kv::token*, std::size_t, std::uint64_t) const { return 0; }
};
struct hash_is_narrow {
  std::uint32_t operator()(const kv::token*, std::size_t, std::uint64_t) const noexcept { return 0; }
};
struct deaf {};
struct policy : kv::default_policy {};
struct policy_with_bad_order : kv::default_policy {
  using evict = order_throws;
};
struct policy_without_ears : kv::default_policy {
  using events = deaf;
};
struct policy_with_bad_lock : kv::default_policy {
  using lock = deaf;
};

static_assert(kv::eviction_order<order>);
static_assert(!kv::eviction_order<order_throws>);
static_assert(!kv::eviction_order<order_without_answer>);
static_assert(!kv::eviction_order<order_without_victim>);
static_assert(kv::token_hash<kv::mixed_hash>);
static_assert(!kv::token_hash<hash_throws>);
static_assert(!kv::token_hash<hash_is_narrow>);
static_assert(kv::prefix_index<kv::radix_index<>>);
static_assert(!kv::prefix_index<kv::lru>);
static_assert(kv::pool_policy<policy>);
static_assert(!kv::pool_policy<policy_with_bad_order>);
static_assert(!kv::pool_policy<policy_without_ears>);
static_assert(!kv::pool_policy<policy_with_bad_lock>);

}  // namespace

TEST_CASE("the ids of a pool leave two bits to the library", "[concepts][kv]") {
  CHECK(kv::max_blocks == 1'073'741'822);
  CHECK(std::size_t{kv::no_block} > kv::max_blocks);
}
