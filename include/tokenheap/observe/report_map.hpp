// What memory looked like at one moment: its pieces in order, and fewer of them where a picture cannot show so many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/observe/report_series.hpp>

namespace tokenheap {
inline namespace v0 {

/// A state that a piece of memory can be in.
struct report_state {
  const char* name = "";
  report_tone tone = report_tone::blue;
};

/// A piece of memory, in bytes or in blocks.
struct report_piece {
  std::size_t begin = 0;
  std::size_t size = 1;
  std::uint32_t lane = 0;   ///< in which segment it lies
  std::uint8_t state = 0;   ///< number of its state
  double filled = 1;        ///< which share of it holds something
  const char* label = "";   ///< whose it is
};

/// The pieces of a pool at one moment, lane by lane and in order within each.
struct report_map {
  const char* name = "";
  const char* note = "";
  bool blocks = false;  ///< pieces are blocks, drawn as equal cells; else bytes, drawn as strips, one for each lane
  std::span<const report_state> states = {};  ///< at most `most_report_states`
  std::span<const report_piece> pieces = {};
};

inline constexpr std::size_t most_report_states = 8;

/// Neighbours that are drawn as one: how much of them is in which state.
struct report_cell {
  report_piece first;           ///< the first of them, with the size of all
  std::size_t pieces = 0;
  double filled = 0;            ///< size that holds something
  std::size_t of[most_report_states] = {};
};

/// Calls `see(cell)` for about `most` cells at the most, one lane after the other; each piece is in one of them.
///
/// Neighbours are merged until they are as large as a cell of an equal cut would be, so that large pieces stay alone.
/// Returns   the cells
/// Cost      O(pieces), no memory
template <class See>
constexpr std::size_t merge_pieces(std::span<const report_piece> pieces, std::size_t most, See&& see) {
  std::size_t total = 0;
  for (const report_piece& p : pieces) total += p.size;
  const std::size_t least = pieces.size() <= most ? 0 : total / most + 1;
  std::size_t cells = 0;
  report_cell now;
  for (const report_piece& p : pieces) {
    if (now.pieces != 0 && (now.first.lane != p.lane || now.first.size >= least)) {
      see(static_cast<const report_cell&>(now));
      ++cells;
      now = {};
    }
    if (now.pieces++ == 0) {
      now.first = p;
      now.first.size = 0;
    }
    now.first.size += p.size;
    now.filled += p.filled * static_cast<double>(p.size);
    now.of[std::min<std::size_t>(p.state, most_report_states - 1)] += p.size;
  }
  if (now.pieces != 0) {
    see(static_cast<const report_cell&>(now));
    ++cells;
  }
  return cells;
}

}  // namespace v0
}  // namespace tokenheap
