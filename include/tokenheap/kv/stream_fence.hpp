// Which stream has to wait for which before it touches a block.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/source/device_failure.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What a piece of work does with a block.
enum class block_use : std::uint8_t { read, write };

/// Orders the copies of blocks behind the work that they must not meet, on the device and by block.
///
/// For a pool whose blocks are copied on streams of their own, and for slots of any kind that streams share, such as
/// those of a pinned tier: name it as `fence` in a pool's policy, or use it alone. Work is told by lane: lane 0 is the
/// stream that computes, others copy. `before` makes a lane's stream wait, `after` says what was enqueued. Lane 0 tells
/// of nothing: another lane waits for all that lane 0 has been given by then. So a block may be given back while copies
/// of it run: the pool lets lane 0 wait for them when it hands the block out again. Slots are physical: where two ids
/// share memory, tell of the memory's own number.
///
/// Requires  `bind` of every lane before its first use; `before` right ahead of the work and `after` right behind it; the
///           device outlives it; no stream that is captured
/// Fails     before: what the device said as an errc, and the work must not be enqueued; the other waits stay, harmless
/// Threads   as its lock: the default is one thread's, `spin_lock` may be shared
/// Streams   waits on the device only, never on the CPU
/// Cost      O(1) per block; an event record and a wait per lane that is waited for, none if that was done before;
///           8 bytes per block and lane
/// Example   examples/kv_fences.cpp
template <device Device, std::size_t Lanes = 3, lockable Lock = no_lock>
class stream_fence {
  static_assert(Lanes >= 2 && Lanes <= 8);

 public:
  using stream = typename Device::stream;
  static constexpr std::size_t lanes = Lanes;

  stream_fence() noexcept = default;
  stream_fence(const stream_fence&) = delete;
  stream_fence& operator=(const stream_fence&) = delete;
  ~stream_fence() {
    for (lane& l : lanes_)
      if (l.on != nullptr) static_cast<void>(l.on->destroy_event(l.event));
  }

  [[nodiscard]] bool open(std::size_t slots) noexcept { return rows_.open(slots); }

  /// Names the stream of a lane. A lane that was bound before forgets nothing: bind it anew when its stream is idle.
  [[nodiscard]] errc bind(std::size_t at, Device& on, const stream& s) noexcept {
    if (at >= Lanes) return errc::invalid_argument;
    const locked hold(lock_);
    if (lanes_[at].on == nullptr) {
      if (const device_status made = on.create_event(lanes_[at].event); !made) return to_errc(made.error);
      lanes_[at].on = &on;
    }
    lanes_[at].runs = s;
    return errc::ok;
  }

  /// Makes the stream of `at` wait for what the work that comes next must not meet.
  [[nodiscard]] errc before(std::size_t at, block_use how, const block_id* ids, std::size_t n) noexcept {
    if (at >= Lanes) return errc::invalid_argument;
    std::uint64_t until[Lanes] = {};
    const locked hold(lock_);
    for (std::size_t k = 0; k < n; ++k) {
      const row& of = rows_[ids[k]];
      raise(until[of.write % Lanes], of.write / Lanes);
      if (how == block_use::read) continue;
      for (std::size_t other = 1; other < Lanes; ++other) raise(until[other], of.read[other - 1]);
    }
    if (at != 0 && n != 0) until[0] = lanes_[0].epoch;
    if (at != 0 && lanes_[at].on == nullptr) return errc::not_open;
    for (std::size_t other = 0; other < Lanes; ++other) {
      if (other == at || until[other] == 0) continue;
      if (const errc no = wait(at, other, until[other]); no != errc::ok) return no;
    }
    return errc::ok;
  }

  /// Says that work of lane `at` was enqueued. Of lane 0 nothing needs to be said.
  void after(std::size_t at, block_use how, const block_id* ids, std::size_t n) noexcept {
    if (at == 0 || at >= Lanes) return;
    const locked hold(lock_);
    const std::uint64_t now = lanes_[at].epoch;
    for (std::size_t k = 0; k < n; ++k) {
      row& of = rows_[ids[k]];
      if (how == block_use::read) {
        of.read[at - 1] = now;
      } else {
        // the write waited for all reads and writes before it: who waits for it has waited for them
        of = {.write = now * Lanes + at};
      }
    }
  }

  /// Called by the pool with blocks that it hands to the lane that computes.
  [[nodiscard]] errc on_take(const block_id* ids, std::size_t n) noexcept {
    return before(0, block_use::write, ids, n);
  }
  /// Called by the pool with blocks that a request found.
  [[nodiscard]] errc on_found(const block_id* ids, std::size_t n) noexcept {
    return before(0, block_use::read, ids, n);
  }

  /// Events that were recorded, and waits that were enqueued.
  [[nodiscard]] std::size_t records() const noexcept { return records_; }
  [[nodiscard]] std::size_t waits() const noexcept { return waits_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return rows_.bytes(); }

 private:
  // epochs count the records of a lane's event: a use is covered by the first record behind it
  struct lane {
    Device* on = nullptr;
    stream runs{};
    typename Device::event event{};
    std::uint64_t epoch = 1;
    std::uint64_t recorded = 0;
    std::uint64_t seen[Lanes] = {};     // what this lane waits for already
    std::uint64_t carried[Lanes] = {};  // what it had seen when its event was recorded
  };
  struct row {
    std::uint64_t write = 0;  // epoch * Lanes + lane
    std::uint64_t read[Lanes - 1] = {};
  };

  static void raise(std::uint64_t& to, std::uint64_t at) noexcept { to = at > to ? at : to; }

  [[nodiscard]] errc wait(std::size_t who, std::size_t whom, std::uint64_t until) noexcept {
    lane& mine = lanes_[who];
    lane& other = lanes_[whom];
    if (mine.seen[whom] >= until) return errc::ok;
    if (mine.on == nullptr || other.on == nullptr) return errc::not_open;
    if (other.recorded < until) {
      if (const device_status said = other.on->record(other.event, other.runs); !said) return to_errc(said.error);
      other.recorded = other.epoch++;
      for (std::size_t l = 0; l < Lanes; ++l) other.carried[l] = other.seen[l];
      ++records_;
    }
    if (const device_status said = mine.on->wait(mine.runs, other.event); !said) return to_errc(said.error);
    ++waits_;
    raise(mine.seen[whom], other.recorded);
    for (std::size_t l = 0; l < Lanes; ++l) raise(mine.seen[l], other.carried[l]);
    return errc::ok;
  }

  lane lanes_[Lanes];
  column<row> rows_;
  std::size_t records_ = 0, waits_ = 0;
  TOKENHEAP_NO_UNIQUE_ADDRESS Lock lock_;
};

/// A fence that lets streams wait for one another instead of holding blocks back.
template <class F>
concept orders_streams_of_blocks = block_fence<F> &&
    requires(F& f, std::size_t lane, block_use how, const block_id* ids, std::size_t n) {
  { f.before(lane, how, ids, n) }
  noexcept->std::same_as<errc>;
  { f.after(lane, how, ids, n) }
  noexcept->std::same_as<void>;
  { f.on_take(ids, n) }
  noexcept->std::same_as<errc>;
  { f.on_found(ids, n) }
  noexcept->std::same_as<errc>;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
