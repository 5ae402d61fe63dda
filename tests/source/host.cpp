#include <tokenheap/source/host.hpp>

#include <support/catch.hpp>

#include <array>
#include <cstring>
#include <string_view>

using namespace tokenheap;

TEST_CASE("host: every alignment is honoured and the size is what was asked", "[host]") {
  host_source heap;
  for (std::size_t alignment = 1; alignment <= 64 * KiB; alignment *= 2) {
    const allocation a = heap.allocate(100, alignment);
    REQUIRE(a);
    CHECK(a.size == 100);
    CHECK(address_of(a.data) % alignment == 0);
    std::memset(a.data, 0x5A, a.size);
    heap.deallocate(a);
  }
}

TEST_CASE("host: the largest alignment of the library works", "[host]") {
  host_source heap;
  const allocation a = heap.allocate(1, max_alignment);
  REQUIRE(a);
  CHECK(address_of(a.data) % max_alignment == 0);
  heap.deallocate(a);
}

TEST_CASE("host: what makes no sense is refused", "[host]") {
  host_source heap;
  const auto request = GENERATE(std::array<std::size_t, 2>{0, 16}, std::array<std::size_t, 2>{1, 0},
                                std::array<std::size_t, 2>{1, 3}, std::array<std::size_t, 2>{1, 24},
                                std::array<std::size_t, 2>{1, 2 * GiB}, std::array<std::size_t, 2>{~std::size_t{0}, 16},
                                std::array<std::size_t, 2>{~std::size_t{0} - 15, 4096},
                                std::array<std::size_t, 2>{max_allocation + 1, 16});
  CAPTURE(request[0], request[1]);
  CHECK(heap.allocate(request[0], request[1]) == allocation{});
}

TEST_CASE("host: giving back nothing does nothing", "[host]") {
  host_source heap;
  heap.deallocate({});
  heap.deallocate({nullptr, 100});
  CHECK(heap == host_source{});
  CHECK(std::string_view(heap.name()) == "host");
}
