#include <tokenheap/kv/block_hash.hpp>

#include <support/catch.hpp>

namespace kv = tokenheap::kv;
using kv::hash128;
using kv::token;

namespace {

struct whole {
  using value = hash128;
  static whole open(const void*, std::size_t) noexcept { return {}; }
  hash128 root(const void*, std::size_t) const noexcept { return {}; }
  hash128 operator()(hash128, const token*, std::size_t) const noexcept { return {}; }
};
struct short_value : whole {
  using value = std::uint64_t;
  static short_value open(const void*, std::size_t) noexcept { return {}; }
};
struct without_root {
  using value = hash128;
  static without_root open(const void*, std::size_t) noexcept { return {}; }
  hash128 operator()(hash128, const token*, std::size_t) const noexcept { return {}; }
};
struct can_throw {
  using value = hash128;
  static can_throw open(const void*, std::size_t) noexcept { return {}; }
  hash128 root(const void*, std::size_t) const noexcept { return {}; }
  hash128 operator()(hash128, const token*, std::size_t) const { return {}; }
};
struct changes {
  using value = hash128;
  static changes open(const void*, std::size_t) noexcept { return {}; }
  hash128 root(const void*, std::size_t) const noexcept { return {}; }
  hash128 operator()(hash128, const token*, std::size_t) noexcept { return {}; }
};
struct opens_another : whole {};

static_assert(kv::block_hash<whole>);
static_assert(!kv::block_hash<short_value>);
static_assert(!kv::block_hash<without_root>);
static_assert(!kv::block_hash<can_throw>);
static_assert(!kv::block_hash<changes>);
static_assert(!kv::block_hash<opens_another>);
static_assert(!kv::block_hash<int>);

}  // namespace

TEST_CASE("128 bits are equal when both halves are", "[kv][block_hash]") {
  CHECK(hash128{} == hash128{0, 0});
  CHECK(hash128{1, 2} == hash128{1, 2});
  CHECK_FALSE(hash128{1, 2} == hash128{2, 1});
  CHECK_FALSE(hash128{1, 2} == hash128{1, 3});
  CHECK_FALSE(hash128{1, 2} == hash128{0, 2});
}
