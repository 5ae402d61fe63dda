#include <tokenheap/kv/prefix_walk.hpp>

#include <support/catch.hpp>

#include <kv/kit.hpp>

using namespace kit;

TEST_CASE("a walk counts blocks over many steps, those that nobody holds apart, and stops where the prompt differs",
          "[kv][walk]") {
  kv::pool_state<kv::default_policy> books;
  REQUIRE(books.open({.blocks = 300, .block_tokens = 2}).code == errc::ok);
  const auto root = books.index().hold_root({});
  const auto prompt = count_up(401);
  std::vector<kv::block_id> chain(200);
  books.take(chain.data(), 200, kv::pool_state<kv::default_policy>::owner::request);
  books.index().write(chain.data(), 200, prompt.data());
  CHECK(kv::walk_prefix(books, prompt, {}).blocks == 0);
  books.publish(root, chain.data(), 0, 200);
  auto found = kv::walk_prefix(books, prompt, {});
  CHECK(found.blocks == 200);
  CHECK(found.cached == 0);
  CHECK(found.end == books.index().position_of(chain[199]));
  books.give_chain(chain.data() + 150, 50);
  found = kv::walk_prefix(books, prompt, {});
  CHECK(found.cached == 50);
  kv::column<kv::block_id> listed;
  REQUIRE(kv::list_prefix(books, chain[70], listed));
  CHECK(listed.size() == 71);
  for (std::size_t at = 0; at < listed.size(); ++at) CHECK(listed[at] == chain[at]);
  auto other = prompt;
  other[257] = 9999;
  CHECK(kv::walk_prefix(books, other, {}).blocks == 128);
  CHECK(kv::walk_prefix(books, std::span(prompt).first(1), {}).blocks == 0);
  CHECK(kv::walk_prefix(books, prompt, {.tenant = 3}).blocks == 0);
}
