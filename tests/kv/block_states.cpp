#include <tokenheap/kv/block_states.hpp>

#include <support/catch.hpp>

namespace kv = tokenheap::kv;

namespace {

// the books' side of it
struct rows : kv::block_states {
  explicit rows(std::size_t n) { REQUIRE(states_.open(n)); }
  void hold(kv::block_id id) { ++states_[id].references; }
  void publish(kv::block_id id) { states_[id].references |= published_bit; }
  void end_life(kv::block_id id) { states_[id] = {0, states_[id].generation + 1}; }
};

}  // namespace

TEST_CASE("references, publication and lives of blocks", "[kv][states]") {
  rows all(3);
  CHECK(all.references(0) == 0);
  CHECK_FALSE(all.is_writable(0));
  all.hold(0);
  CHECK(all.is_writable(0));
  const auto key = all.key_of(0);
  CHECK(all.is_current(key));
  CHECK_FALSE(all.is_remembered(key));
  all.let_many_hold(0);
  CHECK(all.is_writable(0));  // by its one holder
  CHECK(all.references(0) == 1);
  all.mark(0);
  CHECK(all.references(0) == 2);
  CHECK_FALSE(all.is_writable(0));
  all.unmark(0);
  all.publish(0);
  CHECK_FALSE(all.is_writable(0));
  CHECK(all.is_remembered(key));
  CHECK(all.references(0) == 1);
  all.end_life(0);
  CHECK_FALSE(all.is_current(key));
  CHECK_FALSE(all.is_remembered(key));
  all.hold(0);
  CHECK_FALSE(all.is_current(key));
  CHECK(all.is_current(all.key_of(0)));
  CHECK_FALSE(all.is_current({3, 0}));
  CHECK_FALSE(all.is_remembered({kv::no_block, 0}));
}
