#include <tokenheap/kv/sequence_options.hpp>

#include <support/catch.hpp>

#include <vector>

using namespace tokenheap;

TEST_CASE("sequence_options: a request that says nothing reads the cache and shares within its tenant", "[kv]") {
  constexpr kv::sequence_options plain{};
  STATIC_REQUIRE((plain.read_cache && plain.recompute_last && !plain.partial));
  STATIC_REQUIRE((plain.share == kv::share_scope::tenant && plain.key.tenant == 0));
}

TEST_CASE("sequence_options: the key that is shared follows the scope", "[kv]") {
  kv::sequence_options with{.key = {.adapter = 3, .tenant = 7}};
  CHECK((with.shared_key(9).tenant == 7 && with.shared_key(9).request == 0 && with.shared_key(9).adapter == 3));
  with.share = kv::share_scope::process;
  CHECK((with.shared_key(9).tenant == 0 && with.shared_key(9).request == 0));
  with.share = kv::share_scope::request;
  CHECK((with.shared_key(9).tenant == 7 && with.shared_key(9).request == 9));
  CHECK((with.reusable(0) == 0 && with.reusable(5) == 4));
  with.recompute_last = false;
  CHECK(with.reusable(5) == 5);
  with.read_cache = false;
  CHECK(with.reusable(5) == 0);
}

TEST_CASE("56: a block is worth what the range of its first token says", "[kv][scenario]") {
  const auto priorities = [](std::vector<kv::retained_range> ranges, std::size_t block_tokens, std::size_t tokens) {
    kv::sequence_options with{.value = {.priority = 0}, .retention = ranges};
    REQUIRE(with.why_not() == nullptr);
    kv::kept_worth kept;
    REQUIRE(kept.open(with));
    std::vector<int> made;
    for (std::size_t first = 0; first < tokens; first += block_tokens) made.push_back(kept.of_block(first).priority);
    return made;
  };
  const auto range = [](std::size_t first, std::size_t end, std::uint8_t priority) {
    return kv::retained_range{.first = first, .end = end, .value = {.priority = priority, .later = priority}};
  };
  CHECK(priorities({range(0, 64, 80), range(64, 128, 50)}, 64, 256) == std::vector<int>{80, 50, 0, 0});
  CHECK(priorities({range(0, 65, 80), range(65, 129, 30)}, 64, 192) == std::vector<int>{80, 80, 30});
  CHECK(priorities({range(127, 193, 80)}, 64, 256) == std::vector<int>{0, 0, 80, 80});
  CHECK(priorities({range(0, 64, 80), range(66, 67, 50)}, 64, 256) == std::vector<int>{80, 0, 0, 0});
  const auto refused = [](std::vector<kv::retained_range> ranges) {
    return kv::sequence_options{.retention = ranges}.why_not() != nullptr;
  };
  CHECK(refused({range(0, ~std::size_t{0}, 80), range(64, 128, 50)}));
  CHECK(refused({range(0, 64, 80), range(63, 128, 50)}));
  CHECK(refused({range(64, 64, 80)}));
  CHECK(refused({range(64, 0, 80)}));
  CHECK(refused({range(0, 64, 101)}));
}
