#include <tokenheap/kv/expiry_wheel.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <support/catch.hpp>

namespace kv = tokenheap::kv;

TEST_CASE("expiry_wheel: each block falls when its tick has come, like a sorted map", "[kv][expiry_wheel]") {
  constexpr std::size_t blocks = 64;
  for (const std::uint64_t widest : {std::uint64_t{8}, std::uint64_t{5000}, kv::expiry_wheel::horizon}) {
    const unsigned seed = static_cast<unsigned>(widest);
    INFO("seed " << seed);
    std::mt19937_64 dice(seed);
    kv::expiry_wheel wheel;
    REQUIRE(wheel.open(blocks));
    std::multimap<std::uint64_t, kv::block_id> plain;
    std::vector<std::uint64_t> due(blocks);
    std::size_t fell = 0;
    for (int round = 0; round < 3000; ++round) {
      const auto id = static_cast<kv::block_id>(dice() % blocks);
      if (wheel.contains(id)) {
        REQUIRE(wheel.due(id) == due[id]);
        wheel.remove(id);
        for (auto at = plain.lower_bound(due[id]);; ++at) {
          if (at->second != id) continue;
          plain.erase(at);
          break;
        }
      } else {
        due[id] = wheel.now() + 1 + dice() % widest;
        REQUIRE(wheel.is_ahead(due[id]));
        wheel.add(id, due[id]);
        plain.emplace(due[id], id);
      }
      if (dice() % 4 != 0) continue;
      const std::uint64_t now = wheel.now() + dice() % (widest / 4 + 2);
      std::vector<std::pair<std::uint64_t, kv::block_id>> got;
      wheel.advance(now, [&](kv::block_id one) { got.emplace_back(due[one], one); });
      std::vector<std::pair<std::uint64_t, kv::block_id>> wanted(plain.begin(), plain.upper_bound(now));
      plain.erase(plain.begin(), plain.upper_bound(now));
      REQUIRE(got.size() == wanted.size());
      // ticks in order, and each block once
      for (std::size_t at = 0; at < got.size(); ++at) REQUIRE(got[at].first == wanted[at].first);
      std::sort(got.begin(), got.end());
      std::sort(wanted.begin(), wanted.end());
      REQUIRE(got == wanted);
      for (const auto& [tick, one] : got) REQUIRE_FALSE(wheel.contains(one));
      REQUIRE(wheel.now() == now);
      fell += got.size();
    }
    CHECK(fell > 100);
  }
}

TEST_CASE("expiry_wheel: what is not ahead cannot be added", "[kv][expiry_wheel]") {
  kv::expiry_wheel wheel;
  REQUIRE(wheel.open(4));
  wheel.advance(100, [](kv::block_id) {});
  CHECK((!wheel.is_ahead(100) && wheel.is_ahead(101) && wheel.is_ahead(100 + kv::expiry_wheel::horizon)));
  CHECK_FALSE(wheel.is_ahead(101 + kv::expiry_wheel::horizon));
}
