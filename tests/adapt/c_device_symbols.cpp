#include <tokenheap/adapt/c_device_symbols.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "c_kit.hpp"

using namespace tokenheap;
using c_kit::fresh;

TEST_CASE("threads of C share an allocator, each on a stream of its own") {
  auto with = fresh<th_gpu_options>();
  with.device_bytes = 512 * MiB;
  th_gpu* const gpu = th_gpu_open(&with);
  REQUIRE(gpu != nullptr);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&] {
      void* stream = nullptr;
      wrong += th_stream_create(gpu, &stream) != th_ok;
      for (std::size_t round = 1; round != 200; ++round) {
        th_allocation a{}, b{};
        wrong += th_gpu_allocate(gpu, stream, round * 1000, &a) != th_ok || th_gpu_allocate(gpu, stream, 3 * MiB, &b) != th_ok;
        wrong += a.bytes < round * 1000 || a.data == b.data;
        wrong += th_gpu_deallocate(gpu, stream, a) != th_ok || th_gpu_deallocate(gpu, stream, b) != th_ok;
      }
      wrong += th_stream_destroy(gpu, stream) != th_ok;
    });
  }
  for (std::thread& t : threads) t.join();
  REQUIRE(wrong == 0);
  auto now = fresh<th_gpu_stats>();
  REQUIRE(th_gpu_stats_of(gpu, &now) == th_ok);
  REQUIRE((now.pieces == 0 && now.allocations == 4 * 199 * 2 && now.failures == 0));
  REQUIRE(th_gpu_is_valid(gpu) == th_ok);
  REQUIRE(th_gpu_close(gpu) == th_ok);
}

TEST_CASE("calls with a C allocator that is none answer why") {
  th_allocation a{&a, 3};
  REQUIRE(th_gpu_allocate(nullptr, nullptr, 1, &a) == th_invalid_argument);
  REQUIRE((a.data == nullptr && a.bytes == 0));
  REQUIRE(th_gpu_allocate(nullptr, nullptr, 1, nullptr) == th_invalid_argument);
  REQUIRE(th_gpu_allocate_as(nullptr, nullptr, nullptr, &a) == th_invalid_argument);
  REQUIRE(th_gpu_deallocate(nullptr, nullptr, a) == th_invalid_argument);
  REQUIRE(th_gpu_record_stream(nullptr, a, nullptr) == th_invalid_argument);
  REQUIRE(th_gpu_retire(nullptr, nullptr) == th_invalid_argument);
  REQUIRE(th_gpu_trim(nullptr, 0, nullptr) == th_invalid_argument);
  REQUIRE(th_gpu_set_limit(nullptr, 0) == th_invalid_argument);
  REQUIRE(th_gpu_snapshot(nullptr, "x", 0) == th_invalid_argument);
  REQUIRE(th_stream_create(nullptr, nullptr) == th_invalid_argument);
  th_gpu* const gpu = th_gpu_open(nullptr);
  REQUIRE(gpu != nullptr);
  REQUIRE(th_stream_create(gpu, nullptr) == th_invalid_argument);
  REQUIRE(th_gpu_allocate_as(gpu, nullptr, nullptr, &a) == th_invalid_argument);
  REQUIRE(th_gpu_close(gpu) == th_ok);
}

TEST_CASE("a device's allocator in C cannot be closed by the function that it asks for room") {
  struct holder {
    th_gpu* gpu = nullptr;
    th_allocation piece{};
    th_status freed = th_ok, closed = th_ok;
  } mine;
  auto with = fresh<th_gpu_options>();
  with.limit = 4 * MiB;
  with.on_pressure_user = &mine;
  with.on_pressure = [](void* user, std::size_t) {
    auto& me = *static_cast<holder*>(user);
    me.freed = th_gpu_deallocate(me.gpu, nullptr, me.piece);
    me.closed = th_gpu_close(me.gpu);
    return 1;
  };
  mine.gpu = th_gpu_open(&with);
  REQUIRE(th_gpu_allocate(mine.gpu, nullptr, 3 * MiB, &mine.piece) == th_ok);
  th_allocation second{};
  REQUIRE(th_gpu_allocate(mine.gpu, nullptr, 3 * MiB, &second) == th_ok);
  REQUIRE((mine.freed == th_ok && mine.closed == th_in_use));
  REQUIRE(th_gpu_deallocate(mine.gpu, nullptr, second) == th_ok);
  REQUIRE(th_gpu_close(mine.gpu) == th_ok);
}
