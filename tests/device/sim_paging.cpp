#include <tokenheap/device/sim_paging.hpp>

#include <support/catch.hpp>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;
using enum device_error;

namespace {

constexpr std::size_t page = 64 * KiB;

struct mapped {
  sim_machine machine;
  sim_device d = machine.device();
  sim_stream a;
  sim_stream b;
  void* at = nullptr;
  sim_pages one{};
  sim_pages two{};

  explicit mapped(bool backed = false) : machine({.capacity = 8 * page, .page_bytes = page, .backed = backed}) {
    REQUIRE((d.create_stream(a) && d.create_stream(b) && d.reserve(4 * page, 0, at)));
    REQUIRE((d.create_pages(page, one) && d.create_pages(page, two)));
  }
  [[nodiscard]] void* nth(std::size_t k) const { return offset(at, k * page); }
  void expect(std::size_t n, sim_wrong kind = sim_wrong::race) const {
    REQUIRE(machine.violations() == n);
    if (n != 0) REQUIRE(machine.violation(n - 1).kind == kind);
  }
};

}  // namespace

TEST_CASE("addresses, pages, mappings: each comes and goes alone", "[device]") {
  mapped t;
  REQUIRE(address_of(t.at) % page == 0);
  REQUIRE((t.machine.used() == 2 * page && t.machine.live_pages() == 2 && t.machine.live_reservations() == 1));
  REQUIRE((t.d.map(t.at, page, t.one) && t.d.map(t.nth(1), page, t.two) && t.d.set_access(t.at, 2 * page)));
  REQUIRE(t.d.launch_write(t.a, t.at, 2 * page));  // over both
  REQUIRE(t.machine.live_mappings() == 2);
  REQUIRE(t.d.release_pages(t.one));
  REQUIRE(t.machine.used() == 2 * page);  // still mapped
  REQUIRE(t.d.synchronize());
  REQUIRE(t.d.unreserve(t.at, 4 * page).error == invalid_value);
  REQUIRE(t.d.unmap(t.at, 2 * page));
  REQUIRE(t.machine.used() == page);
  REQUIRE((t.d.release_pages(t.two) && t.d.unreserve(t.at, 4 * page)));
  REQUIRE((t.d.destroy_stream(t.a) && t.d.destroy_stream(t.b)));
  REQUIRE((t.machine.used() == 0 && t.machine.is_clean() && t.machine.violations() == 0));
}

TEST_CASE("what makes no sense is refused, and nothing changes", "[device]") {
  mapped t;
  void* out = nullptr;
  sim_pages pages{};
  REQUIRE(t.d.reserve(page + 1, 0, out).error == invalid_value);
  REQUIRE(t.d.reserve(0, 0, out).error == invalid_value);
  REQUIRE(t.d.reserve(page, 3 * page, out).error == invalid_value);
  REQUIRE(t.d.create_pages(page / 2, pages).error == invalid_value);
  REQUIRE(t.d.create_pages(7 * page, pages).error == out_of_memory);
  REQUIRE((out == nullptr && pages == sim_pages::none));
  REQUIRE(t.d.map(t.nth(4), page, t.one).error == invalid_value);
  REQUIRE(t.d.map(offset(t.at, 512), page, t.one).error == invalid_value);
  REQUIRE(t.d.map(t.at, 2 * page, t.one).error == invalid_value);
  REQUIRE(t.d.set_access(t.at, page).error == invalid_value);
  REQUIRE(t.d.unmap(t.at, page).error == invalid_value);
  REQUIRE(t.d.map(t.at, page, t.one));
  REQUIRE(t.d.map(t.at, page, t.two).error == invalid_value);
  REQUIRE(t.d.set_access(t.at, 2 * page).error == invalid_value);
  REQUIRE(t.d.unreserve(t.at, page).error == invalid_value);
  t.expect(0);
  REQUIRE((t.d.release_pages(t.one) && t.d.unmap(t.at, page)));
  REQUIRE(t.d.release_pages(t.one).error == invalid_value);
  t.expect(1, sim_wrong::double_free);
  REQUIRE(t.d.unreserve(&t, page).error == invalid_value);
  t.expect(2, sim_wrong::foreign_free);
  void* aligned = nullptr;
  REQUIRE((t.d.reserve(page, 8 * page, aligned) && address_of(aligned) % (8 * page) == 0));
}

TEST_CASE("a mapping is unmapped whole", "[device]") {
  mapped t;
  sim_pages wide{};
  REQUIRE((t.d.create_pages(2 * page, wide) && t.d.map(t.nth(1), 2 * page, wide)));
  REQUIRE(t.d.unmap(t.nth(1), page).error == invalid_value);
  REQUIRE(t.d.unmap(t.nth(2), page).error == invalid_value);
  REQUIRE(t.d.unmap(t.at, 4 * page));
  REQUIRE(t.machine.live_mappings() == 0);
}

TEST_CASE("addresses without memory or access are touched by nobody", "[device]") {
  mapped t;
  REQUIRE(t.d.launch_read(t.a, t.at, 1));
  t.expect(1, sim_wrong::freed_memory);
  REQUIRE(t.d.map(t.at, page, t.one));
  REQUIRE(t.d.launch_read(t.a, t.at, 1));
  t.expect(2, sim_wrong::no_access);
  REQUIRE(t.d.set_access(t.at, page));
  REQUIRE(t.d.launch_read(t.a, t.at, page));
  t.expect(2, sim_wrong::no_access);
  REQUIRE(t.d.launch_read(t.a, t.at, page + 1));
  t.expect(3, sim_wrong::freed_memory);
}

TEST_CASE("unmapping waits for nothing: who unmaps has waited", "[device]") {
  mapped t;
  REQUIRE((t.d.map(t.at, page, t.one) && t.d.set_access(t.at, page)));
  REQUIRE(t.d.launch_write(t.a, t.at, 16));
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE(t.d.synchronize(t.a));
  REQUIRE(t.d.unmap(t.at, page));
  t.expect(waits ? 0 : 1, sim_wrong::unmapped_in_use);
  if (!waits) REQUIRE(t.machine.violation().first.id == t.a.id);
}

TEST_CASE("pages are the same bytes wherever they are mapped", "[device]") {
  const bool backed = GENERATE(false, true);
  mapped t(backed);
  REQUIRE((t.d.map(t.at, page, t.one) && t.d.map(t.nth(2), page, t.one) && t.d.set_access(t.at, page)));
  REQUIRE(t.d.set_access(t.nth(2), page));
  REQUIRE(t.d.fill(offset(t.at, 100), 5, 8, t.a));
  unsigned char host[8] = {};
  REQUIRE(t.d.copy(host, offset(t.nth(2), 100), 8, t.a));
  REQUIRE(host[7] == (backed ? 5 : 0));
  t.expect(0);
  REQUIRE(t.d.launch_write(t.a, t.at, 16));
  REQUIRE(t.d.launch_read(t.b, offset(t.nth(2), 8), 16));
  t.expect(1);
  // the finding names the address that was used
  REQUIRE((t.machine.violation().address == address_of(t.nth(2)) + 8 && t.machine.violation().bytes == 8));
}

TEST_CASE("pages that move to other addresses take their past along", "[device]") {
  mapped t;
  REQUIRE((t.d.map(t.at, page, t.one) && t.d.set_access(t.at, page)));
  REQUIRE(t.d.launch_write(t.a, t.at, 16));
  REQUIRE(t.d.unmap(t.at, page));
  t.expect(1, sim_wrong::unmapped_in_use);
  REQUIRE((t.d.map(t.nth(3), page, t.one) && t.d.set_access(t.nth(3), page)));
  REQUIRE(t.d.launch_read(t.b, t.nth(3), 16));
  t.expect(2);
  // other pages at the old addresses have none
  REQUIRE((t.d.map(t.at, page, t.two) && t.d.set_access(t.at, page)));
  REQUIRE(t.d.launch_read(t.b, t.at, 16));
  t.expect(2);
}

TEST_CASE("a device without pages says so", "[device]") {
  sim_machine m({.page_bytes = 0});
  void* p = nullptr;
  sim_pages pages{};
  REQUIRE(m.device().page_bytes() == 0);
  REQUIRE(m.device().reserve(2 * MiB, 0, p).error == unsupported);
  REQUIRE(m.device().create_pages(2 * MiB, pages).error == unsupported);
}
