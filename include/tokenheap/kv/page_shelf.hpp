// Pages of windows and states that stay findable beside the published blocks of a pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/block_lists.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/hybrid_search.hpp>
#include <tokenheap/kv/page_space.hpp>
#include <tokenheap/kv/root_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Keeps, for every published block of a pool, the pages that other groups of layers have for the same tokens.
///
/// The pool is the group with full attention, and says which prefixes there are; a window or a state puts its page
/// beside the block whose last token is its own last one. A page leaves alone, the longest unwanted first, and the block
/// can still be found by requests that do not look at it. When a block leaves the pool its pages go back to the space: name
/// `shelf_events` as `events` of the pool's policy. Not for full attention.
///
/// A page that a request holds stays when its block leaves: nobody finds it, and the last `let_go` gives it back.
///
/// Requires  a space and a pool of one thread, and the rules of `put`, `hold` and `let_go` kept
/// Fails     a misuse is answered by an errc and changes nothing
/// Threads   not safe: of the thread that uses the pool
/// Cost      O(1) for each page; 32 bytes for each block and group, touched only when used
class page_shelf {
 public:
  /// A shelf for the blocks below `end` of a pool, its null block included, and all groups of a space.
  [[nodiscard]] static result<page_shelf> open(page_space& space, std::size_t end) noexcept {
    page_shelf made;
    made.space_ = &space;
    made.blocks_ = end;
    std::size_t places = 0;
    if (!checked_mul(end, space.groups(), places) || places > max_blocks || !made.rows_.open(places) ||
        !made.unheld_.open(places, 1)) {
      return failure{.code = errc::out_of_memory, .pool = space.name(), .what = "places of a shelf, in blocks",
                     .need = end, .limit = max_blocks / (space.groups() + 1), .fix = "open the pool for fewer blocks"};
    }
    return result<page_shelf>(static_cast<page_shelf&&>(made));
  }

  [[nodiscard]] std::size_t groups() const noexcept { return space_->groups(); }
  [[nodiscard]] bool has(std::size_t group, block_id id) const noexcept {
    const row& at = rows_[place_of(group, id)];
    return at.page.generation != 0 && at.gone == 0;
  }
  /// The page of a group that was put beside a block; of generation 0 if there is none.
  [[nodiscard]] page_key page(std::size_t group, block_id id) const noexcept { return rows_[place_of(group, id)].page; }

  /// Puts a request's page beside a block that it has published; the request holds it until `let_go`.
  /// `in_use` if there is one already: the request keeps its own and gives it back itself.
  [[nodiscard]] errc put(std::size_t group, block_id id, const page_key& page) noexcept {
    if (group >= groups() || id >= blocks_ || page.group != group || !space_->is_current(page)) {
      return errc::invalid_argument;
    }
    row& mine = rows_[place_of(group, id)];
    if (mine.page.generation != 0) return errc::in_use;
    mine = {.page = page, .holds = 1, .gone = 0};
    ++pages_;
    return errc::ok;
  }

  /// Holds the page beside a block, so that it stays; one of generation 0 if there is none.
  page_key hold(std::size_t group, block_id id) noexcept {
    const std::size_t place = place_of(group, id);
    row& mine = rows_[place];
    if (!has(group, id)) return {};
    if (mine.holds++ == 0) unheld_.remove(static_cast<block_id>(place)), --unheld_pages_;
    return mine.page;
  }
  /// Ends one hold; nobody's page stays until its room is needed.
  errc let_go(std::size_t group, block_id id) noexcept {
    const std::size_t place = place_of(group, id);
    row& mine = rows_[place];
    if (mine.holds == 0) return errc::double_free;
    if (--mine.holds != 0) return errc::ok;
    unheld_.add(0, static_cast<block_id>(place)), ++unheld_pages_;
    if (mine.gone != 0) evict(group, id);
    return errc::ok;
  }

  /// Gives one page back to the space; false if there is none, or somebody holds it.
  bool evict(std::size_t group, block_id id) noexcept {
    const std::size_t place = place_of(group, id);
    row& mine = rows_[place];
    if (mine.page.generation == 0 || mine.holds != 0) return false;
    unheld_.remove(static_cast<block_id>(place));
    static_cast<void>(space_->give(mine.page));
    mine = {};
    --pages_, --unheld_pages_;
    return true;
  }
  /// Gives pages back, the longest unwanted first, until `need[g]` pages of each group fit; false if they never will.
  ///
  /// Hold what a request found in all groups before it takes anything: then it cannot evict its own hits.
  bool make_fit(const std::size_t* need) noexcept {
    while (!space_->would_fit(need)) {
      const block_id place = unheld_.first(0);
      if (place == no_block) return false;
      evict(place / blocks_, static_cast<block_id>(place % blocks_));
    }
    return true;
  }
  /// Takes note that blocks left the pool: their pages go back, those that somebody holds when they are let go.
  void drop(const block_id* ids, std::size_t n) noexcept {
    for (std::size_t at = 0; at < n; ++at) {
      for (std::size_t g = 0; g < groups(); ++g) {
        if (!evict(g, ids[at])) rows_[place_of(g, ids[at])].gone = rows_[place_of(g, ids[at])].holds;
      }
    }
  }
  /// Takes note of pages that `page_space::vacate` moved. Cost: O(blocks of the pool)
  void follow(const page_move* moves, std::size_t n) noexcept {
    for (std::size_t id = 0; n != 0 && id < blocks_; ++id) {
      page_key& key = rows_[place_of(moves[0].from.group, static_cast<block_id>(id))].page;
      if (key.number < moves[0].from.number || key.number > moves[n - 1].from.number) continue;
      for (std::size_t at = 0; at < n; ++at) {
        if (moves[at].from == key) {
          key = moves[at].to;
          break;
        }
      }
    }
  }

  [[nodiscard]] std::size_t pages() const noexcept { return pages_; }
  [[nodiscard]] std::size_t unheld() const noexcept { return unheld_pages_; }
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t pages = 0, waiting = 0;
    for (std::size_t place = 0; place < rows_.size(); ++place) {
      const row& at = rows_[place];
      const bool there = at.page.generation != 0;
      pages += there, waiting += there && at.holds == 0;
      if (there && !space_->is_current(at.page)) return false;
      if (at.gone != 0 && at.holds == 0) return false;
      if (unheld_.contains(static_cast<block_id>(place)) != (there && at.holds == 0)) return false;
    }
    return pages == pages_ && waiting == unheld_pages_ && unheld_.walk(0) == waiting;
  }

 private:
  struct row {
    page_key page;
    std::uint32_t holds;
    std::uint32_t gone;  // not 0: the block left while the page was held
  };

  page_shelf() noexcept = default;
  [[nodiscard]] std::size_t place_of(std::size_t group, block_id id) const noexcept { return group * blocks_ + id; }

  page_space* space_ = nullptr;
  std::size_t blocks_ = 0, pages_ = 0, unheld_pages_ = 0;
  column<row> rows_;
  block_lists unheld_;  // the longest unwanted first
};

/// Tells a shelf which blocks leave a pool: the `events` of the pool's policy; set `shelf` before anything is published.
struct shelf_events {
  page_shelf* shelf = nullptr;

  void on_all_cleared() noexcept {}
  template <class Index>
  void on_stored(const Index&, typename Index::position, const block_id*, std::size_t, std::size_t) noexcept {}
  template <class Index>
  void on_removed(const Index&, const block_id* ids, std::size_t n, removal) noexcept {
    if (shelf != nullptr) shelf->drop(ids, n);
  }
};

/// A prefix that all groups can start from.
struct shared_prefix {
  std::size_t tokens = 0;       ///< the engine computes from here on
  std::size_t full_tokens = 0;  ///< up to here full attention has its keys and values: it writes none before
  column<block_id> blocks;      ///< of the pool, for full_tokens
};

/// The longest prefix of a prompt that a pool has, and of which every group on the shelf has what it looks at.
///
/// `groups[0]` is the pool's own, with full attention; `groups[g + 1]` is group g of the shelf, with blocks of as many
/// tokens or a multiple. Leave the last prompt token out where it must be computed. Nothing is held yet: call `each_hit`
/// to hold the pages, open the sequence, and only then take pages for the rest. None is found without memory for a list.
///
/// Threads   as the pool and the shelf
/// Cost      that of a match, and of `hybrid_prefix`
template <class Pool>
[[nodiscard]] shared_prefix find_shared(Pool& pool, const page_shelf& shelf, const search_group* groups,
                                        std::span<const token> prompt, const prefix_key& key = {}) noexcept {
  shared_prefix made;
  const std::size_t tokens = pool.block_tokens();
  const std::size_t wanted = tokens == 0 ? 0 : prompt.size() / tokens;
  if (wanted == 0 || !made.blocks.open(wanted)) return made;
  std::size_t found = 0;
  pool.with_events([&](auto&, const auto& index) {
    const auto root = index.find_root(key);
    if (root != 0) found = index.match(root, prompt.data(), wanted, made.blocks.first());
  });
  const auto there = [&](std::size_t group, std::size_t at) noexcept {
    const std::size_t last = (at + 1) * (groups[group].block_tokens / tokens) - 1;
    return last < found && (group == 0 || shelf.has(group - 1, made.blocks[last]));
  };
  made.full_tokens = found * tokens;
  made.tokens = hybrid_prefix(groups, shelf.groups() + 1, prompt.size(), there);
  return made;
}

/// Calls `see(g, at, id)` for each page that a group of the shelf looks at when a request starts behind a prefix: block
/// `at` of group g, which lies beside block `id` of the pool.
template <class See>
void each_hit(const page_shelf& shelf, const search_group* groups, const shared_prefix& of, See&& see) noexcept {
  const std::size_t tokens = groups[0].block_tokens;
  for (std::size_t g = 0; g < shelf.groups(); ++g) {
    const search_group& mine = groups[g + 1];
    const std::size_t end = of.tokens / mine.block_tokens;
    const std::size_t looks = mine.last_blocks == 0 || mine.last_blocks > end ? end : mine.last_blocks;
    for (std::size_t at = end - looks; at < end; ++at) {
      see(g, at, of.blocks[(at + 1) * (mine.block_tokens / tokens) - 1]);
    }
  }
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
