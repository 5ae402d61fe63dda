#include <tokenheap/source/device_failure.hpp>

#include <support/catch.hpp>

#include <cstring>

using namespace tokenheap;

TEST_CASE("every error of a device has a reason of the library and a fix") {
  CHECK(to_errc(device_error::ok) == errc::ok);
  CHECK(to_errc(device_error::out_of_memory) == errc::out_of_memory);
  CHECK(to_errc(device_error::no_device) == errc::unsupported);
  CHECK(to_errc(device_error::gone) == errc::system_refused);
  for (int k = 1; k <= static_cast<int>(device_error::failed); ++k) {
    CAPTURE(k);
    CHECK(to_errc(static_cast<device_error>(k)) != errc::ok);
    CHECK(std::strlen(fix_of(static_cast<device_error>(k))) > 10);
  }
}

TEST_CASE("the refusal of a device names the pool, the need and the fix") {
  const failure f = refusal_by({device_error::out_of_memory, 2}, "staging", "bytes of pinned memory", 4096);
  char line[300];
  (void)describe(f, line, sizeof line);
  CHECK(std::strcmp(line, "pool 'staging': out of memory: bytes of pinned memory; need 4096, available 0; "
                          "fix: ask for less, give memory back, or trim what other allocators keep") == 0);
}
