// The suites must see every breach: each source here has one defect, and the clause that names it must be the one found.
#include <tokenheap/check/contract.hpp>

#include <support/catch.hpp>

#include <cstdlib>
#include <string>
#include <vector>

#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

/// The heap with no defect yet.
struct sound {
  using space = host_space;
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return heap.allocate(bytes, alignment);
  }
  void deallocate(allocation a) noexcept { heap.deallocate(a); }
  host_source heap;
};

struct gives_zero : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return heap.allocate(bytes == 0 ? 1 : bytes, alignment);
  }
};
struct wraps_around : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (bytes == 0) return {};
    const allocation a = heap.allocate(align_up(bytes, 64) | 64, alignment);
    return a ? allocation{a.data, bytes} : a;
  }
};
struct takes_any_alignment : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return heap.allocate(bytes, is_alignment(alignment) ? alignment : alignment > max_alignment ? 0 : 16);
  }
};
struct takes_huge_alignment : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return heap.allocate(bytes, is_power_of_two(alignment) && alignment > max_alignment ? 16 : alignment);
  }
};
struct null_with_a_size : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    const allocation a = heap.allocate(bytes, alignment);
    return a ? a : allocation{nullptr, bytes};
  }
};
struct grants_less : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    allocation a = heap.allocate(bytes, alignment);
    a.size -= static_cast<std::size_t>(a && bytes > 1000);
    return a;
  }
};
struct aligns_to_16 : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (!is_request(bytes, alignment)) return {};
    // an address that is 16 off every larger alignment, whatever the heap gives
    const allocation a = heap.allocate(bytes + 4096, 4096);
    return a ? allocation{offset(a.data, 16), bytes} : a;
  }
  void deallocate(allocation a) noexcept {
    if (a) heap.deallocate({reinterpret_cast<void*>(align_down(address_of(a.data), 4096)), 0});
  }
};
struct gives_one_piece_twice : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (!is_request(bytes, alignment) || bytes > sizeof room) return {};
    return {room, bytes};
  }
  void deallocate(allocation) noexcept {}
  alignas(4096) unsigned char room[64 * KiB] = {};
};
struct writes_into_neighbours : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    const allocation a = heap.allocate(bytes, alignment);
    if (last != nullptr && a) *last ^= 1;
    if (a) last = static_cast<unsigned char*>(a.data);
    return a;
  }
  void deallocate(allocation a) noexcept {
    if (a.data == last) last = nullptr;
    heap.deallocate(a);
  }
  unsigned char* last = nullptr;
};
struct refuses_alignment_2048 : sound {
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return alignment == 2048 ? allocation{} : heap.allocate(bytes, alignment);
  }
};
struct never_valid : sound {
  [[nodiscard]] bool is_valid() const noexcept { return false; }
};
struct owns_nothing : sound {
  [[nodiscard]] bool owns(const void*) const noexcept { return false; }
};
struct owns_all : sound {
  [[nodiscard]] bool owns(const void*) const noexcept { return true; }
};
struct trims_for_ever : sound {
  [[nodiscard]] std::size_t trim(std::size_t) noexcept { return 1; }
};
struct grows_null : sound {
  [[nodiscard]] bool try_grow(allocation&, std::size_t) noexcept { return true; }
};
struct grows_without_room : sound {
  [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
    return a && bytes <= max_allocation;
  }
};
struct changes_on_refusal : sound {
  [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
    if (!a) return false;
    if (bytes > a.size && bytes <= max_allocation) --a.size;
    return bytes <= a.size;
  }
};

template <class S>
std::string first_broken() {
  S s;
  const verdict v = check_source(s, {.rounds = 100, .largest = 4 * KiB});
  return v.first_broken();
}

/// A pool of 64 KiB with one defect by choice.
template <int Defect>
class pool {
 public:
  using space = host_space;
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (Defect == 1 && bytes <= 4 * KiB && is_request(bytes, alignment)) return heap_.allocate(bytes, alignment);
    return buffer_.allocate(bytes, alignment);
  }
  void deallocate(allocation a) noexcept {
    if (Defect == 1 && !buffer_.owns(a.data)) return heap_.deallocate(a);
    if (Defect == 2 && ++back_ % 2 == 0) return;
    buffer_.deallocate(a);
  }
  void reset() noexcept
    requires(Defect == 3)
  {}

 private:
  std::vector<std::byte> bytes_ = std::vector<std::byte>(64 * KiB);
  fixed_source buffer_{{.data = bytes_.data(), .size = bytes_.size()}};
  host_source heap_;
  std::size_t back_ = 0;
};

}  // namespace

TEST_CASE("a sound source passes, with the same number of checks each time", "[check]") {
  sound one;
  sound two;
  const verdict v = check_source(one);
  const verdict w = check_source(two);
  REQUIRE(v);
  REQUIRE(v.checks() == w.checks());
  REQUIRE(v.checks() > 10'000);
}

TEST_CASE("each breach is found and named", "[check]") {
  CHECK(first_broken<gives_zero>() == "0 bytes are refused");
  CHECK(first_broken<wraps_around>() == "more than max_allocation is refused");
  CHECK(first_broken<takes_any_alignment>() == "an alignment that is no power of two is refused");
  CHECK(first_broken<takes_huge_alignment>() == "an alignment above max_alignment is refused");
  CHECK(first_broken<null_with_a_size>() == "a null allocation has no size");
  CHECK(first_broken<grants_less>() == "allocate grants at least the bytes that were asked for");
  CHECK(first_broken<aligns_to_16>() == "allocate honours the alignment");
  CHECK(first_broken<gives_one_piece_twice>() == "pieces that are out do not overlap");
  CHECK(first_broken<writes_into_neighbours>() == "what is written to a piece stays until it is given back");
  CHECK(first_broken<refuses_alignment_2048>() == "every alignment up to the promised one is served");
  CHECK(first_broken<never_valid>() == "a refusal leaves the structures valid");
  CHECK(first_broken<owns_nothing>() == "every byte of a piece that is out is owned");
  CHECK(first_broken<owns_all>() == "null is nobody's");
  CHECK(first_broken<trims_for_ever>() == "trim that may keep everything gives nothing down");
  CHECK(first_broken<grows_null>() == "null does not grow");
  CHECK(first_broken<grows_without_room>() == "try_grow grants at least what was asked for");
  CHECK(first_broken<changes_on_refusal>() == "a refused growth changes nothing");
}

TEST_CASE("a pool with an end is held to it", "[check]") {
  const contract_options with{.room = 64 * KiB};
  pool<0> sound_pool;
  CHECK(check_exhaustion(sound_pool, with));
  pool<1> endless;
  CHECK(std::string(check_exhaustion(endless, with).first_broken()) ==
        "a source with an end refuses when its room is gone");
  pool<2> forgetful;
  CHECK(std::string(check_exhaustion(forgetful, with).first_broken()) ==
        "a source recovers all of its room");
  pool<3> resets_nothing;
  CHECK(std::string(check_resettable(resets_nothing, {.largest = 1 * KiB}).first_broken()) ==
        "after a reset the same requests are served as before");
}
