#include <tokenheap/alloc/pinned_pool_options.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

static_assert(allocator_policy<pinned_policy>);
static_assert(std::is_same_v<pinned_policy::limit, no_limit>);

TEST_CASE("a pinned pool starts without a cap, and waits for streams") {
  constexpr pinned_pool_options<host_device> with;
  CHECK(with.limit == 0);
  CHECK(with.wait);
  CHECK(with.least_chunk <= with.chunk);
}
