// How structs and texts cross the C interface: by size and version, and by room and length.
#pragma once

#include <cstring>
#include <type_traits>

#include <tokenheap/adapt/c_errors.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A struct of the C interface: plain bytes that begin with `size` and `version`.
template <class T>
concept c_struct = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> && sizeof(T) % 8 == 0 && requires(T t) {
  requires std::is_same_v<decltype(t.size), std::uint32_t> && std::is_same_v<decltype(t.version), std::uint32_t>;
};

namespace detail {

struct c_head {
  std::uint32_t size = 0;
  std::uint32_t version = 0;
};

/// The first two numbers of a struct of the caller's, or why they cannot be.
[[nodiscard]] inline failure read_c_head(const void* given, const char* what, c_head& out) noexcept {
  failure wrong{.code = errc::invalid_argument, .pool = "c", .what = what, .fix = "give a pointer that is not null"};
  if (given == nullptr) return wrong;
  std::memcpy(&out, given, sizeof out);
  wrong.need = out.size;
  // no struct of any version is that large: what was never set is not followed for gigabytes
  constexpr std::uint32_t largest = 1u << 16;
  if (out.size < sizeof(c_head) || out.size % 8 != 0 || out.size > largest) {
    wrong.code = errc::wrong_size;
    wrong.fix = "set `size` to sizeof of the struct";
    return wrong;
  }
  wrong.need = out.version;
  wrong.limit = TOKENHEAP_C_VERSION;
  if (out.version != TOKENHEAP_C_VERSION) {
    wrong.code = out.version == 0 ? errc::invalid_argument : errc::unsupported;
    wrong.fix = "set `version` to TOKENHEAP_C_VERSION, and load the library that the header belongs to";
    return wrong;
  }
  return {};
}

}  // namespace detail

/// Takes options of the caller's, whose struct may be older (shorter) or newer (longer); null stands for all defaults.
///
/// Fails     wrong_size; unsupported for another version, and for fields that this library does not know and that are not 0
template <c_struct T>
[[nodiscard]] th_status c_read(const T* given, T& out, const char* what) noexcept {
  out = T{};
  out.size = sizeof(T);
  out.version = TOKENHEAP_C_VERSION;
  if (given == nullptr) return th_ok;
  detail::c_head head;
  if (const failure wrong = detail::read_c_head(given, what, head); wrong.code != errc::ok) return c_refuse(wrong);
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t at = sizeof(T); at < head.size; ++at) {
    if (bytes[at] == 0) continue;
    return c_refuse({.code = errc::unsupported, .pool = "c", .what = what, .need = head.size, .limit = sizeof(T),
                     .fix = "leave fields at 0 that this version of the library does not have, or load a newer one"});
  }
  constexpr std::size_t skip = sizeof(detail::c_head);
  const std::size_t known = head.size < sizeof(T) ? head.size : sizeof(T);
  std::memcpy(reinterpret_cast<unsigned char*>(&out) + skip, bytes + skip, known - skip);
  if constexpr (requires { out.reserved; }) {
    // a newer library may give it a meaning: to ignore a wish is worse than to refuse it
    if (out.reserved != 0) {
      return c_refuse({.code = errc::unsupported, .pool = "c", .what = what, .need = out.reserved, .fix = "set `reserved` to 0"});
    }
  }
  return th_ok;
}

/// Fills a struct of the caller's as far as it goes; what is beyond this library's own is set to 0.
///
/// Fails     wrong_size, unsupported, and invalid_argument for null; nothing is written then
template <c_struct T>
[[nodiscard]] th_status c_write(const T& from, T* out, const char* what) noexcept {
  detail::c_head head;
  if (const failure wrong = detail::read_c_head(out, what, head); wrong.code != errc::ok) return c_refuse(wrong);
  constexpr std::size_t skip = sizeof(detail::c_head);
  const std::size_t known = head.size < sizeof(T) ? head.size : sizeof(T);
  auto* const bytes = reinterpret_cast<unsigned char*>(out);
  std::memcpy(bytes + skip, reinterpret_cast<const unsigned char*>(&from) + skip, known - skip);
  if (head.size > known) std::memset(bytes + known, 0, head.size - known);
  return th_ok;
}

/// Writes a text into the caller's room, always terminated, and says how long it is in full.
///
/// Fails     too_large where it was cut; room for 0 bytes asks for the length alone
[[nodiscard]] inline th_status c_write_text(const char* text, std::size_t bytes, char* out, std::size_t room,
                                            std::size_t* length) noexcept {
  if (length != nullptr) *length = bytes;
  if (room == 0) return length != nullptr ? th_ok : c_refuse_null("where the length of a text goes");
  if (out == nullptr) return c_refuse_null("room for a text");
  const std::size_t fits = bytes < room ? bytes : room - 1;
  std::memcpy(out, text, fits);
  out[fits] = '\0';
  if (fits == bytes) return th_ok;
  return c_refuse({.code = errc::too_large, .pool = "c", .what = "bytes of a text, with its end", .need = bytes + 1,
                   .limit = room, .fix = "give more room: the length says how much"});
}

/// A list of the caller's: null only where there is nothing in it.
[[nodiscard]] inline th_status c_check_list(const void* first, std::size_t n, const char* what) noexcept {
  return first == nullptr && n != 0 ? c_refuse_null(what) : th_ok;
}

/// A name of the caller's, copied so that it lives as long as what it names.
struct c_name {
  char text[64] = "";

  c_name(const char* given, const char* otherwise) noexcept {
    text_buffer(text, sizeof text) << (given != nullptr && *given != '\0' ? given : otherwise);
  }
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
