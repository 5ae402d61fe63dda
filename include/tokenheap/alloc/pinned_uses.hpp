// Which streams still use a piece of pinned memory, and which freed pieces wait for them.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/alloc/range.hpp>
#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/concepts/device.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {

/// One use of a piece by a stream, taken out of the book so that the device can be asked with no lock held.
template <device Device>
struct open_use {
  std::uint32_t use = 0;
  std::uint32_t piece = 0;
  std::uint64_t ticket = 0;  ///< of the piece's return; what has another one by now is somebody else's
  typename Device::stream stream{};
  typename Device::event event{};
  bool has_event = false;
  bool recorded = false;
  bool lost = false;  ///< its event cannot tell: only the whole device can
  bool done = false;
};

/// Records the event of a use; an answer other than ok means that the use is lost.
///
/// Does nothing while the stream is captured: an event of a capture tells nothing of the copy. It is asked again later.
template <device Device>
device_status record_use(Device& on, open_use<Device>& u) noexcept {
  bool capturing = false;
  device_status answer = on.is_capturing(u.stream, capturing);
  if (answer && capturing) return answer;
  if (answer && !u.has_event) {
    answer = on.create_event(u.event);
    u.has_event = static_cast<bool>(answer);
  }
  if (answer) answer = on.record(u.event, u.stream);
  u.recorded = static_cast<bool>(answer);
  u.lost = !answer;
  return answer;
}

/// Asks whether a use is done, once. An error is never taken for a yes: the use is lost.
template <device Device>
device_status query_use(Device& on, open_use<Device>& u) noexcept {
  if (!u.recorded && !u.lost) {
    if (const device_status answer = record_use(on, u); !answer) return answer;
  }
  if (!u.recorded || u.lost) return {};
  const device_status answer = on.query_event(u.event);
  u.done = static_cast<bool>(answer);
  u.lost = !answer && answer.error != device_error::not_ready;
  return answer;
}

/// Waits until a use is done. Requires that its event is recorded
template <device Device>
device_status wait_for_use(Device& on, open_use<Device>& u) noexcept {
  const device_status answer = on.synchronize_event(u.event);
  u.done = static_cast<bool>(answer);
  u.lost = !answer;
  return answer;
}

/// The uses of pieces by streams, the pieces that wait for them, and the spare events; pieces are numbered.
///
/// What `pinned_pool` keeps under its lock: it calls no device. A piece that comes back gets a ticket and waits in the
/// order of tickets until each of its uses is done.
///
/// Fails     out_of_memory when the bookkeeping cannot grow, and nothing has changed
/// Threads   not safe
/// Cost      O(1) each; `add` O(uses of the piece); `collect` O(uses of what waits)
template <device Device>
class pinned_uses {
 public:
  using stream = typename Device::stream;
  using event = typename Device::event;
  using open = open_use<Device>;

  /// What a piece is: not out, out, back with its device calls under way, or back and waiting.
  enum class state : std::uint8_t { vacant, live, busy, waiting };

  explicit pinned_uses(const host_source& book = {}) noexcept : notes_(book), uses_(book), spare_events_(book) {}

  [[nodiscard]] bool ensure(std::uint32_t piece) noexcept { return notes_.ensure(std::size_t{piece} + 1); }
  /// A range is out; its node is the piece's number. Requires ensure(piece)
  void begin(const range& where) noexcept {
    note& n = notes_[where.node];
    n = note{};
    n.where = where;
    n.is = state::live;
  }
  void end(std::uint32_t piece) noexcept { notes_[piece] = note{}; }
  [[nodiscard]] state is(std::uint32_t piece) const noexcept { return notes_[piece].is; }
  [[nodiscard]] bool is_used(std::uint32_t piece) const noexcept { return notes_[piece].first != 0; }
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
  [[nodiscard]] std::size_t open_uses() const noexcept { return open_; }

  /// Notes that a stream uses a piece that is out; once for each stream.
  [[nodiscard]] errc add(std::uint32_t piece, const stream& s) noexcept {
    for (std::uint32_t u = notes_[piece].first; u != 0; u = uses_[u].next)
      if (uses_[u].with.stream == s) return errc::ok;
    if (free_ == 0) {
      if (!uses_.ensure(used_ + 1) || !spare_events_.ensure(used_ + 1)) return errc::out_of_memory;
      uses_[used_].next = 0;
      free_ = used_++;
    }
    const std::uint32_t u = free_;
    free_ = uses_[u].next;
    uses_[u] = slot{};
    uses_[u].with.use = u;
    uses_[u].with.piece = piece;
    uses_[u].with.stream = s;
    uses_[u].next = notes_[piece].first;
    notes_[piece].first = u;
    ++open_;
    return errc::ok;
  }

  /// A used piece came back: it waits, busy, until `store` has its events. Requires is_used(piece)
  void retire(std::uint32_t piece) noexcept {
    note& n = notes_[piece];
    n.is = state::busy;
    n.before = last_;
    n.after = 0;
    if (last_ != 0) notes_[last_].after = piece;
    if (first_ == 0) first_ = piece;
    last_ = piece;
    const std::uint64_t ticket = ++tickets_;
    for (std::uint32_t u = n.first; u != 0; u = uses_[u].next) uses_[u].with.ticket = ticket;
    ++waiting_;
  }

  /// Copies uses of one waiting piece, with spare events for those that have none; returns how many.
  std::size_t collect(std::uint32_t piece, open* out, std::size_t room) noexcept {
    std::size_t count = 0;
    for (std::uint32_t u = notes_[piece].first; u != 0 && count != room; u = uses_[u].next) {
      open& use = uses_[u].with;
      if (!use.recorded && !use.lost) {
        notes_[piece].is = state::busy;
        if (!use.has_event && spare_ != 0) {
          use.event = spare_events_[--spare_];
          use.has_event = true;
        }
      }
      out[count++] = use;
    }
    return count;
  }
  /// The same for every piece that waits and is not busy.
  std::size_t collect_all(open* out, std::size_t room) noexcept {
    std::size_t count = 0;
    for (std::uint32_t p = first_; p != 0 && count != room; p = notes_[p].after)
      if (notes_[p].is == state::waiting) count += collect(p, out + count, room - count);
    return count;
  }
  /// The oldest piece whose end can be waited for; first those that events tell of, then those that are lost.
  [[nodiscard]] std::uint32_t oldest(bool lost) const noexcept {
    for (std::uint32_t p = first_; p != 0; p = notes_[p].after) {
      bool all = notes_[p].is == state::waiting;
      bool any_lost = false;
      for (std::uint32_t u = notes_[p].first; u != 0; u = uses_[u].next) {
        any_lost = any_lost || uses_[u].with.lost;
        all = all && (uses_[u].with.recorded || uses_[u].with.lost);
      }
      if (all && any_lost == lost) return p;
    }
    return 0;
  }

  /// Writes an answer back; the range of the piece if it waits for nothing any more, and is off the book; empty if not.
  [[nodiscard]] range store(const open& answer) noexcept {
    slot& kept = uses_[answer.use];
    // another thread was told the same, and was faster
    if (kept.with.ticket != answer.ticket || kept.with.piece != answer.piece) return {};
    note& n = notes_[answer.piece];
    if (n.is == state::busy) n.is = state::waiting;
    if (!kept.with.recorded) kept.with = answer;
    kept.with.lost = kept.with.lost || answer.lost;
    if (!answer.done) return {};
    remove(answer.piece, answer.use);
    if (n.first != 0) return {};
    const range where = n.where;
    leave(answer.piece);
    return where;
  }

  /// Takes one event off the book, spare or in use, so that it can be destroyed; false when there is none.
  [[nodiscard]] bool take_event(event& out) noexcept {
    for (; spare_ == 0 && used_ > 1; --used_) {
      open& use = uses_[used_ - 1].with;
      if (!use.has_event) continue;
      use.has_event = false;
      spare_events_[spare_++] = use.event;
    }
    if (spare_ == 0) return false;
    out = spare_events_[--spare_];
    return true;
  }

  /// Walks the waiting pieces and their uses. Cost: O(pieces that wait + uses)
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t pieces = 0;
    std::uint32_t before = 0;
    std::uint64_t ticket = 0;
    for (std::uint32_t p = first_; p != 0; before = p, p = notes_[p].after) {
      const note& n = notes_[p];
      if (n.before != before || n.first == 0 || (n.is != state::busy && n.is != state::waiting)) return false;
      if (uses_[n.first].with.ticket <= ticket) return false;
      ticket = uses_[n.first].with.ticket;
      for (std::uint32_t u = n.first; u != 0; u = uses_[u].next)
        if (uses_[u].with.piece != p || uses_[u].with.ticket != ticket) return false;
      ++pieces;
    }
    return pieces == waiting_ && before == last_;
  }

 private:
  struct note {
    range where{};
    std::uint32_t first = 0;  // use
    std::uint32_t before = 0;
    std::uint32_t after = 0;
    state is = state::vacant;
  };
  struct slot {
    open with;
    std::uint32_t next = 0;
  };

  void remove(std::uint32_t piece, std::uint32_t u) noexcept {
    std::uint32_t* link = &notes_[piece].first;
    while (*link != u) link = &uses_[*link].next;
    *link = uses_[u].next;
    // there is room for an event of each use
    if (uses_[u].with.has_event) spare_events_[spare_++] = uses_[u].with.event;
    uses_[u] = slot{};
    uses_[u].next = free_;
    free_ = u;
    --open_;
  }
  void leave(std::uint32_t piece) noexcept {
    const note& n = notes_[piece];
    (n.before != 0 ? notes_[n.before].after : first_) = n.after;
    (n.after != 0 ? notes_[n.after].before : last_) = n.before;
    notes_[piece] = note{};
    --waiting_;
  }

  grown_array<note, host_source> notes_;
  grown_array<slot, host_source> uses_;
  grown_array<event, host_source> spare_events_;
  std::uint32_t used_ = 1;
  std::uint32_t free_ = 0;
  std::uint32_t spare_ = 0;
  std::uint32_t first_ = 0;
  std::uint32_t last_ = 0;
  std::size_t waiting_ = 0;
  std::size_t open_ = 0;
  std::uint64_t tickets_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
