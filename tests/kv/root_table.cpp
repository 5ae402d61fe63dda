#include <tokenheap/kv/root_table.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

namespace kv = tokenheap::kv;

TEST_CASE("a root lives as long as somebody holds it", "[kv][root_table]") {
  kv::root_table roots;
  REQUIRE(roots.open(1));
  std::uint32_t at = 99;
  CHECK(roots.find({}, at));
  CHECK(at == 0);
  const std::string salt = "salt";
  const kv::prefix_key key{salt.data(), salt.size(), 0};
  CHECK_FALSE(roots.find(key, at));
  const auto root = roots.hold(key);
  CHECK(root != 0);
  CHECK(roots.hold(key) == root);
  CHECK(roots.hold({salt.data(), 3, 0}) != root);
  CHECK(roots.hold({salt.data(), 4, 1}) != root);
  CHECK(roots.size() == 3);
  roots.let_go(root);
  CHECK(roots.find(key, at));
  roots.let_go(root);
  CHECK_FALSE(roots.find(key, at));
  CHECK(roots.size() == 2);
  CHECK(roots.is_valid());
  CHECK(roots.hold({nullptr, 4, 0}) == kv::root_table::none);
  CHECK_FALSE(roots.find({nullptr, 4, 0}, at));
}

TEST_CASE("many keys come and go", "[kv][root_table]") {
  kv::root_table roots;
  REQUIRE(roots.open(2));
  std::vector<std::uint32_t> held;
  for (std::uint64_t n = 1; n <= 1000; ++n) held.push_back(roots.hold({.adapter = n}));
  CHECK(roots.size() == 1000);
  for (std::uint64_t n = 1; n <= 1000; n += 2) roots.let_go(held[n - 1]);
  CHECK(roots.size() == 500);
  for (std::uint64_t n = 1; n <= 1000; ++n) {
    std::uint32_t at = 0;
    CHECK(roots.find({.adapter = n}, at) == (n % 2 == 0));
  }
  CHECK(roots.is_valid());
}
