#include <tokenheap/kv/page_sizes.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/kv/page_space.hpp>

namespace kv = tokenheap::kv;
using namespace tokenheap;
using kv::page_placement;

static_assert(kv::pages_in_chunk(1000, 100, page_placement::numbered) == 10);
static_assert(kv::pages_in_chunk(1050, 100, page_placement::numbered) == 9);
static_assert(kv::pages_in_chunk(1050, 100, page_placement::packed) == 10);
static_assert(kv::pages_in_chunk(99, 100, page_placement::packed) == 0);

TEST_CASE("the best chunk loses least in its room", "[kv][page_space]") {
  const std::size_t pages[] = {300, 1000};
  // a chunk of 1,000 holds 3 of 300 and loses 10 %, one of 3,000 nothing; but half a chunk may be lost to each group
  CHECK(kv::best_chunk(pages, 2, 300'000, page_placement::packed) == 3000);
  CHECK(kv::best_chunk(pages, 2, 12'000, page_placement::packed) == 1000);
  CHECK(kv::best_chunk(pages, 2, 2999, page_placement::packed) == 1000);
  CHECK(kv::best_chunk(pages, 2, 999, page_placement::packed) == 0);
  // what is left behind the last chunk counts as well
  const std::size_t one[] = {1000};
  CHECK(kv::best_chunk(one, 1, 100'999, page_placement::packed) == 1000);
  // at multiples of the page from the start of the room, a chunk that is no multiple holds one page less
  CHECK(kv::best_chunk(pages, 2, 20'000'000, page_placement::numbered) == 3000);
  const std::size_t odd[] = {300, 1007};
  const std::size_t chunk = kv::best_chunk(odd, 2, 10'000'000, page_placement::numbered);
  CHECK(chunk % 1007 == 0);
  CHECK((chunk - kv::pages_in_chunk(chunk, 300, page_placement::numbered) * 300) * 100 <= chunk);
}

TEST_CASE("a page space that makes no sense is refused", "[kv][page_space][bad]") {
  const std::size_t pages[] = {0}, wide[] = {2000}, good[] = {10};
  CHECK(kv::page_space::open({.bytes = 100}).error() == errc::invalid_argument);
  CHECK(kv::page_space::open({.bytes = 100, .page_bytes = pages, .groups = 1}).error() == errc::invalid_argument);
  CHECK(kv::page_space::open({.bytes = 100, .page_bytes = wide, .groups = 1}).error() == errc::too_large);
  CHECK(kv::page_space::open({.bytes = 100, .page_bytes = good, .groups = 65}).error() == errc::invalid_argument);
  CHECK(kv::page_space::open({.bytes = 100, .page_bytes = good, .groups = 1, .chunk_bytes = 101}).error() == errc::too_large);
  CHECK(kv::page_space::open({.bytes = ~std::size_t{0}, .page_bytes = good, .groups = 1}).error() == errc::size_overflow);
}
