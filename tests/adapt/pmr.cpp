#include <tokenheap/adapt/pmr.hpp>

#include <support/catch.hpp>

#include <list>
#include <map>
#include <memory_resource>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;
using adapt::pmr_resource;
using adapt::std_allocator;

namespace {

/// A source that grants more than it is asked for, and notices when another size comes back.
struct generous {
  using space = host_space;
  host_source heap;
  std::size_t out = 0, wrong = 0, pieces = 0;

  allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) return {};
    const allocation a = heap.allocate(align_up(bytes, 64) + 64, alignment);
    out += a.size;
    pieces += a ? 1 : 0;
    return a;
  }
  void deallocate(allocation a) noexcept {
    if (!a) return;
    wrong += a.size % 64 != 0;
    out -= a.size;
    --pieces;
    heap.deallocate(a);
  }
};

/// 4 KiB and no more.
struct tight {
  alignas(64) unsigned char room[4096];
  fixed_source from{{.data = room, .size = sizeof room}};
};

}  // namespace

TEST_CASE("containers of std::pmr live on a source, and every piece comes back as it was granted") {
  generous from;
  {
    pmr_resource memory(from);
    std::pmr::vector<std::pmr::string> names(&memory);
    std::pmr::map<int, std::pmr::string> index(&memory);
    std::pmr::unordered_map<std::pmr::string, int> back(&memory);
    constexpr unsigned seed = 11;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    for (int k = 0; k != 2'000; ++k) {
      names.emplace_back(std::string(random() % 90, 'x'));
      index[static_cast<int>(random() % 500)] = names.back();
      back[names[random() % names.size()]] = k;
      if (random() % 3 == 0) index.erase(index.begin());
      if (random() % 400 == 0) names.clear(), names.shrink_to_fit(), names.emplace_back("again");
    }
    CHECK(names.get_allocator().resource() == &memory);
    CHECK(from.pieces > 0);
  }
  CHECK(from.wrong == 0);
  CHECK(from.out == 0);
  CHECK(from.pieces == 0);
}

TEST_CASE("a piece is aligned as it was asked, and of no bytes too") {
  generous from;
  pmr_resource memory(from);
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    for (const std::size_t bytes : {0u, 1u, 17u, 300u}) {
      void* const p = memory.allocate(bytes, alignment);
      CHECK(address_of(p) % alignment == 0);
      std::fill_n(static_cast<unsigned char*>(p), bytes, static_cast<unsigned char>(0xA5));
      memory.deallocate(p, bytes, alignment);
    }
  }
  CHECK(from.pieces == 0);
}

TEST_CASE("two resources are equal if they share a source, and containers then hand over their memory") {
  generous one, other;
  pmr_resource a(one), b(one), c(other);
#if defined(__cpp_rtti)
  CHECK(a == b);
#endif
  CHECK(a == a);
  CHECK(!(a == c));
  CHECK(!(a == *std::pmr::new_delete_resource()));
  std::pmr::vector<int> v({1, 2, 3}, &a);
  const int* const was = v.data();
  std::pmr::vector<int> moved(std::move(v), &a);
  CHECK(moved.data() == was);
  std::pmr::vector<int> copied(std::move(moved), &c);
  CHECK(copied.data() != was);
  CHECK(copied == std::pmr::vector<int>{1, 2, 3});
}

TEST_CASE("std containers take a source as their allocator") {
  generous from, other;
  {
    using ints = std::vector<int, std_allocator<int, generous>>;
    ints a({1, 2, 3}, std_allocator<int, generous>(from));
    ints b(std_allocator<int, generous>{other});
    const int* const was = a.data();
    b = std::move(a);
    CHECK(b.data() == was);
    CHECK(&b.get_allocator().upstream() == &from);
    std::list<int, std_allocator<int, generous>> nodes(b.begin(), b.end(), b.get_allocator());
    CHECK(nodes.size() == 3);
    CHECK(b.get_allocator() == nodes.get_allocator());
    const std::map<int, int, std::less<>, std_allocator<std::pair<const int, int>, generous>> tree(
        {{1, 2}, {3, 4}}, std::less<>{}, std_allocator<int, generous>(from));
    CHECK(tree.at(3) == 4);
    CHECK(from.pieces == 6);
  }
  CHECK(from.pieces + other.pieces == 0);
  CHECK(from.wrong + other.wrong == 0);
}

TEST_CASE("layers of the library serve containers: an arena that counts") {
  layered<host_source, arena<>> scratch;
  {
    pmr_resource memory(scratch);
    std::pmr::vector<double> v(&memory);
    for (int k = 0; k != 10'000; ++k) v.push_back(k);
    CHECK(v[9'999] == 9'999);
    CHECK(scratch.owns(v.data()));
  }
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("no memory is std::bad_alloc, and nothing is lost") {
  tight small;
  pmr_resource memory(small.from);
  std::pmr::vector<char> v(&memory);
  v.reserve(512);
  CHECK_THROWS_AS(v.reserve(8'192), std::bad_alloc);
  CHECK(v.capacity() == 512);
  const volatile std::size_t most = ~std::size_t{0};  // g++ knows that no object is as large
  CHECK_THROWS_AS(memory.allocate(most), std::bad_alloc);
  CHECK_THROWS_AS(memory.allocate(most - 8), std::bad_alloc);
  std_allocator<double, fixed_source> numbers(small.from);
  CHECK_THROWS_AS(numbers.allocate(~std::size_t{0} / 4), std::bad_alloc);
  CHECK_THROWS_AS(numbers.allocate(5'000), std::bad_alloc);
  double* const p = numbers.allocate(8);
  numbers.deallocate(p, 8);
}
#endif
