// The suite must see every breach: each device here has one defect, and the clause that names it must be the one found.
#include <tokenheap/check/device_contract.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {

using status = device_status;

struct odd_addresses : sim_device {
  status allocate(std::size_t n, void*& out) noexcept {
    const status s = sim_device::allocate(n + 1, out);
    if (s) out = offset(out, 1);
    return s;
  }
  status deallocate(void* p) noexcept { return p == nullptr ? status{} : sim_device::deallocate(static_cast<std::byte*>(p) - 1); }
};
struct spoils_its_output : sim_device {
  status allocate(std::size_t n, void*& out) noexcept { return out = nullptr, sim_device::allocate(n, out); }
};
struct null_is_an_error : sim_device {
  status deallocate(void* p) noexcept { return p == nullptr ? status{device_error::invalid_value, 0} : sim_device::deallocate(p); }
};
struct loses_pinned : sim_device {
  status allocate_pinned(std::size_t n, void*& out) noexcept { return out = nullptr, sim_device::allocate_pinned(n, out); }
};
struct identity_is_the_handle : sim_device {
  status create_stream(stream& out) noexcept {
    const status s = sim_device::create_stream(out);
    out.id = out.handle;
    return s;
  }
  status identify(std::uintptr_t handle, stream& out) noexcept { return out = {handle, handle}, status{}; }
  status destroy_stream(stream s) noexcept { return sim_device::destroy_stream({s.handle, 0}); }
  status wait(stream s, event e) noexcept { return sim_device::wait({s.handle, 0}, e); }
};
struct unrecorded_is_open : sim_device {
  status query_event(event) noexcept { return {device_error::not_ready, 0}; }
};
struct waits_for_nothing : sim_device {
  status synchronize_event(event) noexcept { return {}; }
};
struct always_capturing : sim_device {
  status is_capturing(stream, bool& out) noexcept { return out = true, status{}; }
};
struct fills_nothing : sim_device {
  status fill(void*, unsigned char, std::size_t, stream) noexcept { return {}; }
};
struct copies_half : sim_device {
  status copy(void* to, const void* from, std::size_t n, stream s) noexcept { return sim_device::copy(to, from, n / 2, s); }
};
struct silent : sim_device {
  [[nodiscard]] const char* to_text(status) const noexcept { return ""; }
};
struct maps_twice : sim_device {
  status map(void* p, std::size_t n, pages which) noexcept { return (void)sim_device::map(p, n, which), status{}; }
};
struct cuts_pages : sim_device {
  status reserve(std::size_t n, std::size_t a, void*& out) noexcept {
    return sim_device::reserve(align_up(n, page_bytes()), a, out);
  }
};
struct unmaps_the_first : sim_device {
  status unmap(void* p, std::size_t) noexcept { return sim_device::unmap(p, page_bytes()); }
};
struct faultless : sim_device {};

template <class D>
std::string broken() {
  sim_machine machine({.capacity = 16 * MiB, .page_bytes = 64 * KiB, .backed = true});
  D d{machine.device()};
  return check_device(d).first_broken();
}

}  // namespace

TEST_CASE("each breach of a device is found and named", "[check]") {
  CHECK(broken<faultless>().empty());
  CHECK(broken<odd_addresses>() == "allocate honours alignment()");
  CHECK(broken<spoils_its_output>() == "a refused allocate leaves its output as it was");
  CHECK(broken<null_is_an_error>() == "deallocate takes null");
  CHECK(broken<loses_pinned>() == "a refused allocate_pinned leaves its output as it was");
  CHECK(broken<identity_is_the_handle>() == "a new stream has an identity that no stream had before");
  CHECK(broken<unrecorded_is_open>() == "an event that was never recorded is complete");
  CHECK(broken<waits_for_nothing>() == "an event that was waited for is complete");
  CHECK(broken<always_capturing>() == "a stream captures nothing until somebody begins");
  CHECK(broken<fills_nothing>() == "copies and fills come one after the other in a stream");
  CHECK(broken<copies_half>() == "copies and fills come one after the other in a stream");
  CHECK(broken<silent>() == "to_text says something");
  CHECK(broken<maps_twice>() == "addresses that are mapped are not mapped again");
  CHECK(broken<cuts_pages>() == "reserve refuses parts of a page, and leaves its output");
  CHECK(broken<unmaps_the_first>() == "unmap takes every mapping of a range");
}

TEST_CASE("a device that is not there breaks the first clauses and crashes nothing", "[check]") {
  sim_machine machine({.devices = 0});
  sim_device d = machine.device();
  const verdict v = check_device(d);
  REQUIRE(v.failures() > 5);
  REQUIRE(std::string(v.first_broken()) == "memory: no more is available than there is");
}
