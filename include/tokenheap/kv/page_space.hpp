// Pages of several sizes out of one room, none of them padded to the largest.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/block_lists.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/page_sizes.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// One page that was moved: `from` is given back, `to` is out in its place.
struct page_move {
  page_key from;
  page_key to;
};

/// Cuts one room into chunks, and each chunk into pages of the group that needs it now.
///
/// For models whose groups have pages of unequal bytes: attention blocks beside recurrent states. A chunk goes back to
/// all groups when its last page does; takes come from the fullest chunk, so that chunks become empty. Not for a single
/// size: a block pool is quicker and finds prefixes. Holds no memory of the pages themselves, only their offsets.
///
/// Requires  keys that are given back once
/// Fails     take: `out_of_memory`, nothing changes; give: `double_free`, `stale_handle`, `foreign_pointer`
/// Threads   not safe
/// Cost      O(1) for take and give, with all checks; 8 bytes per smallest page, touched only when used
class page_space {
 public:
  [[nodiscard]] static result<page_space> open(const page_space_options& with) noexcept {
    const failure wrong = why_not(with);
    if (wrong.code != errc::ok) return wrong;
    page_space made;
    made.with_ = with;
    made.with_.page_bytes = nullptr;
    made.chunk_ = with.chunk_bytes != 0 ? with.chunk_bytes
                                        : best_chunk(with.page_bytes, with.groups, with.bytes, with.placement);
    const std::size_t chunks = with.bytes / made.chunk_;
    for (std::size_t g = 0; g < with.groups; ++g) {
      made.groups_[g].page = with.page_bytes[g];
      made.groups_[g].slots = static_cast<std::uint32_t>(pages_in_chunk(made.chunk_, with.page_bytes[g], with.placement));
      if (made.groups_[g].slots > made.rows_per_chunk_) made.rows_per_chunk_ = made.groups_[g].slots;
    }
    std::size_t rows = 0;
    if (!checked_mul(chunks, made.rows_per_chunk_, rows) || !made.rows_.open(rows) || !made.chunks_.open(chunks) ||
        !made.lists_.open(chunks, with.groups * classes + 1)) {
      return failure{.code = errc::out_of_memory, .pool = with.name, .what = "books of a page space, in chunks",
                     .need = chunks, .fix = "use larger pages or chunks"};
    }
    for (std::size_t at = 0; at < chunks; ++at) made.lists_.add(made.empties(), static_cast<block_id>(at));
    made.empty_ = chunks;
    return made;
  }

  [[nodiscard]] std::size_t chunk_bytes() const noexcept { return chunk_; }
  [[nodiscard]] std::size_t groups() const noexcept { return with_.groups; }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] std::size_t page_bytes(std::size_t group) const noexcept { return groups_[group].page; }

  /// How many pages of one group could be taken now, if no other group took any.
  [[nodiscard]] std::size_t available(std::size_t group) const noexcept {
    return idle(groups_[group]) + empty_ * groups_[group].slots;
  }

  /// True if `need[g]` pages of every group g fit at the same time; changes nothing.
  [[nodiscard]] bool would_fit(const std::size_t* need) const noexcept { return first_short(need) == with_.groups; }

  /// The first group for whose need, after those of the groups before it, no room is left; groups() if all fit.
  /// `room`: how many of its pages the groups before it leave.
  [[nodiscard]] std::size_t first_short(const std::size_t* need, std::size_t* room = nullptr) const noexcept {
    std::size_t left = empty_;
    for (std::size_t g = 0; g < with_.groups; ++g) {
      const std::size_t have = idle(groups_[g]);
      const std::size_t chunks = need[g] > have ? divide_up(need[g] - have, groups_[g].slots) : 0;
      if (chunks > left) {
        if (room != nullptr) *room = have + left * groups_[g].slots;
        return g;
      }
      left -= chunks;
    }
    return with_.groups;
  }

  /// Takes `n` pages of one group, or none.
  [[nodiscard]] errc take(std::size_t group, std::size_t n, page_key* out) noexcept {
    if (group >= with_.groups) return errc::invalid_argument;
    if (n > available(group)) return errc::out_of_memory;
    for (std::size_t i = 0; i < n; ++i) out[i] = take_one(static_cast<std::uint32_t>(group));
    return errc::ok;
  }

  [[nodiscard]] page_key take(std::size_t group) noexcept {
    page_key key;
    return take(group, 1, &key) == errc::ok ? key : page_key{};
  }

  /// Gives a page back; what was given back before, or never handed out, is refused and changes nothing.
  errc give(const page_key& key) noexcept {
    place at;
    const errc wrong = locate(key, at);
    if (wrong != errc::ok) return wrong;
    group_row& mine = groups_[key.group];
    chunk_row& chunk = chunks_[at.chunk];
    row& page = row_of(at);
    ++page.generation;
    page.next = chunk.head;
    chunk.head = at.slot + 1;
    if (chunk.used != mine.slots) lists_.remove(at.chunk), unmark(key.group, class_of(chunk, mine));
    --chunk.used, --mine.used, ++gives_;
    if (chunk.used == 0) {
      retire(mine, at.chunk);
    } else {
      put(key.group, at.chunk);
    }
    return errc::ok;
  }

  /// Empties one chunk, that with the fewest pages out, by moving them into idle pages of its group; returns how many.
  ///
  /// For the moment when a group lacks a chunk while others have idle pages: then a refusal means that all is used,
  /// but for less than a chunk of each group. The caller copies the bytes of each page from `from` to `to` before
  /// anything else writes there, and tells the owners. 0, and nothing has changed, if no group can spare a chunk.
  ///
  /// Requires  room for most_moves() in `out`
  /// Cost      O(pages of a chunk)
  [[nodiscard]] std::size_t vacate(page_move* out) noexcept {
    std::uint32_t group = 0;
    const block_id chunk = emptiest(group);
    if (chunk == no_block) return 0;
    group_row& mine = groups_[group];
    const std::size_t which = class_of(chunks_[chunk], mine);
    lists_.remove(chunk);
    unmark(group, which);
    std::size_t n = 0;
    for (std::uint32_t slot = 0; slot < chunks_[chunk].fresh; ++slot) {
      row& page = row_of({chunk, slot});
      if ((page.generation & 1) == 0) continue;
      out[n].from = {.group = group, .number = number_of({chunk, slot}, mine), .generation = page.generation++};
      out[n++].to = take_one(group);
    }
    mine.used -= n, gives_ += n, moves_ += n;
    retire(mine, chunk);
    return n;
  }

  /// The most pages that `vacate` moves at once.
  [[nodiscard]] std::size_t most_moves() const noexcept { return rows_per_chunk_; }

  /// True while the page of this key is out.
  [[nodiscard]] bool is_current(const page_key& key) const noexcept {
    place at;
    return locate(key, at) == errc::ok;
  }

  /// Bytes from the start of the room to the page. Requires a key that is current.
  [[nodiscard]] std::size_t offset_of(const page_key& key) const noexcept {
    const group_row& mine = groups_[key.group];
    if (with_.placement == page_placement::numbered) return key.number * mine.page;
    return key.number / mine.slots * chunk_ + key.number % mine.slots * mine.page;
  }

  /// Calls `visit(offset, bytes, group, number, is_out)` for every page of chunks that have a group, by chunk and slot.
  template <class Visit>
  void for_each_page(Visit&& visit) const {
    for (std::uint32_t c = 0; c != chunks_.size(); ++c) {
      if (chunks_[c].used == 0) continue;
      const std::uint32_t g = chunks_[c].group;
      for (std::uint32_t slot = 0; slot != groups_[g].slots; ++slot) {
        const bool is_out = slot < chunks_[c].fresh && (row_of({c, slot}).generation & 1) != 0;
        const page_key key{.group = g, .number = number_of({c, slot}, groups_[g]), .generation = 0};
        visit(offset_of(key), groups_[g].page, g, key.number, is_out);
      }
    }
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return with_.bytes; }
  [[nodiscard]] std::size_t pages_out(std::size_t group) const noexcept { return groups_[group].used; }

  [[nodiscard]] page_space_stats stats() const noexcept {
    page_space_stats s{.bytes = with_.bytes, .empty = empty_ * chunk_, .takes = takes_, .gives = gives_, .moves = moves_};
    s.remainder = with_.bytes - chunks_.size() * chunk_;
    for (std::size_t g = 0; g < with_.groups; ++g) {
      const group_row& of = groups_[g];
      s.used += of.used * of.page;
      s.idle += idle(of) * of.page;
      s.tails += of.chunks * (chunk_ - of.slots * of.page);
    }
    return s;
  }

  /// Walks every list and every chunk.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t listed = lists_.walk(empties()), used = 0;
    if (listed != empty_) return false;
    for (std::size_t g = 0; g < with_.groups; ++g) {
      std::size_t partly = 0, free_pages = 0;
      for (std::size_t c = 0; c < classes; ++c) {
        const std::size_t length = lists_.walk(g * classes + c);
        if (length == block_lists::none || (length != 0) != ((groups_[g].filled >> c & 1) != 0)) return false;
        for (block_id at = lists_.first(g * classes + c); at != no_block; at = lists_.next(at)) {
          if (chunks_[at].group != g || class_of(chunks_[at], groups_[g]) != c || !is_valid(at)) return false;
          free_pages += groups_[g].slots - chunks_[at].used;
        }
        partly += length;
      }
      if (free_pages != idle(groups_[g]) || partly > groups_[g].chunks) return false;
      listed += groups_[g].chunks, used += groups_[g].used;
    }
    return listed == chunks_.size() && takes_ - gives_ == used;
  }

 private:
  static constexpr std::size_t classes = 64;  // of fullness: one bit each, so that the fullest is one instruction away

  struct row {
    std::uint32_t generation;
    std::uint32_t next;  // 1 + the next free slot of the chunk; 0: none
  };
  struct chunk_row {
    std::uint32_t group;
    std::uint32_t used;
    std::uint32_t fresh;  // slots below it were handed out since the chunk was empty
    std::uint32_t head;   // 1 + the slot given back last; 0: none
  };
  struct group_row {
    std::size_t page = 0;
    std::size_t chunks = 0;
    std::size_t used = 0;
    std::uint64_t filled = 0;
    std::uint32_t slots = 0;
  };
  struct place {
    std::uint32_t chunk = 0;
    std::uint32_t slot = 0;
  };

  [[nodiscard]] std::size_t empties() const noexcept { return with_.groups * classes; }
  [[nodiscard]] static std::size_t idle(const group_row& g) noexcept { return g.chunks * g.slots - g.used; }
  [[nodiscard]] static std::size_t class_of(const chunk_row& chunk, const group_row& mine) noexcept {
    return static_cast<std::size_t>(std::uint64_t{chunk.used} * classes / (mine.slots + 1U));
  }
  row& row_of(place at) noexcept { return rows_[at.chunk * rows_per_chunk_ + at.slot]; }
  [[nodiscard]] const row& row_of(place at) const noexcept { return rows_[at.chunk * rows_per_chunk_ + at.slot]; }

  void put(std::uint32_t group, std::uint32_t chunk) noexcept {
    const std::size_t which = class_of(chunks_[chunk], groups_[group]);
    lists_.add(group * classes + which, chunk);
    groups_[group].filled |= std::uint64_t{1} << which;
  }
  void unmark(std::uint32_t group, std::size_t which) noexcept {
    if (lists_.is_empty(group * classes + which)) groups_[group].filled &= ~(std::uint64_t{1} << which);
  }

  /// Makes a chunk without pages every group's. The rows keep their generations: an old key stays stale.
  void retire(group_row& mine, std::uint32_t chunk) noexcept {
    chunks_[chunk].used = chunks_[chunk].fresh = chunks_[chunk].head = 0;
    --mine.chunks, ++empty_;
    lists_.add(empties(), chunk);
  }

  /// The chunk whose pages are the fewest bytes, of the groups whose other chunks have room for them.
  [[nodiscard]] block_id emptiest(std::uint32_t& group) const noexcept {
    block_id best = no_block;
    std::size_t least = ~std::size_t{0};
    for (std::uint32_t g = 0; g < with_.groups; ++g) {
      const group_row& of = groups_[g];
      if (idle(of) < of.slots || of.filled == 0) continue;
      const block_id chunk = lists_.first(g * classes + static_cast<std::size_t>(std::countr_zero(of.filled)));
      if (chunks_[chunk].used * of.page >= least) continue;
      least = chunks_[chunk].used * of.page, best = chunk, group = g;
    }
    return best;
  }

  page_key take_one(std::uint32_t group) noexcept {
    group_row& mine = groups_[group];
    place at;
    if (mine.filled != 0) {
      const auto fullest = static_cast<std::size_t>(63 - std::countl_zero(mine.filled));
      at.chunk = lists_.first(group * classes + fullest);
      lists_.remove(at.chunk);
      unmark(group, fullest);
    } else {
      at.chunk = lists_.first(empties());
      lists_.remove(at.chunk);
      chunks_[at.chunk] = {.group = group, .used = 0, .fresh = 0, .head = 0};
      --empty_, ++mine.chunks;
    }
    chunk_row& chunk = chunks_[at.chunk];
    if (chunk.head != 0) {
      at.slot = chunk.head - 1;
      chunk.head = row_of(at).next;
    } else {
      at.slot = chunk.fresh++;
    }
    ++chunk.used, ++mine.used, ++takes_;
    if (chunk.used != mine.slots) put(group, at.chunk);
    return {.group = group, .number = number_of(at, mine), .generation = ++row_of(at).generation};
  }

  [[nodiscard]] std::uint32_t number_of(place at, const group_row& mine) const noexcept {
    const std::size_t first = with_.placement == page_placement::packed ? at.chunk * std::size_t{mine.slots}
                                                                        : divide_up(at.chunk * chunk_, mine.page);
    return static_cast<std::uint32_t>(first + at.slot);
  }

  [[nodiscard]] errc locate(const page_key& key, place& at) const noexcept {
    if (key.group >= with_.groups || (key.generation & 1) == 0) return errc::foreign_pointer;
    const group_row& mine = groups_[key.group];
    const bool packed = with_.placement == page_placement::packed;
    const std::size_t chunk = packed ? key.number / mine.slots : key.number * mine.page / chunk_;
    if (chunk >= chunks_.size()) return errc::foreign_pointer;
    const std::size_t first = packed ? chunk * mine.slots : divide_up(chunk * chunk_, mine.page);
    if (key.number < first || key.number - first >= mine.slots) return errc::foreign_pointer;
    at = {static_cast<std::uint32_t>(chunk), static_cast<std::uint32_t>(key.number - first)};
    const std::uint32_t now = row_of(at).generation;
    if (now == key.generation + 1) return errc::double_free;
    return now == key.generation && chunks_[chunk].group == key.group ? errc::ok : errc::stale_handle;
  }

  /// True if the free slots of one chunk and its pages that are out add up.
  [[nodiscard]] bool is_valid(block_id chunk) const noexcept {
    const chunk_row& of = chunks_[chunk];
    std::size_t idle_slots = groups_[of.group].slots - of.fresh;
    for (std::uint32_t slot = of.head; slot != 0; slot = row_of({chunk, slot - 1}).next) {
      if (slot > of.fresh || (row_of({chunk, slot - 1}).generation & 1) != 0) return false;
      if (++idle_slots > groups_[of.group].slots) return false;
    }
    return idle_slots + of.used == groups_[of.group].slots;
  }

  page_space_options with_;
  std::size_t chunk_ = 0, rows_per_chunk_ = 0, empty_ = 0, takes_ = 0, gives_ = 0, moves_ = 0;
  group_row groups_[max_page_groups];
  column<row> rows_;
  column<chunk_row> chunks_;
  block_lists lists_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
