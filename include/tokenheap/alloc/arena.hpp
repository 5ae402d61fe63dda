// Memory that is handed out by moving a pointer and taken back all at once.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <tokenheap/alloc/over.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/core/text.hpp>

namespace tokenheap {
inline namespace v0 {

/// The numbers of an arena, fixed at compile time.
struct arena_shape {
  std::size_t chunk = 64 * KiB;                 ///< bytes taken from below at a time; larger requests get their own
  std::size_t granule = default_alignment;      ///< every size is rounded up to this, so every address is aligned to it
};

/// What an arena holds, in bytes; `used` counts the unused ends of the chunks before the current one.
struct arena_stats {
  std::size_t chunks = 0;
  std::size_t reserved = 0;
  std::size_t used = 0;
};

/// A place in an arena to come back to.
struct arena_mark {
  std::size_t chunk = 0;
  std::size_t used = 0;
};

/// Hands out memory by moving a pointer; takes it back by marks, or all at once.
///
/// Good for what dies together: the scratch of a step, the objects of a request. A piece given back alone is reusable
/// only if it was the last one; put a `slab` above for pieces that come and go. Never touches the memory itself.
///
/// Requires  of a mark: that it comes from this arena
/// Returns   sizes rounded up to `granule`
/// Fails     a null allocation, nothing taken
/// Threads   not safe; one per thread, or `with<spin_lock>` above it
/// Cost      one compare, one addition; once per `chunk` bytes a look at the chunks behind, or one more from below
/// Example   examples/staging.cpp
template <arena_shape Shape = arena_shape{}>
struct arena {
  static_assert(is_power_of_two(Shape.granule), "arena_shape::granule: a power of two");
  static_assert(Shape.chunk >= Shape.granule && Shape.chunk % Shape.granule == 0,
                "arena_shape::chunk: a multiple of the granule");

  /// The arena over what is below it; a column makes it.
  template <source Below>
  class on : public over<Below> {
    struct chunk {
      allocation whole;
      unsigned char* first;
      unsigned char* end;
    };

   public:
    using layer = arena;
    using over<Below>::over;

    ~on() { give_down(0); }

    [[nodiscard]] TOKENHEAP_INLINE allocation allocate(std::size_t bytes,
                                                       std::size_t alignment = default_alignment) noexcept {
      // what is left is a multiple of the granule: if bytes fit, so do bytes rounded up; 0 bytes wrap and never fit
      if (alignment <= Shape.granule && is_power_of_two(alignment) && bytes - 1 < left()) [[likely]] {
        const std::size_t size = align_up(bytes, Shape.granule);
        unsigned char* const at = cursor_;
        cursor_ = at + size;
        return {at, size};
      }
      return allocate_slowly(bytes, alignment);
    }

    /// Takes the piece back if it was the last one; otherwise its bytes wait for `reset` or `rollback`.
    void deallocate(allocation a) noexcept {
      if (a && is_last(a)) cursor_ = static_cast<unsigned char*>(a.data);
    }

    /// Grows the last piece in place, up to the end of its chunk; shrinking is not offered.
    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
      if (!a) return false;
      if (bytes <= a.size) return true;
      if (!is_last(a) || bytes - a.size > left()) return false;
      const std::size_t more = align_up(bytes - a.size, Shape.granule);
      cursor_ += more;
      a.size += more;
      return true;
    }

    /// Forgets every piece and keeps the chunks; `trim(0)` afterwards gives them back.
    void reset() noexcept {
      current_ = 0;
      enter();
    }

    [[nodiscard]] arena_mark mark() const noexcept { return {current_, used_here()}; }

    /// Forgets what was handed out since the mark.
    ///
    /// Fails     errc::invalid_argument for a mark that lies ahead of what is handed out now; nothing changes
    errc rollback(arena_mark to) noexcept {
      if (to.chunk > current_ || (to.chunk == current_ && to.used > used_here())) return errc::invalid_argument;
      if (count_ == 0) return to.used == 0 ? errc::ok : errc::invalid_argument;
      if (to.used > room(chunks_[to.chunk]) || to.used % Shape.granule != 0) return errc::invalid_argument;
      current_ = to.chunk;
      enter();
      cursor_ += to.used;
      return errc::ok;
    }

    /// Gives down chunks that nothing lies in, largest position first, until at most `keep` idle bytes stay.
    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept {
      // the current chunk stays while a mark may point into it
      const std::size_t busy = count_ == 0 ? 0 : current_ + static_cast<std::size_t>(current_ + used_here() != 0);
      std::size_t idle = 0;
      std::size_t stay = busy;
      while (stay != count_ && idle + chunks_[stay].whole.size <= keep) idle += chunks_[stay++].whole.size;
      return give_down(stay);
    }

    [[nodiscard]] bool owns(const void* p) const noexcept {
      for (std::size_t k = 0; k != count_; ++k) {
        if (address_of(p) - address_of(chunks_[k].first) < room(chunks_[k])) return true;
      }
      return false;
    }

    [[nodiscard]] arena_stats stats() const noexcept {
      arena_stats all{.chunks = count_, .reserved = 0, .used = used_here()};
      for (std::size_t k = 0; k != count_; ++k) {
        all.reserved += chunks_[k].whole.size;
        if (k < current_) all.used += room(chunks_[k]);
      }
      return all;
    }

    /// Writes one line about the arena into `out` (always terminated); returns its length.
    std::size_t dump(char* out, std::size_t capacity) const noexcept {
      const arena_stats now = stats();
      text_buffer line(out, capacity);
      line << "arena on '" << this->name() << "': " << now.chunks << " chunks, " << now.reserved << " bytes reserved, "
           << now.used << " used";
      return line.length();
    }

    [[nodiscard]] bool is_valid() const noexcept {
      if constexpr (self_checking<Below>) {
        if (!this->below_.is_valid()) return false;
      }
      for (std::size_t k = 0; k != count_; ++k) {
        const chunk& c = chunks_[k];
        if (c.first > c.end || address_of(c.first) % Shape.granule != 0 || room(c) % Shape.granule != 0) return false;
      }
      if (count_ == 0) return cursor_ == nullptr && end_ == nullptr && current_ == 0;
      const chunk& here = chunks_[current_];
      return current_ < count_ && cursor_ >= here.first && cursor_ <= here.end && end_ == here.end;
    }

   private:
    // chunks may lie end to end: what ends at the start of this one belongs to the chunk before
    [[nodiscard]] bool is_last(allocation a) const noexcept {
      return static_cast<unsigned char*>(a.data) + a.size == cursor_ && cursor_ != chunks_[current_].first;
    }
    [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - cursor_); }
    [[nodiscard]] static std::size_t room(const chunk& c) noexcept { return static_cast<std::size_t>(c.end - c.first); }
    [[nodiscard]] std::size_t used_here() const noexcept {
      return count_ == 0 ? 0 : static_cast<std::size_t>(cursor_ - chunks_[current_].first);
    }

    void enter() noexcept {
      cursor_ = count_ == 0 ? nullptr : chunks_[current_].first;
      end_ = count_ == 0 ? nullptr : chunks_[current_].end;
    }

    TOKENHEAP_NOINLINE allocation allocate_slowly(std::size_t bytes, std::size_t alignment) noexcept {
      if (!is_request(bytes, alignment)) return {};
      const std::size_t step = std::max(alignment, Shape.granule);
      // the chunks behind this one are empty: the first that is large enough moves up and is used
      for (std::size_t k = count_ == 0 ? 0 : current_; k < count_; ++k) {
        unsigned char* const from = k == current_ ? cursor_ : chunks_[k].first;
        const std::size_t skip = align_up(address_of(from), step) - address_of(from);
        const auto space_here = static_cast<std::size_t>(chunks_[k].end - from);
        if (skip > space_here || bytes > space_here - skip) continue;
        if (k != current_) {
          std::swap(chunks_[current_ + 1], chunks_[k]);
          ++current_;
          enter();
        }
        return bump(skip, bytes);
      }
      const std::size_t skip_at_most = step > Shape.granule ? step : 0;
      if (!add_chunk(std::max(Shape.chunk, align_up(bytes, Shape.granule) + skip_at_most))) return {};
      return bump(align_up(address_of(cursor_), step) - address_of(cursor_), bytes);
    }

    [[nodiscard]] allocation bump(std::size_t skip, std::size_t bytes) noexcept {
      unsigned char* const at = cursor_ + skip;
      const std::size_t size = align_up(bytes, Shape.granule);
      cursor_ = at + size;
      return {at, size};
    }

    /// Takes a chunk from below and makes it the current one; changes nothing if there is none.
    [[nodiscard]] bool add_chunk(std::size_t bytes) noexcept {
      if (count_ == capacity_) {
        const std::size_t wanted = capacity_ == 0 ? 8 : capacity_ * 2;
        auto* const grown = static_cast<chunk*>(std::realloc(chunks_, wanted * sizeof(chunk)));
        if (grown == nullptr) return false;
        chunks_ = grown;
        capacity_ = wanted;
      }
      const allocation whole = this->below_.allocate(bytes, Shape.granule);
      if (!whole) return false;
      auto* const first = static_cast<unsigned char*>(whole.data);
      const std::size_t at = count_ == 0 ? 0 : current_ + 1;
      std::memmove(chunks_ + at + 1, chunks_ + at, (count_ - at) * sizeof(chunk));
      chunks_[at] = {whole, first, first + align_down(whole.size, Shape.granule)};
      ++count_;
      current_ = at;
      enter();
      return true;
    }

    std::size_t give_down(std::size_t stay) noexcept {
      std::size_t given = 0;
      while (count_ != stay) {
        given += chunks_[count_ - 1].whole.size;
        this->below_.deallocate(chunks_[--count_].whole);
      }
      if (count_ == 0) {
        std::free(chunks_);
        chunks_ = nullptr;
        capacity_ = current_ = 0;
        enter();
      }
      return given;
    }

    unsigned char* cursor_ = nullptr;
    unsigned char* end_ = nullptr;
    chunk* chunks_ = nullptr;
    std::size_t current_ = 0;
    std::size_t count_ = 0;
    std::size_t capacity_ = 0;
  };
};

}  // namespace v0
}  // namespace tokenheap
