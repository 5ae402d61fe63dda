#include <tokenheap/policy/budget.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/check/policy_contract.hpp>
#include <tokenheap/source/host.hpp>
#include <support/verdict.hpp>

using namespace tokenheap;

namespace {

struct calls {
  std::atomic<std::size_t> count{0};
  std::atomic<std::size_t> bytes{0};
  budget* frees = nullptr;
  std::size_t amount = 0;
};

bool note(void* user, std::size_t bytes) noexcept {
  auto& seen = *static_cast<calls*>(user);
  ++seen.count;
  seen.bytes = bytes;
  if (seen.frees == nullptr || seen.amount == 0) return false;
  seen.frees->take_back(seen.amount);
  seen.amount = 0;
  return true;
}

std::string line_of(const failure& f) {
  char text[256];
  return std::string(text, describe(f, text, sizeof text));
}

}  // namespace

TEST_CASE("a budget keeps what every limit keeps", "[policy]") {
  budget open;
  REQUIRE_CONTRACT(check_limit(open));
  budget closed({.hard = 1000});
  REQUIRE_CONTRACT(check_limit(closed));
  budget child({.parent = &closed});
  REQUIRE_CONTRACT(check_limit(child));
}

TEST_CASE("a charge counts at each node of its path and at no other", "[policy]") {
  budget process({.name = "process", .hard = 1000});
  budget tenant({.name = "tenant", .parent = &process, .hard = 600});
  budget other({.name = "other", .parent = &process});
  budget model({.name = "model", .parent = &tenant, .hard = 500});
  REQUIRE(model.charge(200).code == errc::ok);
  REQUIRE(other.admit(300));
  CHECK(model.held() == 200);
  CHECK(tenant.held() == 200);
  CHECK(other.held() == 300);
  CHECK(process.held() == 500);
  CHECK(model.room() == 300);
  CHECK(other.room() == 500);
  model.take_back(150);
  CHECK(model.held() == 50);
  CHECK(tenant.held() == 50);
  CHECK(process.held() == 350);
  CHECK(process.peak() == 500);
  model.take_back(50);
  other.take_back(300);
}

TEST_CASE("a refused charge leaves every node as it was, and names the node that refused", "[policy][bad]") {
  budget process({.name = "process", .hard = 1000});
  budget tenant({.name = "tenant", .parent = &process, .hard = 600, .soft = 100});
  budget model({.name = "model", .parent = &tenant, .hard = 900});
  budget filler({.name = "filler", .parent = &process});
  REQUIRE(filler.admit(500));
  // the tenant would have room; the process has not
  const failure why = model.charge(501);
  CHECK(why.code == errc::limit_reached);
  CHECK(line_of(why) == "pool 'process': limit reached: bytes of a budget; need 501, available 500, limit 1000; "
                        "fix: raise this node's hard limit, or free what it holds");
  CHECK(model.held() == 0);
  CHECK(tenant.held() == 0);
  CHECK(process.held() == 500);
  CHECK(tenant.peak() == 0);
  CHECK(tenant.crossings() == 0);
  CHECK(process.refusals() == 1);
  CHECK(tenant.refusals() == 0);
  CHECK(line_of(model.last_failure()) == line_of(why));
  CHECK_FALSE(model.admit(601));
  CHECK(std::string(model.last_failure().pool) == "tenant");
  CHECK(model.last_failure().available == 600);
  CHECK_FALSE(model.admit(budget::unlimited));
  CHECK(std::string(model.last_failure().pool) == "model");
  CHECK(process.held() == 500);
  CHECK(filler.last_failure().code == errc::ok);
  filler.take_back(500);
}

TEST_CASE("a soft limit tells once per crossing, and only of charges that stand", "[policy]") {
  calls seen;
  budget process({.name = "process", .hard = 300, .soft = 100, .on_soft = {&note, &seen}});
  budget model({.name = "model", .parent = &process});
  REQUIRE(model.charge(100).code == errc::ok);
  CHECK(seen.count == 0);
  REQUIRE(model.charge(1).code == errc::ok);
  CHECK(seen.count == 1);
  CHECK(seen.bytes == 1);
  REQUIRE(model.charge(150).code == errc::ok);
  REQUIRE(model.charge(50).code == errc::limit_reached);
  CHECK(seen.count == 1);
  model.take_back(151);
  REQUIRE(model.charge(2).code == errc::ok);
  CHECK(seen.count == 2);
  CHECK(process.crossings() == 2);
  // told by whoever comes next where the charge itself tells nobody
  model.take_back(10);
  REQUIRE(model.admit(20));
  CHECK(seen.count == 2);
  CHECK_FALSE(model.relieve(20, false));
  CHECK(seen.count == 3);
  model.take_back(model.held());
}

TEST_CASE("a refusal asks from the leaf to the root, then tries again", "[policy]") {
  calls seen;
  budget process({.name = "process", .hard = 100, .on_refusal = {&note, &seen}});
  budget cache({.name = "cache", .parent = &process});
  budget model({.name = "model", .parent = &process});
  REQUIRE(cache.admit(80));
  seen.frees = &cache;
  seen.amount = 80;
  REQUIRE(model.charge(90).code == errc::ok);
  CHECK(seen.count == 1);
  CHECK(cache.held() == 0);
  CHECK(process.held() == 90);
  REQUIRE(model.charge(20).code == errc::limit_reached);
  CHECK(seen.count == 2);
  model.take_back(90);
}

TEST_CASE("limits can change while bytes are held", "[policy][bad]") {
  budget node({.hard = 100, .soft = 50});
  REQUIRE(node.charge(80).code == errc::ok);
  CHECK(node.crossings() == 1);
  node.set_limits(60, 90);
  CHECK_FALSE(node.admit(1));
  CHECK(node.last_failure().available == 0);
  CHECK(node.room() == 0);
  node.set_limits(100, 90);
  REQUIRE(node.charge(15).code == errc::ok);
  CHECK(node.crossings() == 2);
  node.hold(50);
  CHECK(node.held() == 145);
  CHECK_FALSE(node.admit(1));
  node.take_back(145);
}

TEST_CASE("what a node holds at its end goes back to those above", "[policy]") {
  budget process({.name = "process"});
  {
    budget tenant({.name = "tenant", .parent = &process});
    REQUIRE(tenant.admit(70));
    CHECK(process.held() == 70);
  }
  CHECK(process.held() == 0);
}

TEST_CASE("columns of layers sit under nodes", "[policy]") {
  calls seen;
  budget process({.name = "process", .hard = 64 * KiB, .soft = 40 * KiB, .on_soft = {&note, &seen}});
  budget tenant({.name = "tenant", .parent = &process});
  struct pool : layered<host_source, with<budget>, arena<arena_shape{.chunk = 16 * KiB}>> {
    using layered::layered;
  };
  struct plain : layered<host_source, with<budget>> {
    using layered::layered;
  };
  {
    pool chunks{budget_options{.name = "chunks", .parent = &tenant}};
    plain pieces{budget_options{.name = "pieces", .parent = &process, .hard = 50 * KiB}};
    REQUIRE(chunks.allocate(100));
    CHECK(tenant.held() == 16 * KiB);
    const allocation a = pieces.allocate(30'000);
    REQUIRE(a);
    CHECK(process.held() == 16 * KiB + 30'000);
    CHECK(seen.count == 1);
    CHECK_FALSE(pieces.allocate(21'201));  // one byte above what `pieces` may hold
    CHECK(std::string(pieces.policy<budget>().last_failure().pool) == "pieces");
    CHECK_FALSE(pieces.allocate(20'000));  // and this is above what the process may
    CHECK(line_of(pieces.policy<budget>().last_failure()) ==
          "pool 'process': limit reached: bytes of a budget; need 20000, available 19152, limit 65536; "
          "fix: raise this node's hard limit, or free what it holds");
    pieces.deallocate(a);
    CHECK(process.held() == 16 * KiB);
  }
  CHECK(process.held() == 0);
  CHECK(tenant.held() == 0);
}

TEST_CASE("threads under one root never pass a limit, and all goes back", "[policy][threads]") {
  calls seen;
  budget process({.name = "process", .hard = 10'000, .soft = 9'000, .on_soft = {&note, &seen}});
  budget left({.name = "left", .parent = &process, .hard = 7'000});
  budget right({.name = "right", .parent = &process, .hard = 7'000});
  // neither leaf passes the soft limit alone, and the threads need not meet
  REQUIRE(left.charge(5'000).code == errc::ok);
  REQUIRE(right.charge(4'500).code == errc::ok);
  CHECK(process.crossings() == 1);
  left.take_back(5'000);
  right.take_back(4'500);
  std::atomic<std::size_t> wrong{0};
  const auto work = [&](budget& leaf, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::size_t> out;
    std::size_t mine = 0;
    for (int k = 0; k != 20'000; ++k) {
      const std::size_t bytes = 1 + random() % 900;
      if (random() % 2 == 0 && leaf.charge(bytes).code == errc::ok) {
        out.push_back(bytes);
        mine += bytes;
      } else if (!out.empty()) {
        leaf.take_back(out.back());
        mine -= out.back();
        out.pop_back();
      }
      if (process.held() > 10'000 || leaf.held() > 7'000 || leaf.held() < mine) ++wrong;
    }
    for (const std::size_t bytes : out) leaf.take_back(bytes);
  };
  std::thread other([&] { work(left, 1); });
  work(right, 2);
  other.join();
  INFO("seeds 1 and 2");
  CHECK(wrong == 0);
  CHECK(process.held() == 0);
  CHECK(left.held() == 0);
  CHECK(right.held() == 0);
  CHECK(process.peak() <= 10'000);
  CHECK(seen.count <= process.crossings());
}
