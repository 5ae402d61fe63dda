#include <tokenheap/concepts/kv.hpp>

#include <support/catch.hpp>

#include <tokenheap/kv/sequence.hpp>

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
// a member of that name hides the function that the pool calls
struct order_without_open : kv::lru { int open = 0; };
struct order_without_pop : kv::lru { int pop = 0; };
struct order_without_victim : kv::lru { int victim = 0; };
struct order_without_size : kv::lru { int size = 0; };
struct order_without_members : kv::lru { int contains = 0; };
struct order_without_bytes : kv::lru { int bytes = 0; };
struct order_without_check : kv::lru { int is_valid = 0; };
struct order_of_few : kv::lru {
  void pop(kv::block_id*, std::size_t) noexcept {}
};

// all that a pool calls, and nothing behind it
template <class Self>
struct some_index {
  using position = std::uint32_t;
  using options = kv::index_options;
  static tokenheap::result<Self> open(const kv::index_options&) noexcept { return Self{}; }
  std::size_t match(position, const kv::token*, std::size_t, kv::block_id*) const noexcept { return 0; }
  void publish(position, const kv::block_id*, std::size_t) noexcept {}
  void remove(const kv::block_id*, std::size_t) noexcept {}
  void prefetch(kv::block_id) const noexcept {}
  void write(kv::block_id, std::size_t, const kv::token*, std::size_t) noexcept {}
  void write(const kv::block_id*, std::size_t, const kv::token*) noexcept {}
  const kv::token* tokens_of(kv::block_id) const noexcept { return nullptr; }
  position hold_root(const kv::prefix_key&) noexcept { return 1; }
  void share_root(position) noexcept {}
  void let_go_root(position) noexcept {}
  position find_root(const kv::prefix_key&) const noexcept { return 0; }
  static bool is_root(position) noexcept { return true; }
  position position_of(kv::block_id) const noexcept { return 1; }
  position parent_of(kv::block_id) const noexcept { return 1; }
  template <class See>
  void each_holder(position, See&&) const noexcept {}
  bool is_published(kv::block_id) const noexcept { return false; }
  std::size_t size() const noexcept { return 0; }
  std::size_t bytes() const noexcept { return 0; }
  bool is_valid() const noexcept { return true; }
};
struct index_of_nothing : some_index<index_of_nothing> {};
struct index_unopened : some_index<index_unopened> { int open = 0; };
struct index_of_another : some_index<index_of_nothing> {};
struct index_without_match : some_index<index_without_match> { int match = 0; };
struct index_without_publish : some_index<index_without_publish> { int publish = 0; };
struct index_of_single_blocks : some_index<index_of_single_blocks> {
  position publish(position at, kv::block_id) noexcept { return at; }
};
struct index_without_remove : some_index<index_without_remove> { int remove = 0; };
struct index_without_prefetch : some_index<index_without_prefetch> { int prefetch = 0; };
struct index_of_whole_blocks : some_index<index_of_whole_blocks> {
  void write(const kv::block_id*, std::size_t, const kv::token*) noexcept {}
};
struct index_of_parts : some_index<index_of_parts> {
  void write(kv::block_id, std::size_t, const kv::token*, std::size_t) noexcept {}
};
struct index_without_tokens : some_index<index_without_tokens> { int tokens_of = 0; };
struct index_without_hold : some_index<index_without_hold> { int hold_root = 0; };
struct index_without_share : some_index<index_without_share> { int share_root = 0; };
struct index_without_let_go : some_index<index_without_let_go> { int let_go_root = 0; };
struct index_without_find : some_index<index_without_find> { int find_root = 0; };
struct index_without_is_root : some_index<index_without_is_root> { int is_root = 0; };
struct index_without_positions : some_index<index_without_positions> { int position_of = 0; };
struct index_without_parents : some_index<index_without_parents> { int parent_of = 0; };
struct index_without_holders : some_index<index_without_holders> { int each_holder = 0; };
struct index_without_published : some_index<index_without_published> { int is_published = 0; };
struct index_without_size : some_index<index_without_size> { int size = 0; };
struct index_without_bytes : some_index<index_without_bytes> { int bytes = 0; };
struct index_without_check : some_index<index_without_check> { int is_valid = 0; };
struct index_throws : some_index<index_throws> {
  position position_of(kv::block_id) const { return 1; }
};
struct index_that_stays : some_index<index_that_stays> {
  index_that_stays() = default;
  index_that_stays(index_that_stays&&) = default;
  index_that_stays& operator=(index_that_stays&&) = delete;
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
struct policy_with_own_index : kv::default_policy {
  using prefixes = index_of_nothing;
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
static_assert(!kv::eviction_order<order_without_open>);
static_assert(!kv::eviction_order<order_without_pop>);
static_assert(!kv::eviction_order<order_of_few>);
static_assert(!kv::eviction_order<order_without_victim>);
static_assert(!kv::eviction_order<order_without_size>);
static_assert(!kv::eviction_order<order_without_members>);
static_assert(!kv::eviction_order<order_without_bytes>);
static_assert(!kv::eviction_order<order_without_check>);
static_assert(kv::token_hash<kv::mixed_hash>);
static_assert(!kv::token_hash<hash_throws>);
static_assert(!kv::token_hash<hash_is_narrow>);
static_assert(kv::prefix_index<kv::radix_index<>>);
static_assert(!kv::prefix_index<kv::lru>);
static_assert(kv::prefix_index<index_of_nothing>);
static_assert(!kv::prefix_index<index_unopened>);
static_assert(!kv::prefix_index<index_of_another>);
static_assert(!kv::prefix_index<index_without_match>);
static_assert(!kv::prefix_index<index_without_publish>);
static_assert(!kv::prefix_index<index_of_single_blocks>);
static_assert(!kv::prefix_index<index_without_remove>);
static_assert(!kv::prefix_index<index_without_prefetch>);
static_assert(!kv::prefix_index<index_of_whole_blocks>);
static_assert(!kv::prefix_index<index_of_parts>);
static_assert(!kv::prefix_index<index_without_tokens>);
static_assert(!kv::prefix_index<index_without_hold>);
static_assert(!kv::prefix_index<index_without_share>);
static_assert(!kv::prefix_index<index_without_let_go>);
static_assert(!kv::prefix_index<index_without_find>);
static_assert(!kv::prefix_index<index_without_is_root>);
static_assert(!kv::prefix_index<index_without_positions>);
static_assert(!kv::prefix_index<index_without_parents>);
static_assert(!kv::prefix_index<index_without_holders>);
static_assert(!kv::prefix_index<index_without_published>);
static_assert(!kv::prefix_index<index_without_size>);
static_assert(!kv::prefix_index<index_without_bytes>);
static_assert(!kv::prefix_index<index_without_check>);
static_assert(!kv::prefix_index<index_throws>);
static_assert(!kv::prefix_index<index_that_stays>);
static_assert(kv::pool_policy<policy>);
static_assert(!kv::pool_policy<policy_with_bad_order>);
static_assert(!kv::pool_policy<policy_without_ears>);
static_assert(!kv::pool_policy<policy_with_bad_lock>);

}  // namespace

TEST_CASE("a pool runs over an index that answers what the concept asks, and nothing more", "[concepts][kv]") {
  auto pool = kv::block_pool<policy_with_own_index>::open({.blocks = 4, .block_tokens = 2});
  REQUIRE(pool);
  const kv::token prompt[] = {1, 2, 3, 4, 5};
  auto s = kv::sequence<kv::block_pool<policy_with_own_index>>::open(*pool, prompt);
  REQUIRE(s);
  CHECK(s->cached_tokens() == 0);
  REQUIRE(s->fork());
  CHECK(s->append(prompt) == tokenheap::errc::too_large);
  CHECK(s->rewind(1) == tokenheap::errc::ok);
  CHECK(pool->match(prompt) == 0);
  CHECK(pool->is_valid());
  CHECK(s->close() == tokenheap::errc::ok);
  CHECK(pool->stats().free == 4);
}

TEST_CASE("the ids of a pool leave two bits to the library", "[concepts][kv]") {
  CHECK(kv::max_blocks == 1'073'741'822);
  CHECK(std::size_t{kv::no_block} > kv::max_blocks);
}
