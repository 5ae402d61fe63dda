#include <tokenheap/kv/sha256.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace kv = tokenheap::kv;

namespace {

std::string hex(const unsigned char* bytes, std::size_t n) {
  std::string out;
  for (std::size_t at = 0; at < n; ++at) {
    out += "0123456789abcdef"[bytes[at] >> 4];
    out += "0123456789abcdef"[bytes[at] & 15];
  }
  return out;
}

std::string digest_of(const std::string& text, std::size_t piece = ~std::size_t{0}) {
  kv::sha256 digest;
  for (std::size_t at = 0; at < text.size(); at += piece < text.size() ? piece : text.size()) {
    digest.add(text.data() + at, std::min(piece, text.size() - at));
  }
  unsigned char out[32];
  digest.finish(out);
  return hex(out, 32);
}

}  // namespace

TEST_CASE("the vectors of FIPS 180-4", "[kv][sha256]") {
  CHECK(digest_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest_of("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
                  "mnopqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(digest_of(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("pieces of any size give the digest of the whole", "[kv][sha256]") {
  std::string text;
  for (std::size_t n = 0; n < 300; ++n) {
    const std::string whole = digest_of(text);
    for (const std::size_t piece : {1u, 3u, 16u, 63u, 64u, 65u, 127u}) CHECK(digest_of(text, piece) == whole);
    text += static_cast<char>(n * 37);
  }
}

TEST_CASE("the CPU's instructions and the portable code agree", "[kv][sha256]") {
  if (!kv::detail::sha_instructions) return;
  std::vector<unsigned char> bytes(64 * 5);
  for (std::size_t n = 0; n < bytes.size(); ++n) bytes[n] = static_cast<unsigned char>(n * n + 3);
  kv::detail::sha_state a;
  kv::detail::sha_state b;
  for (std::size_t blocks = 0; blocks <= 5; ++blocks) {
    kv::detail::sha_portable(a, bytes.data(), blocks);
    kv::detail::sha_by_cpu(b, bytes.data(), blocks);
    CHECK(std::memcmp(&a, &b, sizeof a) == 0);
  }
}

TEST_CASE("sha256_128 digests what it says", "[kv][sha256]") {
  const auto hash = kv::sha256_128::open("seed", 4);
  kv::sha256 seed;
  seed.add("seed", 4);
  unsigned char digested[32];
  seed.finish(digested);
  const kv::hash128 parent{0x1122334455667788, 0x99aabbccddeeff00};
  const std::vector<kv::token> tokens = {1, 2, 3, 0xfffffffe};
  for (const bool block : {true, false}) {
    const char text[2][32] = {"tokenheap root", "tokenheap block"};
    kv::sha256 by_hand;
    by_hand.add(text[block ? 1 : 0], 32);
    by_hand.add(digested, 32);
    by_hand.add(&parent, 16);
    by_hand.add(tokens.data(), 16);
    unsigned char out[32];
    by_hand.finish(out);
    unsigned char spelt[32];
    std::memcpy(spelt, &parent, 16);
    std::memcpy(spelt + 16, tokens.data(), 16);
    const kv::hash128 got = block ? hash(parent, tokens.data(), 4) : hash.root(spelt, 32);
    CHECK(hex(reinterpret_cast<const unsigned char*>(&got), 16) == hex(out, 16));
  }
  CHECK_FALSE(hash(parent, tokens.data(), 4) == kv::sha256_128::open("Seed", 4)(parent, tokens.data(), 4));
  CHECK_FALSE(hash(parent, tokens.data(), 4) == hash(parent, tokens.data(), 3));
  CHECK(kv::sha256_128{}.root("k", 1) == kv::sha256_128::open(nullptr, 0).root("k", 1));
}
