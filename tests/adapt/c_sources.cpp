#include <tokenheap/adapt/c_sources.hpp>

#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <stdexcept>
#include <string>

#include <tokenheap/check/contract.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

static_assert(source<c_callbacks> && source<c_below>);

namespace {

using heap = c_source_of<host_source, no_lock>;

void* give(void*, std::size_t bytes, std::size_t alignment) { return host_source{}.allocate(bytes, alignment).data; }
void take(void* user, void* data, std::size_t bytes) {
  if (user != nullptr) ++*static_cast<int*>(user);
  host_source{}.deallocate({data, bytes});
}

}  // namespace

TEST_CASE("sources of C keep what every source promises") {
  th_source_options with{};
  heap below(with, "heap", nullptr);
  REQUIRE_CONTRACT(check_source(below));
  {
    c_source_of<c_arena, mutex_lock> arena(with, "arena", &below, c_below::options{&below});
    REQUIRE(below.users == 1);
    REQUIRE_CONTRACT(check_source(arena, {.reuses = false}));
  }
  {
    c_source_of<c_slab, mutex_lock> slab(with, "slab", &below, c_below::options{&below});
    REQUIRE_CONTRACT(check_source(slab));
  }
  with.allocate = &give;
  with.deallocate = &take;
  c_source_of<c_callbacks, no_lock> mine(with, "mine", nullptr, with);
  REQUIRE_CONTRACT(check_source(mine));
  REQUIRE((below.users == 0 && below.stats().bytes == 0 && below.is_valid()));
}

TEST_CASE("what an arena of C cannot get is refused in the words of the source below") {
  th_source_options with{};
  with.limit = MiB;
  heap below(with, "below", nullptr);
  with.limit = 0;
  c_source_of<c_arena, mutex_lock> arena(with, "arena", &below, c_below::options{&below});
  const allocation a = arena.allocate(MiB);
  REQUIRE(a);
  REQUIRE(!arena.allocate(16));
  REQUIRE(c_last_reason().status == th_limit_reached);
  REQUIRE(std::string(c_last_reason().pool) == "below");
  REQUIRE((arena.stats().failures == 1 && below.stats().failures == 1));
  REQUIRE(arena.reset() == th_ok);
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("a function of the user's own that throws has given nothing, or did not ask for another try") {
  int taken = 0;
  th_source_options with{};
  with.user = &taken;
  with.allocate = [](void*, std::size_t, std::size_t) -> void* { throw std::runtime_error("no"); };
  with.deallocate = [](void* user, void* data, std::size_t bytes) {
    take(user, data, bytes);
    throw std::runtime_error("no");
  };
  with.on_refusal = [](void*, std::size_t) -> int { throw std::runtime_error("no"); };
  c_source_of<c_callbacks, no_lock> thrower(with, "thrower", nullptr, with);
  REQUIRE(!thrower.allocate(100));
  REQUIRE(c_last_reason().status == th_out_of_memory);
  with.allocate = &give;
  c_source_of<c_callbacks, no_lock> mine(with, "mine", nullptr, with);
  const allocation a = mine.allocate(100);
  mine.deallocate(a);
  REQUIRE((taken == 1 && mine.stats().pieces == 0));
}
#endif
