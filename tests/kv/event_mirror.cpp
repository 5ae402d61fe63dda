#include <tokenheap/kv/event_mirror.hpp>

#include <support/catch.hpp>

#include <kv/event_kit.hpp>

using namespace kit;

namespace {

const std::vector<kv::token> abcd{1, 2, 3, 4, 5, 6, 7, 8};
const kv::hash128 names[] = {{10, 1}, {20, 2}, {30, 3}, {40, 4}};

kv::event stored(std::uint64_t number, std::size_t from, std::size_t n) {
  return {.number = number, .at_root = from == 0, .parent = from == 0 ? kv::hash128{99, 99} : names[from - 1],
          .block_tokens = 2, .names = std::span(names).subspan(from, n),
          .tokens = std::span(abcd).subspan(2 * from, 2 * n)};
}
kv::event removed(std::uint64_t number, std::size_t from, std::size_t n) {
  return {.number = number, .kind = kv::event_kind::removed, .names = std::span(names).subspan(from, n)};
}
const kv::hash128 plain = kv::event_mirror::root_of(0);

}  // namespace

TEST_CASE("event_mirror: answers what the events add up to", "[kv][events]") {
  auto mirror = mirror_of(4, 2);
  REQUIRE(mirror.apply(stored(0, 0, 2)) == errc::ok);
  CHECK(mirror.match(plain, abcd) == 4);
  CHECK(mirror.match(plain, std::span(abcd).first(3)) == 2);
  CHECK(mirror.match(kv::event_mirror::root_of(1), abcd) == 0);
  CHECK(mirror.match(plain, abcd, kv::any_medium, 1) == 0);
  REQUIRE(mirror.apply(stored(1, 2, 2)) == errc::ok);
  CHECK(mirror.match(plain, abcd) == 8);
  REQUIRE(mirror.apply(removed(2, 1, 1)) == errc::ok);
  CHECK(mirror.match(plain, abcd) == 2);
  CHECK(mirror.size() == 3);
  REQUIRE(mirror.apply({.number = 3, .kind = kv::event_kind::cleared}) == errc::ok);
  CHECK((mirror.size() == 0 && mirror.match(plain, abcd) == 0 && mirror.next() == 4));
  CHECK(mirror.is_valid());
}

TEST_CASE("event_mirror: a key has a root of its own", "[kv][events]") {
  auto mirror = mirror_of(4, 2);
  auto e = stored(0, 0, 1);
  e.keyed = true;
  REQUIRE(mirror.apply(e) == errc::ok);
  CHECK(mirror.match(plain, abcd) == 0);
  CHECK(mirror.match({99, 99}, abcd) == 2);
  e = stored(1, 1, 1);
  e.adapter = 6;
  e.at_root = true;
  REQUIRE(mirror.apply(e) == errc::ok);
  CHECK(mirror.match(kv::event_mirror::root_of(6), std::span(abcd).subspan(2)) == 2);
}

TEST_CASE("event_mirror: what lies on several media leaves with the last", "[kv][events]") {
  auto mirror = mirror_of(4, 2);
  REQUIRE(mirror.apply(stored(0, 0, 3)) == errc::ok);
  kv::event below{.number = 1, .medium = kv::event_medium::host, .names = std::span(names).first(2)};
  REQUIRE(mirror.apply(below) == errc::ok);
  CHECK(mirror.match(plain, abcd, kv::only(kv::event_medium::host)) == 4);
  CHECK(mirror.match(plain, abcd, kv::only(kv::event_medium::device)) == 6);
  REQUIRE(mirror.apply(removed(2, 0, 3)) == errc::ok);
  CHECK(mirror.match(plain, abcd) == 4);
  CHECK(mirror.match(plain, abcd, kv::only(kv::event_medium::device)) == 0);
  // a pool's own reset leaves the tiers below as they are
  REQUIRE(mirror.apply({.number = 3, .kind = kv::event_kind::cleared}) == errc::ok);
  CHECK(mirror.size() == 2);
  REQUIRE(mirror.apply({.number = 4, .kind = kv::event_kind::cleared, .medium = kv::event_medium::host}) == errc::ok);
  CHECK(mirror.size() == 0);
  // names without tokens that nobody has told of cannot be reached
  below.number = 5;
  REQUIRE(mirror.apply(below) == errc::ok);
  CHECK((mirror.size() == 0 && mirror.unknown() == 2));
}

TEST_CASE("event_mirror: a gap is refused until a snapshot comes", "[kv][events][bad]") {
  auto mirror = mirror_of(4, 2);
  REQUIRE(mirror.apply(stored(0, 0, 2)) == errc::ok);
  CHECK(mirror.apply(stored(2, 2, 2)) == errc::stale_handle);
  CHECK(mirror.apply(stored(0, 0, 2)) == errc::stale_handle);
  CHECK((mirror.size() == 2 && mirror.next() == 1));
  REQUIRE(mirror.apply({.number = 7, .kind = kv::event_kind::cleared, .snapshot = true}) == errc::ok);
  auto part = stored(7, 0, 4);
  part.snapshot = true;
  REQUIRE(mirror.apply(part) == errc::ok);
  CHECK((mirror.size() == 4 && mirror.next() == 7));
  CHECK(mirror.apply(removed(7, 3, 1)) == errc::ok);
  CHECK((mirror.size() == 3 && mirror.next() == 8));
}

TEST_CASE("event_mirror: what does not fit or contradicts is refused whole", "[kv][events][bad]") {
  auto mirror = mirror_of(3, 2);
  REQUIRE(mirror.apply(stored(0, 0, 2)) == errc::ok);
  CHECK(mirror.apply(stored(1, 2, 2)) == errc::limit_reached);
  CHECK((mirror.size() == 2 && mirror.next() == 1));
  auto e = stored(1, 2, 1);
  e.block_tokens = 4;
  CHECK(mirror.apply(e) == errc::corrupted);
  e = stored(1, 2, 1);
  e.tokens = std::span(abcd).first(1);
  CHECK(mirror.apply(e) == errc::corrupted);
  e = stored(1, 0, 1);  // the same name for other tokens
  e.tokens = std::span(abcd).subspan(4, 2);
  CHECK(mirror.apply(e) == errc::corrupted);
  e = stored(1, 0, 1);  // another name for the same prefix
  e.names = std::span(names).subspan(3, 1);
  CHECK(mirror.apply(e) == errc::corrupted);
  CHECK((mirror.size() == 2 && mirror.next() == 1 && mirror.is_valid()));
  CHECK(mirror.apply(stored(1, 2, 1)) == errc::ok);
  CHECK(mirror.match(plain, abcd) == 6);

  // half a snapshot is none
  CHECK(mirror.apply({.number = 9, .kind = kv::event_kind::cleared, .snapshot = true}) == errc::ok);
  auto part = stored(9, 0, 4);
  part.snapshot = true;
  CHECK(mirror.apply(part) == errc::limit_reached);
  part = stored(9, 0, 2);
  part.snapshot = true;
  CHECK(mirror.apply(part) == errc::stale_handle);
  CHECK(mirror.apply(stored(9, 0, 2)) == errc::stale_handle);
  CHECK(mirror.apply({.number = 9, .kind = kv::event_kind::cleared, .snapshot = true}) == errc::ok);
  CHECK(mirror.apply(part) == errc::ok);
}

TEST_CASE("event_mirror: open refuses what makes no mirror", "[kv][events][bad]") {
  for (const kv::event_mirror_options& with :
       {kv::event_mirror_options{.blocks = 0}, {.blocks = kv::max_blocks + 1}, {.blocks = 4, .block_tokens = 0}}) {
    const auto made = kv::event_mirror::open(with);
    REQUIRE(!made);
    CHECK(made.why().code == errc::invalid_argument);
  }
  const auto huge = kv::event_mirror::open({.blocks = kv::max_blocks, .block_tokens = kv::max_block_tokens});
  REQUIRE(!huge);
  CHECK(huge.why().code == errc::out_of_memory);
}
