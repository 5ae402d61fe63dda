// What every source promises, as functions that any test framework can call on any type.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include <tokenheap/check/verdict.hpp>
#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {

/// How hard the suites look, and what the source under test may leave out.
struct contract_options {
  std::uint64_t seed = 1;            ///< all suites are deterministic: the same seed makes the same calls
  std::size_t rounds = 1000;         ///< calls of the random part
  std::size_t largest = 16 * KiB;    ///< the largest size that is asked for
  std::size_t alignment = 4 * KiB;   ///< every power of two up to this must be served
  std::size_t room = 0;              ///< bytes after which the source must refuse; 0 if its end is out of reach
  bool reuses = true;                ///< what came back can be given out again without a reset
};

/// Live pieces with known contents; finds overlaps, and bytes that somebody else wrote.
///
/// Requires  at most `capacity` pieces at a time; it allocates nothing itself
template <source Source>
class piece_book {
 public:
  static constexpr std::size_t capacity = 128;

  piece_book(Source& from, verdict& to) noexcept : source_(from), verdict_(to) {}

  /// Asks for a piece and checks all that one answer can show; false if the answer was no.
  bool take(std::size_t bytes, std::size_t alignment) noexcept {
    const allocation a = source_.allocate(bytes, alignment);
    if (!a) return false;
    verdict_.expect(a.size >= bytes, "allocate grants at least the bytes that were asked for", bytes);
    verdict_.expect(address_of(a.data) % alignment == 0, "allocate honours the alignment", alignment);
    for (std::size_t k = 0; k != count_; ++k) {
      const allocation& other = pieces_[k].whole;
      const bool apart = address_of(a.data) + a.size <= address_of(other.data) ||
                         address_of(other.data) + other.size <= address_of(a.data);
      verdict_.expect(apart, "pieces that are out do not overlap", bytes);
    }
    pieces_[count_++] = {a, next_mark_++};
    write(pieces_[count_ - 1], 0);
    return true;
  }

  void give_back(std::size_t k) noexcept {
    verdict_.expect(intact(pieces_[k]), "what is written to a piece stays until it is given back", pieces_[k].whole.size);
    source_.deallocate(pieces_[k].whole);
    pieces_[k] = pieces_[--count_];
  }
  /// Gives everything back, youngest first.
  void give_back_all() noexcept {
    while (count_ != 0) give_back(count_ - 1);
  }
  /// Forgets everything: the source was reset.
  void forget_all() noexcept { count_ = 0; }

  /// Every piece still holds what was written into it.
  void expect_intact(const char* clause) noexcept {
    for (std::size_t k = 0; k != count_; ++k) verdict_.expect(intact(pieces_[k]), clause, pieces_[k].whole.size);
  }
  /// A piece was grown in place: its old bytes are as they were, and the new ones are written.
  void note_growth(std::size_t k, std::size_t size_before) noexcept {
    piece& grown = pieces_[k];
    const std::size_t size = grown.whole.size;
    grown.whole.size = size_before;
    verdict_.expect(intact(grown), "try_grow keeps the bytes that were there", size_before);
    grown.whole.size = size;
    write(grown, size_before);
  }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] allocation& operator[](std::size_t k) noexcept { return pieces_[k].whole; }

 private:
  struct piece {
    allocation whole;
    std::uint32_t mark = 0;
  };

  [[nodiscard]] static unsigned char byte_of(const piece& p, std::size_t at) noexcept {
    return static_cast<unsigned char>(p.mark * 7 + at * 13 + (at >> 8));
  }
  static void write(const piece& p, std::size_t from) noexcept {
    if constexpr (cpu_accessible<Source>) {
      auto* const bytes = static_cast<unsigned char*>(p.whole.data);
      for (std::size_t k = from; k < p.whole.size; ++k) bytes[k] = byte_of(p, k);
    }
  }
  [[nodiscard]] static bool intact(const piece& p) noexcept {
    if constexpr (cpu_accessible<Source>) {
      const auto* const bytes = static_cast<const unsigned char*>(p.whole.data);
      for (std::size_t k = 0; k != p.whole.size; ++k) {
        if (bytes[k] != byte_of(p, k)) return false;
      }
    }
    return true;
  }

  Source& source_;
  verdict& verdict_;
  piece pieces_[capacity];
  std::size_t count_ = 0;
  std::uint32_t next_mark_ = 1;
};

/// Checks that requests which make no sense are refused, and that a refusal changes nothing.
template <source Source>
[[nodiscard]] verdict check_refusals(Source& source, const contract_options& = {}) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  v.expect(book.take(64, 16), "a source serves 64 bytes at 16", 64);
  const auto refuse = [&](std::size_t bytes, std::size_t alignment, const char* clause, std::size_t with) noexcept {
    const allocation a = source.allocate(bytes, alignment);
    v.expect(!a, clause, with);
    v.expect(a == allocation{}, "a null allocation has no size", with);
    if (a) source.deallocate(a);
    if constexpr (self_checking<Source>) v.expect(source.is_valid(), "a refusal leaves the structures valid", with);
    book.expect_intact("a refusal leaves what is out untouched");
  };
  const std::size_t all = ~std::size_t{0};
  for (const std::size_t alignment : {std::size_t{1}, std::size_t{16}, std::size_t{64}}) {
    refuse(0, alignment, "0 bytes are refused", alignment);
    for (const std::size_t bytes : {all, all - 1, all - 15, all - 4095, all / 2 + 1, max_allocation + 1})
      refuse(bytes, alignment, "more than max_allocation is refused", bytes);
  }
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{64}, std::size_t{100'000}}) {
    for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{24}, std::size_t{48}, all - 7, all})
      refuse(bytes, alignment, "an alignment that is no power of two is refused", alignment);
    for (const std::size_t alignment : {2 * max_alignment, all / 2 + 1})
      refuse(bytes, alignment, "an alignment above max_alignment is refused", alignment);
  }
  // null is null, whatever size somebody kept beside it; a few pieces out make room for it where it does not belong
  for (int k = 0; k != 4; ++k) v.expect(book.take(64, 16), "a source serves 64 bytes at 16 more than once", 64);
  book.expect_intact("what is written to a piece stays until it is given back");
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{64}, std::size_t{1} << 20, all}) {
    source.deallocate(allocation{nullptr, size});
    if constexpr (self_checking<Source>) v.expect(source.is_valid(), "deallocate of null does nothing", size);
  }
  book.expect_intact("deallocate of null leaves what is out untouched");
  for (int again = 0; again != 8; ++again) v.expect(book.take(64, 16), "refusals and null leave the source working", 64);
  book.give_back_all();
  return v;
}

/// Checks sizes and alignments one by one, then random calls in a random order.
template <source Source>
[[nodiscard]] verdict check_service(Source& source, const contract_options& with = {}) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  contract_random random(with.seed);
  for (std::size_t alignment = 1; alignment <= with.alignment; alignment *= 2) {
    for (const std::size_t bytes : {std::size_t{1}, alignment, alignment + 1})
      v.expect(book.take(bytes, alignment), "every alignment up to the promised one is served", alignment);
    book.expect_intact("a new piece leaves the others untouched");
    if (book.size() + 3 > 32) book.give_back_all();
  }
  book.give_back_all();
  for (std::size_t round = 0; round != with.rounds; ++round) {
    if (book.size() < 64 && (book.size() == 0 || random.below(5) < 3)) {
      // sizes of all magnitudes alike, so that small classes and large pieces both come up
      const std::size_t bytes = 1 + random.below(std::size_t{1} << random.below(log2_of(with.largest) + 1));
      const std::size_t alignment = std::size_t{1} << random.below(log2_of(with.alignment) + 1);
      const bool taken = book.take(bytes, random.below(2) == 0 ? default_alignment : alignment);
      v.expect(taken || with.room != 0, "a source without an end serves every request", bytes);
      if (!taken) book.give_back_all();
    } else {
      book.give_back(random.below(book.size()));
    }
    if constexpr (self_checking<Source>) {
      if (round % 64 == 0) v.expect(source.is_valid(), "is_valid holds between any two calls", round);
    }
  }
  book.expect_intact("the calls of others leave a piece untouched");
  while (book.size() != 0) book.give_back(random.below(book.size()));
  return v;
}

/// Checks that a source with an end refuses there, changes nothing by that, and serves again after a piece came back.
template <source Source>
[[nodiscard]] verdict check_exhaustion(Source& source, const contract_options& with) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  const std::size_t piece = with.room / 32 + 1;
  std::size_t first_time = 0;
  for (int time = 0; time != 3; ++time) {
    while (book.size() != 64 && book.take(piece, default_alignment)) continue;
    v.expect(book.size() < 32 + 1, "a source with an end refuses when its room is gone", book.size());
    v.expect(!book.take(piece, default_alignment), "a full source goes on refusing", piece);
    book.expect_intact("a refusal for want of memory leaves what is out untouched");
    if (time == 0) first_time = book.size();
    v.expect(book.size() == first_time, "a source recovers all of its room", book.size());
    if (with.reuses && book.size() != 0) {
      book.give_back(book.size() - 1);
      v.expect(book.take(piece, default_alignment), "a full source serves again after a piece came back", piece);
    }
    book.give_back_all();
    if constexpr (resettable<Source>) {
      if (!with.reuses) source.reset();
    } else {
      if (!with.reuses) return v;
    }
  }
  return v;
}

/// Checks that `owns` is true for every byte that is out, and false for what is not the source's.
template <source Source>
  requires owner<Source>
[[nodiscard]] verdict check_owner(Source& source, const contract_options& with = {}) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  const int elsewhere = 0;
  v.expect(!source.owns(nullptr), "null is nobody's");
  v.expect(!source.owns(&elsewhere), "what lies on the stack is not the source's");
  for (std::size_t bytes = 1; bytes <= with.largest && book.size() != 32; bytes *= 2) book.take(bytes, default_alignment);
  v.expect(book.size() != 0, "an owner gives something to own");
  for (std::size_t k = 0; k != book.size(); ++k) {
    for (const std::size_t at : {std::size_t{0}, book[k].size / 2, book[k].size - 1})
      v.expect(source.owns(offset(book[k].data, at)), "every byte of a piece that is out is owned", book[k].size);
  }
  v.expect(!source.owns(nullptr) && !source.owns(&elsewhere), "others' memory stays others'");
  book.give_back_all();
  return v;
}

/// Checks that `reset` ends everything at once and that all of the memory serves again.
template <source Source>
  requires resettable<Source>
[[nodiscard]] verdict check_resettable(Source& source, const contract_options& with = {}) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  source.reset();
  std::size_t served = 0;
  for (int time = 0; time != 3; ++time) {
    contract_random random(with.seed);
    std::size_t now = 0;
    for (int k = 0; k != 64; ++k)
      now += static_cast<std::size_t>(book.take(1 + random.below(with.largest), std::size_t{1} << random.below(7)));
    if (time == 0) served = now;
    v.expect(now == served, "after a reset the same requests are served as before", now);
    book.expect_intact("pieces after a reset hold what is written to them");
    source.reset();
    book.forget_all();
    if constexpr (self_checking<Source>) v.expect(source.is_valid(), "a reset leaves the structures valid");
  }
  v.expect(served != 0, "a resettable source serves something");
  return v;
}

/// Checks that `trim` gives down idle memory, says how much, and touches nothing that is out.
template <source Source>
  requires trimmable<Source>
[[nodiscard]] verdict check_trimmable(Source& source, const contract_options& with = {}) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  contract_random random(with.seed);
  for (int time = 0; time != 3; ++time) {
    for (int k = 0; k != 64; ++k) book.take(1 + random.below(with.largest), default_alignment);
    while (book.size() > 8) book.give_back(random.below(book.size()));
    static_cast<void>(source.trim(with.largest));
    v.expect(source.trim(~std::size_t{0}) == 0, "trim that may keep everything gives nothing down");
    static_cast<void>(source.trim(0));
    v.expect(source.trim(0) == 0, "a second trim finds nothing more to give");
    book.expect_intact("trim leaves what is out untouched");
    if constexpr (self_checking<Source>) v.expect(source.is_valid(), "trim leaves the structures valid");
    v.expect(book.take(64, default_alignment), "a trimmed source serves again", 64);
    book.give_back_all();
  }
  static_cast<void>(source.trim(0));
  return v;
}

/// Checks that `try_grow` grows in place or changes nothing.
template <source Source>
  requires growable<Source>
[[nodiscard]] verdict check_growable(Source& source, const contract_options& with = {}) noexcept {
  verdict v;
  piece_book<Source> book(source, v);
  contract_random random(with.seed);
  allocation none{};
  v.expect(!source.try_grow(none, 64) && none == allocation{}, "null does not grow");
  for (int round = 0; round != 200; ++round) {
    if (book.size() < 32 && random.below(2) == 0) book.take(1 + random.below(with.largest / 8), default_alignment);
    if (book.size() == 0) continue;
    const std::size_t k = random.below(4) == 0 ? random.below(book.size()) : book.size() - 1;
    const allocation before = book[k];
    for (const std::size_t bytes : {~std::size_t{0}, ~std::size_t{0} - 15, max_allocation + 1})
      v.expect(!source.try_grow(book[k], bytes) && book[k] == before, "growth beyond max_allocation is refused", bytes);
    v.expect(source.try_grow(book[k], before.size) && book[k] == before, "growth to the size it has is done", before.size);
    v.expect(source.try_grow(book[k], 1) && book[k] == before, "try_grow never shrinks", before.size);
    const std::size_t wanted = before.size + 1 + random.below(64);
    if (source.try_grow(book[k], wanted)) {
      v.expect(book[k].data == before.data, "try_grow never moves", wanted);
      v.expect(book[k].size >= wanted, "try_grow grants at least what was asked for", wanted);
      book.note_growth(k, before.size);
    } else {
      v.expect(book[k] == before, "a refused growth changes nothing", wanted);
    }
    book.expect_intact("growth leaves the others untouched");
    if (random.below(3) == 0) book.give_back(random.below(book.size()));
  }
  book.give_back_all();
  return v;
}

/// Checks all that a source promises, and whatever more its type can do: owner, resettable, trimmable, growable.
///
/// Run it on a source with nothing out; it ends with nothing out. A resettable source is reset.
///
/// Returns   how many checks ran, how many failed, and the first broken clause with the number it broke at
/// Example   examples/own_source.cpp
template <source Source>
[[nodiscard]] verdict check_source(Source& source, const contract_options& with = {}) noexcept {
  verdict v = check_refusals(source, with);
  const auto fresh = [&]() noexcept {
    if constexpr (resettable<Source>) source.reset();
  };
  fresh();
  v += check_service(source, with);
  fresh();
  if constexpr (owner<Source>) v += check_owner(source, with);
  if constexpr (trimmable<Source>) fresh(), v += check_trimmable(source, with);
  if constexpr (growable<Source>) fresh(), v += check_growable(source, with);
  if constexpr (resettable<Source>) v += check_resettable(source, with);
  if (with.room != 0) v += check_exhaustion(source, with);
  if constexpr (self_checking<Source>) v.expect(source.is_valid(), "is_valid holds at the end");
  return v;
}

}  // namespace v0
}  // namespace tokenheap
