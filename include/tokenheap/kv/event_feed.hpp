// Reads the events of a pool: what is new, or all that is there once something was missed.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/event.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The amounts of a feed.
struct event_feed_options {
  std::size_t bytes = 64 * KiB;  ///< of events that one poll copies at most; a snapshot takes what it needs
  const char* name = "events";
};

/// What a poll brought.
enum class feed_answer : std::uint8_t {
  idle,      ///< nothing new
  news,      ///< the next events, in `batch()`
  snapshot,  ///< events were missed, or it is the first poll: `batch()` holds all that is findable
  failed,    ///< no memory for a snapshot, or the pool is closed; the next poll tries again
};

/// One reader of a pool's `event_stream`: polls it, and never misses anything without knowing.
///
/// The first poll brings a snapshot, the following ones what happened since. Who polls too rarely gets another
/// snapshot: a `cleared` event, then everything that is findable, parents first. Any count of feeds may read one pool.
///
/// Requires  a pool whose policy has `event_stream` as `events`
/// Fails     open for want of memory; poll says `failed` and loses nothing
/// Threads   a feed is one thread's; poll takes the pool's lock, for one copy of at most `bytes`, or for a snapshot
/// Cost      one copy of the events; a snapshot copies names and tokens of all published blocks under the lock
/// Example   examples/events.cpp
class event_feed {
 public:
  using options = event_feed_options;

  [[nodiscard]] static result<event_feed> open(const options& with = {}) noexcept {
    event_feed made;
    if (with.bytes == 0 || !made.room_.open(with.bytes)) {
      return failure{.code = with.bytes == 0 ? errc::invalid_argument : errc::out_of_memory, .pool = with.name,
                     .what = "bytes of events that are read at once", .need = with.bytes, .limit = max_allocation,
                     .fix = "give 64 KiB, or as much as there is"};
    }
    made.limit_ = with.bytes;
    return result<event_feed>(static_cast<event_feed&&>(made));
  }

  /// Reads on; `batch()` holds what came until the next poll.
  template <class Pool>
  [[nodiscard]] feed_answer poll(Pool& pool) noexcept {
    batch_ = {};
    for (int turn = 0; turn != turns; ++turn) {
      feed_answer got = feed_answer::failed;
      std::size_t need = 0;
      pool.with_events([&](auto& stream, const auto& index) { got = look(stream, index, need); });
      if (need == 0) return got;
      // memory is asked for without the lock, and more than is needed now: the pool goes on meanwhile
      if (need > max_allocation / 2 || !room_.grow(need + need / 8)) return feed_answer::failed;
    }
    return feed_answer::failed;
  }

  [[nodiscard]] const event_batch& batch() const noexcept { return batch_; }
  /// The number of the first event that the next poll will ask for.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
  /// Goes on at this number, which a reader knows from before; if it is gone by then, there is a snapshot.
  void resume(std::uint64_t number) noexcept {
    next_ = number;
    started_ = true;
  }
  /// Asks for a snapshot in any case.
  void restart() noexcept { started_ = false; }

 private:
  static constexpr int turns = 8;

  event_feed() noexcept = default;

  // under the pool's lock; sets `need` where there is too little room
  template <class Stream, class Index>
  [[nodiscard]] feed_answer look(Stream& stream, const Index& index, std::size_t& need) noexcept {
    if (started_ && stream.ring().keeps(next_)) {
      const std::size_t got = stream.ring().read(next_, room_.first(), limit_ < room_.size() ? limit_ : room_.size(), need);
      // one event that is larger than the limit is read alone
      if (need != 0 && need <= room_.size()) return read_alone(stream, need);
      batch_ = {room_.first(), got};
      return got == 0 ? feed_answer::idle : feed_answer::news;
    }
    need = stream.snapshot_bytes(index.size());
    if (need > room_.size()) return feed_answer::failed;
    need = 0;
    batch_ = {room_.first(), stream.snapshot(index, room_.first())};
    next_ = stream.ring().next();
    started_ = true;
    return feed_answer::snapshot;
  }

  template <class Stream>
  [[nodiscard]] feed_answer read_alone(const Stream& stream, std::size_t& need) noexcept {
    const std::size_t one = need;
    batch_ = {room_.first(), stream.ring().read(next_, room_.first(), one, need)};
    return need = 0, feed_answer::news;
  }

  column<unsigned char> room_;
  std::size_t limit_ = 0;
  event_batch batch_;
  std::uint64_t next_ = 0;
  bool started_ = false;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
