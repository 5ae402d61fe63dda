// The groups of layers of one model, and the pages that a sequence holds of each.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/page_space.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Which blocks of a sequence a group of layers still looks at.
enum class group_kind : std::uint8_t {
  full,     ///< all of them: full attention, latent attention, a draft model's own layers
  window,   ///< those that hold the last `span` tokens
  chunked,  ///< those of the chunk of `span` tokens that the next token falls into
  cross,    ///< those of the encoder's tokens, from the start to the end
  state,    ///< none: `fixed` pages, and one page for each checkpoint, `span` tokens apart; the last `keep` stay
};

/// One group: its name for refusals, how it looks back, and how many tokens a page of its own holds.
struct group_rule {
  const char* name = "";
  group_kind kind = group_kind::full;
  std::size_t block_tokens = 16;
  std::size_t span = 0;
  std::size_t fixed = 1;  ///< states: 1, and 1 more for each token that may be rewound
  std::size_t keep = 1;   ///< states: settled checkpoints that stay
};

/// The blocks [first, end) of a group that a sequence needs.
struct block_range {
  std::size_t first = 0;
  std::size_t end = 0;
  friend constexpr bool operator==(const block_range&, const block_range&) = default;
};

/// The blocks that a sequence of `total` tokens needs, `settled` of which can no longer be rewound.
///
/// What lies behind a window is let go by settled counts alone: a draft that is rewound finds its window complete.
///
/// Requires  settled <= total, and a rule that `why_not` takes
[[nodiscard]] constexpr block_range needed_blocks(const group_rule& of, std::size_t settled, std::size_t total,
                                                  std::size_t encoder = 0) noexcept {
  block_range r{.first = 0, .end = divide_up(total, of.block_tokens)};
  switch (of.kind) {
    case group_kind::full: break;
    case group_kind::window: r.first = settled + 1 > of.span ? (settled + 1 - of.span) / of.block_tokens : 0; break;
    case group_kind::chunked: r.first = settled / of.span * of.span / of.block_tokens; break;
    case group_kind::cross: r.end = divide_up(encoder, of.block_tokens); break;
    case group_kind::state: {
      const std::size_t kept = of.span == 0 ? 0 : settled / of.span;
      r = {.first = kept > of.keep ? kept - of.keep : 0, .end = of.span == 0 ? 0 : total / of.span};
      break;
    }
  }
  return r;
}

/// What is wrong with a rule and how to mend it, or null.
[[nodiscard]] constexpr const char* why_not(const group_rule& of) noexcept {
  if (of.block_tokens == 0) return "give the group block_tokens of at least 1";
  const bool spans = of.kind == group_kind::window || of.kind == group_kind::chunked;
  if (spans && of.span == 0) return "give windows and chunks a span of at least 1 token";
  return of.fixed > max_blocks ? "give a state fewer fixed pages" : nullptr;
}

/// The most pages that a window of `window` tokens holds while `step` tokens are added at once. Requires window >= 1.
[[nodiscard]] constexpr std::size_t most_window_blocks(std::size_t window, std::size_t step, std::size_t longest,
                                                       std::size_t block_tokens) noexcept {
  const std::size_t seen = window - 1 + step;
  return divide_up(seen < longest ? seen : longest, block_tokens) + 1;
}

/// The pages of one sequence in all groups of a model: each call takes what all groups need, or nothing.
///
/// For models that mix full attention, windows, cross attention and states over one `page_space`. A page behind a
/// window leaves a hole in its group's table, so that the others keep their places. Not for sharing prefixes: the pages
/// are the sequence's own.
///
/// Requires  a space and rules that outlive it, one rule for each group of the space, in its order
/// Fails     open and grow: the group, what it needs and what the groups before it leave; nothing changes
/// Threads   as the space: not safe
/// Cost      O(groups + pages that come or go); one column per group
class group_sequence {
 public:
  /// A sequence without tokens: takes the states and the encoder's pages.
  [[nodiscard]] static result<group_sequence> open(page_space& space, const group_rule* rules,
                                                   std::size_t encoder = 0) noexcept {
    for (std::size_t g = 0; g < space.groups(); ++g) {
      if (const char* fix = why_not(rules[g]); fix != nullptr) {
        return failure{.code = errc::invalid_argument, .pool = space.name(), .what = rules[g].name, .fix = fix};
      }
    }
    group_sequence made(space, rules, encoder);
    if (const failure no = made.reach(0, true); no.code != errc::ok) {
      made.space_ = nullptr;
      return no;
    }
    return result<group_sequence>(static_cast<group_sequence&&>(made));
  }

  group_sequence(group_sequence&& other) noexcept
      : space_(other.space_),
        rules_(other.rules_),
        encoder_(other.encoder_),
        total_(other.total_),
        settled_(other.settled_) {
    for (std::size_t g = 0; g < max_page_groups; ++g) tables_[g] = static_cast<table&&>(other.tables_[g]);
    other.space_ = nullptr;
  }
  group_sequence& operator=(group_sequence&&) = delete;
  ~group_sequence() { close(); }

  /// Adds `n` tokens that may still be rewound.
  [[nodiscard]] failure grow(std::size_t n) noexcept {
    std::size_t to = 0;
    if (space_ == nullptr) return {.code = errc::not_open, .what = "a group sequence that was closed"};
    if (!checked_add(total_, n, to) || to > max_allocation) {
      return {.code = errc::size_overflow, .pool = space_->name(), .what = "tokens of a sequence", .need = n};
    }
    return reach(to, false);
  }

  /// Says that the first `to` tokens stay: what lies behind the windows goes back.
  /// Refused below what is settled, and past tokens().
  errc settle(std::size_t to) noexcept {
    if (space_ == nullptr) return errc::not_open;
    if (to < settled_ || to > total_) return errc::invalid_argument;
    settled_ = to;
    for (std::size_t g = 0; g < space_->groups(); ++g) let_go_before(g, range(g, total_).first);
    return errc::ok;
  }

  /// Takes the last `n` tokens back. Refused if any of them is settled.
  errc rewind(std::size_t n) noexcept {
    if (space_ == nullptr) return errc::not_open;
    if (n > total_ - settled_) return errc::invalid_argument;
    total_ -= n;
    for (std::size_t g = 0; g < space_->groups(); ++g) let_go_from(g, range(g, total_).end);
    return errc::ok;
  }

  /// Gives everything back.
  void close() noexcept {
    if (space_ == nullptr) return;
    for (std::size_t g = 0; g < space_->groups(); ++g) {
      let_go_from(g, 0);
      for (std::size_t at = 0; at < fixed(g); ++at) {
        if (tables_[g].pages.size() > at) static_cast<void>(space_->give(tables_[g].pages[at]));
      }
    }
    space_ = nullptr;
  }

  /// Takes note of pages that `page_space::vacate` moved, where they are its own. Cost: O(pages of their group).
  void follow(const page_move* moves, std::size_t n) noexcept {
    if (space_ == nullptr || n == 0) return;
    // the pages of one chunk, by rising numbers: most pages are told from them by two comparisons
    const std::uint32_t least = moves[0].from.number, most = moves[n - 1].from.number;
    const std::size_t g = moves[0].from.group;
    const auto turn = [&](page_key& key) {
      if (key.number < least || key.number > most) return;
      for (std::size_t at = 0; at < n; ++at) {
        if (moves[at].from == key) return void(key = moves[at].to);
      }
    };
    table& mine = tables_[g];
    for (std::size_t at = 0; at < fixed(g); ++at) turn(mine.pages[at]);
    for (std::size_t at = mine.holds.first; at < mine.holds.end; ++at) turn(mine.pages[fixed(g) + at]);
  }

  [[nodiscard]] std::size_t tokens() const noexcept { return total_; }
  [[nodiscard]] std::size_t settled() const noexcept { return settled_; }
  /// The blocks of a group that are held now.
  [[nodiscard]] block_range held(std::size_t group) const noexcept { return tables_[group].holds; }
  /// Block `at` of a group; a key of generation 0 where it was let go or is not there yet.
  [[nodiscard]] page_key page(std::size_t group, std::size_t at) const noexcept {
    const block_range& holds = tables_[group].holds;
    return at >= holds.first && at < holds.end ? tables_[group].pages[fixed(group) + at] : page_key{};
  }
  /// Page `at` of a group's states. Requires at < fixed of its rule.
  [[nodiscard]] page_key state_page(std::size_t group, std::size_t at = 0) const noexcept {
    return tables_[group].pages[at];
  }

  /// True if every page that is held is out, and no other.
  [[nodiscard]] bool is_valid() const noexcept {
    if (space_ == nullptr) return true;
    for (std::size_t g = 0; g < space_->groups(); ++g) {
      if (tables_[g].holds != range(g, total_)) return false;
      for (std::size_t at = 0; at < fixed(g); ++at) {
        if (!space_->is_current(tables_[g].pages[at])) return false;
      }
      for (std::size_t at = held(g).first; at < held(g).end; ++at) {
        if (!space_->is_current(page(g, at))) return false;
      }
    }
    return settled_ <= total_;
  }

 private:
  struct table {
    column<page_key> pages;  // the fixed ones, then block by block
    block_range holds;
  };

  group_sequence(page_space& space, const group_rule* rules, std::size_t encoder) noexcept
      : space_(&space), rules_(rules), encoder_(encoder) {}

  [[nodiscard]] std::size_t fixed(std::size_t g) const noexcept {
    return rules_[g].kind == group_kind::state ? rules_[g].fixed : 0;
  }
  [[nodiscard]] block_range range(std::size_t g, std::size_t total) const noexcept {
    return needed_blocks(rules_[g], settled_, total, encoder_);
  }

  /// Takes what `to` tokens need beyond what is held, and on the first call the fixed pages as well.
  failure reach(std::size_t to, bool first) noexcept {
    std::size_t need[max_page_groups] = {};
    const std::size_t groups = space_->groups();
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t end = range(g, to).end;
      need[g] = end - tables_[g].holds.end + (first ? fixed(g) : 0);
      if (need[g] > max_blocks || !tables_[g].pages.grow(fixed(g) + end)) {
        return {.code = errc::out_of_memory, .pool = space_->name(), .what = rules_[g].name, .need = need[g],
                .limit = max_blocks, .fix = "free some memory: the list of pages did not fit"};
      }
    }
    std::size_t left = 0;
    if (const std::size_t g = space_->first_short(need, &left); g != groups) {
      return {.code = errc::out_of_memory, .pool = space_->name(), .what = rules_[g].name, .need = need[g],
              .available = left, .fix = "end or preempt a sequence"};
    }
    for (std::size_t g = 0; g < groups; ++g) {
      table& mine = tables_[g];
      const std::size_t from = first ? 0 : fixed(g) + mine.holds.end;
      if (need[g] != 0) static_cast<void>(space_->take(g, need[g], mine.pages.first() + from));
      mine.holds.end += need[g] - (first ? fixed(g) : 0);
    }
    total_ = to;
    return {};
  }

  void let_go_before(std::size_t g, std::size_t first) noexcept {
    table& mine = tables_[g];
    for (; mine.holds.first < first; ++mine.holds.first) {
      static_cast<void>(space_->give(mine.pages[fixed(g) + mine.holds.first]));
    }
  }
  void let_go_from(std::size_t g, std::size_t end) noexcept {
    table& mine = tables_[g];
    while (mine.holds.end > end && mine.holds.end > mine.holds.first) {
      static_cast<void>(space_->give(mine.pages[fixed(g) + --mine.holds.end]));
    }
  }

  page_space* space_ = nullptr;
  const group_rule* rules_ = nullptr;
  std::size_t encoder_ = 0, total_ = 0, settled_ = 0;
  table tables_[max_page_groups];
};

/// Empties one chunk of a page space by moving pages of the `live` sequences together; false if no group can spare one.
///
/// Call it until it is false or a refused `open` or `grow` fits. `copy(from, to, bytes)` gets offsets into the room; on the
/// stream of the steps the copies are in order with all that reads and writes the pages. Page tables are written anew.
///
/// Requires  room for space.most_moves() moves, and all sequences of the space in `live`
/// Cost      the copies, and O(pages of the group that gives)
template <class Live, class Copy>
bool make_room(page_space& space, page_move* moves, Live& live, Copy&& copy) noexcept {
  const std::size_t n = space.vacate(moves);
  for (std::size_t at = 0; at < n; ++at) {
    copy(space.offset_of(moves[at].from), space.offset_of(moves[at].to), space.page_bytes(moves[at].from.group));
  }
  for (group_sequence& each : live) each.follow(moves, n);
  return n != 0;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
