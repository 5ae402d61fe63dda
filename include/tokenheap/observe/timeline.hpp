// What happened to memory over time, kept for a picture in Perfetto or chrome://tracing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {

/// The number of a text of a timeline; 0 is "other", for texts that found no room.
using timeline_name = std::uint16_t;

/// Something that happened at one moment.
enum class timeline_mark : std::uint8_t { eviction, preemption, out_of_memory, refusal, note };

[[nodiscard]] constexpr const char* to_text(timeline_mark mark) noexcept {
  constexpr const char* names[] = {"eviction", "preemption", "out of memory", "refusal", "note"};
  return names[static_cast<std::size_t>(mark)];
}

/// How much a timeline keeps. Times are nanoseconds of one clock, the caller's.
struct timeline_options {
  const char* name = "tokenheap";       ///< of the process, in the picture
  std::size_t events = 65'536;          ///< older ones are overwritten
  std::size_t names = 256;              ///< different pools and owners, each cut to 63 bytes
  std::size_t slices = 4'096;           ///< pieces that are out at the same time and will be slices
  std::size_t slice_bytes = 1'048'576;  ///< smaller pieces are no slices
};

/// One event of a timeline, as it is kept.
struct timeline_event {
  /// What an event is drawn as.
  enum class kind : std::uint8_t { counter, slice, mark };
  kind is = kind::counter;
  timeline_mark mark = timeline_mark::note;
  timeline_name pool = 0;
  timeline_name owner = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;      ///< of a slice; 0: it is still open
  std::uint64_t value = 0;    ///< of a counter or a mark; the bytes of a slice
  std::uint64_t address = 0;  ///< of a slice
};

/// Keeps the last events of pools and owners in a fixed room: counters, large pieces from their start to their end, marks.
///
/// Take the numbers of names once, record as things happen, and write it by `write_timeline_json` whenever you like. A
/// slice is recorded when it ends, so that none is ever half there; those that are out are added when it is written.
/// Not for every small piece: a `ring_trace` is cheaper, and `viz_snapshot` shows it.
///
/// Fails     nothing, once it is open: what finds no room is counted in `lost()`
/// Threads   not safe
/// Cost      O(1), no memory after `open`; 48 bytes an event, 32 a slice that may be out
/// Example   auto t = timeline::open({}); t->counter(now(), t->name("kv"), t->name("tenant 3"), bytes);
class timeline {
 public:
  [[nodiscard]] static result<timeline> open(const timeline_options& with) noexcept {
    const auto bad = [&](errc code, const char* what, std::size_t need, const char* fix) {
      return failure{.code = code, .pool = with.name, .what = what, .need = need, .fix = fix};
    };
    if (with.events == 0) return bad(errc::invalid_argument, "events of a timeline", 0, "keep at least 1");
    if (with.names >= 65'536) return bad(errc::too_large, "names of a timeline", with.names, "keep fewer than 65536");
    timeline made;
    made.with_ = with;
    std::size_t places = 16;
    while (places < max_allocation / 2 && places / 2 < with.slices) places *= 2;
    if (!made.events_.open(with.events) || !made.names_.open(with.names + 1) || !made.out_.open(places)) {
      return bad(errc::out_of_memory, "room of a timeline, in events", with.events, "keep fewer events");
    }
    std::memcpy(made.names_[0].text, "other", 6);
    made.name_count_ = 1;
    return made;
  }

  /// The number of a text, the same for the same text. Cost: O(names)
  [[nodiscard]] timeline_name name(std::string_view text) noexcept {
    const std::size_t length = std::min(text.size(), sizeof(entry::text) - 1);
    for (std::size_t k = 0; k != name_count_; ++k) {
      const entry& e = names_[k];
      if (std::strlen(e.text) == length && std::memcmp(e.text, text.data(), length) == 0) return static_cast<timeline_name>(k);
    }
    if (name_count_ == names_.size()) return 0;
    if (length != 0) std::memcpy(names_[name_count_].text, text.data(), length);
    return static_cast<timeline_name>(name_count_++);
  }
  [[nodiscard]] const char* text(timeline_name number) const noexcept {
    return names_[number < name_count_ ? number : 0].text;
  }

  /// What an owner holds of a pool, from this moment on.
  void counter(std::uint64_t ns, timeline_name pool, timeline_name owner, std::uint64_t value) noexcept {
    keep({.is = timeline_event::kind::counter, .pool = pool, .owner = owner, .begin = ns, .value = value});
  }
  void mark(std::uint64_t ns, timeline_mark what, timeline_name pool, timeline_name owner, std::uint64_t value = 0) noexcept {
    keep({.is = timeline_event::kind::mark, .mark = what, .pool = pool, .owner = owner, .begin = ns, .value = value});
  }
  /// A piece was handed out; nothing is kept of one that is too small for a slice. Addresses differ among all pools.
  void came(std::uint64_t ns, timeline_name pool, timeline_name owner, allocation a) noexcept {
    if (a.size < with_.slice_bytes || !a) return;
    went(ns, a);  // it had another owner, and nobody said that it was gone
    if (out_count_ >= with_.slices) return void(++missed_);
    std::size_t at = home(address_of(a.data));
    while (out_[at].address != 0) at = (at + 1) & (out_.size() - 1);
    out_[at] = {address_of(a.data), ns, a.size, pool, owner};
    ++out_count_;
  }
  /// A piece was given back: if it was a slice, it ends.
  void went(std::uint64_t ns, allocation a) noexcept {
    if (a.size < with_.slice_bytes || !a) return;
    const std::uint64_t address = address_of(a.data);
    std::size_t at = home(address);
    while (out_[at].address != address) {
      if (out_[at].address == 0) return;
      at = (at + 1) & (out_.size() - 1);
    }
    timeline_event e = of(out_[at]);
    e.end = std::max(ns, e.begin);
    keep(e);
    close(at);
  }

  /// Calls `see(event)` for what is kept, the oldest first, then for the slices that are open.
  template <class See>
  void for_each(See&& see) const {
    const std::uint64_t kept = std::min<std::uint64_t>(recorded_, events_.size());
    for (std::uint64_t k = recorded_ - kept; k != recorded_; ++k) see(events_[static_cast<std::size_t>(k % events_.size())]);
    for (std::size_t at = 0; at != out_.size(); ++at)
      if (out_[at].address != 0) see(of(out_[at]));
  }

  [[nodiscard]] std::uint64_t recorded() const noexcept { return recorded_; }
  /// Events that were overwritten, and pieces that found no room as slices.
  [[nodiscard]] std::uint64_t lost() const noexcept {
    return missed_ + recorded_ - std::min<std::uint64_t>(recorded_, events_.size());
  }
  [[nodiscard]] std::size_t open_slices() const noexcept { return out_count_; }
  [[nodiscard]] const timeline_options& options() const noexcept { return with_; }
  /// Walks the table of open slices.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t found = 0;
    for (std::size_t at = 0; at != out_.size(); ++at) {
      if (out_[at].address == 0) continue;
      ++found;
      for (std::size_t k = home(out_[at].address); k != at; k = (k + 1) & (out_.size() - 1))
        if (out_[k].address == 0 || out_[k].address == out_[at].address) return false;
    }
    return found == out_count_;
  }

 private:
  struct entry {
    char text[64];
  };
  struct slice {
    std::uint64_t address, begin, bytes;
    timeline_name pool, owner;
  };

  timeline() noexcept = default;

  [[nodiscard]] std::size_t home(std::uint64_t address) const noexcept {
    return static_cast<std::size_t>(address * 0x9e3779b97f4a7c15 >> 32) & (out_.size() - 1);
  }
  [[nodiscard]] static timeline_event of(const slice& s) noexcept {
    return {.is = timeline_event::kind::slice, .pool = s.pool, .owner = s.owner, .begin = s.begin, .value = s.bytes,
            .address = s.address};
  }
  void keep(const timeline_event& e) noexcept { events_[static_cast<std::size_t>(recorded_++ % events_.size())] = e; }

  // what stands behind an emptied place moves up, unless that is before its home
  void close(std::size_t at) noexcept {
    const std::size_t mask = out_.size() - 1;
    for (std::size_t next = (at + 1) & mask; out_[next].address != 0; next = (next + 1) & mask) {
      if (((next - home(out_[next].address)) & mask) < ((next - at) & mask)) continue;
      out_[at] = out_[next];
      at = next;
    }
    out_[at] = {};
    --out_count_;
  }

  timeline_options with_{};
  kv::column<timeline_event> events_;
  kv::column<entry> names_;
  kv::column<slice> out_;
  std::size_t name_count_ = 0, out_count_ = 0;
  std::uint64_t recorded_ = 0, missed_ = 0;
};

/// What a `timeline_trace` is told at construction; without a timeline it records nothing.
struct timeline_trace_options {
  timeline* to = nullptr;                  ///< lives longer than the column
  const char* pool = "memory";
  const char* owner = "all";
  std::uint64_t (*now)() noexcept = nullptr;  ///< nanoseconds
};

/// Puts a column of layers on a timeline: its live bytes as a counter, large pieces as slices, refusals as marks.
///
/// Threads   not safe; below a lock, and one timeline below one lock
/// Cost      a call of the clock and an event for each call
/// Example   struct mem : layered<host_source, with<timeline_trace>> {}; mem m{{timeline_trace_options{...}}};
class timeline_trace {
 public:
  using options = timeline_trace_options;

  explicit timeline_trace(const options& with) noexcept : with_(with) {
    if (with.to == nullptr) return;
    pool_ = with.to->name(with.pool);
    owner_ = with.to->name(with.owner);
  }

  void record(const trace_event& e) noexcept {
    if (with_.to == nullptr) return;
    const std::uint64_t ns = with_.now != nullptr ? with_.now() : 0;
    const allocation a{e.address, e.granted};
    switch (e.kind) {
      case trace_kind::allocate: live_ += e.granted, with_.to->came(ns, pool_, owner_, a); break;
      case trace_kind::deallocate: live_ -= std::min<std::uint64_t>(live_, e.granted), with_.to->went(ns, a); break;
      case trace_kind::out_of_memory:
        return with_.to->mark(ns, timeline_mark::out_of_memory, pool_, owner_, e.requested);
      case trace_kind::reset: live_ = 0; break;
      case trace_kind::trim: return;
    }
    with_.to->counter(ns, pool_, owner_, live_);
  }

 private:
  options with_;
  timeline_name pool_ = 0, owner_ = 0;
  std::uint64_t live_ = 0;
};

static_assert(trace_policy<timeline_trace>);

}  // namespace v0
}  // namespace tokenheap
