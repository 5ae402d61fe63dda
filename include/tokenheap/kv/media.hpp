// Images in a prompt, and salts of a part of it: token numbers of the library's own that stand for exact bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/siphash.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The bit that no token of a model has: the numbers with it are the library's.
inline constexpr token own_token_bit = token{1} << 31;

/// True if one of these tokens is a number of the library's own; what a user sends must be refused then.
[[nodiscard]] inline bool has_own_tokens(std::span<const token> tokens) noexcept {
  token seen = 0;
  for (const token t : tokens) seen |= t;
  return (seen & own_token_bit) != 0;
}

/// The numbers that stand for one image: `first` where it starts, `more` for all places behind.
struct media_tokens {
  token first = 0;
  token more = 0;

  friend constexpr bool operator==(const media_tokens&, const media_tokens&) noexcept = default;
};

/// How much a `media_table` remembers.
struct media_options {
  std::size_t entries = 4096;    ///< images and salts
  std::size_t bytes = 1 * MiB;   ///< of fingerprints and salts in all
  token last = ~token{0} - 1;    ///< the highest number that it gives out
  siphash_key key{};             ///< random, where strangers choose the fingerprints
  const char* name = "media";
};

/// What a `media_table` has done and holds.
struct media_stats {
  std::size_t entries = 0;
  std::size_t bytes = 0;
  std::size_t found = 0;
  std::size_t added = 0;
  std::size_t forgotten = 0;
  std::size_t numbers_left = 0;
};

/// Gives images and salts token numbers of their own, so that every prefix index compares them exactly.
///
/// Substitute in the copy of a prompt that goes to `sequence` and `match`; the model gets the tokens as they were. The
/// same bytes get the same numbers, other bytes others: they are compared, not only hashed. Image, place and text
/// before it count as tokens do. When the table is full, what was not asked for the longest is forgotten: its next use
/// gets fresh numbers, which costs hits and never makes a wrong one, as no number is given out twice.
///
/// Requires  fingerprints that cover whatever changes what the model sees: pixels, size, cut, processor
/// Fails     a failure that says why; the tokens are unchanged then
/// Threads   not safe; one lock of the front end covers it
/// Cost      one keyed hash and one compare per image; 64 bytes and the fingerprint per entry
template <block_hash Hash>
class basic_media_table {
 public:
  basic_media_table() noexcept = default;
  basic_media_table(basic_media_table&& other) noexcept { *this = static_cast<basic_media_table&&>(other); }
  basic_media_table& operator=(basic_media_table&& other) noexcept {
    if (this != &other) {
      forget_bytes();
      rows_ = static_cast<column<row>&&>(other.rows_);
      buckets_ = static_cast<column<std::uint32_t>&&>(other.buckets_);
      with_ = other.with_;
      hash_ = other.hash_;
      stats_ = other.stats_;
      next_ = other.next_;
      waiting_ = other.waiting_;
      other.stats_ = {};
    }
    return *this;
  }
  ~basic_media_table() { forget_bytes(); }

  [[nodiscard]] static result<basic_media_table> open(const media_options& with) noexcept {
    constexpr std::size_t most = std::size_t{1} << 30;
    const char* const name = with.name != nullptr ? with.name : "media";
    if (with.entries == 0 || with.entries > most) {
      return failure{.code = errc::invalid_argument, .pool = name, .what = "entries of a media table",
                     .need = with.entries, .limit = most, .fix = "give 1 to 2^30, such as 4096"};
    }
    basic_media_table made;
    std::size_t buckets = 1;
    while (buckets < with.entries) buckets *= 2;
    if (!made.rows_.open(with.entries + 1) || !made.buckets_.open(buckets)) {
      return failure{.code = errc::out_of_memory, .pool = name, .what = "rows of a media table, in entries",
                     .need = with.entries, .fix = "use fewer entries"};
    }
    made.with_ = with;
    made.hash_ = Hash::open(&with.key, sizeof with.key);
    made.with_.name = name;
    for (std::size_t at = with.entries; at != 0; --at) made.put_back(static_cast<std::uint32_t>(at));
    return made;
  }

  /// The numbers of an image; one with an empty fingerprint is equal to none, and gets fresh ones each time.
  [[nodiscard]] result<media_tokens> image(const void* fingerprint, std::size_t bytes) noexcept {
    media_tokens out;
    if (const failure wrong = number({kind::image, 0, fingerprint, bytes}, out); wrong.code != errc::ok) return wrong;
    return out;
  }

  /// Puts the numbers of an image in place of the tokens that the engine has reserved for it: one run of them.
  [[nodiscard]] failure substitute_image(std::span<token> places, const void* fingerprint, std::size_t bytes) noexcept {
    if (places.empty()) return {};
    if (has_own_tokens(places)) {
      return refuse(errc::invalid_argument, "places of an image that have been substituted", places.size(), 0,
                    "give each run of tokens to one image");
    }
    media_tokens with;
    if (const failure wrong = number({kind::image, 0, fingerprint, bytes}, with); wrong.code != errc::ok) return wrong;
    places[0] = with.first;
    for (token& place : places.subspan(1)) place = with.more;
    return {};
  }

  /// Separates a prompt from token `at` on: before it blocks are shared, behind it only under the same salt.
  ///
  /// One token stands for the salt and for the token in its place, so lengths and offsets stay. No salt changes nothing.
  [[nodiscard]] failure substitute_salt(std::span<token> prompt, std::size_t at, const void* salt,
                                        std::size_t bytes) noexcept {
    if (bytes == 0) return {};
    if (at >= prompt.size()) {
      return refuse(errc::invalid_argument, "place of a salt, in tokens", at, prompt.size(), "place it in the prompt");
    }
    media_tokens with;
    if (const failure wrong = number({kind::salt, prompt[at], salt, bytes}, with); wrong.code != errc::ok) return wrong;
    prompt[at] = with.first;
    return {};
  }

  /// Forgets everything, for instance the salts of tenants that have left; the next use of each gets fresh numbers.
  void clear() noexcept {
    while (stats_.entries != 0) drop(rows_[0].older);
  }

  [[nodiscard]] media_stats stats() const noexcept {
    media_stats now = stats_;
    now.numbers_left = numbers_left();
    return now;
  }

  /// Walks every entry in the order of use, and every bucket.
  [[nodiscard]] bool is_valid() const noexcept {
    if (rows_.size() == 0) return stats_.entries == 0;
    std::size_t entries = 0;
    std::size_t bytes = 0;
    for (std::uint32_t at = rows_[0].newer; at != 0; at = rows_[at].newer) {
      const row& r = rows_[at];
      if (++entries > stats_.entries || rows_[r.newer].older != at || rows_[r.older].newer != at) return false;
      if (look_up({r.what, r.under, r.copy, r.bytes}, r.mixed) != at || r.first >= next_) return false;
      bytes += r.bytes;
    }
    return entries == stats_.entries && bytes == stats_.bytes && bytes <= with_.bytes && stats_.entries < rows_.size();
  }

 private:
  enum class kind : std::uint32_t { image, salt };

  // what is compared: all of it
  struct subject {
    kind what;
    token under;  // the token that a salt stands in for
    const void* data;
    std::size_t bytes;
  };

  struct row {
    unsigned char* copy;
    std::size_t bytes;
    std::uint64_t mixed;
    kind what;
    token under;
    token first;
    std::uint32_t next;   // in its bucket, or among those that wait for use
    std::uint32_t newer;  // row 0 is both ends of the order of use: its `newer` is the oldest
    std::uint32_t older;
  };

  [[nodiscard]] TOKENHEAP_COLD failure refuse(errc code, const char* what, std::size_t need, std::size_t limit,
                                              const char* fix) const noexcept {
    return {.code = code, .pool = with_.name, .what = what, .need = need, .limit = limit, .fix = fix};
  }

  [[nodiscard]] std::size_t numbers_left() const noexcept {
    return rows_.size() == 0 || next_ > with_.last ? 0 : with_.last - next_ + 1;
  }

  [[nodiscard]] std::uint64_t mix(const subject& s) const noexcept {
    const std::uint64_t apart = (std::uint64_t{s.under} << 1 | static_cast<std::uint32_t>(s.what)) * 0x9e3779b97f4a7c15;
    return hash_.root(s.data, s.bytes).low + (apart >> 16);
  }
  [[nodiscard]] std::uint32_t& bucket(std::uint64_t mixed) noexcept { return buckets_[mixed & (buckets_.size() - 1)]; }

  [[nodiscard]] std::uint32_t look_up(const subject& s, std::uint64_t mixed) const noexcept {
    for (std::uint32_t at = buckets_[mixed & (buckets_.size() - 1)]; at != 0; at = rows_[at].next) {
      const row& r = rows_[at];
      if (r.mixed != mixed || r.what != s.what || r.under != s.under || r.bytes != s.bytes) continue;
      if (std::memcmp(r.copy, s.data, s.bytes) == 0) return at;
    }
    return 0;
  }

  // the one door: what is known keeps its numbers, what is new gets the next ones
  [[nodiscard]] failure number(const subject& s, media_tokens& out) noexcept {
    if (rows_.size() == 0) return refuse(errc::not_open, "a media table", 0, 0, "open it");
    if (s.data == nullptr && s.bytes != 0) {
      return refuse(errc::invalid_argument, "bytes at no address", s.bytes, 0, "give the bytes, or none");
    }
    const std::uint64_t mixed = mix(s);
    if (s.bytes != 0) {
      if (const std::uint32_t at = look_up(s, mixed); at != 0) {
        ++stats_.found;
        unlink(at);
        join(at);
        return out = pair_of(rows_[at].first), failure{};
      }
    }
    if (s.bytes > with_.bytes) {
      return refuse(errc::too_large, "bytes of a fingerprint or a salt", s.bytes, with_.bytes,
                    "give a digest, or raise `bytes` of the table");
    }
    if (numbers_left() < 2) {
      return refuse(errc::limit_reached, "token numbers that were never given out", 2, with_.last,
                    "open a new table, and reset the pools that it served");
    }
    if (s.bytes != 0 && !add(s, mixed)) {
      return refuse(errc::out_of_memory, "bytes of a fingerprint or a salt", s.bytes, 0, "free some memory");
    }
    out = pair_of(next_);
    next_ += 2;
    return {};
  }

  [[nodiscard]] static media_tokens pair_of(std::uint64_t first) noexcept {
    return {static_cast<token>(first), static_cast<token>(first + 1)};
  }

  [[nodiscard]] bool add(const subject& s, std::uint64_t mixed) noexcept {
    auto* copy = static_cast<unsigned char*>(std::malloc(s.bytes));
    if (copy == nullptr) return false;
    std::memcpy(copy, s.data, s.bytes);
    while (waiting_ == 0 || stats_.bytes + s.bytes > with_.bytes) drop(rows_[0].newer);
    const std::uint32_t at = waiting_;
    waiting_ = rows_[at].next;
    std::uint32_t& head = bucket(mixed);
    rows_[at] = {copy, s.bytes, mixed, s.what, s.under, static_cast<token>(next_), head, 0, 0};
    head = at;
    join(at);
    ++stats_.entries;
    ++stats_.added;
    stats_.bytes += s.bytes;
    return true;
  }

  void drop(std::uint32_t at) noexcept {
    row& r = rows_[at];
    std::uint32_t* link = &bucket(r.mixed);
    while (*link != at) link = &rows_[*link].next;
    *link = r.next;
    unlink(at);
    std::free(r.copy);
    stats_.bytes -= r.bytes;
    --stats_.entries;
    ++stats_.forgotten;
    put_back(at);
  }

  void put_back(std::uint32_t at) noexcept {
    rows_[at] = {};
    rows_[at].next = waiting_;
    waiting_ = at;
  }

  void join(std::uint32_t at) noexcept {
    const std::uint32_t newest = rows_[0].older;
    rows_[at].older = newest;
    rows_[at].newer = 0;
    rows_[newest].newer = at;
    rows_[0].older = at;
  }
  void unlink(std::uint32_t at) noexcept {
    rows_[rows_[at].older].newer = rows_[at].newer;
    rows_[rows_[at].newer].older = rows_[at].older;
  }

  void forget_bytes() noexcept {
    for (std::size_t at = 1; at < rows_.size(); ++at) std::free(rows_[at].copy);
  }

  column<row> rows_;
  column<std::uint32_t> buckets_;
  media_options with_{};
  Hash hash_{};
  media_stats stats_{};
  std::uint64_t next_ = own_token_bit;  // wider than a token, so that it cannot start again
  std::uint32_t waiting_ = 0;
};

/// The table for everybody: a keyed hash finds the entry, the bytes decide.
using media_table = basic_media_table<sip128>;

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
