#include <tokenheap/core/result.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>

#include <memory>
#include <string>
#include <string_view>

using namespace tokenheap;

namespace {

std::string line(const failure& f) {
  char text[512];
  const std::size_t length = describe(f, text, sizeof text);
  REQUIRE(text[length] == '\0');
  return std::string(text, length);
}

result<std::unique_ptr<int>> make(int n) {
  if (n < 0) return failure{.code = errc::invalid_argument, .pool = "numbers", .what = "a number from 0"};
  auto made = std::make_unique<int>(n);
  return made;
}

struct counted {
  explicit counted(int& n) : alive(&n) { ++n; }
  counted(counted&& other) noexcept : alive(other.alive) { ++*alive; }
  counted& operator=(counted&&) = delete;
  ~counted() { --*alive; }
  int* alive;
};

}  // namespace

TEST_CASE("every code has a text of its own", "[core]") {
  for (int a = 0; a <= static_cast<int>(errc::unsupported); ++a) {
    const std::string_view text = to_text(static_cast<errc>(a));
    REQUIRE(text != "unknown");
    for (int b = 0; b != a; ++b) REQUIRE(text != to_text(static_cast<errc>(b)));
  }
  REQUIRE(std::string_view(to_text(static_cast<errc>(200))) == "unknown");
}

TEST_CASE("a failure is one line that names pool, need, limit and fix", "[core]") {
  failure f{.code = errc::out_of_memory, .pool = "kv", .what = "blocks for a prompt", .need = 12, .available = 3};
  f.limit = 64;
  f.fix = "lower max_sequences";
  REQUIRE(line(f) ==
          "pool 'kv': out of memory: blocks for a prompt; need 12, available 3, limit 64; fix: lower max_sequences");
  REQUIRE(line(failure{}) == "pool '': ok");
  failure g{.code = errc::foreign_pointer, .pool = "a", .address = reinterpret_cast<const void*>(0xabc0)};
  REQUIRE(line(g) == "pool 'a': foreign pointer; address 0xabc0");
  g.address = reinterpret_cast<const void*>(~std::uintptr_t{0});
  g.need = ~std::size_t{0};
  REQUIRE(line(g) == "pool 'a': foreign pointer; need 18446744073709551615, available 0; address 0xffffffffffffffff");
}

TEST_CASE("a line is cut where the buffer ends, and always terminated", "[core][bad]") {
  const failure f{.code = errc::leaked, .pool = "a pool with a long name"};
  const std::string whole = line(f);
  for (std::size_t capacity = 1; capacity != 64; ++capacity) {
    char text[64];
    std::fill(std::begin(text), std::end(text), '#');
    const std::size_t length = describe(f, text, capacity);
    REQUIRE(length == std::min(capacity - 1, whole.size()));
    REQUIRE(std::string(text) == whole.substr(0, length));
    for (std::size_t k = capacity; k != 64; ++k) REQUIRE(text[k] == '#');
  }
  char untouched = '#';
  REQUIRE(describe(f, &untouched, 0) == 0);
  REQUIRE(untouched == '#');
}

TEST_CASE("a result is a value or a reason", "[core]") {
  auto good = make(7);
  REQUIRE(good);
  REQUIRE(**good == 7);
  REQUIRE(good.error() == errc::ok);
  REQUIRE(good.why().code == errc::ok);
  const auto bad = make(-1);
  REQUIRE_FALSE(bad);
  REQUIRE(bad.error() == errc::invalid_argument);
  REQUIRE(std::string_view(bad.why().pool) == "numbers");
}

TEST_CASE("a result moves its value and ends it once", "[core]") {
  int alive = 0;
  {
    result<counted> first{counted(alive)};
    REQUIRE(alive == 1);
    result<counted> second(std::move(first));
    REQUIRE(alive == 2);  // the moved-from value still stands, as for any object
    REQUIRE(second->alive == &alive);
    const result<counted> none(failure{.code = errc::in_use});
    REQUIRE(alive == 2);
  }
  REQUIRE(alive == 0);
  const std::string text = "a text that is too long for the small buffer of a string";
  const result<std::string> copy(text);
  REQUIRE(*copy == text);
}

TEST_CASE("the failure handler is one slot of the program", "[core]") {
  REQUIRE(installed_failure_handler() == nullptr);
  {
    const support::recorder seen;
    REQUIRE(installed_failure_handler() != nullptr);
    installed_failure_handler()({.code = errc::leaked});
    REQUIRE(seen.only(errc::leaked));
    const failure_handler before = set_failure_handler(nullptr);
    REQUIRE(installed_failure_handler() == nullptr);
    REQUIRE(set_failure_handler(before) == nullptr);
  }
  REQUIRE(installed_failure_handler() == nullptr);
}
