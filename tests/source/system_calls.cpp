#include <tokenheap/source/system_calls.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("system_calls: maps, writes, closes off and unmaps", "[system_calls]") {
  const std::size_t page = linux_calls::page_bytes();
  REQUIRE(page >= 4096);
  int error = -1;
  void* const p = linux_calls::map(nullptr, 2 * page, false, error);
  REQUIRE(p != nullptr);
  CHECK(error == 0);
  static_cast<unsigned char*>(p)[2 * page - 1] = 1;
  CHECK(linux_calls::close_off(p, page) == 0);
  CHECK(linux_calls::unmap(p, 2 * page) == 0);
  CHECK(linux_calls::map_count() > 10);
}

TEST_CASE("system_calls: errors are errno", "[system_calls]") {
  int error = 0;
  CHECK(linux_calls::map(nullptr, 0, false, error) == nullptr);
  CHECK(error == EINVAL);
  CHECK(linux_calls::unmap(reinterpret_cast<void*>(1), 4096) == EINVAL);
  CHECK(linux_calls::bind(nullptr, 4096, 5000) == EINVAL);
}

namespace {
struct no_lock_limit : linux_calls {
  static void lock_limit() noexcept {}
};
struct throwing_unmap : linux_calls {
  static int unmap(void*, std::size_t) { return 0; }
};
struct no_node : linux_calls {
  static int bind(void*, std::size_t) noexcept { return 0; }
};
static_assert(!system_calls<no_lock_limit> && !system_calls<throwing_unmap> && !system_calls<no_node>);
static_assert(!system_calls<int>);
}  // namespace
