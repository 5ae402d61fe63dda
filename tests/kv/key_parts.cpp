#include <tokenheap/kv/key_parts.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace kv = tokenheap::kv;
using tokenheap::errc;

namespace {

// a key that owns what it points to
struct owned {
  struct picture {
    std::uint64_t offset;
    std::string fingerprint;
    bool operator==(const picture&) const = default;
  };
  std::string salt;
  std::uint64_t adapter = 0;
  std::uint64_t group = 0;
  std::vector<picture> pictures;
  bool operator==(const owned&) const = default;

  std::string encoded() const {
    kv::image_part images[8];
    for (std::size_t n = 0; n < pictures.size(); ++n) {
      images[n] = {pictures[n].offset, pictures[n].fingerprint.data(), pictures[n].fingerprint.size()};
    }
    const kv::key_parts parts{salt.data(), salt.size(), adapter, group, {images, pictures.size()}};
    std::string out;
    std::size_t n = 0;
    if (kv::encoded_size(parts, n) != errc::ok) FAIL("no size");
    out.resize(n);
    std::size_t written = 0;
    if (kv::encode(parts, out.data(), out.size(), written) != errc::ok || written != n) FAIL("not encoded");
    return out;
  }
};

owned as_owned(const kv::key_parts& parts) {
  owned made{{static_cast<const char*>(parts.salt), parts.salt_bytes}, parts.adapter, parts.group, {}};
  for (const kv::image_part& i : parts.images) {
    made.pictures.push_back({i.offset, {static_cast<const char*>(i.fingerprint), i.bytes}});
  }
  return made;
}

using cup = std::mt19937_64;

// few values, many of them the bytes of tags and lengths, so that close neighbours are common
std::string some_bytes(cup& dice, std::size_t least) {
  std::string made(least + dice() % 4, '\0');
  for (char& c : made) c = static_cast<char>(dice() % 4 == 0 ? dice() % 10 : dice() % 5);
  return made;
}

owned some_key(cup& dice) {
  owned made{dice() % 4 == 0 ? std::string() : some_bytes(dice, 0), dice() % 3, dice() % 3, {}};
  std::uint64_t offset = 0;
  for (std::size_t n = dice() % 3; n != 0; --n, offset += 1 + dice() % 2) {
    made.pictures.push_back({offset + dice() % 2, some_bytes(dice, 1)});
    offset = made.pictures.back().offset;
  }
  return made;
}

// one step away: a byte, a boundary between two parts, an offset, or a part less
void mutate(owned& key, cup& dice) {
  switch (dice() % 6) {
    case 0: key.salt = some_bytes(dice, 0); break;
    case 1: key.adapter = dice() % 3; break;
    case 2: std::swap(key.adapter, key.group); break;
    case 3: key.salt.resize(key.salt.size() / 2); break;
    case 4:
      if (!key.pictures.empty()) key.pictures.pop_back();
      break;
    default:
      if (key.pictures.empty()) break;
      owned::picture& last = key.pictures.back();
      if (dice() % 2 == 0) ++last.offset;
      if (dice() % 2 == 0) std::swap(key.salt, last.fingerprint);
      if (last.fingerprint.empty()) last.fingerprint = "x";
  }
}

}  // namespace

TEST_CASE("a million mutated pairs: bytes are equal exactly when keys are", "[kv][key_parts]") {
  const std::uint64_t seed = 20'261'124;
  CAPTURE(seed);
  cup dice(seed);
  std::size_t equal = 0;
  for (std::size_t pair = 0; pair < 1'000'000; ++pair) {
    const owned a = some_key(dice);
    owned b = a;
    mutate(b, dice);
    const bool same = a == b;
    equal += same;
    if ((a.encoded() == b.encoded()) != same) FAIL("pair " << pair);
  }
  CHECK(equal > 10'000);
  CHECK(equal < 500'000);
}

TEST_CASE("what was encoded is read back", "[kv][key_parts]") {
  cup dice(7);
  kv::image_part room[4];
  for (std::size_t n = 0; n < 20'000; ++n) {
    const owned key = some_key(dice);
    const std::string bytes = key.encoded();
    kv::key_parts read;
    REQUIRE(kv::decode(bytes.data(), bytes.size(), room, read) == errc::ok);
    REQUIRE(as_owned(read) == key);
  }
}

TEST_CASE("garbage is refused, or is what encode would have written", "[kv][key_parts]") {
  const std::uint64_t seed = 99;
  CAPTURE(seed);
  cup dice(seed);
  kv::image_part room[8];
  std::size_t taken = 0;
  for (std::size_t n = 0; n < 200'000; ++n) {
    std::string bytes = some_key(dice).encoded();
    if (dice() % 8 == 0) bytes = some_bytes(dice, dice() % 30);
    for (std::size_t flips = dice() % 3; flips != 0 && !bytes.empty(); --flips) {
      bytes[dice() % bytes.size()] = static_cast<char>(dice() % 3 == 0 ? dice() : dice() % 10);
    }
    if (dice() % 4 == 0) bytes.resize(dice() % (bytes.size() + 1));
    if (dice() % 8 == 0) bytes += some_key(dice).encoded();
    // on the heap and of the exact size, so that a sanitizer sees a byte read too many
    const std::vector<char> exact(bytes.begin(), bytes.end());
    kv::key_parts read;
    const errc code = kv::decode(exact.data(), exact.size(), room, read);
    if (code != errc::ok) {
      REQUIRE((code == errc::corrupted || code == errc::limit_reached));
      REQUIRE(read.images.empty());
      continue;
    }
    ++taken;
    REQUIRE(as_owned(read).encoded() == bytes);
  }
  CHECK(taken > 20'000);
  CHECK(taken < 180'000);
}

TEST_CASE("the exact bytes, so that another program can write them", "[kv][key_parts]") {
  const owned key{"ab", 258, 0, {{3, "f"}}};
  const unsigned char wanted[] = {1, 2, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 2, 8, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0,
                                  0, 0, 4, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 'f'};
  CHECK(key.encoded() == std::string(reinterpret_cast<const char*>(wanted), sizeof wanted));
  CHECK(owned{}.encoded().empty());
}

TEST_CASE("parts that make no key are refused and nothing is written", "[kv][key_parts]") {
  unsigned char out[64] = {};
  std::size_t written = 9;
  const kv::image_part empty[] = {{0, "", 0}};
  CHECK(kv::encode({.images = empty}, out, sizeof out, written) == errc::invalid_argument);
  const kv::image_part backwards[] = {{4, "a", 1}, {3, "b", 1}};
  CHECK(kv::encode({.images = backwards}, out, sizeof out, written) == errc::invalid_argument);
  const kv::image_part twice[] = {{4, "a", 1}, {4, "a", 1}};
  CHECK(kv::encode({.images = twice}, out, sizeof out, written) == errc::invalid_argument);
  CHECK(kv::encode({.salt = nullptr, .salt_bytes = 1}, out, sizeof out, written) == errc::invalid_argument);
  CHECK(kv::encode({.salt = out, .salt_bytes = ~std::size_t{0}}, out, sizeof out, written) == errc::size_overflow);
  CHECK(kv::encode({.adapter = 1}, out, 16, written) == errc::too_large);
  CHECK(written == 0);
  CHECK(std::all_of(out, out + sizeof out, [](unsigned char b) { return b == 0; }));
  CHECK(kv::encode({.adapter = 1}, out, 17, written) == errc::ok);
  CHECK(written == 17);
  const kv::image_part two[] = {{3, "a", 1}, {4, "b", 1}};
  REQUIRE(kv::encode({.images = two}, out, sizeof out, written) == errc::ok);
  kv::key_parts read;
  kv::image_part room[1];
  CHECK(kv::decode(out, written, room, read) == errc::limit_reached);
}

TEST_CASE("encoded parts separate roots of a table", "[kv][key_parts]") {
  kv::root_table roots;
  REQUIRE(roots.open(1));
  const std::string a = owned{"s", 1, 0, {}}.encoded();
  const std::string b = owned{"s", 0, 1, {}}.encoded();
  const std::uint32_t first = roots.hold(kv::key_over(a.data(), a.size()));
  CHECK(roots.hold(kv::key_over(b.data(), b.size())) != first);
  CHECK(roots.hold(kv::key_over(std::string(a).data(), a.size())) == first);
  CHECK(roots.hold(kv::key_over(nullptr, 0)) == 0);
}
