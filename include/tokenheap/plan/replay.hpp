// A trace of requests through the pools that a plan opens: how many run at once, and who waits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/load.hpp>
#include <tokenheap/plan/planned_pool.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What became of a trace.
struct replayed {
  std::size_t admitted = 0;
  std::size_t refused = 0;         ///< need more than the empty pools have
  std::size_t waited = 0;          ///< were not admitted the moment they came
  std::size_t peak_sequences = 0;  ///< at once
  std::size_t peak_waiting = 0;
  double longest_wait = 0;         ///< seconds
  double mean_wait = 0;            ///< of all that were admitted
  double end = 0;                  ///< when the last one ended
};

/// Requests in the pools of one copy of a model: first come, first served, each with room for all of its tokens.
///
/// Nothing is random and nothing depends on the clock. A request keeps its place until it ends, so that none is ever
/// preempted; a server that grows requests as they go holds some more. Every stage of the pipeline has its real pool.
///
/// Requires  arrivals in order of time, and a fitting that outlives it
/// Cost      O(requests * log(requests) + blocks)
class replay {
 public:
  [[nodiscard]] static reading<replay> open(const fitting& f, const pace& at = {}, std::size_t most_sequences = 0) {
    reading<replay> out;
    out.value.pace_ = at;
    out.value.most_ = most_sequences == 0 ? ~std::size_t{0} : most_sequences;
    for (std::size_t stage = 0; stage < f.with().pipeline; ++stage) {
      reading<planned_pool> pool = planned_pool::open(f, stage);
      out.error = pool.error;
      if (!out) break;
      out.value.pools_.push_back(std::move(pool.value));
    }
    return out;
  }

  /// Time goes on to this request, which then runs or waits.
  void arrive(const arrival& a) {
    until(a.at);
    now_ = std::max(now_, a.at);
    waiting_.push_back(a);
    admit();
    so_far_.peak_waiting = std::max(so_far_.peak_waiting, waiting_.size());
  }
  /// Lets all that is left run to its end, and says what became of it.
  [[nodiscard]] replayed finish() {
    while (!running_.empty()) until(running_.top().end);
    replayed all = so_far_;
    if (all.admitted != 0) all.mean_wait = waits_ / static_cast<double>(all.admitted);
    return all;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    return std::all_of(pools_.begin(), pools_.end(), [](const planned_pool& p) { return p.is_valid(); });
  }

 private:
  struct request {
    double end = 0;
    std::size_t order = 0;
    std::vector<planned_piece> pieces;  // one for each stage
  };
  struct later {
    bool operator()(const request& a, const request& b) const noexcept {
      return a.end != b.end ? a.end > b.end : a.order > b.order;
    }
  };

  /// Ends what ends until then, and lets those in who waited for it.
  void until(double when) {
    while (!running_.empty() && running_.top().end <= when) {
      now_ = std::max(now_, running_.top().end);
      const request ended = running_.top();
      running_.pop();
      give(ended);
      admit();
    }
  }
  void give(const request& r) {
    for (std::size_t k = 0; k < r.pieces.size(); ++k) pools_[k].give(r.pieces[k]);
  }
  [[nodiscard]] bool take(std::size_t tokens, request& r) {
    for (planned_pool& pool : pools_) {
      planned_piece piece;
      if (!pool.take(tokens, piece)) return give(r), false;
      r.pieces.push_back(std::move(piece));
    }
    return true;
  }
  void admit() {
    while (!waiting_.empty() && running_.size() < most_) {
      const arrival& a = waiting_.front();
      request r;
      r.order = so_far_.admitted;
      std::size_t tokens = 0;
      if (!checked_add(a.prompt, a.output, tokens)) tokens = max_allocation;
      if (!take(tokens, r)) {
        if (!running_.empty()) return;
        ++so_far_.refused;  // not even alone
        waiting_.pop_front();
        continue;
      }
      r.end = now_ + pace_.seconds(static_cast<double>(a.prompt), static_cast<double>(a.output));
      const double wait = now_ - a.at;
      waits_ += wait;
      if (wait > 0) ++so_far_.waited;
      so_far_.longest_wait = std::max(so_far_.longest_wait, wait);
      so_far_.end = std::max(so_far_.end, r.end);
      ++so_far_.admitted;
      running_.push(std::move(r));
      so_far_.peak_sequences = std::max(so_far_.peak_sequences, running_.size());
      waiting_.pop_front();
    }
  }

  pace pace_;
  std::size_t most_ = 0;
  std::vector<planned_pool> pools_;
  std::priority_queue<request, std::vector<request>, later> running_;
  std::deque<arrival> waiting_;
  replayed so_far_;
  double now_ = 0, waits_ = 0;
};

/// The fewest machines with which no request of a trace is refused or waits longer than `most_wait` seconds.
///
/// Requests go round the copies of all machines in turn. 0 if as many copies as requests are not enough.
///
/// Fails     as `planned_pool::open`
/// Cost      a replay for each step of a binary search
[[nodiscard]] inline reading<std::size_t> machines_by_replay(const fitting& f, const std::vector<arrival>& trace,
                                                             const pace& at = {}, double most_wait = 0) {
  reading<std::size_t> out;
  const std::size_t copies = f.with().data;
  const auto enough = [&](std::size_t machines) {
    const std::size_t lanes = std::min(machines * copies, trace.size());
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      reading<replay> one = replay::open(f, at);
      if (!one) return out.error = one.error, true;
      for (std::size_t k = lane; k < trace.size(); k += lanes) one.value.arrive(trace[k]);
      const replayed r = one.value.finish();
      if (r.refused != 0 || r.longest_wait > most_wait) return false;
    }
    return true;
  };
  const std::size_t most = divide_up(trace.size(), copies);
  const std::size_t n = largest(most, [&](std::size_t machines) { return !enough(machines); }) + 1;
  out.value = n > most || !out ? 0 : n;
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
