#include <tokenheap/adapt/ggml_door.hpp>

#include <support/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <support/recorder.hpp>
#include <support/sources.hpp>
#include <tokenheap/source/pages.hpp>

using namespace tokenheap;
using adapt::ggml_door;
using adapt::ggml_door_stats;
using door = ggml_door<page_source>;

namespace {

// two callers, so that there are two stacks
TOKENHEAP_NOINLINE void* weights(door& from, std::size_t bytes) {
  void* const p = from.allocate(bytes, __builtin_return_address(0));
  asm volatile("" ::: "memory");  // no tail call
  return p;
}

struct seen_stack {
  std::size_t live, ever, peak;
};
std::vector<seen_stack> stacks_of(const door& d) {
  std::vector<seen_stack> all;
  d.for_each_stack([&](const sampled_stack& s, std::size_t peak) { all.push_back({s.live_bytes, s.total_samples, peak}); });
  return all;
}

}  // namespace

TEST_CASE("a door gives aligned memory: the large in pages of its own, the rest out of chunks") {
  door d;
  CHECK(d.allocate(0) == nullptr);
  d.deallocate(nullptr);
  void* const small_one = d.allocate(1);
  CHECK(d.stats().held == door::large);
  void* const second = d.allocate(700);
  CHECK(d.stats().held == door::large);
  void* const big = d.allocate(door::large + 1);
  CHECK(d.stats().held == 2 * door::large + 4096);
  for (void* const p : {small_one, second, big}) CHECK(address_of(p) % 64 == 0);
  std::memset(big, 1, door::large + 1);
  CHECK(d.stats().asked.current == 1 + 700 + door::large + 1);
  d.deallocate(big);
  CHECK(d.stats().held == door::large);
  CHECK(d.stats().held_peak == 2 * door::large + 4096);
  d.deallocate(second);
  d.deallocate(small_one);
  const ggml_door_stats s = d.stats();
  CHECK(s.asked.current == 0);
  CHECK(s.asked.peak == door::large + 702);
  CHECK(s.pieces == gauge{0, 3, 3, 3});
  CHECK(s.refused + s.misused + s.lost + s.unseen + s.in_heap == 0);
  CHECK(d.is_valid());
}

TEST_CASE("what each stack held at the peak is known exactly, before and after what came back") {
  door d;
  std::vector<void*> kept;
  for (int k = 0; k != 3; ++k) kept.push_back(weights(d, 1000));
  void* const other = d.allocate(500);
  std::vector<seen_stack> now = stacks_of(d);
  REQUIRE(now.size() == 2);
  CHECK(now[0].peak == 3000);
  CHECK(now[1].peak == 500);
  d.deallocate(kept.back());
  d.deallocate(other);
  kept.back() = weights(d, 200);
  now = stacks_of(d);
  CHECK(now[0].peak == 3000);
  CHECK(now[1].peak == 500);
  CHECK(now[1].live == 0);
  // a higher peak of another kind takes its place
  void* const high = d.allocate(100'000);
  d.deallocate(high);
  std::size_t sum = 0;
  for (const seen_stack& s : stacks_of(d)) sum += s.peak;
  CHECK(sum == 102'200);
  CHECK(d.stats().asked.peak == 102'200);
  adapt::ggml_owner_table owners;
  d.sum_up(owners);
  std::size_t pieces = 0, bytes = 0;
  for (std::size_t k = 0; k != owners.size(); ++k) {
    pieces += owners[k].ever_pieces;
    bytes += owners[k].now_bytes;
  }
  CHECK(pieces == 6);
  CHECK(bytes == 2'200);
  for (void* const p : kept) d.deallocate(p);
}

TEST_CASE("idle chunks go back to the system, but for a few") {
  door d;
  std::vector<void*> all;
  for (int k = 0; k != 256; ++k) all.push_back(d.allocate(40'000));
  CHECK(d.stats().held == 256 * door::large);
  for (void* const p : all) d.deallocate(p);
  CHECK(d.stats().held == door::idle_kept);
  CHECK(d.is_valid());
}

TEST_CASE("what others than ggml's base library ask for is memory of the heap, and free() takes it") {
  door d;
  auto* const weights_of_amx = static_cast<unsigned char*>(weights(d, 300'000));
  REQUIRE(weights_of_amx != nullptr);
  CHECK(address_of(weights_of_amx) % 64 == 0);
  void* const pool = weights(d, 101);
  CHECK(d.stats().held == 300'101);
  CHECK(d.stats().in_heap == 2);
  d.deallocate(pool);
  CHECK(d.stats().in_heap == 1);
  std::free(weights_of_amx);
  // nobody was told; the door learns of it when the heap gives the address anew
  CHECK(d.stats().asked.current == 300'000);
  void* again = nullptr;
  std::vector<void*> tried;
  for (int k = 0; k != 1'000 && again != weights_of_amx; ++k) tried.push_back(again = weights(d, 300'000));
  const ggml_door_stats s = d.stats();
  if (again == weights_of_amx) {
    CHECK(s.unseen == 1);
    CHECK(s.in_heap == tried.size());
    CHECK(s.asked.current == 300'000 * tried.size());
  }
  CHECK(d.is_valid());
  for (void* const p : tried) d.deallocate(p);
  CHECK(d.stats().pieces.current == (again == weights_of_amx ? 0 : 1));
  CHECK(d.stats().misused == 0);
}

TEST_CASE("misuse is reported and changes nothing") {
  support::recorder seen;
  door d;
  void* const p = d.allocate(100);
  int stranger = 0;
  d.deallocate(&stranger);
  REQUIRE(seen.count() == 1);
  CHECK(seen.last().code == errc::foreign_pointer);
  CHECK(seen.last().address == &stranger);
  d.deallocate(p);
  d.deallocate(p);
  REQUIRE(seen.count() == 2);
  CHECK(seen.last().code == errc::double_free);
  CHECK(d.stats().misused == 2);
  CHECK(d.stats().pieces.current == 0);
  CHECK(d.is_valid());
}

TEST_CASE("no memory is null and a reason, and what is out stays") {
  support::recorder seen;
  ggml_door<support::failing_source> d(support::failing_options{1});
  void* const p = d.allocate(100'000);
  REQUIRE(p != nullptr);
  CHECK(d.allocate(200'000) == nullptr);
  CHECK(d.allocate(100) == nullptr);
  CHECK(d.allocate(max_allocation + 1) == nullptr);
  CHECK(seen.count() == 3);
  CHECK(seen.last().code == errc::out_of_memory);
  CHECK(d.stats().refused == 3);
  CHECK(d.stats().pieces.current == 1);
  d.deallocate(p);
  CHECK(d.is_valid());
}

TEST_CASE("four threads take and give at random, and all comes back") {
  constexpr unsigned seed = 17;
  INFO("seed " << seed);
  door d;
  std::atomic<int> wrong{0};
  std::vector<std::thread> all;
  for (unsigned t = 0; t != 4; ++t) {
    all.emplace_back([&, t] {
      std::mt19937 random(seed + t);
      struct piece {
        unsigned char* at;
        std::size_t size;
      };
      std::vector<piece> out;
      for (int k = 0; k != 600; ++k) {
        if (out.size() < 20 && random() % 3 != 0) {
          const std::size_t size = 1 + (random() % 8 == 0 ? random() % 200'000 : random() % 3'000);
          auto* const at = static_cast<unsigned char*>(d.allocate(size));
          if (at == nullptr) continue;
          at[0] = at[size - 1] = static_cast<unsigned char>(t);
          out.push_back({at, size});
        } else if (!out.empty()) {
          const piece p = out[random() % out.size()];
          if (p.at[0] != t || p.at[p.size - 1] != t) ++wrong;
          d.deallocate(p.at);
          std::erase_if(out, [&](const piece& q) { return q.at == p.at; });
        }
      }
      for (const piece& p : out) d.deallocate(p.at);
    });
  }
  for (std::thread& t : all) t.join();
  CHECK(wrong == 0);
  CHECK(d.stats().asked.current == 0);
  CHECK(d.stats().refused == 0);
  CHECK(d.is_valid());
}

TEST_CASE("a child process finds the door unlocked, whatever its parent's threads did") {
  alignas(door) static unsigned char room[sizeof(door)];
  static door& d = *new (static_cast<void*>(room)) door;  // forks look at it until the process ends
  d.guard_forks();
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) d.deallocate(d.allocate(5'000));
  });
  for (int k = 0; k != 20; ++k) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      void* const p = d.allocate(100);
      d.deallocate(p);
      ::_exit(p == nullptr ? 1 : 0);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  stop = true;
  busy.join();
}
