#include <tokenheap/adapt/ggml_call.hpp>

#include <support/catch.hpp>

using namespace tokenheap;
using adapt::ggml_call;

namespace {

void* returned_to = nullptr;

/// Asks as ggml_aligned_malloc does.
TOKENHEAP_NOINLINE bool ask(bool with_caller) {
  returned_to = __builtin_return_address(0);
  const bool pairs = ggml_call::mine().look_back(with_caller ? returned_to : nullptr);
  asm volatile("" ::: "memory");  // no tail call
  return pairs;
}

// the same function asks for two callers, whose frames look alike
TOKENHEAP_NOINLINE void between() {
  static_cast<void>(ask(true));
  asm volatile("" ::: "memory");
}
TOKENHEAP_NOINLINE void first_of_two() {
  between();
  asm volatile("nop" ::: "memory");
}
TOKENHEAP_NOINLINE void second_of_two() {
  between();
  asm volatile("nop; nop" ::: "memory");
}

}  // namespace

TEST_CASE("a call that came before is known without a walk, and one that only looks alike is not taken for it") {
  const ggml_call& seen = ggml_call::mine();
  void* called_from[2] = {};
  const std::size_t before = seen.walks;
  for (int k = 0; k != 100; ++k) {
    void (*const volatile which)() = k % 2 == 0 ? &first_of_two : &second_of_two;
    which();
    REQUIRE(seen.depth > 3);
    REQUIRE(seen.frames[0] == returned_to);
    // returns into `between`, then into one of the two
    if (k < 2) called_from[k] = seen.frames[1];
    REQUIRE(seen.frames[1] == called_from[k % 2]);
  }
  CHECK(called_from[0] != called_from[1]);
  CHECK(seen.walks - before >= 2);
  const std::size_t then = seen.walks;
  for (int k = 0; k != 100; ++k) first_of_two();
  CHECK(seen.walks - then <= 2);
}

TEST_CASE("a stack begins where the asking function returns to, and goes out through hand_over") {
  static_cast<void>(ask(true));
  const ggml_call& seen = ggml_call::mine();
  REQUIRE(seen.depth > 1);
  CHECK(seen.depth < ggml_call::most_frames);  // frames of `ask` are gone, and nothing took their places
  CHECK(seen.frames[0] == returned_to);
  CHECK(seen.frames[1] != returned_to);
  void* out[ggml_call::most_frames] = {};
  CHECK(ggml_call::hand_over(out, 1) == 1);
  CHECK(out[0] == returned_to);
  CHECK(out[1] == nullptr);
  CHECK(ggml_call::hand_over(out, ggml_call::most_frames) == seen.depth);
  CHECK(out[seen.depth - 1] == seen.frames[seen.depth - 1]);
  const std::size_t shorter = seen.depth;
  static_cast<void>(ask(false));
  CHECK(ggml_call::mine().depth > shorter);
}

TEST_CASE("a caller outside of ggml's base library is one that may call free()") {
  CHECK(!ask(true));
  CHECK(!ask(true));  // and once more, from memory
  CHECK(ask(false));
  CHECK(!adapt::is_in_ggml_base(&returned_to));
  CHECK(!adapt::is_in_ggml_base(nullptr));
  CHECK(adapt::detail::file_begins("/lib/libggml-base.so.0", "libggml-base"));
  CHECK(!adapt::detail::file_begins("/lib/libggml-cpu.so.0", "libggml-base"));
  CHECK(!adapt::detail::file_begins(nullptr, "libggml-base"));
}
