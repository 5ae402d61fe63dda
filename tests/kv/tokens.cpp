#include <tokenheap/kv/tokens.hpp>

#include <support/catch.hpp>

#include <set>
#include <vector>

namespace kv = tokenheap::kv;

TEST_CASE("tokens are equal when every one is, at any length", "[kv][tokens]") {
  for (std::size_t n = 0; n <= 67; ++n) {
    std::vector<kv::token> a(n + 1);
    for (std::size_t at = 0; at <= n; ++at) a[at] = static_cast<kv::token>(at * 0x01010101);
    std::vector<kv::token> b(n + 1);
    kv::copy_tokens(b.data(), a.data(), n);
    CHECK(kv::equal_tokens(a.data(), b.data(), n));
    for (std::size_t at = 0; at < n; ++at) {
      b[at] ^= 0x80000000;
      CHECK_FALSE(kv::equal_tokens(a.data(), b.data(), n));
      b[at] ^= 0x80000000;
    }
    b[n] = a[n] + 1;
    CHECK(kv::equal_tokens(a.data(), b.data(), n));
  }
}

TEST_CASE("the hash sees every token, its place and the seed", "[kv][tokens]") {
  std::set<std::uint64_t> seen;
  for (std::size_t n = 1; n <= 20; ++n) {
    std::vector<kv::token> a(n, 5);
    seen.insert(kv::mixed_hash{}(a.data(), n, 0) >> 32);
    seen.insert(kv::mixed_hash{}(a.data(), n, 1) >> 32);
    for (std::size_t at = 0; at < n; ++at) {
      ++a[at];
      seen.insert(kv::mixed_hash{}(a.data(), n, 0) >> 32);
      --a[at];
    }
  }
  CHECK(seen.size() == 40 + 210);
}
