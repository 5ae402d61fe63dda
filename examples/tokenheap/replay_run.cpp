#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>

#include "replay.hpp"
#include "replay_pytorch.hpp"

namespace program {
namespace {

// One allocator over a device of its own. Both contenders have the same three calls.
class tokenheap_replay {
 public:
  tokenheap_replay(std::uint64_t capacity, std::uint32_t pieces, std::uint32_t streams)
      : machine_({.capacity = capacity, .race_check = false}), pieces_(pieces), streams_(streams) {}
  tokenheap_replay(const tokenheap_replay&) = delete;
  tokenheap_replay& operator=(const tokenheap_replay&) = delete;
  ~tokenheap_replay() {
    allocator_.reset();
    for (const tokenheap::sim_stream& s : streams_) static_cast<void>(device_.destroy_stream(s));
  }

  complaint open() {
    allocator_.emplace(device_, tokenheap::caching_options{.name = "replay"});
    for (tokenheap::sim_stream& s : streams_)
      if (!device_.create_stream_nonblocking(s)) return "the simulated device refused a stream";
    machine_.reset_calls();
    return {};
  }
  bool come(const replay_event& e) {
    return static_cast<bool>(pieces_[e.piece] = allocator_->allocate(streams_[e.stream], e.bytes));
  }
  void go(const replay_event& e) { allocator_->deallocate(streams_[e.stream], pieces_[e.piece]); }

  [[nodiscard]] std::uint64_t reserved() const { return machine_.used(); }
  complaint finish(replay_outcome& out) {
    for (unsigned n = 0; n < tokenheap::sim_calls; ++n) {
      const auto call = static_cast<tokenheap::sim_call>(n);
      if (const std::size_t calls = machine_.calls(call); calls != 0) out.device_calls[to_text(call)] = calls;
    }
    for (const auto call : {tokenheap::sim_call::wait, tokenheap::sim_call::synchronize_stream,
                            tokenheap::sim_call::synchronize_event, tokenheap::sim_call::synchronize_device})
      out.waits += machine_.calls(call);
    out.events = machine_.calls(tokenheap::sim_call::record);
    return allocator_->is_valid() ? "" : "the books of the caching allocator do not add up";
  }

 private:
  tokenheap::sim_machine machine_;
  tokenheap::sim_device device_ = machine_.device();
  std::optional<tokenheap::caching_allocator<tokenheap::sim_device>> allocator_;
  std::vector<tokenheap::allocation> pieces_;
  std::vector<tokenheap::sim_stream> streams_;
};

template <class Allocator>
void watch(Allocator& allocator, const replay_trace& trace, replay_outcome& out) {
  std::vector<std::uint64_t> held(trace.pieces, 0);
  std::uint64_t live = 0;
  for (const replay_event& e : trace.events) {
    if (e.bytes == 0) {
      if (held[e.piece] == 0) continue;
      allocator.go(e);
      ++out.frees;
      live -= held[e.piece];
      continue;
    }
    ++out.allocations;
    if (!allocator.come(e)) {
      ++out.failures;
      out.failed_bytes += e.bytes;
      continue;
    }
    live += held[e.piece] = e.bytes;
    out.peak_live = std::max(out.peak_live, live);
    if (const std::uint64_t now = allocator.reserved(); now > out.peak_reserved) {
      out.peak_reserved = now;
      out.live_at_peak = live;
    } else if (now == out.peak_reserved) {
      // of all moments at the peak the fullest counts
      out.live_at_peak = std::max(out.live_at_peak, live);
    }
  }
}

template <class Allocator>
double nanoseconds(Allocator& allocator, const replay_trace& trace) {
  std::vector<bool> held(trace.pieces, false);
  const auto start = std::chrono::steady_clock::now();
  for (const replay_event& e : trace.events) {
    if (e.bytes != 0) {
      held[e.piece] = allocator.come(e);
    } else if (held[e.piece]) {
      allocator.go(e);
    }
  }
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

template <class Allocator>
complaint replay(const replay_trace& trace, std::uint64_t capacity, replay_outcome& out) {
  {
    Allocator watched(capacity, trace.pieces, trace.streams);
    if (complaint bad = watched.open(); !bad.empty()) return bad;
    watch(watched, trace, out);
    if (complaint bad = watched.finish(out); !bad.empty()) return bad;
  }
  Allocator timed(capacity, trace.pieces, trace.streams);
  if (complaint bad = timed.open(); !bad.empty()) return bad;
  out.nanoseconds = nanoseconds(timed, trace);
  return {};
}

}  // namespace

complaint replay_tokenheap(const replay_trace& trace, std::uint64_t capacity, replay_outcome& out) {
  return replay<tokenheap_replay>(trace, capacity, out);
}

complaint replay_pytorch(const replay_trace& trace, std::uint64_t capacity, replay_outcome& out) {
  return replay<pytorch_model>(trace, capacity, out);
}

}  // namespace program
