#include <tokenheap/device/sim_order.hpp>

#include <support/catch.hpp>

#include <memory>
#include <thread>

using namespace tokenheap;

namespace {

// hooks that say which host thread calls
unsigned on_thread = 0;
unsigned which(void*) noexcept { return on_thread; }
constexpr sim_hooks numbered{.host_thread = which};

struct with_threads {
  with_threads() { set_sim_hooks(&numbered); }
  ~with_threads() { set_sim_hooks(nullptr); }
};

}  // namespace

TEST_CASE("each host thread has a dimension of its own", "[device]") {
  const with_threads hooks;
  sim_order order;
  on_thread = 0;
  const std::uint32_t zero = order.self().dimension;
  on_thread = 5;
  const std::uint32_t five = order.self().dimension;
  REQUIRE(zero != five);
  REQUIRE(order.self().number == 5);
  REQUIRE((order.actor(five).is_host && order.actor(five).id == 5));
  on_thread = 0;
  REQUIRE(order.self().dimension == zero);
}

TEST_CASE("threads of the system have dimensions too, unless all count as one", "[device]") {
  for (const bool one_host : {false, true}) {
    sim_order order(one_host);
    const std::uint32_t here = order.self().dimension;
    std::uint32_t there = here;
    std::thread([&] { there = order.self().dimension; }).join();
    REQUIRE((here == there) == one_host);
  }
}

TEST_CASE("a new host thread starts where the first one stands", "[device]") {
  const with_threads hooks;
  sim_order order;
  on_thread = 0;
  const std::uint32_t stream = order.add({false, 0, 9});
  order.self().clock.set(stream, 4);
  on_thread = 1;
  REQUIRE(order.self().clock[stream] == 4);
  on_thread = 0;
  order.self().clock.set(stream, 6);
  on_thread = 1;
  REQUIRE(order.self().clock[stream] == 4);
  order.host_barrier();
  REQUIRE(order.self().clock[stream] == 6);
}

TEST_CASE("a lock hands on what was known when it was left", "[device]") {
  const with_threads hooks;
  sim_order order;
  const std::uint32_t stream = order.add({false, 0, 9});
  on_thread = 1;
  (void)order.self();
  on_thread = 0;
  order.self().clock.set(stream, 4);
  sim_lock_clock lock;
  order.release(lock);
  order.self().clock.set(stream, 5);
  on_thread = 1;
  REQUIRE(order.self().clock[stream] == 0);
  order.acquire(lock);
  REQUIRE(order.self().clock[stream] == 4);
}

TEST_CASE("what a lock remembers of another machine counts for nothing", "[device]") {
  sim_lock_clock lock;
  {
    sim_order before;
    before.self().clock.set(0, 100);
    before.release(lock);
  }
  sim_order order;
  order.acquire(lock);
  REQUIRE(order.self().clock[0] == 0);
  order.release(lock);
  REQUIRE(lock.clock[0] == 0);
}

TEST_CASE("what is done for certain stays done, and work of hosts keeps nothing open", "[device]") {
  sim_order order;
  const std::uint32_t host = order.self().dimension;
  const std::uint32_t stream = order.add({false, 0, 9});
  sim_clock asked;
  asked.set(host, 1000);
  REQUIRE(order.is_done(asked));
  asked.set(stream, 2);
  REQUIRE_FALSE(order.is_done(asked));
  sim_clock done;
  done.set(stream, 2);
  order.note_done(done);
  REQUIRE(order.is_done(asked));
  asked.set(stream, 3);
  REQUIRE_FALSE(order.is_done(asked));
}

TEST_CASE("the newest machine that is alive is the one that locks tell", "[device]") {
  REQUIRE(sim_order::newest() == nullptr);
  auto a = std::make_unique<sim_order>();
  auto b = std::make_unique<sim_order>();
  auto c = std::make_unique<sim_order>();
  REQUIRE(sim_order::newest() == c.get());
  b.reset();
  REQUIRE(sim_order::newest() == c.get());
  c.reset();
  REQUIRE(sim_order::newest() == a.get());
  a.reset();
  REQUIRE(sim_order::newest() == nullptr);
}
