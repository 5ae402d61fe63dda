#include <tokenheap/adapt/offload_key.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <string>
#include <vector>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

std::vector<unsigned char> counted(std::size_t n) {
  std::vector<unsigned char> made(n);
  for (std::size_t k = 0; k != n; ++k) made[k] = static_cast<unsigned char>(k + 1);
  return made;
}

}  // namespace

TEST_CASE("a key is the hash and the group in four bytes, the highest first") {
  const auto hash = counted(16);
  const offload_key key = offload_key::of(hash, 0x01020304);
  REQUIRE(key);
  CHECK(key.size == 20);
  CHECK(std::memcmp(key.bytes, hash.data(), 16) == 0);
  CHECK(key.bytes[16] == 1);
  CHECK(key.bytes[17] == 2);
  CHECK(key.bytes[18] == 3);
  CHECK(key.bytes[19] == 4);
  CHECK(key.group() == 0x01020304);
  CHECK(std::vector<unsigned char>(key.hash().begin(), key.hash().end()) == hash);
  CHECK(offload_key::from({key.bytes, key.size}) == key);
  CHECK(offload_key::of(hash, 0xffffffff).group() == 0xffffffff);
  CHECK_FALSE(offload_key::of(hash, 1) == key);
}

TEST_CASE("hashes of 1 to 32 bytes make keys, and no others") {
  CHECK_FALSE(offload_key{});
  CHECK_FALSE(offload_key::of({}, 0));
  CHECK(offload_key::of(counted(1), 0));
  CHECK(offload_key::of(counted(32), 7).group() == 7);
  CHECK_FALSE(offload_key::of(counted(33), 0));
  CHECK_FALSE(offload_key::from(counted(4)));
  CHECK(offload_key::from(counted(5)));
  CHECK(offload_key::from(counted(36)));
  CHECK_FALSE(offload_key::from(counted(37)));
}

TEST_CASE("a hash of 16 bytes is the name; any other is named under the secret, and the group stays apart") {
  const kv::siphash_key secret{1, 2}, other{1, 3};
  const auto name = tier_name(offload_key::of(counted(16), 5), secret);
  CHECK(name == kv::tier_key{0x0807060504030201, 0x100f0e0d0c0b0a09, 5});
  CHECK(tier_name(offload_key::of(counted(16), 5), other) == name);
  const auto hash = counted(32);
  const kv::hash128 digest = kv::siphash(secret, hash.data(), 32);
  CHECK(tier_name(offload_key::of(hash, 9), secret) == kv::tier_key{digest.low, digest.high, 9});
  CHECK_FALSE(tier_name(offload_key::of(hash, 9), other) == tier_name(offload_key::of(hash, 9), secret));
  CHECK_FALSE(tier_name(offload_key::of(counted(15), 9), secret) == tier_name(offload_key::of(counted(14), 9), secret));
  const std::string text = "model@0x1@0@00ff";
  const kv::hash128 named = kv::siphash(secret, text.data(), text.size());
  CHECK(tier_name(text.data(), text.size(), secret) == kv::tier_key{named.low, named.high, 0});
  CHECK(tier_name(text.data(), text.size(), secret, 3).group == 3);
}

TEST_CASE("answers are vLLM's numbers") {
  CHECK(static_cast<int>(lookup_result_of(kv::tier_answer::miss)) == 1);
  CHECK(static_cast<int>(lookup_result_of(kv::tier_answer::hit)) == 2);
  CHECK(static_cast<int>(lookup_result_of(kv::tier_answer::pending)) == 3);
  CHECK(static_cast<int>(lookup_result_of(kv::tier_answer::retry)) == 4);
}
