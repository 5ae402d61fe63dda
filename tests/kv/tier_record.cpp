#include <tokenheap/kv/tier_record.hpp>

#include <support/catch.hpp>

#include <vector>

using namespace tokenheap::kv;

namespace {

constexpr siphash_key secret{11, 22};
constexpr tier_key name{0x1122334455667788, 0x99AABBCCDDEEFF00, 7};

std::vector<unsigned char> payload(std::size_t n) {
  std::vector<unsigned char> made(n);
  for (std::size_t k = 0; k != n; ++k) made[k] = static_cast<unsigned char>(k * 37 + 1);
  return made;
}

}  // namespace

TEST_CASE("the header is laid out as it was in every file of this version") {
  const std::vector<unsigned char> bytes = payload(100);
  const tier_record r = seal(secret, name, bytes.data(), 100, 0x0102030405060708, record_sum::xxh3);
  unsigned char raw[64];
  std::memcpy(raw, &r, 64);
  const unsigned char expected[48] = {
      'T',  'H',  'B',  'K',  1,    0,    64,   0,     // magic, version, bytes of the header
      0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // key
      0x00, 0xFF, 0xEE, 0xDD, 0xCC, 0xBB, 0xAA, 0x99,  //
      7,    0,    0,    0,    1,    0,    0,    0,     // group, sum
      100,  0,    0,    0,    0,    0,    0,    0,     // bytes of the payload
      8,    7,    6,    5,    4,    3,    2,    1,     // sequence
  };
  CHECK(std::memcmp(raw, expected, 48) == 0);
  CHECK(r.key() == name);
  const hash128 sum = sum_of(secret, r, bytes.data());
  CHECK(r.sum_low == sum.low);
  CHECK(r.sum_high == sum.high);
}

TEST_CASE("a sealed record is whole, with either sum and any length, and with no bit of it changed") {
  const record_sum with = GENERATE(record_sum::siphash, record_sum::xxh3);
  for (const std::size_t n : {0u, 1u, 64u, 200u, 1025u}) {
    CAPTURE(n);
    std::vector<unsigned char> bytes = payload(n);
    const tier_record good = seal(secret, name, bytes.data(), n, 3, with);
    CHECK(is_whole(secret, good, bytes.data(), n, with));
    for (std::size_t bit = 0; bit != 8 * 64; ++bit) {
      tier_record bad = good;
      reinterpret_cast<unsigned char*>(&bad)[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
      if (is_whole(secret, bad, bytes.data(), n, with)) FAIL("bit " << bit << " of the header is not under the sum");
    }
    for (std::size_t bit = 0; bit < 8 * n; bit += 11) {
      bytes[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
      if (is_whole(secret, good, bytes.data(), n, with)) FAIL("bit " << bit << " of the payload is not under the sum");
      bytes[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    }
  }
}

TEST_CASE("another key, another kind of sum and another size are no record of ours") {
  const std::vector<unsigned char> bytes = payload(100);
  for (const record_sum with : {record_sum::siphash, record_sum::xxh3}) {
    const tier_record r = seal(secret, name, bytes.data(), 100, 3, with);
    const record_sum other = with == record_sum::xxh3 ? record_sum::siphash : record_sum::xxh3;
    CHECK(!is_whole({secret.low, secret.high + 1}, r, bytes.data(), 100, with));
    CHECK(!is_whole({secret.low + 1, secret.high}, r, bytes.data(), 100, with));
    CHECK(!is_whole(secret, r, bytes.data(), 100, other));
    CHECK(!is_whole(secret, r, bytes.data(), 99, with));
    CHECK(r.is_plausible(100, with));
    CHECK(!r.is_plausible(101, with));
    CHECK(!r.is_plausible(100, other));
  }
  CHECK(!tier_record{}.is_plausible(100));
  tier_record later;
  later.version = 2;
  CHECK(tier_record{}.is_plausible(0));
  CHECK(!later.is_plausible(0));
}

TEST_CASE("a writer that knows the sum but not the key cannot choose it") {
  const std::vector<unsigned char> bytes = payload(100);
  tier_record forged = seal(secret, name, bytes.data(), 100, 3);
  forged.sequence = 4;  // a later one, with the sum of the earlier
  CHECK(!is_whole(secret, forged, bytes.data(), 100));
  CHECK(is_whole(secret, seal(secret, name, bytes.data(), 100, 4), bytes.data(), 100));
}
