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

TEST_CASE("the ending fits the last block, or needs one of its own", "[kv][sha256]") {
  CHECK(digest_of(std::string(55, 'a')) == "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  CHECK(digest_of(std::string(56, 'a')) == "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  CHECK(digest_of(std::string(63, 'a')) == "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
  CHECK(digest_of(std::string(64, 'a')) == "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
  CHECK(digest_of(std::string(119, 'a')) == "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}

TEST_CASE("pieces of any size give the digest of the whole", "[kv][sha256]") {
  std::string text;
  for (std::size_t n = 0; n < 300; ++n) {
    const std::string whole = digest_of(text);
    for (const std::size_t piece : {1u, 3u, 16u, 63u, 64u, 65u, 127u}) CHECK(digest_of(text, piece) == whole);
    text += static_cast<char>(n * 37);
  }
}

#if TOKENHEAP_GNU && defined(__x86_64__)
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
#endif

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
  // blocks of any length
  std::vector<kv::token> many(40);
  for (std::size_t n = 0; n <= many.size(); ++n) {
    if (n != 0) many[n - 1] = static_cast<kv::token>(n * 0x01020305);
    kv::sha256 by_hand;
    by_hand.add("tokenheap block\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
    by_hand.add(digested, 32);
    by_hand.add(&parent, 16);
    by_hand.add(many.data(), 4 * n);
    unsigned char out[32];
    by_hand.finish(out);
    const kv::hash128 got = hash(parent, many.data(), n);
    CAPTURE(n);
    CHECK(hex(reinterpret_cast<const unsigned char*>(&got), 16) == hex(out, 16));
  }
  CHECK_FALSE(hash(parent, tokens.data(), 4) == kv::sha256_128::open("Seed", 4)(parent, tokens.data(), 4));
  CHECK_FALSE(hash(parent, tokens.data(), 4) == hash(parent, tokens.data(), 3));
  CHECK(kv::sha256_128{}.root("k", 1) == kv::sha256_128::open(nullptr, 0).root("k", 1));
}
