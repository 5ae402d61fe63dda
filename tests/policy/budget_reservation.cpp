#include <tokenheap/policy/budget_reservation.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/check/policy_contract.hpp>
#include <tokenheap/source/host.hpp>
#include <support/verdict.hpp>

using namespace tokenheap;

TEST_CASE("a reservation counts in full until its end, and keeps what every limit keeps", "[policy]") {
  budget process({.name = "process", .hard = 1000});
  budget tenant({.name = "tenant", .parent = &process});
  {
    budget_reservation kept({.from = &tenant, .bytes = 600});
    REQUIRE(kept.is_open());
    CHECK(process.held() == 600);
    REQUIRE_CONTRACT(check_limit(kept));
    CHECK(kept.rest() == 600);
    REQUIRE(tenant.admit(400));
    // nothing is left in the tree, yet what was reserved is there
    CHECK_FALSE(tenant.admit(1));
    REQUIRE(kept.admit(600));
    CHECK_FALSE(kept.admit(1));
    kept.take_back(100);
    CHECK(kept.held() == 500);
    CHECK(process.held() == 1000);
    tenant.take_back(400);
    kept.take_back(500);
  }
  CHECK(process.held() == 0);
}

TEST_CASE("bytes that are handed over are the caller's at the node", "[policy]") {
  budget node({.name = "node", .hard = 100});
  {
    budget_reservation kept({.from = &node, .bytes = 80});
    REQUIRE(kept.hand_over(30));
    CHECK_FALSE(kept.hand_over(51));
    CHECK(kept.amount() == 50);
    CHECK(kept.rest() == 50);
    CHECK(node.held() == 80);
  }
  CHECK(node.held() == 30);
  node.take_back(30);
}

TEST_CASE("a reservation that is refused is closed and says where", "[policy][bad]") {
  budget process({.name = "process", .hard = 100});
  budget tenant({.name = "tenant", .parent = &process});
  budget_reservation kept({.from = &tenant, .bytes = 101});
  CHECK_FALSE(kept.is_open());
  CHECK(kept.why().code == errc::limit_reached);
  CHECK(std::string(kept.why().pool) == "process");
  CHECK(kept.why().available == 100);
  CHECK_FALSE(kept.admit(1));
  CHECK_FALSE(kept.admit(0));
  kept.hold(5);
  CHECK_FALSE(kept.relieve(1, true));
  CHECK(process.held() == 0);
  budget_reservation none;
  CHECK_FALSE(none.is_open());
  CHECK_FALSE(none.admit(1));
}

TEST_CASE("a column lives on its promised share", "[policy]") {
  budget process({.name = "process", .hard = 1000});
  struct pool : layered<host_source, with<budget_reservation>> {
    using layered::layered;
  };
  {
    pool mem{budget_reservation_options{.from = &process, .bytes = 700}};
    REQUIRE(process.admit(300));
    const allocation a = mem.allocate(700);
    REQUIRE(a);
    CHECK_FALSE(mem.allocate(1));
    mem.deallocate(a);
    CHECK(mem.policy<budget_reservation>().rest() == 700);
    CHECK(process.held() == 1000);
    process.take_back(300);
  }
  CHECK(process.held() == 0);
}

TEST_CASE("what a growth was rounded up by makes the reservation grow", "[policy]") {
  budget process({.name = "process", .hard = 100});
  {
    budget_reservation kept({.from = &process, .bytes = 100});
    REQUIRE(kept.admit(100));
    kept.hold(28);
    CHECK(kept.amount() == 128);
    CHECK(kept.held() == 128);
    CHECK(process.held() == 128);
    kept.take_back(128);
  }
  CHECK(process.held() == 0);
}
