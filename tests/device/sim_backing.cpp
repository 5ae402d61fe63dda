#include <tokenheap/device/sim_backing.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("reserved addresses get memory, lose it, and get fresh memory again", "[device]") {
  void* const at = sim_backing::reserve(0, 1 * MiB);
  REQUIRE(at != nullptr);
  auto* const bytes = static_cast<unsigned char*>(at);
  REQUIRE(sim_backing::commit(address_of(at), 8 * KiB));
  bytes[5000] = 42;
  REQUIRE(bytes[5000] == 42);
  sim_backing::close_off(address_of(at), 8 * KiB);
  REQUIRE(sim_backing::commit(address_of(at), 8 * KiB));
  REQUIRE(bytes[5000] == 0);
  sim_backing::unreserve(address_of(at), 1 * MiB);
}

TEST_CASE("two mappings of one place show the same bytes, until it is given back", "[device]") {
  sim_backing backing;
  void* const at = sim_backing::reserve(0, 64 * KiB);
  REQUIRE(at != nullptr);
  auto* const one = static_cast<unsigned char*>(at);
  auto* const two = one + 32 * KiB;
  REQUIRE(backing.map(address_of(one), 16 * KiB, 1 * GiB));
  REQUIRE(backing.map(address_of(two), 16 * KiB, 1 * GiB));
  REQUIRE(sim_backing::open_up(address_of(one), 16 * KiB));
  REQUIRE(sim_backing::open_up(address_of(two), 16 * KiB));
  one[16 * KiB - 1] = 7;
  REQUIRE(two[16 * KiB - 1] == 7);
  backing.punch(1 * GiB, 16 * KiB);
  REQUIRE(two[16 * KiB - 1] == 0);
  sim_backing::unreserve(address_of(at), 64 * KiB);
}

TEST_CASE("pinned memory is full of zeroes, at any size", "[device]") {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{511}, 128 * KiB, 40 * GiB}) {
    CAPTURE(bytes);
    auto* const at = static_cast<unsigned char*>(sim_pinned_memory::take(bytes));
    REQUIRE(at != nullptr);
    REQUIRE(address_of(at) % sim_pinned_memory::alignment == 0);
    REQUIRE((at[0] == 0 && at[bytes - 1] == 0));
    at[bytes - 1] = 1;
    sim_pinned_memory::give_back(at, bytes);
  }
}
