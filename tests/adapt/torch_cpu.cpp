#include <tokenheap/adapt/torch_cpu.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <support/sources.hpp>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/policy/limit.hpp>

using namespace tokenheap;

// what PyTorch's allocators are made of, without its headers: 2.3 and later, and 1.13 below
namespace now {

struct place {
  int type = 0;
  friend bool operator==(const place&, const place&) = default;
};
struct data_pointer {
  using deleter = void (*)(void*);
  data_pointer() noexcept : held(nullptr, nullptr) {}
  data_pointer(void* p, void* keep, deleter end, place where) : data(p), held(keep, end), at(where) {}
  [[nodiscard]] place device() const noexcept { return at; }
  [[nodiscard]] void* get() const noexcept { return data; }
  [[nodiscard]] void* get_context() const noexcept { return held.get(); }

  void* data = nullptr;
  std::unique_ptr<void, deleter> held;
  place at{};
};
struct interface {
  virtual ~interface() = default;
  virtual data_pointer allocate(std::size_t n) = 0;
  virtual data_pointer::deleter raw_deleter() const { return nullptr; }
  virtual void copy_data(void* to, const void* from, std::size_t n) const = 0;

  void* raw_allocate(std::size_t n) {
    data_pointer p = allocate(n);
    REQUIRE(p.get() == p.get_context());
    return p.held.release();
  }
};

// what the profiler was told last
thread_local std::int64_t told = 0;
thread_local std::size_t told_total = 0;
void reportMemoryUsageToProfiler(void*, std::int64_t bytes, std::size_t total, std::size_t, place) {
  told = bytes;
  told_total = total;
}

}  // namespace now

namespace then {

struct interface {
  virtual ~interface() = default;
  virtual now::data_pointer allocate(std::size_t n) const = 0;
  virtual now::data_pointer::deleter raw_deleter() const { return nullptr; }
};

}  // namespace then

namespace {

struct limited : layered<host_source, with<hard_limit>, with<spin_lock>> {
  using layered::layered;
};
struct pooled : layered<host_source, ranges<ranges_shape{.chunk = 4 * MiB, .granularity = 64}>,
                        slab<slab_shape{.largest = 4 * KiB}>, with<mutex_lock>> {
  using layered::layered;
};

template <class Interface>
using door = adapt::torch_cpu_allocator<Interface, support::counting_source>;

}  // namespace

TEMPLATE_TEST_CASE("a tensor's memory is aligned as PyTorch's own, and ends with the tensor", "", now::interface, then::interface) {
  support::counting_source from;
  door<TestType> mine(from);
  const TestType& asked_const = mine;
  TestType& asked = mine;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{63}, std::size_t{4096}, 3 * MiB}) {
    now::data_pointer p = asked.allocate(bytes);
    REQUIRE(p.get() != nullptr);
    CHECK(address_of(p.get()) % 64 == 0);
    CHECK(p.device() == now::place{});
    std::memset(p.get(), 0xab, bytes);
    CHECK(from.live == 1);
    CHECK(mine.asked().granted.current == bytes);
    CHECK(from.live_bytes == bytes + 64);
    p = {};
    CHECK(from.live == 0);
  }
  CHECK(mine.asked().calls.allocated == 4);
  CHECK(mine.asked().calls.freed == 4);
  CHECK(mine.asked().granted.peak == 3 * MiB);
  CHECK(asked_const.raw_deleter() != nullptr);
}

TEST_CASE("no bytes are null, and null may end") {
  support::counting_source from;
  door<now::interface> mine(from);
  now::interface& asked = mine;
  {
    const now::data_pointer p = asked.allocate(0);
    CHECK(p.get() == nullptr);
    CHECK(p.get_context() == nullptr);
  }
  asked.raw_deleter()(nullptr);
  CHECK(from.asked == 0);
  CHECK(mine.asked().calls.allocated == 0);
}

TEST_CASE("the raw interface: what is allocated raw ends by the deleter and nothing else") {
  support::counting_source from;
  door<now::interface> mine(from);
  now::interface& asked = mine;
  void* const p = asked.raw_allocate(1000);
  REQUIRE(p != nullptr);
  CHECK(from.live == 1);
  unsigned char copy[1000];
  std::memset(p, 7, 1000);
  asked.copy_data(copy, p, 1000);
  CHECK(copy[999] == 7);
  asked.copy_data(nullptr, nullptr, 0);
  asked.raw_deleter()(p);
  CHECK(from.live == 0);
}

TEST_CASE("the profiler is told of each tensor: its bytes, and what all hold") {
  support::counting_source from;
  door<now::interface> mine(from);
  now::data_pointer a = mine.allocate(100);
  CHECK(now::told == 100);
  CHECK(now::told_total == 100);
  now::data_pointer b = mine.allocate(50);
  CHECK(now::told_total == 150);
  a = {};
  CHECK(now::told == -100);
  CHECK(now::told_total == 50);
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("no memory is an exception that names need and what is held, and nothing is taken") {
  limited from(hard_limit_options{.limit = 10'000});
  adapt::torch_cpu_allocator<now::interface, limited> mine(from);
  now::data_pointer kept = mine.allocate(5000);
  std::string said;
  try {
    static_cast<void>(mine.allocate(6000));
  } catch (const std::bad_alloc& e) {
    said = e.what();
  }
  CHECK(said == "host: no memory for a CPU tensor: need 6000 bytes, tensors hold 5000: drop tensors, or raise the limit of the "
                "source");
  CHECK_THROWS_AS(mine.allocate(~std::size_t{0}), std::bad_alloc);
  CHECK_THROWS_AS(mine.allocate(~std::size_t{0} - 64), std::bad_alloc);
  CHECK(mine.asked().failures == 3);
  CHECK(mine.asked().granted.current == 5000);
  kept = {};
  CHECK(from.policy<hard_limit>().held() == 0);
  CHECK(mine.allocate(6000).get() != nullptr);
}
#endif

TEST_CASE("tensors that end on other threads than they began on leave nothing behind") {
  pooled from;
  adapt::torch_cpu_allocator<now::interface, pooled> mine(from);
  const unsigned seed = 11;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::vector<now::data_pointer> all[2];
  for (int k = 0; k != 400; ++k) {
    const std::size_t bytes = std::size_t{1} << (random() % 18);
    now::data_pointer p = mine.allocate(bytes);
    std::memset(p.get(), k & 0xff, bytes);
    all[k & 1].push_back(std::move(p));
  }
  std::thread first([&] { all[0].clear(); }), second([&] { all[1].clear(); });
  first.join();
  second.join();
  CHECK(mine.asked().calls.freed == 400);
  CHECK(mine.asked().granted.current == 0);
  CHECK(from.is_valid());
  CHECK(from.floor<ranges<ranges_shape{.chunk = 4 * MiB, .granularity = 64}>>().trim() != 0);
}
