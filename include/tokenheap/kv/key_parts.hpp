// What separates prefixes besides tokens, as typed parts, and the bytes that stand for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/root_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// An image, or anything else that is no token, and where in the block it starts.
struct image_part {
  std::uint64_t offset = 0;  ///< token of the block, or of the prompt for the key of a whole request
  const void* fingerprint = nullptr;  ///< a digest of what the model sees, after scaling; never empty
  std::size_t bytes = 0;
};

/// The typed parts of a key: two requests or blocks may share when all of them are equal.
///
/// Made into bytes by `encode`, which never gives two different keys the same bytes: for the salt of a `prefix_key`,
/// for the root of a `block_hash`, for the key of a tier. What is 0 or empty is not there and costs no byte.
///
/// Requires  images in ascending order of their offsets, each at another one
struct key_parts {
  const void* salt = nullptr;  ///< of the tenant: opaque bytes, any length
  std::size_t salt_bytes = 0;
  std::uint64_t adapter = 0;   ///< LoRA
  std::uint64_t group = 0;     ///< of the cache: layers of one kind
  std::span<const image_part> images{};
};

namespace detail {

// one part: its tag, the length of what follows in 8 bytes, and that
enum class part_tag : unsigned char { salt = 1, adapter = 2, group = 3, image = 4 };
inline constexpr std::size_t part_head = 1 + sizeof(std::uint64_t);

inline unsigned char* put_head(unsigned char* out, part_tag tag, std::uint64_t length) noexcept {
  *out = static_cast<unsigned char>(tag);
  std::memcpy(out + 1, &length, sizeof length);
  return out + part_head;
}
inline unsigned char* put_number(unsigned char* out, part_tag tag, std::uint64_t number) noexcept {
  if (number == 0) return out;
  out = put_head(out, tag, sizeof number);
  std::memcpy(out, &number, sizeof number);
  return out + sizeof number;
}

}  // namespace detail

/// How many bytes `encode` writes; `errc::ok`, or what is wrong with the parts.
[[nodiscard]] inline errc encoded_size(const key_parts& parts, std::size_t& out) noexcept {
  out = 0;
  if (parts.salt == nullptr && parts.salt_bytes != 0) return errc::invalid_argument;
  constexpr std::size_t number = detail::part_head + sizeof(std::uint64_t);
  std::size_t total = (parts.adapter != 0 ? number : 0) + (parts.group != 0 ? number : 0);
  if (parts.salt_bytes != 0) {
    if (!checked_add(total, detail::part_head, total)) return errc::size_overflow;
    if (!checked_add(total, parts.salt_bytes, total)) return errc::size_overflow;
  }
  const image_part* before = nullptr;
  for (const image_part& image : parts.images) {
    // a fingerprint of nothing is equal to nothing, so there is no key to give it
    if (image.fingerprint == nullptr || image.bytes == 0) return errc::invalid_argument;
    if (before != nullptr && before->offset >= image.offset) return errc::invalid_argument;
    before = &image;
    if (!checked_add(total, number, total) || !checked_add(total, image.bytes, total)) return errc::size_overflow;
  }
  out = total;
  return errc::ok;
}

/// Writes the bytes of a key and their count: equal keys give equal bytes, different ones different bytes.
///
/// Fails     `too_large` if they do not fit `capacity`, `invalid_argument` for images out of order or without a
///           fingerprint; nothing is written then
[[nodiscard]] inline errc encode(const key_parts& parts, void* to, std::size_t capacity, std::size_t& written) noexcept {
  written = 0;
  std::size_t total = 0;
  if (const errc wrong = encoded_size(parts, total); wrong != errc::ok) return wrong;
  if (total > capacity) return errc::too_large;
  auto* out = static_cast<unsigned char*>(to);
  if (parts.salt_bytes != 0) {
    out = detail::put_head(out, detail::part_tag::salt, parts.salt_bytes);
    std::memcpy(out, parts.salt, parts.salt_bytes);
    out += parts.salt_bytes;
  }
  out = detail::put_number(out, detail::part_tag::adapter, parts.adapter);
  out = detail::put_number(out, detail::part_tag::group, parts.group);
  for (const image_part& image : parts.images) {
    out = detail::put_head(out, detail::part_tag::image, sizeof image.offset + image.bytes);
    std::memcpy(out, &image.offset, sizeof image.offset);
    std::memcpy(out + sizeof image.offset, image.fingerprint, image.bytes);
    out += sizeof image.offset + image.bytes;
  }
  written = total;
  return errc::ok;
}

namespace detail {

// reads parts one after the other; whatever encode would not have written is refused
class part_reader {
 public:
  part_reader(const void* bytes, std::size_t n) noexcept : at_(static_cast<const unsigned char*>(bytes)), left_(n) {}

  [[nodiscard]] bool ended() const noexcept { return left_ == 0; }

  /// True and a part, or false where no whole part follows.
  [[nodiscard]] bool next(part_tag& tag, const unsigned char*& body, std::size_t& length) noexcept {
    if (left_ < part_head) return false;
    std::uint64_t said = 0;
    std::memcpy(&said, at_ + 1, sizeof said);
    if (said > left_ - part_head) return false;
    tag = static_cast<part_tag>(*at_);
    body = at_ + part_head;
    length = static_cast<std::size_t>(said);
    at_ = body + length;
    left_ -= part_head + length;
    return true;
  }

 private:
  const unsigned char* at_;
  std::size_t left_;
};

[[nodiscard]] inline bool read_number(const unsigned char* body, std::size_t length, std::uint64_t& out) noexcept {
  if (length != sizeof out) return false;
  std::memcpy(&out, body, sizeof out);
  return out != 0;
}

[[nodiscard]] inline bool read_image(const unsigned char* body, std::size_t length, image_part& out) noexcept {
  if (length <= sizeof out.offset) return false;
  std::memcpy(&out.offset, body, sizeof out.offset);
  out.fingerprint = body + sizeof out.offset;
  out.bytes = length - sizeof out.offset;
  return true;
}

}  // namespace detail

/// Reads what `encode` wrote; salt and fingerprints point into `bytes`, the images lie in `room`.
///
/// Fails     `corrupted` for bytes that no key has, `limit_reached` if `room` takes fewer images; `out` is empty then
[[nodiscard]] inline errc decode(const void* bytes, std::size_t n, std::span<image_part> room, key_parts& out) noexcept {
  out = {};
  key_parts read;
  std::size_t images = 0;
  unsigned char before = 0;
  for (detail::part_reader reader(bytes, n); !reader.ended();) {
    detail::part_tag tag{};
    const unsigned char* body = nullptr;
    std::size_t length = 0;
    if (!reader.next(tag, body, length)) return errc::corrupted;
    const auto order = static_cast<unsigned char>(tag);
    // parts come in the order of their tags, and only images more than once
    if (order < before || (order == before && tag != detail::part_tag::image)) return errc::corrupted;
    before = order;
    if (tag == detail::part_tag::salt) {
      if (length == 0) return errc::corrupted;
      read.salt = body;
      read.salt_bytes = length;
    } else if (tag == detail::part_tag::adapter || tag == detail::part_tag::group) {
      std::uint64_t& number = tag == detail::part_tag::adapter ? read.adapter : read.group;
      if (!detail::read_number(body, length, number)) return errc::corrupted;
    } else {
      image_part image;
      if (tag != detail::part_tag::image || !detail::read_image(body, length, image)) return errc::corrupted;
      if (images == room.size()) return errc::limit_reached;
      if (images != 0 && room[images - 1].offset >= image.offset) return errc::corrupted;
      room[images++] = image;
    }
  }
  read.images = room.first(images);
  out = read;
  return errc::ok;
}

/// The key of a pool or of a sequence over encoded parts, which must stay as long as it does.
[[nodiscard]] inline prefix_key key_over(const void* encoded, std::size_t bytes, tenant_id tenant = 0) noexcept {
  prefix_key key;
  key.salt = encoded;
  key.salt_bytes = bytes;
  key.tenant = tenant;
  return key;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
