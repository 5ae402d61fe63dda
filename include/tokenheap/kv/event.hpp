// What a cache tells those who route requests to it: which prefixes came, which left and why, one numbered event each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/block_hash.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What happened.
enum class event_kind : std::uint8_t {
  stored,   ///< a run of blocks can be found, each below the one before it
  removed,  ///< blocks can no longer be found
  cleared,  ///< nothing can be found any more
};

/// Where the blocks lie that an event speaks of.
enum class event_medium : std::uint8_t { device, host, storage };

/// One event, as its reader sees it; names and tokens belong to whoever handed it out.
///
/// A block's name stands for its key and for all tokens up to its end. It is stored once and removed once, however many
/// blocks hold it meanwhile. `parent` is the name of the prefix before the first block; where `at_root`, there is none,
/// and `parent` is what the key came to: a digest of salt, adapter, tenant and request under the seed of the pool.
struct event {
  std::uint64_t number = 0;  ///< in its stream, from 0 on, without gaps; of a snapshot: the number that comes next
  event_kind kind = event_kind::stored;
  removal why = removal::evicted;  ///< of `removed`
  event_medium medium = event_medium::device;
  bool snapshot = false;  ///< not news, but what is there; such a `cleared` begins it
  bool at_root = false;
  bool keyed = false;  ///< under a salt, a tenant, or for one request alone
  std::uint32_t group = 0;  ///< of layers
  tenant_id tenant = 0;
  std::uint64_t adapter = 0;
  hash128 parent{};
  std::size_t block_tokens = 0;
  std::span<const hash128> names{};
  std::span<const token> tokens{};  ///< of all these blocks, or none where only names are known
};

namespace detail {

/// How an event lies in memory: this, its names, its tokens, up to a multiple of 8 bytes.
struct event_record {
  std::uint64_t number;
  std::uint64_t adapter;
  hash128 parent;
  std::uint32_t bytes;  // of the whole, in units of 8
  std::uint32_t names;
  std::uint32_t tokens;
  std::uint32_t block_tokens;
  std::uint32_t group;
  tenant_id tenant;
  event_kind kind;
  removal why;
  event_medium medium;
  bool snapshot;
  bool at_root;
  bool keyed;

  /// The bytes of an event with so many names and tokens.
  [[nodiscard]] static constexpr std::size_t size(std::size_t names, std::size_t tokens) noexcept {
    return sizeof(event_record) + names * sizeof(hash128) + (tokens * sizeof(token) + 7) / 8 * 8;
  }
  /// The most that one event can have: so that its size fits.
  static constexpr std::size_t max_bytes = std::size_t{8} * 0xffffffff;

  /// Says everything but the number and the sizes.
  void say(const event& from) noexcept {
    adapter = from.adapter;
    parent = from.parent;
    block_tokens = static_cast<std::uint32_t>(from.block_tokens);
    group = from.group;
    tenant = from.tenant;
    kind = from.kind;
    why = from.why;
    medium = from.medium;
    snapshot = from.snapshot;
    at_root = from.at_root;
    keyed = from.keyed;
  }

  [[nodiscard]] hash128* first_name() noexcept { return reinterpret_cast<hash128*>(this + 1); }
  [[nodiscard]] token* first_token() noexcept { return reinterpret_cast<token*>(first_name() + names); }
};
static_assert(sizeof(event_record) == 64);

[[nodiscard]] inline std::size_t bytes_of(const unsigned char* record) noexcept {
  return std::size_t{reinterpret_cast<const event_record*>(record)->bytes} * 8;
}

[[nodiscard]] inline event read_event(const unsigned char* record) noexcept {
  const auto& r = *reinterpret_cast<const event_record*>(record);
  const auto* const names = reinterpret_cast<const hash128*>(record + sizeof r);
  return {.number = r.number, .kind = r.kind, .why = r.why, .medium = r.medium, .snapshot = r.snapshot,
          .at_root = r.at_root, .keyed = r.keyed, .group = r.group, .tenant = r.tenant, .adapter = r.adapter,
          .parent = r.parent, .block_tokens = r.block_tokens, .names = {names, r.names},
          .tokens = {reinterpret_cast<const token*>(names + r.names), r.tokens}};
}

}  // namespace detail

/// Events in a row, in memory of whoever read them; made by an `event_feed`.
///
/// Good for a range-for, and for `take_first` where they are sent on one by one.
///
/// Example   for (const kv::event& e : feed.batch()) mirror.apply(e);
class event_batch {
 public:
  constexpr event_batch() noexcept = default;
  constexpr event_batch(const unsigned char* first, std::size_t bytes) noexcept : at_(first), end_(first + bytes) {}

  /// Goes over the events of a batch.
  class cursor {
   public:
    constexpr explicit cursor(const unsigned char* at) noexcept : at_(at) {}
    [[nodiscard]] event operator*() const noexcept { return detail::read_event(at_); }
    cursor& operator++() noexcept { return at_ += detail::bytes_of(at_), *this; }
    friend constexpr bool operator==(const cursor&, const cursor&) noexcept = default;

   private:
    const unsigned char* at_;
  };

  [[nodiscard]] constexpr cursor begin() const noexcept { return cursor(at_); }
  [[nodiscard]] constexpr cursor end() const noexcept { return cursor(end_); }
  [[nodiscard]] constexpr bool empty() const noexcept { return at_ == end_; }
  /// The first one. Requires  not empty
  [[nodiscard]] event first() const noexcept { return detail::read_event(at_); }
  /// Takes the first one out. Requires  not empty
  void take_first() noexcept { at_ += detail::bytes_of(at_); }

 private:
  const unsigned char* at_ = nullptr;
  const unsigned char* end_ = nullptr;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
