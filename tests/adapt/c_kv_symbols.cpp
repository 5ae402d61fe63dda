#include <tokenheap/adapt/c_kv_symbols.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include <tokenheap/adapt/c_sequence_symbols.hpp>

using namespace tokenheap;

namespace {

th_pool* open_pool(std::uint64_t blocks, std::uint64_t watermark = 0) {
  th_pool_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.blocks = blocks;
  with.watermark = watermark;
  with.name = "shared";
  return th_pool_open(&with);
}

}  // namespace

TEST_CASE("threads share a pool of C without losing a block") {
  th_pool* const pool = open_pool(64);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&] {
      std::uint32_t ids[20];
      for (std::size_t round = 0; round != 1000; ++round) {
        const std::size_t n = 1 + round % 20;
        const th_status got = th_pool_allocate(pool, ids, n);
        if (got == th_ok) wrong += th_pool_deallocate(pool, ids, n) != th_ok;
        if (got != th_ok) wrong += got != th_out_of_memory || adapt::c_last_reason().need != n;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  REQUIRE(wrong == 0);
  th_pool_stats now{};
  now.size = sizeof now;
  now.version = TOKENHEAP_C_VERSION;
  REQUIRE(th_pool_stats_of(pool, &now) == th_ok);
  REQUIRE((now.free_blocks == 64 && now.live_blocks == 0));
  REQUIRE(th_pool_is_valid(pool) == th_ok);
  REQUIRE(th_pool_close(pool) == th_ok);
}

TEST_CASE("a watermark of C is what a request that begins leaves") {
  th_pool* const pool = open_pool(8, 2);
  const std::vector<std::uint32_t> prompt(7 * 16, 1);
  th_sequence* const running = th_sequence_open(pool, prompt.data(), 16, nullptr);
  th_admission fits{};
  fits.size = sizeof fits;
  fits.version = TOKENHEAP_C_VERSION;
  REQUIRE(th_pool_would_fit(pool, prompt.data(), prompt.size(), nullptr, &fits) == th_ok);
  REQUIRE(fits.status == th_out_of_memory);
  REQUIRE(fits.need == 7);
  REQUIRE(fits.room == 5);
  REQUIRE(fits.longest_tokens == 80);
  REQUIRE(th_pool_would_fit(pool, prompt.data(), 80, nullptr, &fits) == th_ok);
  REQUIRE(fits.status == th_ok);
  REQUIRE(th_sequence_close(running) == th_ok);
  REQUIRE(th_pool_close(pool) == th_ok);
}
