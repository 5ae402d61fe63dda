// The part of the caching allocator that gives the memory of whole classes away for a while and keeps their addresses.
#pragma once

#include <tokenheap/alloc/caching_returns.hpp>
#include <tokenheap/alloc/class_set.hpp>
#include <tokenheap/alloc/copy_stream.hpp>

namespace tokenheap {
inline namespace v0 {

/// Puts the growable segments of classes to sleep and wakes them. All functions hold the growth lock and not the lock.
template <device Device, class Policy>
class caching_sleep : public caching_returns<Device, Policy> {
 protected:
  using awake = caching_returns<Device, Policy>;
  using typename awake::book;
  using awake::can_grow, awake::clock_, awake::device_, awake::extents_, awake::growth_, awake::lock_,
      awake::none, awake::open_pools_, awake::options_, awake::pieces_, awake::reserved_, awake::segment_count_,
      awake::segments_;

  caching_sleep(const Device& device, const caching_options& with) noexcept
      : awake(device, with), beds_(book{}), runs_(book{}), kept_(book{}) {}

  [[nodiscard]] bool sleeps(memory_class c) const noexcept { return asleep_.has(c); }
  /// Bytes of addresses whose memory was given away.
  [[nodiscard]] std::size_t sleeping_bytes() noexcept {
    const locked hold(lock_);
    std::size_t bytes = 0;
    for (std::uint32_t s = 1; s != segment_count_; ++s)
      if (segments_[s].asleep) bytes += segments_[s].mapped - segments_[s].still;
    return bytes;
  }

  [[nodiscard]] result<std::size_t> put_to_sleep(class_set classes, sleep_options with) noexcept {
    const locked alone(growth_);
    if (!can_grow || this->page_ == 0) return refuse_sleep({device_error::unsupported, 0}, 0);
    if (open_pools_.load(std::memory_order_relaxed) != 0) return refuse_sleep({device_error::capture_refused, 0}, 0);
    if constexpr (can_grow) {
      const std::uint32_t kept_before = kept_count_;
      const std::size_t before = reserved_now();
      device_status status = lie_down(classes);
      if (status) status = device_.synchronize();
      if (status && with.keep_contents) status = save();
      const bool saved = static_cast<bool>(status);
      if (status) status = take_pages();
      if (status) return mark(classes), before - reserved_now();
      if (!saved) forget_kept(kept_before);
      // whatever went comes back; a device that refuses that too leaves the classes asleep, with what was kept
      if (get_up()) rise();
      else mark(classes);
      return refuse_sleep(status, before);
    }
    return std::size_t{0};
  }

  [[nodiscard]] result<std::size_t> wake_up(class_set classes) noexcept {
    const locked alone(growth_);
    if (open_pools_.load(std::memory_order_relaxed) != 0) return refuse_sleep({device_error::capture_refused, 0}, 0);
    if constexpr (can_grow) {
      const std::size_t before = reserved_now();
      if (!find_sleepers(classes)) return refuse_sleep({device_error::out_of_memory, 0}, 0);
      device_status status = get_up();
      if (status.error == device_error::out_of_memory && this->release() != 0) status = get_up();
      if (!status) return refuse_sleep(status, asleep_in_beds());
      rise();
      const locked hold(lock_);
      asleep_ = asleep_.without(classes);
      return reserved_ > before ? reserved_ - before : 0;
    }
    return std::size_t{0};
  }

  /// The end of the allocator: what sleeps is given up. The device has been waited for.
  void end_sleep() noexcept {
    if constexpr (can_grow) {
      forget_kept(0);
      for (std::uint32_t s = 1; s != segment_count_; ++s)
        if (segments_[s].asleep) this->unmap_extents(segments_[s]);
    }
  }

 private:
  struct run {
    std::size_t address, bytes;
    std::uint32_t segment;
  };
  struct kept_run {
    std::size_t address, bytes;
    unsigned char* host;    // where its contents are
    std::uint32_t segment;
    bool owns;              // the first of its pinned memory
  };

  // ---- going to sleep --------------------------------------------------------------------------------------------------

  /// Takes the free pieces of all segments concerned off their shelves: from here on nothing is handed out of them.
  [[nodiscard]] device_status lie_down(class_set classes) noexcept {
    const locked hold(lock_);
    bed_count_ = 0;
    for (std::uint32_t s = 1; s != segment_count_; ++s) {
      device_segment& g = segments_[s];
      if (g.size == 0 || g.kind != segment_kind::growable || g.asleep || !classes.has(g.of)) continue;
      if (!beds_.ensure(bed_count_ + 1)) return {device_error::out_of_memory, 0};
      beds_[bed_count_++] = s;
      g.asleep = true;
      ++this->sleepers_;
      g.still = g.mapped;
      for (std::uint32_t n = g.first; n != none; n = pieces_[n].right)
        if (pieces_[n].state == piece_state::cached) this->retract(n);
    }
    return {};
  }

  /// Copies what callers hold to pinned memory, one piece of it for each segment.
  [[nodiscard]] device_status save() noexcept {
    device_status status{};
    copy_stream<Device> on(device_);
    for (std::uint32_t b = 0; b != bed_count_ && status; ++b) {
      const std::uint32_t first = kept_count_;
      std::size_t bytes = 0;
      if (!note_contents(beds_[b], bytes)) status = {device_error::out_of_memory, 0};
      void* host = nullptr;
      if (status && bytes != 0) status = device_.allocate_pinned(bytes, host);
      if (host == nullptr) {
        kept_count_ = first;
        continue;
      }
      kept_[first].owns = true;
      auto* to = static_cast<unsigned char*>(host);
      for (std::uint32_t k = first; k != kept_count_; to += kept_[k++].bytes) kept_[k].host = to;
      for (std::uint32_t k = first; k != kept_count_ && status; ++k)
        status = on.copy(kept_[k].host, reinterpret_cast<const void*>(kept_[k].address), kept_[k].bytes);
    }
    const device_status done = on.close();
    return status ? done : status;
  }

  /// Notes the stretches of a segment that are out; false when the source of the bookkeeping has no more.
  [[nodiscard]] bool note_contents(std::uint32_t segment, std::size_t& bytes) noexcept {
    const locked hold(lock_);
    const std::uint32_t first = kept_count_;
    for (std::uint32_t n = segments_[segment].first; n != none; n = pieces_[n].right) {
      const device_piece& a = pieces_[n];
      if (a.state != piece_state::out) continue;
      bytes += a.size;
      if (kept_count_ != first && kept_[kept_count_ - 1].address + kept_[kept_count_ - 1].bytes == a.offset) {
        kept_[kept_count_ - 1].bytes += a.size;
      } else {
        if (!kept_.ensure(kept_count_ + 1)) return false;
        kept_[kept_count_++] = {.address = a.offset, .bytes = a.size, .host = nullptr, .segment = segment, .owns = false};
      }
    }
    return true;
  }

  [[nodiscard]] device_status take_pages() noexcept {
    if (!note_runs()) return {device_error::out_of_memory, 0};
    device_status status{};
    for (std::uint32_t k = 0; k != run_count_ && status; ++k) status = unmap_run(runs_[k]);
    count_pages();
    return status;
  }

  /// Notes the stretches of the beds that have memory when they are awake.
  [[nodiscard]] bool note_runs() noexcept {
    const locked hold(lock_);
    run_count_ = 0;
    for (std::uint32_t b = 0; b != bed_count_; ++b) {
      bool open = false;
      for (std::uint32_t n = segments_[beds_[b]].first; n != none; n = pieces_[n].right) {
        const device_piece& a = pieces_[n];
        if (a.state == piece_state::unmapped) {
          open = false;
        } else if (open) {
          runs_[run_count_ - 1].bytes += a.size;
        } else {
          if (!runs_.ensure(run_count_ + 1)) return false;
          runs_[run_count_++] = {.address = a.offset, .bytes = a.size, .segment = beds_[b]};
          open = true;
        }
      }
    }
    return true;
  }

  [[nodiscard]] device_status unmap_run(const run& r) noexcept {
    const device_status status = device_.unmap(reinterpret_cast<void*>(r.address), r.bytes);
    if (!status) return status;
    std::size_t k = extents_.find(r.address);
    while (k != extents_.size() && extents_[k].address < r.address + r.bytes) extents_.erase(k);
    return status;
  }

  // ---- waking up -------------------------------------------------------------------------------------------------------

  [[nodiscard]] bool find_sleepers(class_set classes) noexcept {
    const locked hold(lock_);
    bed_count_ = 0;
    for (std::uint32_t s = 1; s != segment_count_; ++s) {
      if (segments_[s].size == 0 || !segments_[s].asleep || !classes.has(segments_[s].of)) continue;
      if (!beds_.ensure(bed_count_ + 1)) return false;
      beds_[bed_count_++] = s;
    }
    return true;
  }

  /// Gives the beds their memory and contents again; all of it, or nothing.
  [[nodiscard]] device_status get_up() noexcept {
    const std::size_t missing = asleep_in_beds();
    lock_.lock();
    const bool allowed = missing <= this->allowance();
    lock_.unlock();
    if (!allowed || !note_runs()) return {device_error::out_of_memory, 0};
    const std::uint32_t whole = run_count_;
    device_status status{};
    for (std::uint32_t k = 0; k != whole && status; ++k) status = map_missing(runs_[k]);
    bool idle = true;
    if (status) {
      status = restore();
      // copies may still run where one was refused: pages that cannot be waited for stay
      if (!status) idle = static_cast<bool>(device_.synchronize());
    }
    // what this call mapped stands behind the runs
    for (std::uint32_t k = whole; k != run_count_ && !status && idle; ++k) static_cast<void>(unmap_run(runs_[k]));
    count_pages();
    return status;
  }

  [[nodiscard]] device_status map_missing(run r) noexcept {
    for (std::size_t at = r.address, end = r.address + r.bytes; at != end;) {
      if (const std::size_t k = extents_.find(at); k != extents_.size()) {
        at = extents_[k].address + extents_[k].size;
        continue;
      }
      const std::size_t next = extents_.behind(at);
      const std::size_t bytes = (next != extents_.size() ? smaller(extents_[next].address, end) : end) - at;
      if (!runs_.ensure(run_count_ + 1)) return {device_error::out_of_memory, 0};
      if (const device_status status = this->map_range(at, bytes); !status) return status;
      runs_[run_count_++] = {.address = at, .bytes = bytes, .segment = r.segment};
      at += bytes;
    }
    return {};
  }

  [[nodiscard]] device_status restore() noexcept {
    device_status status{};
    copy_stream<Device> on(device_);
    for (std::uint32_t k = 0; k != kept_count_ && status; ++k) {
      if (!is_bed(kept_[k].segment)) continue;
      status = on.copy(reinterpret_cast<void*>(kept_[k].address), kept_[k].host, kept_[k].bytes);
    }
    const device_status done = on.close();
    return status ? done : status;
  }

  /// The beds have what they had: their free pieces go back to their shelves.
  void rise() noexcept {
    forget_kept(0, true);
    const locked hold(lock_);
    ++this->changes_;
    for (std::uint32_t b = 0; b != bed_count_; ++b) {
      device_segment& g = segments_[beds_[b]];
      g.asleep = false;
      --this->sleepers_;
      g.still = 0;
      for (std::uint32_t n = g.first; n != none; n = pieces_[n].right) {
        if (pieces_[n].state != piece_state::held) continue;
        pieces_[n].slack = static_cast<std::uint32_t>(clock_);
        n = this->shelve(n);
      }
    }
  }

  // ---- accounts --------------------------------------------------------------------------------------------------------

  /// Counts anew how much memory lies behind each bed, as the book of extents has it.
  void count_pages() noexcept {
    const locked hold(lock_);
    for (std::uint32_t b = 0; b != bed_count_; ++b) {
      device_segment& g = segments_[beds_[b]];
      std::size_t now = 0;
      for (std::size_t k = first_extent(g); k != extents_.size() && extents_[k].address - g.address < g.size; ++k)
        now += extents_[k].size;
      if (now == g.still) continue;
      const bool came = now > g.still;
      const std::size_t bytes = came ? now - g.still : g.still - now;
      reserved_ += now - g.still;
      this->note_reserved(g, came, (came ? g.still : now) == 0, bytes,
                          came ? device_action::segment_map : device_action::segment_unmap, g.address, 0);
      g.still = now;
    }
  }
  [[nodiscard]] std::size_t first_extent(const device_segment& g) const noexcept {
    const std::size_t k = extents_.find(g.address);
    return k != extents_.size() ? k : extents_.behind(g.address);
  }
  void unmap_extents(const device_segment& g) noexcept {
    for (std::size_t k = first_extent(g); k != extents_.size() && extents_[k].address - g.address < g.size;) {
      static_cast<void>(device_.unmap(reinterpret_cast<void*>(extents_[k].address), extents_[k].size));
      extents_.erase(k);
    }
  }

  [[nodiscard]] bool is_bed(std::uint32_t segment) const noexcept {
    for (std::uint32_t b = 0; b != bed_count_; ++b)
      if (beds_[b] == segment) return true;
    return false;
  }
  [[nodiscard]] std::size_t asleep_in_beds() noexcept {
    const locked hold(lock_);
    std::size_t bytes = 0;
    for (std::uint32_t b = 0; b != bed_count_; ++b) bytes += segments_[beds_[b]].mapped - segments_[beds_[b]].still;
    return bytes;
  }
  [[nodiscard]] std::size_t reserved_now() noexcept {
    const locked hold(lock_);
    return reserved_;
  }
  void mark(class_set classes) noexcept {
    const locked hold(lock_);
    for (std::size_t c = 0; c != memory_classes; ++c)
      if (const auto of = static_cast<memory_class>(c); classes.has(of) && this->kind_of(of) == segment_kind::growable)
        asleep_ = asleep_ | of;
  }

  /// Gives the pinned memory of what was kept back, from a place on; that of the beds alone if asked so.
  void forget_kept(std::uint32_t from, bool of_beds = false) noexcept {
    std::uint32_t left = from;
    for (std::uint32_t k = from; k != kept_count_; ++k) {
      if (of_beds && !is_bed(kept_[k].segment)) {
        kept_[left++] = kept_[k];
      } else if (kept_[k].owns) {
        const device_status status = device_.deallocate_pinned(kept_[k].host);
        if (!status) note_error(status);
      }
    }
    kept_count_ = left;
  }
  void note_error(device_status status) noexcept {
    const locked hold(lock_);
    awake::note_error(status);
  }

  [[nodiscard]] failure refuse_sleep(device_status status, std::size_t need) noexcept {
    const locked hold(lock_);
    failure f{.code = errc::device_failed, .pool = options_.name, .what = "bytes that go to sleep or wake up", .need = need,
              .available = this->allowance(), .limit = options_.limit, .address = nullptr,
              .fix = "look at the device's own error, and try again"};
    switch (status.error) {
      case device_error::out_of_memory:
        f.code = errc::out_of_memory;
        f.fix = "free device memory, or pinned memory of the host, and try again";
        break;
      case device_error::capture_refused:
      case device_error::capture_broken:
        f.code = errc::in_use;
        f.fix = "end what is being captured first";
        break;
      case device_error::unsupported:
        f.code = errc::unsupported;
        f.fix = "use a device that maps pages; fixed segments stay as they are";
        break;
      case device_error::no_device:
      case device_error::gone: f.code = errc::no_device; break;
      case device_error::forked: f.code = errc::forked; break;
      default: break;
    }
    return f;
  }

  grown_array<std::uint32_t, book> beds_;  // the segments that a call works on
  grown_array<run, book> runs_;
  grown_array<kept_run, book> kept_;
  std::uint32_t bed_count_ = 0;
  std::uint32_t run_count_ = 0;
  std::uint32_t kept_count_ = 0;
  class_set asleep_;
};

}  // namespace v0
}  // namespace tokenheap
