#include <tokenheap/kv/xxh3.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <set>
#include <utility>
#include <vector>

#if __has_include(<xxhash.h>)
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

namespace kv = tokenheap::kv;

namespace {

static_assert(kv::block_hash<kv::xxh3_128>);

constexpr std::uint64_t prime = 0x9e3779b1;

// the bytes over which the authors of xxHash publish their vectors
std::vector<unsigned char> sanity_bytes(std::size_t n) {
  std::vector<unsigned char> made(n);
  std::uint64_t at = prime;
  for (unsigned char& b : made) {
    b = static_cast<unsigned char>(at >> 56);
    at *= 0x9e3779b185ebca8d;
  }
  return made;
}

struct vector128 {
  std::size_t n;
  std::uint64_t seed;
  std::uint64_t low;
  std::uint64_t high;
};

constexpr vector128 official[] = {
    {0, 0, 0x6001c324468d497f, 0x99aa06d3014798d8},
    {0, prime, 0x5444f7869c671ab0, 0x92220ae55e14ab50},
    {1, 0, 0xc44bdff4074eecdb, 0xa6cd5e9392000f6a},
    {1, prime, 0xb53d5557e7f76f8d, 0x89b99554ba22467c},
    {6, 0, 0x3e7039bdda43cfc6, 0x082afe0b8162d12a},
    {6, prime, 0x269d8f70be98856e, 0x5a865b5389abd2b1},
    {12, 0, 0x061a192713f69ad9, 0x6e3efd8fc7802b18},
    {12, prime, 0x9be9f9a67f3c7dfb, 0xd7e09d518a3405d3},
    {24, 0, 0x1e7044d28b1b901d, 0x0ce966e4678d3761},
    {24, prime, 0xd7304c54ebad40a9, 0x3162026714a6a243},
    {48, 0, 0xf942219aed80f67b, 0xa002ac4e5478227e},
    {48, prime, 0x7ba3c3e453a1934e, 0x163adde36c072295},
    {81, 0, 0x5e8bafb9f95fb803, 0x4952f58181ab0042},
    {81, prime, 0x703fbb3d7a5f755c, 0x2724ec7adc750fb6},
    {222, 0, 0xf1aebd597cec6b3a, 0x337e09641b948717},
    {222, prime, 0xae995bb8af917a8d, 0x91820016621e97f1},
    {403, 0, 0xcdeb804d65c6dea4, 0x1b6de21e332dd73d},
    {403, prime, 0x1fef87bd75dbe404, 0x1ef41459552cb839},
    {512, 0, 0x617e49599013cb6b, 0x18d2d110dcc9bca1},
    {512, prime, 0x545f610e9f5a78ec, 0x06eeb0d56508040f},
    {2048, 0, 0xdd59e2c3a5f038e0, 0xf736557fd47073a5},
    {2048, prime, 0x230d43f30206260b, 0x7fb03f7e7186c3ea},
    {2240, 0, 0x6e73a90539cf2948, 0xccb134fbfa7ce49d},
    {2240, prime, 0xed385111126fba6f, 0x50a1fe17b338995f},
    {2367, 0, 0xcb37aeb9e5d361ed, 0xe89c0f6ff369b427},
    {2367, prime, 0x6f5360ae69c2f406, 0xd23aae4b76c31ecb},
};

}  // namespace

TEST_CASE("the official vectors of XXH3-128", "[kv][xxh3]") {
  const auto bytes = sanity_bytes(2367);
  for (const vector128& v : official) {
    CAPTURE(v.n, v.seed);
    CHECK(kv::xxh3(bytes.data(), v.n, v.seed) == kv::hash128{v.low, v.high});
  }
}

#ifdef XXH_INLINE_ALL
TEST_CASE("every length up to three blocks and a bit has the bits of libxxhash", "[kv][xxh3]") {
  const auto bytes = sanity_bytes(3'200);
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1024}, prime, ~std::uint64_t{0}}) {
    for (std::size_t n = 0; n <= bytes.size(); ++n) {
      const XXH128_hash_t other = XXH3_128bits_withSeed(bytes.data(), n, seed);
      if (!(kv::xxh3(bytes.data(), n, seed) == kv::hash128{other.low64, other.high64})) FAIL(n << " bytes, " << seed);
    }
  }
}
#endif

TEST_CASE("xxh3_128 hashes the parent's bytes and then the tokens", "[kv][xxh3]") {
  const std::uint64_t seed = 1024;
  const auto hash = kv::xxh3_128::open(&seed, sizeof seed);
  const kv::hash128 parent{77, 88};
  std::vector<kv::token> tokens(1'200);
  for (std::size_t at = 0; at < tokens.size(); ++at) tokens[at] = static_cast<kv::token>(at * at + 5);
  const auto spelt = [&](kv::hash128 before, std::size_t from, std::size_t n) {
    std::vector<unsigned char> bytes(16 + 4 * n);
    std::memcpy(bytes.data(), &before, 16);
    if (n != 0) std::memcpy(bytes.data() + 16, tokens.data() + from, 4 * n);
    return kv::xxh3(bytes.data(), bytes.size(), seed);
  };
  for (const std::size_t n : {0u, 1u, 16u, 57u, 64u, 495u, 496u}) CHECK(hash(parent, tokens.data(), n) == spelt(parent, 0, n));
  CHECK(hash(parent, tokens.data(), 497) == spelt(spelt(parent, 0, 496), 496, 1));
  CHECK(hash(parent, tokens.data(), 1'200) == spelt(spelt(spelt(parent, 0, 496), 496, 496), 992, 208));
  CHECK_FALSE(hash.root("a", 1) == hash.root("b", 1));
  CHECK_FALSE(hash.root(tokens.data(), 80) == kv::xxh3(tokens.data(), 80, seed));
}

TEST_CASE("xxh3_128: seeds of any length, and each token counts", "[kv][xxh3]") {
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  const std::vector<unsigned char> zeros(32);
  std::vector<kv::token> tokens(16);
  for (std::size_t n = 0; n <= 32; ++n) {
    if (n == 8) continue;
    const kv::hash128 h = kv::xxh3_128::open(zeros.data(), n)({}, tokens.data(), 16);
    seen.insert({h.low, h.high});
  }
  const kv::xxh3_128 plain = kv::xxh3_128::open(zeros.data(), 8);
  for (std::size_t bit = 0; bit < 512; ++bit) {
    tokens[bit / 32] ^= kv::token{1} << (bit % 32);
    const kv::hash128 h = plain({}, tokens.data(), 16);
    seen.insert({h.low, h.high});
    tokens[bit / 32] ^= kv::token{1} << (bit % 32);
  }
  CHECK(seen.size() == 32 + 512);
}
