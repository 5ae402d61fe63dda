// Every short program of allocations and frees over a few streams and sizes, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

/// What one operation of a program does.
enum class program_verb : std::uint8_t {
  allocate,    ///< a block of size number `size` on `stream`
  free_first,  ///< the block that is out for the longest time, from `stream`
  free_last,   ///< the block that is out for the shortest time, from `stream`
};

/// One operation of a program; three bytes.
struct program_step {
  /// A free from the stream that its block was allocated on.
  static constexpr std::uint8_t own = 255;

  program_verb verb = program_verb::allocate;
  std::uint8_t size = 0;    ///< the number of the size, for allocations
  std::uint8_t stream = 0;  ///< the number of the stream, or `own`
  friend constexpr bool operator==(const program_step&, const program_step&) = default;
};

/// A short program: what `for_each_program` shows.
struct program {
  static constexpr std::size_t most = 16;
  program_step steps[most] = {};
  std::size_t length = 0;
  std::size_t kept = 0;  ///< so many first steps are those of the program that was shown before

  [[nodiscard]] constexpr const program_step* begin() const noexcept { return steps; }
  [[nodiscard]] constexpr const program_step* end() const noexcept { return steps + length; }
  friend constexpr bool operator==(const program& a, const program& b) noexcept {
    for (std::size_t k = 0; k != a.length && a.length == b.length; ++k)
      if (!(a.steps[k] == b.steps[k])) return false;
    return a.length == b.length;
  }
};

/// Which programs there are. Streams and sizes are numbers; what they stand for is the visitor's.
struct program_options {
  std::size_t length = 6;      ///< steps of every program, at most 16; shorter ones are their beginnings
  unsigned streams = 3;        ///< at most 254
  unsigned sizes = 2;          ///< at most 256
  bool foreign_frees = false;  ///< a block can also be freed from every other stream
  bool renamed = true;         ///< of programs that differ only in the names of streams, show one
  unsigned part = 0;           ///< show the part with this number,
  unsigned parts = 1;          ///< of so many alike ones; together they are all, and no two share a program
};

/// Walks through all programs of some options; what `for_each_program` runs.
///
/// A free needs a block that is out, and with one block out the first is the last: programs that differ only in steps
/// without effect are shown once. Renaming gives a new stream the lowest number that was not used before.
template <class Visit>
class program_walk {
 public:
  constexpr program_walk(const program_options& with, Visit& visit) noexcept : with_(with), visit_(visit) {
    if (with_.length > program::most) with_.length = program::most;
    now_.length = with_.length;
    // parts are dealt out by the first steps, deep enough that they come out alike
    deal_at_ = with_.length < 4 ? with_.length : with_.length - 2;
  }

  /// Returns   the programs that were shown
  constexpr std::uint64_t run() {
    descend(0, live_blocks{}, 0);
    return shown_;
  }

 private:
  // which streams the blocks that are out belong to, the oldest first
  struct live_blocks {
    std::uint8_t streams[program::most] = {};
    std::size_t first = 0;
    std::size_t last = 0;
  };

  // false: the visitor wants no more
  constexpr bool descend(std::size_t at, const live_blocks& live, unsigned used) {
    if (at == deal_at_ && with_.parts > 1 && dealt_++ % with_.parts != with_.part) return true;
    if (at == with_.length) return show();
    // streams below this are tried: of those never used, all are alike
    const unsigned streams = with_.renamed && used + 1 < with_.streams ? used + 1 : with_.streams;
    for (unsigned size = 0; size != with_.sizes; ++size) {
      for (unsigned stream = 0; stream != streams; ++stream) {
        put(at, {program_verb::allocate, static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(stream)});
        live_blocks more = live;
        more.streams[more.last++] = static_cast<std::uint8_t>(stream);
        if (!descend(at + 1, more, stream == used ? used + 1 : used)) return false;
      }
    }
    const std::size_t out = live.last - live.first;
    return (out == 0 || descend_free(at, live, used, streams, program_verb::free_first)) &&
           (out <= 1 || descend_free(at, live, used, streams, program_verb::free_last));
  }

  constexpr bool descend_free(std::size_t at, const live_blocks& live, unsigned used, unsigned streams, program_verb verb) {
    live_blocks fewer = live;
    const unsigned home = live.streams[verb == program_verb::free_first ? fewer.first++ : --fewer.last];
    put(at, {verb, 0, program_step::own});
    if (!descend(at + 1, fewer, used)) return false;
    for (unsigned stream = 0; with_.foreign_frees && stream != streams; ++stream) {
      if (stream == home) continue;
      put(at, {verb, 0, static_cast<std::uint8_t>(stream)});
      if (!descend(at + 1, fewer, stream == used ? used + 1 : used)) return false;
    }
    return true;
  }

  constexpr void put(std::size_t at, const program_step& step) noexcept {
    now_.steps[at] = step;
    if (at < now_.kept) now_.kept = at;
  }

  constexpr bool show() {
    bool more = true;
    if constexpr (std::is_same_v<decltype(visit_(static_cast<const program&>(now_))), bool>) {
      more = visit_(static_cast<const program&>(now_));
    } else {
      visit_(static_cast<const program&>(now_));
    }
    ++shown_;
    now_.kept = now_.length;
    return more;
  }

  program_options with_;
  Visit& visit_;
  program now_;
  std::size_t deal_at_ = 0;
  std::uint64_t dealt_ = 0;
  std::uint64_t shown_ = 0;
};

/// Shows `visit` every program of some options, in a fixed order, and returns how many it was shown.
///
/// For allocators that order streams: most of their bugs need no more than six operations over three streams, if memory
/// is scarce. `visit(const program&)` plays it on a fresh allocator; if it returns a bool, false ends the walk.
///
/// Threads   safe; each call for itself
/// Cost      about 5 ns a program beside the visitor
template <class Visit>
constexpr std::uint64_t for_each_program(const program_options& with, Visit visit) {
  return program_walk<Visit>(with, visit).run();
}

/// Writes a program as text: `a1@2` allocates size 1 on stream 2; `first`, `last` free; `first@0` does from stream 0.
[[nodiscard]] inline std::string write_program(const program& p) {
  std::string text;
  for (const program_step& s : p) {
    if (!text.empty()) text += ' ';
    if (s.verb == program_verb::allocate) text += 'a' + std::to_string(s.size);
    if (s.verb == program_verb::free_first) text += "first";
    if (s.verb == program_verb::free_last) text += "last";
    if (s.stream != program_step::own) text += '@' + std::to_string(s.stream);
  }
  return text;
}

/// Reads a program as `write_program` writes it; false if the text is none, and then `out` is unspecified.
[[nodiscard]] inline bool read_program(const char* text, program& out) {
  out = program{};
  const auto number = [&text](std::uint8_t& to) noexcept {
    unsigned value = 0;
    const char* const start = text;
    for (; *text >= '0' && *text <= '9'; ++text) {
      value = value * 10 + static_cast<unsigned>(*text - '0');
      if (value > 254) return false;
    }
    to = static_cast<std::uint8_t>(value);
    return text != start;
  };
  const auto word = [&text](const char* expected) noexcept {
    const char* at = text;
    for (; *expected != '\0'; ++expected, ++at)
      if (*at != *expected) return false;
    text = at;
    return true;
  };
  for (;;) {
    while (*text == ' ') ++text;
    if (*text == '\0') return true;
    if (out.length == program::most) return false;
    program_step& s = out.steps[out.length++];
    s.stream = program_step::own;
    if (word("first")) {
      s.verb = program_verb::free_first;
    } else if (word("last")) {
      s.verb = program_verb::free_last;
    } else if (!word("a") || !number(s.size) || *text != '@') {
      return false;
    }
    if (word("@") && !number(s.stream)) return false;
    if (*text != ' ' && *text != '\0') return false;
  }
}

}  // namespace v0
}  // namespace tokenheap
