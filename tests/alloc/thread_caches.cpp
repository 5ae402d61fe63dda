#include <tokenheap/alloc/thread_caches.hpp>

#include <thread>

#include <support/catch.hpp>

using tokenheap::thread_caches;

namespace {

struct owner {
  using caches = thread_caches<owner>;

  static void ended(void* self, void* cache) noexcept {
    ++static_cast<owner*>(self)->told;
    static_cast<owner*>(self)->last = cache;
  }
  std::uint64_t key = caches::join(this, &ended);
  int told = 0;
  void* last = nullptr;

  owner() = default;
  owner(const owner&) = delete;
  owner& operator=(const owner&) = delete;
  ~owner() { caches::leave(key); }
};

}  // namespace

TEST_CASE("a cache is found by the thread that keeps it, and by no other", "[thread_caches]") {
  owner one;
  int cache = 0;
  CHECK(owner::caches::find(one.key) == nullptr);
  REQUIRE(owner::caches::keep(one.key, &cache));
  CHECK(owner::caches::find(one.key) == &cache);
  void* seen = &cache;
  std::thread([&] { seen = owner::caches::find(one.key); }).join();
  CHECK(seen == nullptr);
}

TEST_CASE("several owners are found in turn", "[thread_caches]") {
  owner one;
  owner two;
  int caches[2] = {};
  REQUIRE(owner::caches::keep(one.key, &caches[0]));
  REQUIRE(owner::caches::keep(two.key, &caches[1]));
  for (int k = 0; k != 3; ++k) {
    CHECK(owner::caches::find(one.key) == &caches[0]);
    CHECK(owner::caches::find(two.key) == &caches[1]);
  }
}

TEST_CASE("a living owner is told once when a thread ends, a dead one never", "[thread_caches]") {
  owner lives;
  int caches[2] = {};
  std::thread([&] {
    REQUIRE(owner::caches::keep(lives.key, &caches[0]));
    owner dies;
    REQUIRE(owner::caches::keep(dies.key, &caches[1]));
  }).join();
  CHECK(lives.told == 1);
  CHECK(lives.last == &caches[0]);
}

TEST_CASE("an owner's number is never used again", "[thread_caches]") {
  int cache = 0;
  std::uint64_t first = 0;
  {
    owner gone;
    first = gone.key;
    REQUIRE(owner::caches::keep(gone.key, &cache));
  }
  owner next;
  CHECK(next.key != first);
  CHECK(owner::caches::find(next.key) == nullptr);
  CHECK_FALSE(owner::caches::keep(0, &cache));
}
