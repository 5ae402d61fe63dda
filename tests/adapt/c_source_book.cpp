#include <tokenheap/adapt/c_source_book.hpp>

#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include <tokenheap/check/contract.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

static_assert(source<c_source> && named<c_source> && self_checking<c_source>);

namespace {

/// The heap under a book, which can be told to grant more than it is asked for, or nothing.
struct heap final : c_source {
  explicit heap(const th_source_options& with) noexcept : c_source(with, "heap", nullptr) {}

  std::size_t extra = 0;
  bool empty = false;

 private:
  allocation take(std::size_t bytes, std::size_t alignment, failure& why) noexcept override {
    why.need = bytes + extra;
    return empty ? allocation{} : host_source{}.allocate(bytes + extra, alignment);
  }
  void give(allocation a) noexcept override { host_source{}.deallocate(a); }
  bool reset_below() noexcept override { return false; }
  bool trim_below(std::size_t, std::size_t& given) noexcept override { return given = 7, true; }
  bool is_valid_below() const noexcept override { return true; }
};

}  // namespace

TEST_CASE("the limit of a source of C holds for what was granted, and is exact among threads") {
  th_source_options with{};
  with.limit = 64 * KiB;
  heap tight(with);
  std::atomic<std::size_t> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&] {
      allocation held[8];
      for (int round = 0; round != 500; ++round) {
        for (allocation& a : held) a = tight.allocate(4 * KiB);
        const std::size_t now = tight.stats().bytes;
        for (std::size_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
        for (const allocation& a : held) tight.deallocate(a);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  const th_source_stats now = tight.stats();
  REQUIRE((most <= 64 * KiB && now.peak_bytes <= 64 * KiB && now.bytes == 0 && now.allocations == now.deallocations));
  REQUIRE(now.allocations + now.failures == 4 * 500 * 8);
  REQUIRE(tight.is_valid());
}

TEST_CASE("a book of C counts what was granted against the limit, and gives back what does not fit") {
  th_source_options with{};
  with.limit = 100;
  heap tight(with);
  tight.extra = 16;
  const allocation a = tight.allocate(80);
  REQUIRE((a.size == 96 && tight.stats().bytes == 96 && tight.stats().requested_bytes == 80));
  tight.deallocate(a);
  REQUIRE(!tight.allocate(90));
  REQUIRE((c_last_reason().status == th_limit_reached && c_last_reason().need == 90));
  REQUIRE((tight.stats().bytes == 0 && tight.stats().failures == 1));
  tight.empty = true;
  REQUIRE(!tight.allocate(10));
  REQUIRE((c_last_reason().status == th_out_of_memory && c_last_reason().need == 26));
  tight.empty = false;
  tight.set_limit(0);
  const allocation b = tight.allocate(90);
  REQUIRE(b.size == 106);
  REQUIRE(tight.may_close() == th_in_use);
  tight.deallocate(b);
  REQUIRE(tight.may_close() == th_ok);
}

TEST_CASE("what lies below a book of C says what it can do") {
  heap plain(th_source_options{});
  std::size_t given = 0;
  REQUIRE(plain.reset() == th_unsupported);
  REQUIRE(plain.trim(0, given) == th_ok);
  REQUIRE(given == 7);
  plain.users = 1;
  REQUIRE(plain.reset() == th_in_use);
  plain.users = 0;
  REQUIRE_CONTRACT(check_source(plain));
}
