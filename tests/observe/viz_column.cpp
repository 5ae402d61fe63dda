#include <tokenheap/observe/viz_column.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

#include <observe/viz_kit.hpp>
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>

using namespace tokenheap;

namespace {

template <std::size_t Events>
using ring = ring_trace<trace_shape{.events = Events}>;
template <std::size_t Events>
struct slabs : layered<host_source, arena<>, slab<>, with<ring<Events>>> {};

template <std::size_t Events>
void run_and_look(const char* name) {
  slabs<Events> memory;
  std::mt19937 random(5);
  std::vector<allocation> out;
  for (int step = 0; step != 900; ++step) {
    if (step == 500) {
      memory.reset();
      out.clear();
    }
    if (random() % 5 < 3 && out.size() < 50) {
      out.push_back(memory.allocate(1 + random() % 3000));
    } else if (!out.empty()) {
      memory.deallocate(out.back());
      out.pop_back();
    }
  }
  viz_snapshot picture;
  collect(picture, memory.template policy<ring<Events>>(), name);
  std::size_t live = 0, seen = 0;
  for (const allocation& a : out) live += a.size;
  seen = viz_kit::bytes_in(picture, viz_state::allocated);
  CHECK((Events > 900 ? seen == live : seen <= live));
  CHECK(seen != 0);
  CHECK(picture.events().size() > Events / 4);
  viz_kit::check(picture, name);
  for (const allocation& a : out) memory.deallocate(a);
}

}  // namespace

TEST_CASE("a ring is enough for a picture of a slab", "[observe]") {
  run_and_look<2048>("slab");
  run_and_look<256>("slab_overflowed");
}

TEST_CASE("pieces of a ring, one by one", "[observe]") {
  ring<16> events;
  const auto at = [](std::uintptr_t address) { return reinterpret_cast<void*>(address); };
  events.record({trace_kind::deallocate, at(900), 0, 50});     // handed out before the ring begins
  events.record({trace_kind::allocate, at(1000), 90, 100});
  events.record({trace_kind::allocate, at(1100), 100, 100});
  events.record({trace_kind::allocate, at(1300), 10, 64});
  events.record({trace_kind::deallocate, at(1100), 0, 100});
  events.record({trace_kind::reset, nullptr, 0, 0});           // the end of 1000 and 1300
  events.record({trace_kind::allocate, at(1100), 30, 32});
  events.record({trace_kind::out_of_memory, nullptr, 4096, 0});
  viz_snapshot s;
  collect(s, events, "ring", 1);
  REQUIRE(s.status() == errc::ok);
  REQUIRE(s.segments().size() == 3);
  CHECK(s.segments()[0].address == 900);
  CHECK(s.segments()[0].total == 50);
  CHECK(s.segments()[1].address == 1000);
  CHECK(s.segments()[1].total == 200);
  CHECK(s.segments()[1].allocated == 32);
  CHECK(s.segments()[1].requested == 30);
  CHECK(s.segments()[2].active == 0);
  REQUIRE(s.blocks(s.segments()[1]).size() == 3);
  CHECK(s.blocks(s.segments()[1])[1].address == 1100);
  // 4 allocations, 4 ends of two events each, one refusal
  CHECK(s.events().size() == 4 + 8 + 1);
  CHECK(s.devices() == 2);
  viz_kit::check(s, "ring");
  // with what is known of the request, a free names it: PyTorch's frees do
  CHECK(s.events()[5].bytes == 100);
  CHECK(s.events()[7].bytes == 90);
}
