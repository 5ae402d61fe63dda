#include <tokenheap/alloc/slab.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/sources.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <random>
#include <set>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>

using namespace tokenheap;
using support::counting_source;
using support::failing_options;
using support::failing_source;

namespace {

constexpr slab_shape in_place{.keep = free_slots::in_place};
using out_of_line_slab = layered<counting_source, slab<>>;
using in_place_slab = layered<counting_source, slab<in_place>>;

template <class Slab>
std::vector<allocation> take(Slab& mem, std::size_t count, std::size_t bytes) {
  std::vector<allocation> out;
  for (std::size_t k = 0; k != count; ++k) {
    out.push_back(mem.allocate(bytes));
    REQUIRE(out.back());
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("a slot is its class, and comes back as the next one", "[alloc]", out_of_line_slab, in_place_slab) {
  TestType mem;
  const allocation a = mem.allocate(65);
  REQUIRE(a.size == 80);
  const allocation b = mem.allocate(80);
  REQUIRE(b.data == offset(a.data, 80));
  mem.deallocate(a);
  REQUIRE(mem.allocate(70).data == a.data);
  REQUIRE(mem.template floor<counting_source>().taken == 1);
}

TEMPLATE_TEST_CASE("slots of a batch go out in ascending order", "[alloc]", out_of_line_slab, in_place_slab) {
  TestType mem;
  const auto slots = take(mem, 1000, 64);
  for (std::size_t k = 1; k != 1000; ++k) REQUIRE(slots[k].data == offset(slots[k - 1].data, 64));
}

TEST_CASE("waste is below 20 percent or 16 bytes, for every size to 64 KiB", "[alloc]") {
  layered<counting_source, slab<slab_shape{.largest = 64 * KiB, .chunk = 1 * MiB}>> mem;
  double worst = 0;
  for (std::size_t bytes = 1; bytes <= 64 * KiB; ++bytes) {
    const allocation a = mem.allocate(bytes);
    if (!a || a.size < bytes) FAIL("size " << bytes << " got " << a.size);
    if (a.size - bytes >= 16) {
      worst = std::max(worst, static_cast<double>(a.size - bytes) / static_cast<double>(a.size));
    }
    mem.deallocate(a);
  }
  CAPTURE(worst);
  REQUIRE(worst < 0.20);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.stats().live == 0);
}

TEST_CASE("requests above the largest pass straight through, and come back the same way", "[alloc]") {
  out_of_line_slab mem;
  const allocation slot = mem.allocate(4 * KiB);
  REQUIRE(slot.size == 4 * KiB);
  const std::size_t live = mem.floor<counting_source>().live;
  const allocation whole = mem.allocate(4 * KiB + 1);
  REQUIRE(whole.size == 4 * KiB + 1);
  REQUIRE(mem.floor<counting_source>().live == live + 1);
  mem.deallocate(whole);
  REQUIRE(mem.floor<counting_source>().live == live);
  // small, but so aligned that no slot serves it: still told apart when it comes back
  const allocation aligned = mem.allocate(16, 64 * KiB);
  REQUIRE(address_of(aligned.data) % (64 * KiB) == 0);
  REQUIRE(aligned.size > 4 * KiB);
  mem.deallocate(aligned);
  REQUIRE(mem.floor<counting_source>().live == live);
}

TEMPLATE_TEST_CASE("every alignment is honoured for every size", "[alloc]", out_of_line_slab, in_place_slab) {
  TestType mem;
  for (std::size_t alignment = 1; alignment <= 64 * KiB; alignment *= 2) {
    for (const std::size_t bytes : {1u, 15u, 48u, 100u, 1000u, 3000u, 4096u, 5000u}) {
      const allocation a = mem.allocate(bytes, alignment);
      const allocation b = mem.allocate(bytes, alignment);
      REQUIRE(a);
      REQUIRE(b);
      REQUIRE(address_of(a.data) % alignment == 0);
      REQUIRE(address_of(b.data) % alignment == 0);
      REQUIRE(a.size >= bytes);
      mem.deallocate(a);
      mem.deallocate(b);
    }
  }
  REQUIRE(mem.is_valid());
  REQUIRE(mem.stats().live == 0);
}

TEMPLATE_TEST_CASE("the numbers add up: slots == live + idle", "[alloc]", out_of_line_slab, in_place_slab) {
  TestType mem;
  REQUIRE(mem.stats().slots == 0);
  auto slots = take(mem, 40, 100);
  slab_stats s = mem.stats();
  REQUIRE(s.chunks == 1);
  REQUIRE(s.live == 40);
  REQUIRE(s.live_bytes == 40 * 112);
  REQUIRE(s.slots == s.live + s.idle);
  REQUIRE(s.reserved == mem.template floor<counting_source>().live_bytes);
  for (const allocation& a : slots) mem.deallocate(a);
  s = mem.stats();
  REQUIRE(s.live == 0);
  REQUIRE(s.live_bytes == 0);
  REQUIRE(s.idle == s.slots);
}

TEMPLATE_TEST_CASE("trim gives down whole chunks of which nothing is out", "[alloc]", out_of_line_slab, in_place_slab) {
  TestType mem;
  // 64 KiB chunks of 1 KiB slots: 64 in each
  auto slots = take(mem, 4 * 64, 1 * KiB);
  REQUIRE(mem.stats().chunks == 4);
  REQUIRE(mem.trim(0) == 0);
  for (std::size_t k = 64; k != 4 * 64; ++k) {
    if (k != 130) mem.deallocate(slots[k]);
  }
  // chunks 1 and 3 are idle; chunk 2 keeps one slot, chunk 0 all of its
  REQUIRE(mem.trim(64 * KiB) == 64 * KiB);
  REQUIRE(mem.stats().chunks == 3);
  REQUIRE(mem.trim(64 * KiB - 1) == 64 * KiB);
  REQUIRE(mem.trim(0) == 0);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.stats().live == 65);
  REQUIRE(mem.template floor<counting_source>().live == 2);
  mem.deallocate(slots[130]);
  for (std::size_t k = 0; k != 64; ++k) mem.deallocate(slots[k]);
  REQUIRE(mem.trim(0) == 128 * KiB);
  REQUIRE(mem.template floor<counting_source>().live == 0);
  REQUIRE(mem.stats().slots == 0);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.allocate(1 * KiB));
}

TEMPLATE_TEST_CASE("trim of a chunk that was never cut to its end", "[alloc]", out_of_line_slab, in_place_slab) {
  TestType mem;
  const allocation a = mem.allocate(1 * KiB);
  REQUIRE(mem.trim(0) == 0);
  mem.deallocate(a);
  REQUIRE(mem.trim(0) == 64 * KiB);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.trim(0) == 0);
  const auto again = take(mem, 100, 1 * KiB);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.stats().live == 100);
}

TEMPLATE_TEST_CASE("random order, trims between: every slot is out once", "[alloc]", out_of_line_slab, in_place_slab) {
  const unsigned seed = 5;
  CAPTURE(seed);
  std::mt19937 random(seed);
  TestType mem;
  std::vector<allocation> live;
  std::set<void*> out;
  for (int round = 0; round != 20'000; ++round) {
    if (live.empty() || random() % 100 < (round / 2000 % 2 == 0 ? 60u : 35u)) {
      const allocation a = mem.allocate(1 + random() % 5000);
      REQUIRE(a);
      REQUIRE(out.insert(a.data).second);
      live.push_back(a);
    } else {
      const std::size_t k = random() % live.size();
      mem.deallocate(live[k]);
      out.erase(live[k].data);
      live[k] = live.back();
      live.pop_back();
    }
    if (round % 500 == 0) static_cast<void>(mem.trim(random() % (256 * KiB)));
    if (round % 250 == 0) REQUIRE(mem.is_valid());
  }
  const auto slots = std::count_if(live.begin(), live.end(), [](allocation a) { return a.size <= 4 * KiB; });
  REQUIRE(mem.stats().live == static_cast<std::size_t>(slots));
  for (const allocation& a : live) mem.deallocate(a);
  static_cast<void>(mem.trim(0));
  REQUIRE(mem.template floor<counting_source>().live == 0);
}

TEST_CASE("a slab never touches memory that the CPU cannot reach", "[alloc]") {
  layered<support::untouchable_source, arena<>, slab<>> mem;
  std::vector<allocation> slots;
  for (std::size_t k = 0; k != 2000; ++k) slots.push_back(mem.allocate(1 + k % 4096));
  for (std::size_t k = 0; k != 2000; k += 2) mem.deallocate(slots[k]);
  for (std::size_t k = 0; k != 2000; k += 2) REQUIRE(mem.allocate(1 + k % 4096));
  REQUIRE(mem.is_valid());
  static_cast<void>(mem.trim(0));
  mem.reset();
  REQUIRE(mem.allocate(64));
}

TEST_CASE("a slab whose source has no more says no and stays as it was", "[alloc][bad]") {
  layered<failing_source, slab<>> mem(failing_options{.after = 1});
  const auto slots = take(mem, 64, 1 * KiB);
  REQUIRE_FALSE(mem.allocate(1 * KiB));
  REQUIRE_FALSE(mem.allocate(16));
  REQUIRE_FALSE(mem.allocate(100'000));
  REQUIRE(mem.stats().live == 64);
  REQUIRE(mem.stats().chunks == 1);
  REQUIRE(mem.is_valid());
  mem.deallocate(slots[7]);
  REQUIRE(mem.allocate(1 * KiB).data == slots[7].data);
}

TEST_CASE("more slots than went out do not come back: a double free of the last slot is reported", "[alloc][bad]") {
  const support::recorder seen;
  out_of_line_slab mem;
  // a chunk of 8 slots of 16 KiB is not there by default: 4 KiB slots, 16 in a chunk
  const auto slots = take(mem, 16, 4 * KiB);
  for (const allocation& a : slots) mem.deallocate(a);
  REQUIRE(seen.count() == 0);
  mem.deallocate(slots[3]);
  REQUIRE(seen.only(errc::double_free));
  REQUIRE(seen.last().address == slots[3].data);
  REQUIRE(seen.line().find("pool 'counting': double free: bytes of a slot") == 0);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.stats().idle == 16);
}

TEST_CASE("is_valid sees a slot that came back twice, and an address that is none", "[alloc][bad]") {
  const support::recorder seen;
  out_of_line_slab mem;
  const auto slots = take(mem, 3, 64);
  REQUIRE(mem.is_valid());
  mem.deallocate(slots[0]);
  mem.deallocate(slots[0]);
  REQUIRE_FALSE(mem.is_valid());

  out_of_line_slab other;
  const auto more = take(other, 3, 64);
  other.deallocate({offset(more[0].data, 8), 64});
  REQUIRE_FALSE(other.is_valid());

  out_of_line_slab third;
  const auto rest = take(third, 3, 64);
  alignas(16) static unsigned char elsewhere[64];
  third.deallocate({elsewhere, 64});
  REQUIRE_FALSE(third.is_valid());
  REQUIRE(third.trim(0) == 0);
  // with its chunk idle the slab sorts its slots, and the stranger goes
  for (const allocation& a : rest) third.deallocate(a);
  REQUIRE(third.trim(0) == 64 * KiB);
  REQUIRE(third.is_valid());
  REQUIRE(third.stats().idle == 0);
}

TEST_CASE("null with a size is null", "[alloc][bad]") {
  out_of_line_slab mem;
  const auto slots = take(mem, 3, 64);
  for (const std::size_t size : {0u, 64u, 4096u, 5000u}) mem.deallocate({nullptr, size});
  REQUIRE(mem.stats().live == 3);
  REQUIRE(mem.is_valid());
}

TEST_CASE("reset is there where the floor below has it, and forgets all", "[alloc]") {
  STATIC_REQUIRE_FALSE(resettable<layered<counting_source, slab<>>>);
  STATIC_REQUIRE(resettable<layered<counting_source, arena<>, slab<>>>);
  layered<counting_source, arena<>, slab<>> mem;
  static_cast<void>(take(mem, 100, 500));
  REQUIRE(mem.allocate(100'000));
  mem.reset();
  REQUIRE(mem.stats().slots == 0);
  REQUIRE(mem.stats().chunks == 0);
  REQUIRE(mem.is_valid());
  const std::size_t before = mem.floor<counting_source>().taken;
  static_cast<void>(take(mem, 100, 500));
  REQUIRE(mem.floor<counting_source>().taken == before);
}

TEST_CASE("trim goes down through the column: what leaves is what the lowest floor gave", "[alloc]") {
  layered<counting_source, arena<arena_shape{.chunk = 256 * KiB}>, slab<>> mem;
  for (const allocation& a : take(mem, 300, 1 * KiB)) mem.deallocate(a);
  REQUIRE(mem.floor<counting_source>().live == 2);
  mem.reset();
  REQUIRE(mem.trim(300 * KiB) == 256 * KiB);
  REQUIRE(mem.trim(0) == 256 * KiB);
  REQUIRE(mem.trim(0) == 0);
  REQUIRE(mem.floor<counting_source>().live == 0);
}

TEST_CASE("magazines' door: whole batches of one class", "[alloc]") {
  out_of_line_slab mem;
  void* out[100] = {};
  REQUIRE(mem.take(3, out, 100) == 100);
  std::set<void*> once(std::begin(out), std::end(out));
  REQUIRE(once.size() == 100);
  mem.give(3, out, 100);
  REQUIRE(mem.stats().live == 0);
  REQUIRE(mem.is_valid());
}

TEST_CASE("dump tells the slots of each class", "[slab]") {
  struct slots : layered<host_source, slab<>> {};
  slots mem;
  const allocation a = mem.allocate(64);
  static_cast<void>(mem.allocate(4096));
  mem.deallocate(a);
  char text[256] = {};
  const std::size_t length = mem.dump(text, sizeof text);
  CHECK(length == std::strlen(text));
  CHECK(std::string(text) ==
        "slab on 'host': 2 chunks, 131072 bytes reserved, 1 of 48 slots live\n"
        "  64 bytes: 0 of 32 live\n"
        "  4096 bytes: 1 of 16 live");
}
