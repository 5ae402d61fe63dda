// Which node of a Redis or Valkey cluster has a key: slots, the table of who serves them, and redirections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/core/text.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The slots that a cluster divides keys into.
inline constexpr std::size_t redis_slots = 16'384;

/// CRC-16/XMODEM: polynomial 0x1021, begun at 0; of "123456789" it is 0x31c3.
[[nodiscard]] constexpr std::uint16_t crc16(const char* bytes, std::size_t n) noexcept {
  unsigned crc = 0;
  for (std::size_t at = 0; at < n; ++at) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(bytes[at])) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return static_cast<std::uint16_t>(crc);
}

/// The slot of a key: of what stands between its first `{` and the next `}` where that is not empty, else of all of it.
[[nodiscard]] constexpr std::uint16_t redis_slot(const char* key, std::size_t n) noexcept {
  std::size_t open = 0;
  while (open < n && key[open] != '{') ++open;
  std::size_t shut = open;
  while (shut < n && key[shut] != '}') ++shut;
  const bool tagged = shut < n && shut > open + 1;
  const std::uint16_t crc = tagged ? crc16(key + open + 1, shut - open - 1) : crc16(key, n);
  return crc & (redis_slots - 1);
}

/// A server by its address: a name or a number, and a port.
struct redis_address {
  static constexpr std::size_t most = 127;
  char host[most + 1] = {};
  std::uint16_t port = 0;

  /// False for a host that is too long or has a zero byte; then nothing is changed.
  [[nodiscard]] bool assign(const char* from, std::size_t n, std::size_t to_port) noexcept {
    if (n > most || to_port == 0 || to_port > 65'535 || std::memchr(from, 0, n) != nullptr) return false;
    std::memcpy(host, from, n);
    host[n] = '\0';
    port = static_cast<std::uint16_t>(to_port);
    return true;
  }
  friend bool operator==(const redis_address& a, const redis_address& b) noexcept {
    return a.port == b.port && std::strcmp(a.host, b.host) == 0;
  }
};

/// What a server says where a key is elsewhere: for good (moved), or for this one request (ask).
struct redis_redirect {
  /// Whether the server sent us elsewhere, and for how long.
  enum class kind : std::uint8_t { none, moved, ask };
  kind what = kind::none;
  std::uint16_t slot = 0;
  redis_address to;  ///< without a host: the one that answered
};

namespace redis_text {

/// Reads a number that is all digits and below `limit`; false, and `out` as it was, for anything else.
[[nodiscard]] constexpr bool number(const char* text, std::size_t n, std::size_t limit, std::size_t& out) noexcept {
  std::size_t value = 0;
  if (n == 0 || n > 18) return false;
  for (std::size_t at = 0; at < n; ++at) {
    if (text[at] < '0' || text[at] > '9') return false;
    value = value * 10 + static_cast<std::size_t>(text[at] - '0');
  }
  if (value >= limit) return false;
  out = value;
  return true;
}

[[nodiscard]] inline bool starts_with(const char* text, std::size_t n, const char* with) noexcept {
  const std::size_t length = std::strlen(with);
  return n >= length && std::memcmp(text, with, length) == 0;
}

}  // namespace redis_text

/// Reads an error of the form `MOVED 3999 127.0.0.1:6381` or `ASK 3999 127.0.0.1:6381`, without the leading `-`.
///
/// Returns   kind::none for every other text, those that are cut off included
[[nodiscard]] inline redis_redirect read_redirect(const char* text, std::size_t n) noexcept {
  redis_redirect found;
  const bool moved = redis_text::starts_with(text, n, "MOVED ");
  if (!moved && !redis_text::starts_with(text, n, "ASK ")) return {};
  const std::size_t start = moved ? 6 : 4;
  std::size_t space = start;
  while (space < n && text[space] != ' ') ++space;
  std::size_t colon = n;
  while (colon > space && text[colon - 1] != ':') --colon;  // the last one: an IPv6 address has its own
  std::size_t slot = 0;
  std::size_t port = 0;
  if (colon <= space + 1 || !redis_text::number(text + start, space - start, redis_slots, slot) ||
      !redis_text::number(text + colon, n - colon, 65'536, port)) {
    return {};
  }
  if (!found.to.assign(text + space + 1, colon - space - 2, port)) return {};
  found.slot = static_cast<std::uint16_t>(slot);
  found.what = moved ? redis_redirect::kind::moved : redis_redirect::kind::ask;
  return found;
}

/// Who serves which slot: a number per slot, and the addresses that the numbers stand for.
///
/// Starts with one server for all slots, which is what a server outside of a cluster is. An address keeps its number
/// for as long as the table lives, so that connections can be kept beside it.
///
/// Fails     add returns no_server beyond `most_servers`
/// Threads   not safe
/// Cost      33 KiB and 130 bytes a server; O(1) to look up, O(servers) to add
class slot_table {
 public:
  static constexpr std::size_t most_servers = 256;
  static constexpr std::uint16_t no_server = 0xffff;

  [[nodiscard]] bool open(const redis_address& first) noexcept {
    if (!servers_.open(most_servers) || !owner_.open(redis_slots)) return false;
    servers_[0] = first;
    used_ = 1;
    assign(0, redis_slots - 1, 0);
    return true;
  }

  /// The number of an address, a new one where it is not known yet.
  [[nodiscard]] std::uint16_t add(const redis_address& server) noexcept {
    for (std::uint16_t at = 0; at < used_; ++at)
      if (servers_[at] == server) return at;
    if (used_ == most_servers) return no_server;
    servers_[used_] = server;
    return used_++;
  }

  /// Gives the slots from `first` to `last`, both included, to a server; slots that do not exist are left out.
  void assign(std::size_t first, std::size_t last, std::uint16_t server) noexcept {
    for (std::size_t slot = first; slot <= last && slot < redis_slots; ++slot) owner_[slot] = server;
  }
  /// Takes all slots from everybody: what comes before the answer of CLUSTER SLOTS is read in.
  void clear() noexcept { assign(0, redis_slots - 1, no_server); }

  [[nodiscard]] std::uint16_t owner(std::uint16_t slot) const noexcept { return owner_[slot]; }
  [[nodiscard]] const redis_address& server(std::uint16_t at) const noexcept { return servers_[at]; }
  [[nodiscard]] std::uint16_t servers() const noexcept { return used_; }

  /// How many slots nobody serves.
  [[nodiscard]] std::size_t uncovered() const noexcept {
    std::size_t n = 0;
    for (std::size_t slot = 0; slot < redis_slots; ++slot) n += owner_[slot] == no_server;
    return n;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t slot = 0; slot < owner_.size(); ++slot)
      if (owner_[slot] != no_server && owner_[slot] >= used_) return false;
    return used_ <= most_servers;
  }

 private:
  column<redis_address> servers_;
  column<std::uint16_t> owner_;
  std::uint16_t used_ = 0;
};

/// The payload of the largest value that costs Redis no more than it holds, for values of about `near` bytes.
///
/// Redis keeps values in pieces whose sizes are powers of two and quarters between: 1 MiB and 64 bytes cost 1.25 MiB,
/// 64 bytes less than 1 MiB cost what they are. `header` is what stands before the payload in a value.
///
/// Returns   the payload bytes that fit below the first power of two at or above `about`; 0 where the header does not fit
[[nodiscard]] constexpr std::size_t redis_payload(std::size_t about, std::size_t header = 64) noexcept {
  std::size_t power = 1;
  while (power < about && power < (std::size_t{1} << 62)) power *= 2;
  return power > header + 64 ? power - header - 64 : 0;
}

/// True if a payload below its header costs Redis less than an eighth more than it is.
[[nodiscard]] constexpr bool fits_redis(std::size_t payload, std::size_t header = 64) noexcept {
  const std::size_t needed = payload + header + 64;
  if (needed <= 16'384) return true;
  std::size_t power = 16'384;
  while (power < needed) power *= 2;
  const std::size_t step = power / 8;  // between a power and its double there are four sizes
  return (needed + step - 1) / step * step - payload <= payload / 8;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
