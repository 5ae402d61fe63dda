// Finds a race in a small caching allocator: every order of two host threads, every timing of the device, without a GPU.
#include <cstdio>
#include <vector>

#include <tokenheap/check/explorer.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

using namespace tokenheap;

// [allocator]
// keeps freed blocks of one size; a block that another stream takes is first waited for
template <bool RecordsLate>
class toy_cache {
 public:
  explicit toy_cache(sim_device device) noexcept : device_(device) {}

  void* allocate(sim_stream stream) noexcept {
    {
      const locked guard(lock_);
      if (!idle_.empty()) {
        const block taken = idle_.back();
        idle_.pop_back();
        if (!(taken.stream == stream)) device_.wait(stream, taken.freed);
        out_.push_back(taken);
        return taken.data;
      }
    }
    block fresh{};
    if (!device_.allocate(4 * KiB, fresh.data)) return nullptr;
    device_.create_event(fresh.freed);
    const locked guard(lock_);
    out_.push_back(fresh);
    return fresh.data;
  }

  void deallocate(sim_stream stream, void* data) noexcept {
    lock_.lock();
    block freed{};
    for (std::size_t k = 0; k != out_.size(); ++k) {
      if (out_[k].data != data) continue;
      freed = out_[k];
      out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(k));
      break;
    }
    freed.stream = stream;
    if (!RecordsLate) device_.record(freed.freed, stream);
    idle_.push_back(freed);
    lock_.unlock();
    // the bug: a device call was moved out of the lock, and now the block is there for others before its event is
    if (RecordsLate) device_.record(freed.freed, stream);
  }

 private:
  struct block {
    void* data = nullptr;
    sim_event freed{};
    sim_stream stream{};
  };
  sim_device device_;
  sim_lock<> lock_;
  std::vector<block> idle_;
  std::vector<block> out_;
};
// [allocator]

// [scenario]
// two threads of an engine, each with a stream of its own: take a block, run a kernel on it, give it back
template <bool RecordsLate>
class two_workers {
 public:
  static constexpr unsigned threads = 2;

  two_workers() noexcept {
    for (sim_stream& s : streams_) device_.create_stream_nonblocking(s);
  }
  void run(unsigned k) noexcept {
    void* const p = cache_.allocate(streams_[k]);
    if (p == nullptr) return;
    device_.launch_write(streams_[k], p, 4 * KiB);
    cache_.deallocate(streams_[k], p);
  }
  const char* check() noexcept {
    if (machine_.violations() == 0) return nullptr;
    machine_.describe(0, text_, sizeof text_);
    return text_;
  }

 private:
  sim_machine machine_;
  sim_device device_ = machine_.device();
  sim_stream streams_[threads] = {};
  toy_cache<RecordsLate> cache_{device_};
  char text_[256] = {};
};
// [scenario]

int main() {
  // [explore]
  const explore_report found = explore<two_workers<true>>();
  std::printf("broken in schedule %zu: %s\nschedule: %s\n", found.schedules, found.first_broken(), found.schedule.c_str());

  const explore_report sound = explore<two_workers<false>>();
  std::printf("with the event recorded under the lock: %zu schedules, %zu broken\n", sound.schedules, sound.violations);
  // [explore]
  if (found || !sound) return 1;

  // [replay]
  const auto print = [](void*, const explore_step& step) noexcept {
    std::printf("%4zu %c thread %u  %s\n", step.point, step.decided ? '>' : ' ', step.thread, step.what);
  };
  const explore_report again = replay<two_workers<true>>(found.schedule.c_str(), {.watch = print});
  // [replay]
  return again.broken == found.broken ? 0 : 2;
}
