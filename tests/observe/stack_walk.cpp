#include <tokenheap/observe/stack_walk.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <thread>

using namespace tokenheap;

namespace {

struct walked {
  void* frames[64] = {};
  std::size_t depth = 0;
  std::size_t most = 64;
  stack_walk walk = nullptr;
};

// each keeps something to do behind its call, so that no call becomes a jump
__attribute__((noinline)) void sampler(walked& to) {
  to.depth = to.walk(to.frames, to.most);
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) void inner(walked& to) {
  sampler(to);
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) void outer(walked& to) {
  inner(to);
  asm volatile("" ::: "memory");
}

/// Which of the three functions an address lies in: the last one that begins before it.
void (*function_at(void* address))(walked&) {
  void (*const all[])(walked&) = {&sampler, &inner, &outer};
  void (*found)(walked&) = nullptr;
  for (const auto f : all) {
    const auto start = reinterpret_cast<std::uintptr_t>(f);
    if (start < address_of(address) && (found == nullptr || start > reinterpret_cast<std::uintptr_t>(found))) found = f;
  }
  return found;
}

}  // namespace

TEST_CASE("backtrace: the caller of the sampler comes first, then its callers", "[observe]") {
  walked all{.walk = &walk_by_backtrace};
  outer(all);
  REQUIRE(all.depth >= 3);
  // a sanitizer's own backtrace stands in between
  const std::size_t first = function_at(all.frames[0]) == &sampler ? 1 : 0;
  CHECK(function_at(all.frames[first]) == &inner);
  CHECK(function_at(all.frames[first + 1]) == &outer);
  walked two{.most = 2, .walk = &walk_by_backtrace};
  outer(two);
  REQUIRE(two.depth == 2);
  CHECK(two.frames[1] == all.frames[1]);
  CHECK(two.frames[2] == nullptr);
}

TEST_CASE("frame pointers: a walk ends within the stack, whatever the program was built with", "[observe][bad]") {
  CHECK(bounds_of_stack().end > address_of(__builtin_frame_address(0)));
  CHECK(bounds_of_stack().lowest < address_of(__builtin_frame_address(0)));
  walked all{.walk = &walk_by_frame_pointers};
  outer(all);
  CHECK(all.depth <= 64);
  walked none{.most = 0, .walk = &walk_by_frame_pointers};
  outer(none);
  CHECK(none.depth == 0);
  CHECK(none.frames[0] == nullptr);
#if !defined(__OPTIMIZE__) && !defined(__clang__)
  // without optimisation gcc keeps them: the same first frames as by backtrace
  REQUIRE(all.depth >= 2);
  CHECK(function_at(all.frames[0]) == &inner);
  CHECK(function_at(all.frames[1]) == &outer);
#endif
}

TEST_CASE("frame pointers: each thread has a stack of its own", "[observe][threads]") {
  std::size_t other = 0;
  std::size_t depth = 1000;
  std::thread([&] {
    other = bounds_of_stack().end;
    walked all{.walk = &walk_by_frame_pointers};
    outer(all);
    depth = all.depth;
  }).join();
  CHECK(other != 0);
  CHECK(other != bounds_of_stack().end);
  CHECK(depth <= 64);
}
