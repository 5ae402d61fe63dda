// Events as JSON under the names that vLLM gives them, for routers that know those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/core/result.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/kv/event.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How the name of a block is written.
enum class name_form : std::uint8_t {
  hex,     ///< all 128 bits, as a string of 32 digits
  number,  ///< the first 64 bits, as a number: for routers that take no others
};

/// What a batch says besides its events.
struct events_json_options {
  std::uint64_t microseconds = 0;  ///< since 1970, by the caller's clock
  name_form names = name_form::hex;
  int rank = -1;  ///< of the data-parallel engine; -1: none
  const char* spec_kind = nullptr;  ///< such as "full_attention"; null: left out
  std::size_t sliding_window = 0;   ///< 0: left out
  /// What an adapter's number stands for, or null; UTF-8.
  const char* (*adapter_name)(void* user, std::uint64_t adapter) noexcept = nullptr;
  void* user = nullptr;
};

namespace detail {

/// The bytes of one character of UTF-8 that starts here, or 0 if none does.
[[nodiscard]] inline std::size_t utf8_length(const unsigned char* at) noexcept {
  if (at[0] < 0x80) return 1;
  const std::size_t n = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
  if (at[0] < 0xc2 || at[0] > 0xf4) return 0;
  for (std::size_t k = 1; k != n; ++k) {
    if ((at[k] & 0xc0) != 0x80) return 0;
  }
  // longer than need be, a surrogate, or beyond the last character
  const bool wrong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                     (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f);
  return wrong ? 0 : n;
}

inline void put_string(text_buffer& to, const char* text) noexcept {
  if (text == nullptr) return static_cast<void>(to << "null");
  to << "\"";
  for (const auto* at = reinterpret_cast<const unsigned char*>(text); *at != 0;) {
    char piece[8] = {};
    const std::size_t n = utf8_length(at);
    if (n == 0) {
      std::memcpy(piece, "\\ufffd", 6);
    } else if (*at == '"' || *at == '\\') {
      piece[0] = '\\';
      piece[1] = static_cast<char>(*at);
    } else if (*at < 0x20) {
      std::memcpy(piece, "\\u00", 4);
      piece[4] = *at < 0x10 ? '0' : '1';
      piece[5] = "0123456789abcdef"[*at % 16];
    } else {
      std::memcpy(piece, at, n);
    }
    to << piece;
    at += n == 0 ? 1 : n;
  }
  to << "\"";
}

inline void put_name(text_buffer& to, const hash128& name, name_form form) noexcept {
  if (form == name_form::number) return static_cast<void>(to << std::size_t{name.low});
  char digits[35] = "\"";
  unsigned char bytes[sizeof name];
  std::memcpy(bytes, &name, sizeof name);
  for (std::size_t at = 0; at != sizeof name; ++at) {
    digits[1 + 2 * at] = "0123456789abcdef"[bytes[at] / 16];
    digits[2 + 2 * at] = "0123456789abcdef"[bytes[at] % 16];
  }
  digits[33] = '"';
  to << digits;
}

inline void put_names(text_buffer& to, const event& e, name_form form) noexcept {
  to << "\"block_hashes\":[";
  for (const hash128& name : e.names) {
    if (&name != e.names.data()) to << ",";
    put_name(to, name, form);
    if (to.cut()) return;
  }
  to << "]";
}

inline void put_place(text_buffer& to, const event& e) noexcept {
  constexpr const char* media[] = {"\"GPU\"", "\"CPU\"", "\"STORAGE\""};
  to << ",\"medium\":" << media[static_cast<std::size_t>(e.medium) % 3] << ",\"group_idx\":" << std::size_t{e.group};
}

inline void put_stored(text_buffer& to, const event& e, const events_json_options& with) noexcept {
  to << "{\"type\":\"BlockStored\",";
  put_names(to, e, with.names);
  to << ",\"parent_block_hash\":";
  if (e.at_root || e.names.empty() || e.tokens.empty()) {
    to << "null";
  } else {
    put_name(to, e.parent, with.names);
  }
  to << ",\"token_ids\":[";
  for (const token& t : e.tokens) {
    if (to.cut()) return;
    to << (&t == e.tokens.data() ? "" : ",") << std::size_t{t};
  }
  to << "],\"block_size\":" << e.block_tokens << ",\"lora_id\":";
  e.adapter == 0 ? to << "null" : to << std::size_t{e.adapter};
  to << ",\"lora_name\":";
  put_string(to, e.adapter == 0 || with.adapter_name == nullptr ? nullptr : with.adapter_name(with.user, e.adapter));
  put_place(to, e);
  if (e.at_root && e.keyed) {
    // one entry for each block; the key enters the first, and the names carry it to the rest
    to << ",\"extra_keys\":[[";
    put_name(to, e.parent, name_form::hex);
    to << "]";
    for (std::size_t at = 1; at < e.names.size() && !to.cut(); ++at) to << ",null";
    to << "]";
  }
  if (with.spec_kind != nullptr) {
    to << ",\"kv_cache_spec_kind\":";
    put_string(to, with.spec_kind);
  }
  if (with.sliding_window != 0) to << ",\"kv_cache_spec_sliding_window\":" << with.sliding_window;
  to << "}";
}

inline void put_event(text_buffer& to, const event& e, const events_json_options& with) noexcept {
  constexpr const char* reasons[] = {"\"evicted\"", "\"asked\"", "\"cleared\""};
  if (e.kind == event_kind::stored) return put_stored(to, e, with);
  if (e.kind == event_kind::cleared) {
    to << "{\"type\":\"AllBlocksCleared\"";
  } else {
    to << "{\"type\":\"BlockRemoved\",";
    put_names(to, e, with.names);
    to << ",\"reason\":" << reasons[static_cast<std::size_t>(e.why) % 3];
  }
  put_place(to, e);
  to << "}";
}

inline void put_time(text_buffer& to, std::uint64_t microseconds) noexcept {
  char fraction[8] = ".000000";
  std::uint64_t rest = microseconds % 1'000'000;
  for (std::size_t at = 6; at != 0; --at, rest /= 10) fraction[at] = static_cast<char>('0' + rest % 10);
  to << std::size_t{microseconds / 1'000'000} << fraction;
}

}  // namespace detail

/// Writes events off the front of `left` into one batch of JSON, as many as fit, and takes them out; terminated.
///
/// One object: "ts" in seconds, "seq" of the first event (the others follow without gaps; of a snapshot, the number that
/// comes next), "snapshot", "events" in vLLM's names, and "data_parallel_rank" if there is one. Beside vLLM's fields a
/// BlockRemoved has "reason". A snapshot begins with AllBlocksCleared, so that readers who know nothing of snapshots
/// come out right.
///
/// Fails     `too_large` if not even one event fits, or there is none: nothing is written but the end of the text
/// Cost      about 3 ns per character
[[nodiscard]] inline errc write_json(event_batch& left, const events_json_options& with, char* out, std::size_t capacity,
                                     std::size_t& written) noexcept {
  written = 0;
  if (capacity != 0) out[0] = '\0';
  char ending[48];
  text_buffer end(ending, sizeof ending);
  end << "]";
  if (with.rank >= 0) end << ",\"data_parallel_rank\":" << static_cast<std::size_t>(with.rank);
  end << "}";
  if (left.empty() || capacity <= end.length()) return errc::too_large;
  text_buffer to(out, capacity - end.length());
  const event first = left.first();
  to << "{\"ts\":";
  detail::put_time(to, with.microseconds);
  to << ",\"seq\":" << std::size_t{first.number} << ",\"snapshot\":" << (first.snapshot ? "true" : "false")
     << ",\"events\":[";
  std::size_t events = 0;
  for (; !left.empty(); ++events) {
    const event e = left.first();
    const std::size_t before = to.length();
    if (events != 0) to << ",";
    detail::put_event(to, e, with);
    if (to.cut()) {
      to.back_to(before);
      break;
    }
    left.take_first();
  }
  if (events == 0) return out[0] = '\0', errc::too_large;
  std::memcpy(out + to.length(), ending, end.length() + 1);
  written = to.length() + end.length();
  return errc::ok;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
