// What a program does with std::pmr, and the same without it: scratch of a step, pools, threads, a count, a bound.

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/adapt/pmr.hpp>
#include <tokenheap/tokenheap.hpp>
using namespace tokenheap;

#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) {                                              \
      std::fprintf(stderr, "from_pmr: expected %s\n", #condition);   \
      return 1;                                                      \
    }                                                                \
  } while (false)

namespace {

// [before_count]
// std::pmr counts nothing: whoever wants numbers writes a resource
class counting : public std::pmr::memory_resource {
 public:
  std::size_t calls = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++calls;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
// [before_count]

int scratch_before() {
  // [before_scratch]
  counting heap;
  std::pmr::monotonic_buffer_resource step(256 * 1024, &heap);
  for (int n = 0; n != 100; ++n) {
    void* const logits = step.allocate(32'000 * sizeof(float), 64);
    void* const sorted = step.allocate(1'000 * sizeof(float), 64);
    static_cast<float*>(logits)[0] = static_cast<float*>(sorted)[0] = 1;
    step.release();                                        // the chunk goes back to the heap
  }
  EXPECT(heap.calls == 100);
  // [before_scratch]
  return 0;
}

int scratch_after() {
  // [after_scratch]
  layered<host_source, with<counters>, arena<arena_shape{.chunk = 256 * KiB}>> step;
  for (int n = 0; n != 100; ++n) {
    const allocation logits = step.allocate(32'000 * sizeof(float), 64);
    const allocation sorted = step.allocate(1'000 * sizeof(float), 64);
    if (!logits || !sorted) return 1;                      // null: nothing throws
    static_cast<float*>(logits.data)[0] = static_cast<float*>(sorted.data)[0] = 1;
    step.reset();                                          // the chunk stays
  }
  EXPECT(step.policy<counters>().values().calls.allocated == 1);
  // [after_scratch]
  return 0;
}

int pool_before() {
  // [before_pool]
  std::pmr::unsynchronized_pool_resource pool({.max_blocks_per_chunk = 0, .largest_required_pool_block = 64 * 1024});
  void* const node = pool.allocate(100, 16);
  pool.deallocate(node, 100, 16);                          // the caller knows bytes and alignment
  pool.release();
  // [before_pool]
  EXPECT(node != nullptr);
  return 0;
}

int pool_after() {
  // [after_pool]
  layered<host_source, slab<slab_shape{.largest = 64 * KiB}>, with<counters>> pool;
  const allocation node = pool.allocate(100, 16);
  EXPECT(node && node.size == 112);                        // the whole slot is the caller's
  pool.deallocate(node);                                   // pointer and granted size, nothing else
  EXPECT(pool.trim() > 0);                                 // idle chunks go back to the heap
  // [after_pool]
  EXPECT(pool.policy<counters>().values().granted.peak == 112);
  return 0;
}

// [before_threads]
using shared_before = std::pmr::synchronized_pool_resource;
// [before_threads]

// [after_threads]
struct shared_after : layered<host_source, slab<>, magazines<>, with<shared_counters>> {};
// [after_threads]

template <class Churn>
void on_two_threads(Churn churn) {
  std::thread other(churn);
  churn();
  other.join();
}

int threads() {
  shared_before before;
  on_two_threads([&] {
    for (std::size_t n = 1; n != 2'000; ++n) before.deallocate(before.allocate(n % 1'000 + 1, 16), n % 1'000 + 1, 16);
  });
  shared_after after;
  on_two_threads([&] {
    for (std::size_t n = 1; n != 2'000; ++n) after.deallocate(after.allocate(n % 1'000 + 1, 16));
  });
  const counter_values seen = after.policy<shared_counters>().values();
  EXPECT(seen.calls.allocated == 2 * 1'999 && seen.calls.current == 0);
  return 0;
}

int bound_before() {
#if TOKENHEAP_HAS_EXCEPTIONS
  // [before_bound]
  std::array<std::byte, 4096> buffer;
  std::pmr::monotonic_buffer_resource bounded(buffer.data(), buffer.size(), std::pmr::null_memory_resource());
  bool full = false;
  try {
    static_cast<void>(bounded.allocate(8'192));
  } catch (const std::bad_alloc&) {
    full = true;                                           // how much was there, nobody says
  }
  EXPECT(full);
  // [before_bound]
#endif
  return 0;
}

int bound_after() {
  // [after_bound]
  std::array<std::byte, 4096> buffer;
  fixed_source bounded({.data = buffer.data(), .size = buffer.size(), .name = "step buffer"});
  EXPECT(!bounded.allocate(8'192));                        // null
  char line[300];
  describe(bounded.last_failure(), line, sizeof line);     // pool, need, limit and a fix
  std::puts(line);
  EXPECT(std::string(line).find("8192") != std::string::npos);

  // a limit over any source, without a buffer; `on_refusal` may name somebody who frees
  layered<host_source, with<hard_limit>> limited{hard_limit_options{.limit = 4 * KiB}};
  EXPECT(!limited.allocate(8 * KiB));
  const allocation all = limited.allocate(4 * KiB);
  EXPECT(all && limited.policy<hard_limit>().held() == 4 * KiB);
  limited.deallocate(all);
  // [after_bound]
  return 0;
}

int containers() {
  // [before_containers]
  std::pmr::monotonic_buffer_resource old_step;
  std::pmr::vector<std::pmr::string> before({"a prompt that is long", "an answer that is longer"}, &old_step);
  // [before_containers]

  // [after_containers]
  layered<host_source, arena<>, with<counters>> step;
  adapt::pmr_resource memory(step);                        // the one line that changes
  std::pmr::vector<std::pmr::string> after({"a prompt that is long", "an answer that is longer"}, &memory);
  // [after_containers]
  EXPECT(before.size() == 2 && before == after && step.owns(after.data()));
  EXPECT(step.policy<counters>().values().calls.current == 3);  // the array and two texts
  return 0;
}

}  // namespace

int main() {
  const bool wrong = scratch_before() != 0 || scratch_after() != 0 || pool_before() != 0 || pool_after() != 0 ||
                     threads() != 0 || bound_before() != 0 || bound_after() != 0 || containers() != 0;
  if (!wrong) std::puts("100 steps: std::pmr went to the heap 100 times, the arena once");
  return wrong ? 1 : 0;
}
