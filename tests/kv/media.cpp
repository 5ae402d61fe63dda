#include <tokenheap/kv/media.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <kv/kit.hpp>

using namespace kit;

namespace {

constexpr kv::token reserved = 32'000;  // what the engine writes where an image goes

template <class Table = kv::media_table>
Table table_of(const kv::media_options& with = {}) {
  auto made = Table::open(with);
  REQUIRE(made);
  return static_cast<Table&&>(*made);
}

template <class Table>
kv::media_tokens numbers_of(Table& table, const std::string& fingerprint) {
  auto made = table.image(fingerprint.data(), fingerprint.size());
  REQUIRE(made);
  return *made;
}

// `before` tokens of text, an image of `places` tokens, `behind` tokens of text
std::vector<kv::token> with_image(kv::media_table& table, std::size_t before, const std::string& fingerprint,
                                  std::size_t places, std::size_t behind) {
  auto made = joined(joined(count_up(before), std::vector<kv::token>(places, reserved)), count_up(behind, 500));
  const std::span<kv::token> run(made.data() + before, places);
  REQUIRE(table.substitute_image(run, fingerprint.data(), fingerprint.size()).code == errc::ok);
  return made;
}

void remember(pool_type& pool, const std::vector<kv::token>& prompt) {
  auto s = opened(pool, prompt);
  REQUIRE(s.publish(prompt.size()) == errc::ok);
}

}  // namespace

TEST_CASE("the same image at the same place hits, another image shares the text before it", "[kv][media]") {
  auto pool = pool_of(64, 4);
  auto table = table_of();
  remember(pool, with_image(table, 8, "cat", 9, 7));
  CHECK(pool.match(with_image(table, 8, "cat", 9, 7)) == 24);
  CHECK(opened(pool, with_image(table, 8, "cat", 9, 7)).cached_tokens() == 20);
  CHECK(pool.match(with_image(table, 8, "dog", 9, 7)) == 8);
  CHECK(pool.match(with_image(table, 8, "cat", 9, 3)) == 20);
  // text alone, and a prompt whose tokens were not substituted
  CHECK(pool.match(count_up(24)) == 8);
  CHECK(pool.match(joined(count_up(8), std::vector<kv::token>(16, reserved))) == 8);
  CHECK(pool.is_valid());
}

TEST_CASE("the same image at another offset does not hit", "[kv][media]") {
  auto pool = pool_of(64, 4);
  auto table = table_of();
  remember(pool, with_image(table, 8, "cat", 12, 4));
  CHECK(pool.match(with_image(table, 8, "cat", 12, 4)) == 24);
  CHECK(pool.match(with_image(table, 9, "cat", 12, 3)) == 8);
  CHECK(pool.match(with_image(table, 4, "cat", 16, 4)) == 4);
  // one image of 12 places is not two of 4 and 8
  auto two = joined(count_up(8), std::vector<kv::token>(12, reserved));
  REQUIRE(table.substitute_image({two.data() + 8, 4}, "cat", 3).code == errc::ok);
  REQUIRE(table.substitute_image({two.data() + 12, 8}, "cat", 3).code == errc::ok);
  CHECK(pool.match(two) == 12);
}

namespace {

// every fingerprint looks the same to this hash
struct one_name {
  using value = kv::hash128;
  static one_name open(const void*, std::size_t) noexcept { return {}; }
  kv::hash128 root(const void*, std::size_t) const noexcept { return {}; }
  kv::hash128 operator()(kv::hash128, const kv::token*, std::size_t) const noexcept { return {}; }
};

}  // namespace

TEST_CASE("equal hashes never make two images one", "[kv][media]") {
  auto table = table_of<kv::basic_media_table<one_name>>({.entries = 20});
  std::set<kv::token> seen;
  for (char c = 'a'; c < 'k'; ++c) seen.insert(numbers_of(table, std::string(8, c)).first);
  CHECK(seen.size() == 10);
  for (char c = 'a'; c < 'k'; ++c) CHECK(seen.count(numbers_of(table, std::string(8, c)).first) == 1);
  CHECK(table.stats().found == 10);
  std::vector<kv::token> prompt = {5, 5, 6};
  for (std::size_t at = 0; at < 3; ++at) REQUIRE(table.substitute_salt(prompt, at, "aaaaaaaa", 8).code == errc::ok);
  CHECK(prompt[0] == prompt[1]);
  CHECK(prompt[0] != prompt[2]);
  CHECK(seen.count(prompt[0]) == 0);
  CHECK(table.is_valid());
  // those in the middle of the one bucket go, and the others are found
  for (char c = 'k'; c < 'u'; ++c) (void)numbers_of(table, std::string(8, c));
  CHECK(table.stats().forgotten == 2);
  CHECK(table.is_valid());
  table.clear();
  CHECK(table.is_valid());
}

TEST_CASE("bytes decide: a fingerprint of any length, and none equals nothing", "[kv][media]") {
  auto table = table_of();
  const std::string zeros(40, '\0');
  std::set<kv::token> seen;
  for (std::size_t n = 1; n <= 40; ++n) seen.insert(numbers_of(table, zeros.substr(0, n)).first);
  for (std::size_t n = 1; n <= 40; ++n) CHECK(seen.count(numbers_of(table, zeros.substr(0, n)).first) == 1);
  CHECK(seen.size() == 40);
  CHECK(table.stats().found == 40);
  CHECK_FALSE(numbers_of(table, "") == numbers_of(table, ""));
  CHECK(table.stats().entries == 40);
  CHECK(table.is_valid());
}

TEST_CASE("a salt separates a prompt from its place on, and not before", "[kv][media]") {
  auto pool = pool_of(64, 4);
  auto table = table_of();
  const auto salted_at = [&table](std::size_t at, const std::string& salt) {
    auto prompt = count_up(24);
    REQUIRE(table.substitute_salt(prompt, at, salt.data(), salt.size()).code == errc::ok);
    return prompt;
  };
  remember(pool, salted_at(8, "tenant one"));
  CHECK(pool.match(salted_at(8, "tenant one")) == 24);
  CHECK(pool.match(salted_at(8, "tenant two")) == 8);
  CHECK(pool.match(salted_at(8, "")) == 8);
  CHECK(pool.match(salted_at(9, "tenant one")) == 8);
  // the token under the salt counts still, and a salt is no image
  auto other = count_up(24);
  other[8] = 999;
  REQUIRE(table.substitute_salt(other, 8, "tenant one", 10).code == errc::ok);
  CHECK(pool.match(other) == 8);
  CHECK_FALSE(numbers_of(table, "tenant one").first == salted_at(8, "tenant one")[8]);
  CHECK(salted_at(8, "")[8] == 8);
}

TEST_CASE("what was forgotten gets fresh numbers: it misses, and no number comes back", "[kv][media]") {
  auto pool = pool_of(64, 4);
  auto table = table_of({.entries = 3});
  remember(pool, with_image(table, 4, "a", 4, 4));
  const kv::media_tokens first = numbers_of(table, "a");
  (void)numbers_of(table, "b");
  (void)numbers_of(table, "c");
  CHECK(numbers_of(table, "a") == first);
  // d takes the place of b, the one that was not asked for the longest
  const kv::media_tokens d = numbers_of(table, "d");
  CHECK(table.stats().forgotten == 1);
  CHECK(numbers_of(table, "a") == first);
  CHECK(numbers_of(table, "d") == d);
  CHECK(pool.match(with_image(table, 4, "a", 4, 4)) == 12);
  table.clear();
  CHECK(table.stats().entries == 0);
  CHECK(table.stats().bytes == 0);
  CHECK(table.is_valid());
  CHECK(numbers_of(table, "a").first > d.more);
  CHECK(pool.match(with_image(table, 4, "a", 4, 4)) == 4);
}

TEST_CASE("refusals say why and leave the tokens as they were", "[kv][media]") {
  // numbers for two images and one half
  auto table = table_of({.entries = 8, .bytes = 10, .last = kv::own_token_bit + 4, .name = "pictures"});
  std::vector<kv::token> prompt(6, reserved);
  const std::vector<kv::token> before = prompt;
  const std::string long_one(11, 'x');
  auto wrong = table.substitute_image({prompt.data(), 2}, long_one.data(), long_one.size());
  CHECK(wrong.code == errc::too_large);
  CHECK(wrong.need == 11);
  CHECK(wrong.limit == 10);
  CHECK(std::string(wrong.pool) == "pictures");
  CHECK(table.substitute_image({prompt.data(), 2}, nullptr, 3).code == errc::invalid_argument);
  CHECK(table.substitute_salt(prompt, 6, "s", 1).code == errc::invalid_argument);
  CHECK(prompt == before);
  CHECK(table.substitute_image({prompt.data(), 2}, "a", 1).code == errc::ok);
  CHECK(table.substitute_image({prompt.data(), 2}, "a", 1).code == errc::invalid_argument);
  CHECK(table.substitute_image({prompt.data() + 2, 2}, "b", 1).code == errc::ok);
  const std::vector<kv::token> full = prompt;
  wrong = table.substitute_image({prompt.data() + 4, 2}, "c", 1);
  CHECK(wrong.code == errc::limit_reached);
  CHECK(wrong.need == 2);
  CHECK(prompt == full);
  CHECK(table.stats().numbers_left == 1);
  // what is known is found still
  CHECK(numbers_of(table, "a") == kv::media_tokens{kv::own_token_bit, kv::own_token_bit + 1});
  CHECK(kv::has_own_tokens(prompt));
  CHECK_FALSE(kv::has_own_tokens(before));
  CHECK(table.is_valid());
}

TEST_CASE("tables that cannot be opened, or are not open", "[kv][media]") {
  CHECK(kv::media_table::open({.entries = 0}).error() == errc::invalid_argument);
  CHECK(kv::media_table::open({.entries = ~std::size_t{0}}).error() == errc::invalid_argument);
  kv::media_table closed;
  CHECK(closed.image("a", 1).error() == errc::not_open);
  CHECK(closed.is_valid());
  auto table = table_of();
  const auto a = numbers_of(table, "a");
  kv::media_table moved(static_cast<kv::media_table&&>(table));
  CHECK(numbers_of(moved, "a") == a);
  CHECK(table.is_valid());
  CHECK(moved.is_valid());
}

TEST_CASE("random use beside a plain map: numbers name bytes, one to one, for ever", "[kv][media]") {
  const std::uint64_t seed = 4242;
  CAPTURE(seed);
  std::mt19937_64 dice(seed);
  auto table = table_of({.entries = 40, .bytes = 300});
  std::map<kv::token, std::string> owner;      // every number that was ever given out
  std::map<std::string, kv::token> latest;
  std::size_t again = 0;
  for (std::size_t n = 0; n < 50'000; ++n) {
    const std::string name(1 + dice() % 12, static_cast<char>('a' + dice() % 8));
    const kv::token first = numbers_of(table, name).first;
    REQUIRE((first & kv::own_token_bit) != 0);
    const auto [at, fresh] = owner.insert({first, name});
    REQUIRE(at->second == name);
    again += !fresh;
    REQUIRE((fresh || latest[name] == first));
    latest[name] = first;
    if (n % 500 == 0) REQUIRE(table.is_valid());
    if (n % 5'000 == 4'999) table.clear();
  }
  CHECK(again == table.stats().found);
  CHECK(again > 10'000);
  CHECK(table.stats().forgotten > 1'000);
}

TEST_CASE("28: tokens with numbers beside them are shared as far as both are equal", "[kv][media][scenario]") {
  auto pool = pool_of(64, 4);
  auto table = table_of();
  // a prompt-tuning id beside each token: its place is told by the id as a salt
  const auto with_ids = [&table](std::size_t same, char other) {
    auto prompt = count_up(12);
    for (std::size_t at = 0; at < prompt.size(); ++at) {
      const char id = at < same ? 'a' : other;
      REQUIRE(table.substitute_salt(prompt, at, &id, 1).code == errc::ok);
    }
    return prompt;
  };
  remember(pool, with_ids(12, 'a'));
  CHECK(pool.match(with_ids(12, 'a')) == 12);
  CHECK(pool.match(with_ids(4, 'b')) == 4);
  CHECK(pool.match(with_ids(3, 'b')) == 0);
  CHECK(pool.match(count_up(12)) == 0);
}
