#include <tokenheap/device/host.hpp>

#include <support/catch.hpp>

#include <cstring>

#include <support/verdict.hpp>
#include <tokenheap/check/device_contract.hpp>

using namespace tokenheap;

TEST_CASE("a host device keeps the contract of devices") {
  host_device d;
  REQUIRE_CONTRACT(check_device(d));
}

TEST_CASE("a host device does its work before the call returns") {
  host_device d;
  host_device::stream s;
  REQUIRE(d.create_stream(s));
  void* memory = nullptr;
  REQUIRE(d.allocate(1000, memory));
  CHECK(address_of(memory) % d.alignment() == 0);
  char text[] = "copied at once";
  REQUIRE(d.copy(memory, text, sizeof text, s));
  std::memset(text, 0, sizeof text);
  CHECK(std::strcmp(static_cast<char*>(memory), "copied at once") == 0);
  REQUIRE(d.fill(memory, 0x5A, 1000, s));
  CHECK(static_cast<unsigned char*>(memory)[999] == 0x5A);
  host_device::event e{};
  REQUIRE(d.create_event(e));
  CHECK(d.query_event(e));
  CHECK(d.record(e, s));
  CHECK(d.query(s));
  CHECK(d.deallocate(memory));
  CHECK(d.deallocate(nullptr));
}

TEST_CASE("no two streams of a host device are the same, nor is a later one an earlier one") {
  host_device d;
  host_device::stream a, b;
  REQUIRE(d.create_stream(a));
  REQUIRE(d.destroy_stream(a));
  REQUIRE(d.create_stream(b));
  CHECK_FALSE(a == b);
  host_device::stream again;
  REQUIRE(d.identify(b.handle, again));
  CHECK(again == b);
}

TEST_CASE("pinned memory of a host device is whole locked pages") {
  host_device d;
  void* p = nullptr;
  REQUIRE(d.allocate_pinned(100, p));
  CHECK(address_of(p) % linux_calls::page_bytes() == 0);
  std::memset(p, 1, 100);
  CHECK(d.deallocate_pinned(p));
  CHECK(d.deallocate_pinned(nullptr));
}

TEST_CASE("what a host device refuses leaves the output as it was") {
  host_device d;
  int here = 0;
  for (const std::size_t bytes : {std::size_t{0}, ~std::size_t{0}, max_allocation + 1}) {
    void* p = &here;
    CHECK(d.allocate(bytes, p).error == device_error::invalid_value);
    CHECK(d.allocate_pinned(bytes, p).error == device_error::invalid_value);
    CHECK(p == &here);
  }
  // more than any ulimit -l or address space has room for
  void* p = &here;
  CHECK(d.allocate_pinned(max_allocation, p).error == device_error::out_of_memory);
  CHECK(p == &here);
  CHECK(d.register_host(nullptr, 4).error == device_error::invalid_value);
  device_memory memory;
  CHECK(d.memory(memory));
  CHECK(memory.total >= memory.available);
  CHECK(memory.total > MiB);
}
