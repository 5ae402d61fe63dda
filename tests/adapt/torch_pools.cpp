#include <tokenheap/adapt/torch_pools.hpp>

#include <support/catch.hpp>

#include <string>
#include <thread>

#include <alloc/caching_kit.hpp>

using namespace tokenheap;

namespace {

using rig = caching_kit::rig<caching_kit::checked_policy>;
using heap = caching_allocator<sim_device, caching_kit::checked_policy>;
using pools = adapt::torch_pools<heap>;

std::uint32_t pool_of(heap& gpu, allocation a) {
  std::uint32_t found = ~0U;
  gpu.for_each_piece([&](const device_segment& g, std::size_t at, std::size_t, piece_state) {
    if (at == address_of(a.data)) found = g.pool;
  });
  return found;
}
allocation take(rig& r, pools& from, std::size_t stream) {
  from.ask_for(r.streams[stream].handle);
  return r.gpu().allocate(r.streams[stream], {.bytes = 1 * MiB});
}

}  // namespace

TEST_CASE("a filter of handles decides, on the thread that asks, which requests a graph pool serves") {
  rig r;
  pools mine;
  const auto one = r.streams[0].handle;
  CHECK(mine.begin(r.gpu(), {0, 7}, [one](pools::handle s) { return s == one; }) == nullptr);
  const allocation inside = take(r, mine, 0), outside = take(r, mine, 1);
  CHECK(pool_of(r.gpu(), inside) != 0);
  CHECK(pool_of(r.gpu(), outside) == 0);
  allocation elsewhere;
  std::thread other([&] { elsewhere = take(r, mine, 0); });
  other.join();
  CHECK(pool_of(r.gpu(), elsewhere) == pool_of(r.gpu(), inside));
  // what another thread asks for meanwhile is not what this one does
  mine.ask_for(one);
  std::thread meanwhile([&] { mine.ask_for(r.streams[1].handle); });
  meanwhile.join();
  const allocation mine_still = r.gpu().allocate(r.streams[0], {.bytes = 1 * MiB});
  CHECK(pool_of(r.gpu(), mine_still) == pool_of(r.gpu(), inside));
  CHECK(mine.end(r.gpu(), {0, 7}) == nullptr);
  const allocation later = take(r, mine, 0);
  CHECK(pool_of(r.gpu(), later) == 0);
  for (const allocation a : {inside, outside, elsewhere, mine_still, later}) r.gpu().deallocate(a);
  CHECK(mine.release(r.gpu(), {0, 7}) == nullptr);
}

TEST_CASE("PyTorch releases a pool as often as it began it; what comes out of turn is named") {
  rig r;
  pools mine;
  const adapt::torch_pool_id id{3, 0};
  CHECK(mine.end(r.gpu(), id) == std::string("a graph pool that was never begun"));
  CHECK(mine.release(r.gpu(), id) == std::string("a graph pool that was never begun"));
  CHECK(mine.begin(r.gpu(), id, {}) == nullptr);
  CHECK(mine.begin(r.gpu(), id, {}) == std::string("a graph pool that is open already"));
  const allocation a = take(r, mine, 2);
  const std::uint32_t number = pool_of(r.gpu(), a);
  CHECK(number != 0);
  CHECK(r.gpu().pool_uses(number) == 1);
  CHECK(mine.end(r.gpu(), id) == nullptr);
  CHECK(mine.end(r.gpu(), id) == std::string("a graph pool that is not open"));
  CHECK(mine.begin(r.gpu(), id, {}) == nullptr);
  CHECK(r.gpu().pool_uses(number) == 2);
  CHECK(mine.end(r.gpu(), id) == nullptr);
  r.gpu().deallocate(a);
  CHECK(mine.release(r.gpu(), id) == nullptr);
  CHECK(r.gpu().pool_uses(number) == 1);
  CHECK(mine.release(r.gpu(), id) == nullptr);
  CHECK(mine.release(r.gpu(), id) == std::string("a graph pool that was never begun"));
  CHECK(r.gpu().trim() != 0);
}

TEST_CASE("two pools that are open at once: a filter that says no leaves its pool empty") {
  rig r;
  pools mine;
  CHECK(mine.begin(r.gpu(), {0, 1}, {}) == nullptr);
  CHECK(mine.begin(r.gpu(), {0, 2}, [](pools::handle) { return false; }) == nullptr);
  const allocation a = take(r, mine, 0);
  CHECK(pool_of(r.gpu(), a) != 0);
  CHECK(mine.end(r.gpu(), {0, 1}) == nullptr);
  const allocation b = take(r, mine, 0);
  CHECK(pool_of(r.gpu(), b) == 0);
  r.gpu().deallocate(b);
  CHECK(mine.end(r.gpu(), {0, 2}) == nullptr);
  CHECK(mine.release(r.gpu(), {0, 2}) == nullptr);
  r.gpu().deallocate(a);
  CHECK(mine.release(r.gpu(), {0, 1}) == nullptr);
}

TEST_CASE("a filter may ask the allocator and the pools themselves: it runs under no lock") {
  rig r;
  pools mine;
  std::size_t asked = 0;
  CHECK(mine.begin(r.gpu(), {0, 4}, [&](pools::handle) {
    ++asked;
    CHECK(mine.end(r.gpu(), {0, 5}) == std::string("a graph pool that was never begun"));
    const allocation inner = r.gpu().allocate(r.streams[1], {.bytes = 512});
    r.gpu().deallocate(inner);
    return inner.data != nullptr;
  }) == nullptr);
  const allocation a = take(r, mine, 0);
  CHECK(asked == 1);
  CHECK(pool_of(r.gpu(), a) != 0);
  r.gpu().deallocate(a);
  CHECK(mine.end(r.gpu(), {0, 4}) == nullptr);
  CHECK(mine.release(r.gpu(), {0, 4}) == nullptr);
}

TEST_CASE("no more than sixteen graph pools are open at once, and the next one is refused as it stands") {
  rig r;
  pools mine;
  for (unsigned long long k = 0; k != pools::most_open; ++k) CHECK(mine.begin(r.gpu(), {1, k}, {}) == nullptr);
  CHECK(mine.begin(r.gpu(), {2, 0}, {}) == std::string("16 graph pools are open already: end one of them first"));
  CHECK(mine.release(r.gpu(), {2, 0}) == std::string("a graph pool that was never begun"));
  CHECK(mine.end(r.gpu(), {1, 3}) == nullptr);
  CHECK(mine.begin(r.gpu(), {2, 0}, {}) == nullptr);
  for (unsigned long long k = 0; k != pools::most_open; ++k) CHECK(mine.release(r.gpu(), {1, k}) == nullptr);
  CHECK(mine.release(r.gpu(), {2, 0}) == nullptr);
}

TEST_CASE("a pool released while it is open is closed first, so that nobody asks a filter that is gone") {
  rig r;
  pools mine;
  CHECK(mine.begin(r.gpu(), {9, 9}, {}) == nullptr);
  CHECK(mine.release(r.gpu(), {9, 9}) == nullptr);
  const allocation a = take(r, mine, 0);
  CHECK(pool_of(r.gpu(), a) == 0);
  r.gpu().deallocate(a);
  CHECK(mine.begin(r.gpu(), {9, 9}, {}) == nullptr);
  CHECK(mine.end(r.gpu(), {9, 9}) == nullptr);
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("a filter that throws has said no, and the request is served without the graph pool") {
  rig r;
  pools mine;
  int asked = 0;
  CHECK(mine.begin(r.gpu(), {0, 8}, [&asked](pools::handle) -> bool { throw ++asked; }) == nullptr);
  const allocation a = take(r, mine, 0);
  CHECK(asked == 1);
  CHECK((a && pool_of(r.gpu(), a) == 0));
  r.gpu().deallocate(a);
  CHECK(mine.end(r.gpu(), {0, 8}) == nullptr);
  CHECK(mine.release(r.gpu(), {0, 8}) == nullptr);
}
#endif
