#include <tokenheap/kv/siphash.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kv = tokenheap::kv;

namespace {

// the published output for the key 00 01 .. 0f and the messages of 0 to 63 bytes 00 01 02 ..
constexpr const char* official[64] = {
    "a3817f04ba25a8e66df67214c7550293",
    "da87c1d86b99af44347659119b22fc45",
    "8177228da4a45dc7fca38bdef60affe4",
    "9c70b60c5267a94e5f33b6b02985ed51",
    "f88164c12d9c8faf7d0f6e7c7bcd5579",
    "1368875980776f8854527a07690e9627",
    "14eeca338b208613485ea0308fd7a15e",
    "a1f1ebbed8dbc153c0b84aa61ff08239",
    "3b62a9ba6258f5610f83e264f31497b4",
    "264499060ad9baabc47f8b02bb6d71ed",
    "00110dc378146956c95447d3f3d0fbba",
    "0151c568386b6677a2b4dc6f81e5dc18",
    "d626b266905ef35882634df68532c125",
    "9869e247e9c08b10d029934fc4b952f7",
    "31fcefac66d7de9c7ec7485fe4494902",
    "5493e99933b0a8117e08ec0f97cfc3d9",
    "6ee2a4ca67b054bbfd3315bf85230577",
    "473d06e8738db89854c066c47ae47740",
    "a426e5e423bf4885294da481feaef723",
    "78017731cf65fab074d5208952512eb1",
    "9e25fc833f2290733e9344a5e83839eb",
    "568e495abe525a218a2214cd3e071d12",
    "4a29b54552d16b9a469c10528eff0aae",
    "c9d184ddd5a9f5e0cf8ce29a9abf691c",
    "2db479ae78bd50d8882a8a178a6132ad",
    "8ece5f042d5e447b5051b9eacb8d8f6f",
    "9c0b53b4b3c307e87eaee08678141f66",
    "abf248af69a6eae4bfd3eb2f129eeb94",
    "0664da1668574b88b935f3027358aef4",
    "aa4b9dc4bf337de90cd4fd3c467c6ab7",
    "ea5c7f471faf6bde2b1ad7d4686d2287",
    "2939b0183223fafc1723de4f52c43d35",
    "7c3956ca5eeafc3e363e9d556546eb68",
    "77c6077146f01c32b6b69d5f4ea9ffcf",
    "37a6986cb8847edf0925f0f1309b54de",
    "a705f0e69da9a8f907241a2e923c8cc8",
    "3dc47d1f29c448461e9e76ed904f6711",
    "0d62bf01e6fc0e1a0d3c4751c5d3692b",
    "8c03468bca7c669ee4fd5e084bbee7b5",
    "528a5bb93baf2c9c4473cce5d0d22bd9",
    "df6a301e95c95dad97ae0cc8c6913bd8",
    "801189902c857f39e73591285e70b6db",
    "e617346ac9c231bb3650ae34ccca0c5b",
    "27d93437efb721aa401821dcec5adf89",
    "89237d9ded9c5e78d8b1c9b166cc7342",
    "4a6d8091bf5e7d651189fa94a250b14c",
    "0e33f96055e7ae893ffc0e3dcf492902",
    "e61c432b720b19d18ec8d84bdc63151b",
    "f7e5aef549f782cf379055a608269b16",
    "438d030fd0b7a54fa837f2ad201a6403",
    "a590d3ee4fbf04e3247e0d27f286423f",
    "5fe2c1a172fe93c4b15cd37caef9f538",
    "2c97325cbd06b36eb2133dd08b3a017c",
    "92c814227a6bca949ff0659f002ad39e",
    "dce850110bd8328cfbd50841d6911d87",
    "67f14984c7da791248e32bb5922583da",
    "1938f2cf72d54ee97e94166fa91d2a36",
    "74481e9646ed49fe0f6224301604698e",
    "57fca5de98a9d6d8006438d0583d8a1d",
    "9fecde1cefdc1cbed4763674d9575359",
    "e3040c00eb28f15366ca73cbd872e740",
    "7697009a6a831dfecca91c5993670f7a",
    "5853542321f567a005d547a4f04759bd",
    "5150d1772f50834a503e069a973fbd7c",
};

std::string hex(kv::hash128 h) {
  unsigned char bytes[16];
  std::memcpy(bytes, &h.low, 8);
  std::memcpy(bytes + 8, &h.high, 8);
  std::string out;
  for (const unsigned char b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

kv::siphash_key official_key() {
  unsigned char bytes[16];
  for (unsigned char n = 0; n < 16; ++n) bytes[n] = n;
  return kv::siphash_key::of(bytes);
}

using seen = std::set<std::pair<std::uint64_t, std::uint64_t>>;

}  // namespace

TEST_CASE("the 64 official vectors of SipHash-2-4-128", "[kv][siphash]") {
  unsigned char message[64];
  for (unsigned char n = 0; n < 64; ++n) {
    message[n] = n;
    CAPTURE(n);
    CHECK(hex(kv::siphash(official_key(), message, n)) == official[n]);
  }
}

TEST_CASE("a message is read at any alignment", "[kv][siphash]") {
  unsigned char room[64 + 8];
  for (std::size_t shift = 0; shift < 8; ++shift) {
    for (unsigned char n = 0; n < 63; ++n) room[shift + n] = n;
    CHECK(hex(kv::siphash(official_key(), room + shift, 63)) == official[63]);
  }
}

TEST_CASE("the path over tokens has the bits of the path over bytes", "[kv][siphash]") {
  const kv::hash128 parent{0x0123456789abcdef, 0xfedcba9876543210};
  for (std::size_t n = 0; n <= 130; ++n) {
    std::vector<kv::token> tokens(n);
    for (std::size_t at = 0; at < n; ++at) tokens[at] = static_cast<kv::token>(at * 0x9e3779b9 + 7);
    std::vector<unsigned char> bytes(16 + 4 * n);
    std::memcpy(bytes.data(), &parent, 16);
    if (n != 0) std::memcpy(bytes.data() + 16, tokens.data(), 4 * n);
    CAPTURE(n);
    CHECK(kv::siphash(official_key(), parent, tokens.data(), n) ==
          kv::siphash(official_key(), bytes.data(), bytes.size()));
  }
}

TEST_CASE("sip128: every bit of the seed, of the parent and of the tokens counts", "[kv][siphash]") {
  unsigned char seed[16] = {};
  std::vector<kv::token> tokens(16, 9);
  seen names;
  const auto add = [&names](kv::hash128 h) { names.insert({h.low, h.high}); };
  const auto zero = kv::sip128::open(seed, sizeof seed);
  add(zero({}, tokens.data(), 16));
  for (std::size_t bit = 0; bit < 128; ++bit) {
    seed[bit / 8] ^= static_cast<unsigned char>(1u << (bit % 8));
    add(kv::sip128::open(seed, sizeof seed)({}, tokens.data(), 16));
    seed[bit / 8] ^= static_cast<unsigned char>(1u << (bit % 8));
    const kv::hash128 parent{bit < 64 ? std::uint64_t{1} << bit : 0, bit < 64 ? 0 : std::uint64_t{1} << (bit - 64)};
    add(zero(parent, tokens.data(), 16));
  }
  for (std::size_t bit = 0; bit < 16 * 32; ++bit) {
    tokens[bit / 32] ^= kv::token{1} << (bit % 32);
    add(zero({}, tokens.data(), 16));
    tokens[bit / 32] ^= kv::token{1} << (bit % 32);
  }
  for (std::size_t n = 0; n < 16; ++n) add(zero({}, tokens.data(), n));
  CHECK(names.size() == 1 + 256 + 512 + 16);
}

TEST_CASE("sip128: a seed of any length opens it, and lengths differ", "[kv][siphash]") {
  const std::vector<unsigned char> zeros(64);
  seen names;
  for (std::size_t n = 0; n <= 64; ++n) {
    const kv::hash128 h = kv::sip128::open(zeros.data(), n)({}, nullptr, 0);
    names.insert({h.low, h.high});
  }
  CHECK(names.size() == 65);
  CHECK(kv::sip128::open(nullptr, 0).root("s", 1) == kv::sip128::open(nullptr, 0).root("s", 1));
}

TEST_CASE("sip128: a salt that spells the bytes of a block is still no block", "[kv][siphash]") {
  const auto hash = kv::sip128::open("0123456789abcdef", 16);
  const kv::hash128 parent{5, 6};
  const std::vector<kv::token> tokens(16, 3);
  std::vector<unsigned char> spelt(16 + 64);
  std::memcpy(spelt.data(), &parent, 16);
  std::memcpy(spelt.data() + 16, tokens.data(), 64);
  CHECK_FALSE(hash.root(spelt.data(), spelt.size()) == hash(parent, tokens.data(), 16));
  CHECK_FALSE(hash.root("a", 1) == hash.root("b", 1));
  CHECK_FALSE(hash.root("", 0) == hash.root("\0", 1));
}
