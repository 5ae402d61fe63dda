#include <tokenheap/adapt/c_source_symbols.hpp>

#include <support/catch.hpp>

#include <cstdlib>
#include <cstring>

#include <tokenheap/adapt/c_status_symbols.hpp>

using namespace tokenheap::adapt;

TEST_CASE("options of a C source reach the source that they name") {
  th_source_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.name = "huge";
  with.kind = th_source_pages;
  with.touch_threads = 2;
  with.guard_pages = 1;
  th_source* const pages = th_source_open(&with);
  REQUIRE(pages != nullptr);
  th_allocation a{};
  REQUIRE(th_source_allocate(pages, 1, 1 << 16, &a) == th_ok);
  REQUIRE((a.bytes == 4096 && reinterpret_cast<std::uintptr_t>(a.data) % (1 << 16) == 0));
  REQUIRE(th_source_deallocate(pages, a) == th_ok);
  REQUIRE(th_source_close(pages) == th_ok);

  with.bind_node = 1;
  with.node = 1000;
  th_source* const far = th_source_open(&with);
  REQUIRE(th_source_allocate(far, 1, 0, &a) != th_ok);
  REQUIRE(std::strstr(c_last_reason().line, "pool 'huge'") == c_last_reason().line);
  REQUIRE(std::strstr(c_last_reason().line, "NUMA node by number; need 1000") != nullptr);
  REQUIRE(th_source_close(far) == th_ok);
}

TEST_CASE("calls with a C source that is none answer why") {
  th_allocation a{&a, 3};
  std::size_t given = 5;
  REQUIRE(th_source_allocate(nullptr, 16, 0, &a) == th_invalid_argument);
  REQUIRE((a.data == nullptr && a.bytes == 0));
  REQUIRE(th_source_trim(nullptr, 0, &given) == th_invalid_argument);
  REQUIRE(given == 0);
  REQUIRE(th_source_reset(nullptr) == th_invalid_argument);
  REQUIRE(th_source_set_limit(nullptr, 1) == th_invalid_argument);
  REQUIRE(th_source_is_valid(nullptr) == th_invalid_argument);
  REQUIRE(th_source_deallocate(nullptr, a) == th_invalid_argument);
  REQUIRE(th_source_stats_of(nullptr, nullptr) == th_invalid_argument);
  th_source* const heap = th_source_open(nullptr);
  REQUIRE(th_source_allocate(heap, 16, 0, nullptr) == th_invalid_argument);
  REQUIRE(th_source_close(heap) == th_ok);
}

namespace {

/// Functions of a user's own, which ask the interface while they run.
struct asking {
  th_source* above = nullptr;
  th_source* itself = nullptr;
  th_status closed = th_ok;  ///< what a close of `itself` and of `above` answered
  void* again = nullptr;  ///< what is given in place of new memory
  int inside = 0;
  int given = 0, taken = 0;

  static void* give(void* user, std::size_t bytes, std::size_t alignment) {
    auto& me = *static_cast<asking*>(user);
    th_allocation a{};
    if (me.above != nullptr && ++me.inside == 1) {
      th_source_allocate(me.above, 100, 0, &a);
      th_source_deallocate(me.above, a);
    }
    me.closed = th_source_close(me.itself);
    if (me.above != nullptr && me.closed == th_in_use) me.closed = th_source_close(me.above);
    th_clear_error();
    if (me.again != nullptr) return me.again;
    ++me.given;
    return std::aligned_alloc(alignment, align(bytes, alignment));
  }
  static void take(void* user, void* data, std::size_t) {
    auto& me = *static_cast<asking*>(user);
    std::size_t bytes = 0;
    if (me.above != nullptr) th_source_trim(me.above, ~std::size_t{0}, &bytes);
    me.closed = th_source_close(me.itself);
    ++me.taken;
    std::free(data);
  }
  static std::size_t align(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

  [[nodiscard]] th_source* open() {
    th_source_options with{};
    with.size = sizeof with;
    with.version = TOKENHEAP_C_VERSION;
    with.kind = th_source_callback;
    with.allocate = &give;
    with.deallocate = &take;
    with.user = this;
    return itself = th_source_open(&with);
  }
};

}  // namespace

TEST_CASE("what a function of the user's own is refused, or forgets, is not the answer to the call that runs it") {
  asking mine;
  th_source* const s = mine.open();
  th_allocation a{};
  REQUIRE(th_source_allocate(s, 100, 0, &a) == th_ok);
  REQUIRE(mine.closed == th_in_use);
  REQUIRE(th_source_deallocate(s, a) == th_ok);
  REQUIRE((mine.taken == 1 && mine.closed == th_in_use));
  REQUIRE(th_source_deallocate(s, a) == th_double_free);

  th_source_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.name = "below";
  with.limit = 100;
  th_source* const below = th_source_open(&with);
  with.name = "arena";
  with.limit = 0;
  with.kind = th_source_arena;
  with.below = below;
  th_source* arena = nullptr;
  with.on_refusal_user = &arena;
  with.on_refusal = [](void* user, std::size_t) {
    const bool stays = th_source_close(*static_cast<th_source**>(user)) == th_in_use;
    return th_clear_error(), stays ? 0 : 1;
  };
  arena = th_source_open(&with);
  REQUIRE(th_source_allocate(arena, 100, 0, &a) == th_limit_reached);
  REQUIRE(std::strstr(th_last_error(), "pool 'below'") != nullptr);
  REQUIRE(th_source_close(arena) == th_ok);
  REQUIRE(th_source_close(below) == th_ok);
  REQUIRE(th_source_close(s) == th_ok);
}

TEST_CASE("a function of the user's own that gives memory which is out already is refused, and its piece stays out") {
  asking mine;
  th_source* const s = mine.open();
  th_allocation a{}, b{};
  REQUIRE(th_source_allocate(s, 128, 0, &a) == th_ok);
  mine.again = a.data;
  REQUIRE(th_source_allocate(s, 64, 0, &b) == th_corrupted);
  REQUIRE((b.data == nullptr && mine.taken == 0));
  REQUIRE(th_source_is_valid(s) == th_ok);
  REQUIRE(th_source_deallocate(s, a) == th_ok);
  REQUIRE(th_source_close(s) == th_ok);
}

TEST_CASE("functions of the user's own may use the arena or slab that asks them: none of its locks is held") {
  for (const std::uint32_t kind : {th_source_arena, th_source_slab}) {
    asking mine;
    th_source* const s = mine.open();
    th_source_options with{};
    with.size = sizeof with;
    with.version = TOKENHEAP_C_VERSION;
    with.kind = kind;
    with.below = s;
    mine.above = th_source_open(&with);
    th_allocation a{}, large{};
    // the function has taken a chunk for its own request, so the one that it brings then is too many
    REQUIRE(th_source_allocate(mine.above, 100, 0, &a) == th_ok);
    REQUIRE((mine.given == 2 && mine.taken == 1 && mine.closed == th_in_use));
    REQUIRE(th_source_allocate(mine.above, 3 << 20, 1 << 16, &large) == th_ok);
    REQUIRE(reinterpret_cast<std::uintptr_t>(large.data) % (1 << 16) == 0);
    REQUIRE(th_source_deallocate(mine.above, large) == th_ok);
    REQUIRE(th_source_deallocate(mine.above, a) == th_ok);
    REQUIRE(th_source_is_valid(mine.above) == th_ok);
    REQUIRE(th_source_reset(mine.above) == (kind == th_source_arena ? th_ok : th_unsupported));
    std::size_t bytes = 0;
    REQUIRE(th_source_trim(mine.above, 0, &bytes) == th_ok);
    REQUIRE((bytes != 0 && mine.given == mine.taken));
    REQUIRE(th_source_close(mine.above) == th_ok);
    mine.above = nullptr;
    REQUIRE(th_source_close(s) == th_ok);
  }
}
