#include <tokenheap/adapt/c_structs.hpp>

#include <support/catch.hpp>

#include <cstddef>
#include <string>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

struct sample {
  std::uint32_t size, version;
  std::uint64_t first, second;
};
struct odd {
  std::uint32_t size, version, third;
};
struct headless {
  std::uint64_t size, version;
};
static_assert(c_struct<sample> && !c_struct<odd> && !c_struct<headless> && !c_struct<std::uint64_t>);

}  // namespace

TEST_CASE("options of an older caller are filled up, and those of a newer one are taken while they say nothing new") {
  sample out{};
  REQUIRE(c_read<sample>(nullptr, out, "sample") == th_ok);
  REQUIRE((out.size == sizeof(sample) && out.version == 1 && out.first == 0 && out.second == 0));

  const sample old{16, 1, 5, 99};
  REQUIRE(c_read(&old, out, "sample") == th_ok);
  REQUIRE((out.first == 5 && out.second == 0 && out.size == sizeof(sample)));

  struct {
    sample known;
    std::uint64_t more[2];
  } young{{sizeof young, 1, 5, 6}, {0, 0}};
  REQUIRE(c_read(&young.known, out, "sample") == th_ok);
  REQUIRE((out.first == 5 && out.second == 6));
  young.more[1] = std::uint64_t{1} << 63;
  REQUIRE(c_read(&young.known, out, "sample") == th_unsupported);
  REQUIRE((c_last_reason().need == sizeof young && c_last_reason().limit == sizeof(sample)));
}

TEST_CASE("a field that is reserved must be 0") {
  struct spare {
    std::uint32_t size, version, used, reserved;
  };
  spare out{};
  spare given{sizeof(spare), 1, 7, 0};
  REQUIRE(c_read(&given, out, "spare") == th_ok);
  REQUIRE(out.used == 7);
  given.reserved = 3;
  REQUIRE(c_read(&given, out, "spare") == th_unsupported);
  REQUIRE(c_last_reason().need == 3);
}

TEST_CASE("a struct without a size, or of another version, is refused whichever way it goes") {
  sample out{};
  for (const std::uint32_t size : {0u, 4u, 7u, 20u, 23u, (1u << 16) + 8, ~7u}) {
    sample given{size, 1, 1, 2};
    REQUIRE(c_read(&given, out, "sample") == th_wrong_size);
    REQUIRE(c_write(sample{0, 0, 7, 8}, &given, "sample") == th_wrong_size);
    REQUIRE((given.first == 1 && given.second == 2));
  }
  sample given{sizeof(sample), 0, 1, 2};
  REQUIRE(c_read(&given, out, "sample") == th_invalid_argument);
  given.version = 2;
  REQUIRE(c_read(&given, out, "sample") == th_unsupported);
  REQUIRE(c_write(sample{}, &given, "sample") == th_unsupported);
  REQUIRE(c_write<sample>(sample{}, nullptr, "sample") == th_invalid_argument);
  REQUIRE(std::string(c_last_reason().what) == "sample");
}

TEST_CASE("stats are written as far as the caller's struct goes, and 0 behind what the library knows") {
  const sample now{0, 0, 7, 8};
  sample few{16, 1, 1, 2};
  REQUIRE(c_write(now, &few, "sample") == th_ok);
  REQUIRE((few.size == 16 && few.version == 1 && few.first == 7 && few.second == 2));
  struct {
    sample known;
    std::uint64_t more[2];
  } many{{sizeof many, 1, 1, 2}, {3, 4}};
  REQUIRE(c_write(now, &many.known, "sample") == th_ok);
  REQUIRE((many.known.first == 7 && many.known.second == 8 && many.more[0] == 0 && many.more[1] == 0));
}

TEST_CASE("texts for C end in time, and say how long they are") {
  char out[4] = {'x', 'x', 'x', 'x'};
  std::size_t length = 0;
  REQUIRE(c_write_text("abc", 3, out, 4, &length) == th_ok);
  REQUIRE((std::string(out) == "abc" && length == 3));
  REQUIRE(c_write_text("abcd", 4, out, 4, &length) == th_too_large);
  REQUIRE((std::string(out) == "abc" && length == 4 && c_last_reason().need == 5 && c_last_reason().limit == 4));
  REQUIRE(c_write_text("abcd", 4, nullptr, 0, &length) == th_ok);
  REQUIRE(c_write_text("abcd", 4, nullptr, 0, nullptr) == th_invalid_argument);
  REQUIRE(c_write_text("abcd", 4, nullptr, 9, nullptr) == th_invalid_argument);
  REQUIRE(c_write_text("", 0, out, 1, nullptr) == th_ok);
  REQUIRE(out[0] == '\0');
}

TEST_CASE("a name is copied up to its room, and none is replaced") {
  REQUIRE(std::string(c_name(nullptr, "kv").text) == "kv");
  REQUIRE(std::string(c_name("", "kv").text) == "kv");
  REQUIRE(std::string(c_name(std::string(100, 'n').c_str(), "kv").text) == std::string(63, 'n'));
  REQUIRE(c_check_list(nullptr, 0, "list") == th_ok);
  REQUIRE(c_check_list(nullptr, 1, "list") == th_invalid_argument);
}
