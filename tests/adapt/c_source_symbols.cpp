#include <tokenheap/adapt/c_source_symbols.hpp>

#include <support/catch.hpp>

#include <cstring>

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
