// Eight threads, eight streams, one caching allocator and one pinned pool; kernels write patterns and verify them.
//   soak [rounds each thread] [seed]
// Leaves with 0 if every pattern was found whole, 1 if one was not, 77 if there is no GPU.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/check/verdict.hpp>
#include <tokenheap/device/cuda.hpp>

using namespace tokenheap;

namespace {

__host__ __device__ unsigned pattern(unsigned tag, std::size_t at) { return tag * 2654435761u + static_cast<unsigned>(at); }

__global__ void write_pattern(unsigned* words, std::size_t count, unsigned tag) {
  for (std::size_t k = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; k < count; k += std::size_t{gridDim.x} * blockDim.x)
    words[k] = pattern(tag, k);
}
__global__ void verify_pattern(const unsigned* words, std::size_t count, unsigned tag, unsigned long long* wrong) {
  for (std::size_t k = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; k < count; k += std::size_t{gridDim.x} * blockDim.x)
    if (words[k] != pattern(tag, k)) atomicAdd(wrong, 1ull);
}

struct piece {
  allocation memory;
  unsigned tag = 0;
  cuda_device::event ready = nullptr;  // of the stream that wrote it; who takes the piece over waits for it
};

struct shared {
  cuda_device device;
  caching_allocator<cuda_device> cache{device};
  pinned_pool<cuda_device> pool{{.limit = 256 * MiB}};
  unsigned long long* wrong = nullptr;
  std::mutex lock;
  std::vector<piece> handed_over;
  std::atomic<unsigned> tags{1};
  std::atomic<std::size_t> refused{0}, failed{0}, done{0};
};

class worker {
 public:
  worker(shared& all, std::uint64_t seed) : all_(all), random_(seed) {
    good(all.device.create_stream_nonblocking(mine_));
    good(all.device.create_stream_nonblocking(other_));
    good(all.device.create_event(crossing_));
  }
  ~worker() {
    while (!held_.empty()) end(0);
    good(all_.device.synchronize(mine_));
    good(all_.device.synchronize(other_));
    good(all_.device.destroy_event(crossing_));
    (void)all_.cache.retire(mine_);
    (void)all_.cache.retire(other_);
    good(all_.device.destroy_stream(mine_));
    good(all_.device.destroy_stream(other_));
  }

  void step() {
    switch (random_.below(6)) {
      case 0: case 1: return begin();
      case 2: return held_.empty() ? begin() : end(random_.below(held_.size()));
      case 3: return held_.empty() ? begin() : cross(random_.below(held_.size()));
      case 4: return upload();
      default: return random_.below(2) == 0 ? hand_over() : take_over();
    }
  }

 private:
  static std::size_t words(const piece& p) { return p.memory.size / sizeof(unsigned); }
  void good(device_status answer) {
    if (!answer) all_.failed.fetch_add(1);
  }
  void write(const piece& p) {
    write_pattern<<<64, 256, 0, mine_.handle>>>(static_cast<unsigned*>(p.memory.data), words(p), p.tag);
  }
  void verify(const piece& p, cuda_device::stream on) {
    verify_pattern<<<64, 256, 0, on.handle>>>(static_cast<const unsigned*>(p.memory.data), words(p), p.tag, all_.wrong);
  }

  void begin() {
    if (held_.size() == 24) return end(random_.below(held_.size()));
    piece p;
    p.memory = all_.cache.allocate(mine_, 4 + random_.below(std::size_t{1} << (10 + random_.below(14))));
    if (!p.memory) {
      all_.refused.fetch_add(1);
      return;
    }
    p.tag = all_.tags.fetch_add(1);
    write(p);
    held_.push_back(p);
  }
  /// Verified on its stream, and freed there at once.
  void end(std::size_t k) {
    verify(held_[k], mine_);
    all_.cache.deallocate(mine_, held_[k].memory);
    drop(k);
  }
  /// Read by a second stream that the allocator is told of, while the first one frees it.
  void cross(std::size_t k) {
    good(all_.device.record(crossing_, mine_));
    good(all_.device.wait(other_, crossing_));
    verify(held_[k], other_);
    if (all_.cache.record_stream(held_[k].memory, other_) != errc::ok) all_.failed.fetch_add(1);
    all_.cache.deallocate(mine_, held_[k].memory);
    drop(k);
  }
  /// The host writes pinned memory, a copy takes it away, and the next owner must not overtake the copy.
  void upload() {
    piece p;
    p.tag = all_.tags.fetch_add(1);
    const std::size_t bytes = 4 * (1 + random_.below(256 * KiB));
    const allocation host = all_.pool.allocate(bytes);
    p.memory = all_.cache.allocate(mine_, bytes);
    if (host && p.memory) {
      for (std::size_t at = 0; at != bytes / 4; ++at) static_cast<unsigned*>(host.data)[at] = pattern(p.tag, at);
      good(all_.device.copy(p.memory.data, host.data, bytes, mine_));
      if (all_.pool.use(host, mine_) != errc::ok) all_.failed.fetch_add(1);
      verify_pattern<<<64, 256, 0, mine_.handle>>>(static_cast<const unsigned*>(p.memory.data), bytes / 4, p.tag, all_.wrong);
    } else {
      all_.refused.fetch_add(1);
    }
    all_.pool.deallocate(host);
    all_.cache.deallocate(mine_, p.memory);
  }
  void hand_over() {
    if (held_.empty()) return;
    piece p = held_.back();
    held_.pop_back();
    good(all_.device.create_event(p.ready));
    good(all_.device.record(p.ready, mine_));
    const std::lock_guard hold(all_.lock);
    all_.handed_over.push_back(p);
  }
  void take_over() {
    piece p;
    {
      const std::lock_guard hold(all_.lock);
      if (all_.handed_over.empty()) return;
      p = all_.handed_over.back();
      all_.handed_over.pop_back();
    }
    good(all_.device.wait(mine_, p.ready));
    good(all_.device.destroy_event(p.ready));
    verify(p, mine_);
    all_.cache.deallocate(mine_, p.memory);
    all_.done.fetch_add(1);
  }
  void drop(std::size_t k) {
    held_[k] = held_.back();
    held_.pop_back();
    all_.done.fetch_add(1);
  }

  shared& all_;
  contract_random random_;
  cuda_device::stream mine_, other_;
  cuda_device::event crossing_ = nullptr;
  std::vector<piece> held_;
};

}  // namespace

int main(int count, char** words) {
  const long rounds = count > 1 ? std::atol(words[1]) : 20'000;
  const auto seed = static_cast<std::uint64_t>(count > 2 ? std::atoll(words[2]) : 1);
  int devices = 0;
  if (const device_status found = cuda_device::count(devices); !found) {
    std::printf("no GPU: %s\n", cuda_device::to_text(found));
    return 77;
  }
  shared all;
  void* counter = nullptr;
  if (!all.device.allocate(sizeof *all.wrong, counter)) return 1;
  all.wrong = static_cast<unsigned long long*>(counter);
  (void)cudaMemset(counter, 0, sizeof *all.wrong);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t != 8; ++t)
    threads.emplace_back([&, t] {
      worker one(all, seed * 100 + t);
      for (long k = 0; k != rounds; ++k) one.step();
    });
  for (std::thread& t : threads) t.join();
  (void)all.device.synchronize();
  for (const piece& p : all.handed_over) {
    (void)all.device.destroy_event(p.ready);
    all.cache.deallocate(p.memory);
  }
  unsigned long long wrong = 0;
  (void)cudaMemcpy(&wrong, counter, sizeof wrong, cudaMemcpyDefault);
  const cudaError_t last = cudaGetLastError();
  const bool valid = all.cache.is_valid() && all.pool.is_valid();
  std::printf("soak: seed %llu, 8 threads x %ld steps, %zu pieces verified, %llu wrong words, %zu calls failed, %zu refused, "
              "structures %s, last error %d\n", static_cast<unsigned long long>(seed), rounds, all.done.load(), wrong,
              all.failed.load(), all.refused.load(), valid ? "valid" : "broken", static_cast<int>(last));
  (void)all.device.deallocate(counter);
  return wrong == 0 && valid && all.failed == 0 && last == cudaSuccess ? 0 : 1;
}
