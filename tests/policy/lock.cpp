#include <tokenheap/policy/lock.hpp>

#include <support/catch.hpp>

#include <thread>
#include <type_traits>

using namespace tokenheap;

TEMPLATE_TEST_CASE("a lock keeps a second thread out until it is unlocked", "[policy]", spin_lock, mutex_lock) {
  TestType lock;
  std::atomic<bool> started{false};
  std::atomic<bool> inside{false};
  lock.lock();
  std::thread other([&] {
    started = true;
    lock.lock();
    inside = true;
    lock.unlock();
  });
  while (!started) std::this_thread::yield();
  for (int k = 0; k != 1000; ++k) {
    REQUIRE_FALSE(inside);
    std::this_thread::yield();
  }
  lock.unlock();
  other.join();
  REQUIRE(inside);
}

TEMPLATE_TEST_CASE("locked holds a lock for its scope", "[policy]", spin_lock, mutex_lock) {
  TestType lock;
  std::size_t count = 0;
  const auto add = [&] {
    for (int k = 0; k != 20'000; ++k) {
      const locked hold(lock);
      ++count;
    }
  };
  std::thread first(add);
  std::thread second(add);
  first.join();
  second.join();
  REQUIRE(count == 40'000);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<locked<TestType>>);
}

TEST_CASE("a spin lock is one byte", "[policy]") { STATIC_REQUIRE(sizeof(spin_lock) == 1); }
