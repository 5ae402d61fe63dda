// The pieces of device memory as nodes: neighbours in a segment, a place in a list, and the table that finds them again.
#pragma once

#include <cstdint>

#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a piece of a segment is at this moment.
enum class piece_state : std::uint8_t {
  spare,     ///< no piece: the node is unused
  out,       ///< in the hands of a caller
  cached,    ///< free, on the lists of its shelf, or the shelf's warm piece
  pending,   ///< given back, but another stream may still use it
  held,      ///< free, and taken off its shelf while a device call decides what becomes of it
  unmapped,  ///< addresses without memory
};

/// One piece of a segment, a cache line; node 0 is nobody, out for ever, so that nothing merges with it.
struct alignas(64) device_piece {
  std::size_t offset;  ///< the address
  std::size_t size;
  std::uint32_t left;  ///< neighbours in the segment
  std::uint32_t right;
  std::uint32_t before;  ///< neighbours in a list: of the size class, of the table, or of the unmapped ones
  std::uint32_t after;   ///< also: the next spare node
  std::uint32_t segment;
  std::uint32_t shelf;  ///< where it is cached, or was handed out from
  std::uint32_t slack;  ///< bytes granted above those requested; while it is cached, when it came back (modulo 2^32)
  std::uint32_t uses;   ///< the first record of another stream that uses it, or 0
  std::uint16_t owner;
  piece_state state;
  bool fixed;  ///< of a fixed segment
  bool large;  ///< of a segment for large requests
};

/// Keeps the pieces of all segments of one allocator; trusts its caller, which is the caching allocator.
///
/// Fails     `spare` is false when the source of the bookkeeping has no more; nothing else can fail
/// Threads   not safe
/// Cost      O(1); 64 bytes a piece
template <source Book>
class device_pieces {
 public:
  static constexpr std::uint32_t none = 0;

  explicit device_pieces(const Book& book) noexcept : nodes_(book), table_(book) {}

  [[nodiscard]] device_piece& operator[](std::uint32_t n) noexcept { return nodes_[n]; }
  [[nodiscard]] const device_piece& operator[](std::uint32_t n) const noexcept { return nodes_[n]; }
  [[nodiscard]] device_piece* begin() noexcept { return nodes_.begin(); }
  [[nodiscard]] const device_piece* begin() const noexcept { return nodes_.begin(); }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Makes sure that `count` nodes, at most 4, can be taken, and one more be known by its address.
  [[nodiscard]] TOKENHEAP_INLINE bool spare(std::size_t count) noexcept {
    return (spares_ >= count || refill(count)) && table_.ensure(count_ + count, nodes_.begin());
  }

  /// Makes a piece without neighbours. Requires spare(1)
  std::uint32_t make(std::size_t offset, std::size_t size, std::uint32_t segment, piece_state state, bool fixed,
                     bool large) noexcept {
    const std::uint32_t n = take_spare();
    nodes_[n] = {.offset = offset, .size = size, .left = none, .right = none, .before = none, .after = none,
                 .segment = segment, .shelf = 0, .slack = 0, .uses = 0, .owner = 0, .state = state, .fixed = fixed,
                 .large = large};
    return n;
  }

  /// Cuts a piece in two; the right one gets the same state and shelf and is returned. Requires spare(1)
  std::uint32_t split(std::uint32_t n, std::size_t size) noexcept {
    const std::uint32_t r = take_spare();
    device_piece& a = nodes_[n];
    nodes_[r] = {.offset = a.offset + size, .size = a.size - size, .left = n, .right = a.right, .before = none,
                 .after = none, .segment = a.segment, .shelf = a.shelf, .slack = a.slack, .uses = 0, .owner = 0,
                 .state = a.state, .fixed = a.fixed, .large = a.large};
    nodes_[a.right].left = r;
    a.right = r;
    a.size = size;
    return r;
  }

  /// Joins a piece with its right neighbour, whose node ends.
  void absorb_right(std::uint32_t n) noexcept {
    device_piece& a = nodes_[n];
    const std::uint32_t r = a.right;
    const device_piece& b = nodes_[r];
    a.size += b.size;
    a.right = b.right;
    nodes_[b.right].left = n;
    drop(r);
  }

  /// Ends a node. Requires that nobody is linked to it
  void drop(std::uint32_t n) noexcept {
    nodes_[n].state = piece_state::spare;
    nodes_[n].size = 0;
    nodes_[n].after = spare_;
    spare_ = n;
    ++spares_;
    --count_;
  }

  /// Has the neighbours of a piece brought near: a merge looks at both.
  void prefetch_neighbours(std::uint32_t n) const noexcept {
    TOKENHEAP_PREFETCH_TO_WRITE(&nodes_[nodes_[n].left]);
    TOKENHEAP_PREFETCH_TO_WRITE(&nodes_[nodes_[n].right]);
  }

  /// Finds a piece by its address: one that is out, or was given back a moment ago; or none.
  [[nodiscard]] std::uint32_t find(std::size_t address) const noexcept { return table_.find(address, nodes_.begin()); }
  void know(std::uint32_t n) noexcept { table_.insert(n, nodes_.begin()); }
  void forget(std::uint32_t n) noexcept { table_.erase(n, nodes_.begin()); }

  /// Requires that `known` pieces are known
  [[nodiscard]] bool is_valid(std::size_t known) const noexcept {
    std::size_t pieces = 0;
    for (std::uint32_t n = 1; n < used_; ++n) pieces += nodes_[n].state != piece_state::spare;
    return pieces == count_ && table_.count(nodes_.begin(), known) == known;
  }

 private:
  [[nodiscard]] std::uint32_t take_spare() noexcept {
    const std::uint32_t n = spare_;
    spare_ = nodes_[n].after;
    --spares_;
    ++count_;
    return n;
  }

  TOKENHEAP_COLD bool refill(std::size_t count) noexcept {
    // a batch, so that the hot path asks only whether there are spare ones
    constexpr std::uint32_t batch = 64;
    if (used_ + batch < used_ || !nodes_.ensure(used_ + count)) return false;
    nodes_[none].state = piece_state::out;
    for (std::uint32_t made = 0; made != batch && used_ != nodes_.capacity(); ++made) {
      nodes_[used_].after = spare_;
      spare_ = used_++;
      ++spares_;
    }
    return spares_ >= count;
  }

  grown_array<device_piece, Book> nodes_;
  range_table<Book> table_;
  std::uint32_t used_ = 1;
  std::uint32_t spare_ = none;
  std::size_t spares_ = 0;
  std::size_t count_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
