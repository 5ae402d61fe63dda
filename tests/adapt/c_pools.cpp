#include <tokenheap/adapt/c_pools.hpp>

#include <support/catch.hpp>

#include <numeric>
#include <stdexcept>
#include <vector>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

template <bool Chain, bool Told>
struct opened {
  explicit opened(th_pool_options with, c_source* source = nullptr) : pool(with, source), why(pool.open(with)) {}
  c_pool_of<Chain, Told> pool;
  failure why;
};

th_pool_options sixteen() {
  th_pool_options with{};
  with.blocks = 16;
  with.name = "sixteen";
  return with;
}

template <bool Chain, bool Told>
void serve_one_prefix() {
  opened<Chain, Told> o(sixteen());
  REQUIRE(o.why.code == errc::ok);
  std::vector<kv::token> prompt(40);
  std::iota(prompt.begin(), prompt.end(), 1);
  failure why{};
  c_sequence* const one = o.pool.open_sequence(prompt, {}, why);
  REQUIRE(one != nullptr);
  REQUIRE(one->publish(40) == errc::ok);
  REQUIRE((o.pool.users == 1 && o.pool.match(prompt, {}) == 32 && o.pool.tells_events() == Told));
  delete one;
  REQUIRE((o.pool.users == 0 && o.pool.is_valid() && o.pool.stats().cached == 2));
}

}  // namespace

TEST_CASE("pools of C with either index, telling or not, find what was published") {
  serve_one_prefix<false, false>();
  serve_one_prefix<false, true>();
  serve_one_prefix<true, false>();
  serve_one_prefix<true, true>();
}

TEST_CASE("a pool of C that cannot be opened says why, and holds its source no longer than it lives") {
  c_source_of<host_source, no_lock> heap(th_source_options{}, "heap", nullptr);
  {
    th_pool_options with = sixteen();
    with.block_bytes = 4096;
    with.watermark = 16;
    opened<false, false> o(with, &heap);
    REQUIRE((o.why.code == errc::invalid_argument && heap.users == 1 && heap.stats().bytes == 0));
  }
  REQUIRE(heap.users == 0);
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("a copy function of C that throws does not get out of the pool") {
  th_pool_options with = sixteen();
  int copies = 0;
  with.copy_user = &copies;
  with.copy = [](void* user, std::uint32_t, std::uint32_t) {
    ++*static_cast<int*>(user);
    throw std::runtime_error("no");
  };
  opened<false, false> o(with);
  const kv::token prompt[3] = {1, 2, 3};
  failure why{};
  c_sequence* const one = o.pool.open_sequence(prompt, {}, why);
  c_sequence* const two = one->fork(why);
  REQUIRE(two->append(prompt) == errc::ok);
  REQUIRE(copies == 1);
  delete one;
  delete two;
}
#endif
