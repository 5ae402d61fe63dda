#include <tokenheap/adapt/offload_choice.hpp>

#include <support/catch.hpp>

#include <memory>
#include <string>
#include <vector>

#include <tokenheap/kv/tier_host.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

constexpr std::size_t bytes = 16;
using host = kv::host_tier<>;

offload_key key_of(unsigned char n) {
  const unsigned char hash[16] = {n};
  return offload_key::of(hash, 0);
}

/// The parts of a store, one by one.
struct chooser : offload_choice<host> {
  using base = offload_choice<host>;
  std::vector<unsigned char> memory = std::vector<unsigned char>(bytes);
  std::unique_ptr<bool[]> flags{new bool[16]()};
  std::vector<offload_key> evicted = std::vector<offload_key>(16);
  std::size_t count = 0, gone = 0;

  explicit chooser(host& below, std::size_t most = 4) : base("chooser", {1, 2}, below) {
    REQUIRE(book_.open(16, 64));
    most_ = most;
  }
  failure choose_of(const std::vector<unsigned char>& numbers) {
    std::vector<offload_key> keys;
    for (const unsigned char n : numbers) keys.push_back(key_of(n));
    const std::vector<kv::tier_span> spans(keys.size(), {memory.data(), bytes});
    REQUIRE(make_scratch(keys.size()));
    count = 0;
    return choose(keys, spans, {flags.get(), keys.size()}, count);
  }
  failure room_for(std::size_t asked) { return make_room(asked, count, evicted, gone = 0); }
  void finish() {
    const kv::tier_ticket t = below_->prepare_store(names_.first(), spans_.first(), count);
    std::vector<kv::tier_answer> said(count + 1);
    REQUIRE(below_->complete_store(t, true, said.data()) == count);
    for (std::size_t k = 0; k != count; ++k) book_.mark_stored(slots_[k]);
  }
  void undo() {
    for (std::size_t k = 0; k != count; ++k) book_.drop(slots_[k]);
  }
  kv::tier_answer look(unsigned char n) { return ask(tier_name(key_of(n), secret_)); }
  const offload_book& book() const { return book_; }
  failure why() const { return refuse(errc::in_use, "a thing", 1, 2, "a fix"); }
};

}  // namespace

TEST_CASE("new keys come first in the rows, in their order, and each once") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 4}}, heap);
  chooser c(*tier);
  REQUIRE(c.choose_of({1, 2, 1, 3}).code == errc::ok);
  CHECK(c.count == 3);
  CHECK((c.flags[0] && c.flags[1] && !c.flags[2] && c.flags[3]));
  REQUIRE(c.room_for(4).code == errc::ok);
  CHECK(c.gone == 0);
  c.finish();
  REQUIRE(c.choose_of({3, 4, 1}).code == errc::ok);
  CHECK(c.count == 1);
  CHECK((!c.flags[0] && c.flags[1] && !c.flags[2]));
  c.undo();
  CHECK(c.look(4) == kv::tier_answer::miss);
  CHECK(c.book().size() == 3);
}

TEST_CASE("room is made by who is longest unused and not of the batch") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 4}}, heap);
  chooser c(*tier);
  REQUIRE(c.choose_of({1, 2, 3, 4}).code == errc::ok);
  c.finish();
  REQUIRE(c.choose_of({1, 2, 5}).code == errc::ok);
  REQUIRE(c.room_for(3).code == errc::ok);
  REQUIRE(c.gone == 1);
  CHECK(c.evicted[0] == key_of(3));
  c.finish();
  // 1, 2, 4 and 5 are there; a batch that names three of them has one victim, and needs two
  REQUIRE(c.choose_of({1, 2, 5, 6, 7}).code == errc::ok);
  const failure no = c.room_for(5);
  CHECK(no.code == errc::out_of_memory);
  CHECK(no.need == 2);
  CHECK(no.available == 1);
  c.undo();
  for (const unsigned char n : std::vector<unsigned char>{1, 2, 4, 5}) CHECK(c.look(n) == kv::tier_answer::hit);
  CHECK(tier->stats().blocks == 4);
  CHECK(tier->is_valid());
}

TEST_CASE("more keys than the tier has blocks are refused before anything is asked to leave") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 4}}, heap);
  chooser c(*tier, 2);
  const failure no = c.choose_of({1, 2, 3});
  CHECK(no.code == errc::too_large);
  CHECK(no.need == 3);
  CHECK(no.available == 2);
  CHECK(std::string(no.pool) == "chooser");
  CHECK(c.count == 2);  // for the caller to undo
  CHECK(std::string(c.why().fix) == "a fix");
}
