#include <tokenheap/alloc/free_slots.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

using namespace tokenheap;

namespace {
struct alignas(16) slot {
  unsigned char bytes[16];
};
}  // namespace

TEMPLATE_TEST_CASE("the slot that came back last goes out first", "[alloc]", slot_stack, slot_list) {
  std::vector<slot> slots(100);
  TestType kept;
  REQUIRE(kept.pop() == nullptr);
  REQUIRE(kept.reserve(100));
  kept.set_limit(100);
  for (slot& s : slots) REQUIRE(kept.push(&s));
  REQUIRE(kept.size() == 100);
  for (std::size_t k = 100; k-- != 0;) REQUIRE(kept.pop() == &slots[k]);
  REQUIRE(kept.pop() == nullptr);
  REQUIRE(kept.size() == 0);
}

TEST_CASE("a stack takes no more slots back than there are", "[alloc][bad]") {
  std::vector<slot> slots(4);
  slot_stack kept;
  REQUIRE_FALSE(kept.push(&slots[0]));
  REQUIRE(kept.reserve(3));
  kept.set_limit(3);
  void* all[4] = {&slots[0], &slots[1], &slots[2], &slots[3]};
  REQUIRE_FALSE(kept.push_many(all, 4));
  REQUIRE(kept.size() == 0);
  REQUIRE(kept.push_many(all, 3));
  REQUIRE_FALSE(kept.push(&slots[3]));
  REQUIRE_FALSE(kept.push_many(&all[3], 1));
  REQUIRE(kept.size() == 3);
}

TEMPLATE_TEST_CASE("slots move in batches", "[alloc]", slot_stack, slot_list) {
  std::vector<slot> slots(50);
  TestType kept;
  REQUIRE(kept.reserve(50));
  kept.set_limit(50);
  std::vector<void*> all;
  for (slot& s : slots) all.push_back(&s);
  REQUIRE(kept.push_many(all.data(), 50));
  void* out[50] = {};
  REQUIRE(kept.pop_many(out, 20) == 20);
  REQUIRE(kept.size() == 30);
  REQUIRE(kept.pop_many(out + 20, 100 - 20) == 30);
  REQUIRE(kept.pop_many(out, 1) == 0);
  std::sort(std::begin(out), std::end(out));
  REQUIRE(std::equal(all.begin(), all.end(), out));
}

TEMPLATE_TEST_CASE("slots can be walked, sorted out and forgotten", "[alloc]", slot_stack, slot_list) {
  std::vector<slot> slots(10);
  TestType kept;
  REQUIRE(kept.reserve(10));
  kept.set_limit(10);
  for (slot& s : slots) REQUIRE(kept.push(&s));
  kept.remove_if([&](const void* p) { return (static_cast<const slot*>(p) - slots.data()) % 2 == 0; });
  std::size_t seen = 0;
  kept.for_each([&](const void* p) {
    ++seen;
    REQUIRE((static_cast<const slot*>(p) - slots.data()) % 2 == 1);
  });
  REQUIRE(seen == 5);
  REQUIRE(kept.size() == 5);
  REQUIRE(kept.push(&slots[0]));
  kept.clear();
  REQUIRE(kept.size() == 0);
  REQUIRE(kept.pop() == nullptr);
}

TEST_CASE("a walk over a list that runs in a circle ends, and shows too many", "[alloc][bad]") {
  std::vector<slot> slots(3);
  slot_list kept;
  kept.set_limit(3);
  for (slot& s : slots) REQUIRE(kept.push(&s));
  REQUIRE(kept.size() == 3);
  REQUIRE(kept.push(&slots[1]));
  REQUIRE(kept.size() == 4);
  kept.remove_if([](const void*) { return false; });
  REQUIRE(kept.size() == 4);
}

TEST_CASE("a stack of slots never looks into them", "[alloc]") {
  STATIC_REQUIRE_FALSE(slot_stack::touches_slots);
  STATIC_REQUIRE(slot_list::touches_slots);
  slot_stack kept;
  REQUIRE(kept.reserve(1000));
  kept.set_limit(1000);
  for (std::uintptr_t k = 1; k <= 1000; ++k) REQUIRE(kept.push(reinterpret_cast<void*>(k * 4096)));
  REQUIRE(kept.reserve(5000));
  for (std::uintptr_t k = 1000; k != 0; --k) REQUIRE(kept.pop() == reinterpret_cast<void*>(k * 4096));
}
