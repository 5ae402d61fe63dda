// What a tier says to a Redis server: the names of its keys, and each request as it stands on the wire.
#pragma once

#include <tokenheap/core/text.hpp>
#include <tokenheap/kv/tier_record.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Makes the names under which blocks stand in Redis: `prefix:fingerprint:hash:group`, in hexadecimal digits.
///
/// The fingerprint is over the secret and the size of a block, so that tiers of another secret or size never meet each
/// other's values.
///
/// Fails     open is false for a prefix that is empty or longer than `most_prefix`
class redis_names {
 public:
  static constexpr std::size_t most_prefix = 32;
  static constexpr std::size_t most = most_prefix + 60;  ///< of a whole name

  [[nodiscard]] bool open(const char* prefix, siphash_key secret, std::size_t block_bytes) noexcept {
    const std::size_t n = std::strlen(prefix);
    if (n == 0 || n > most_prefix) return false;
    std::memcpy(start_, prefix, n);
    const std::uint64_t bytes = block_bytes;
    start_[n] = ':';
    digits(siphash(secret, &bytes, sizeof bytes).low, 16, start_ + n + 1);
    start_[n + 17] = ':';
    length_ = n + 18;
    return true;
  }
  /// Writes the name and its end into `most + 1` characters, and returns how long it is.
  std::size_t write(const tier_key& key, char* out) const noexcept {
    std::memcpy(out, start_, length_);
    char* const at = out + length_;
    digits(key.high, 16, at);
    digits(key.low, 16, at + 16);
    at[32] = ':';
    digits(key.group, 8, at + 33);
    at[41] = '\0';
    return length_ + 41;
  }

 private:
  static void digits(std::uint64_t number, std::size_t n, char* out) noexcept {
    for (; n != 0; number >>= 4) out[--n] = "0123456789abcdef"[number & 15];
  }

  char start_[most_prefix + 18] = {};
  std::size_t length_ = 0;
};

/// What is asked of a server.
enum class redis_verb : unsigned char {
  load,      ///< the value of a key
  store,     ///< a value, unless one is there
  touch,     ///< is it there; if so it stays for another time to live
  probe,     ///< how long is the value
  remove,    ///< forget it, and free its memory in the background
  topology,  ///< who serves which slots
};

/// One request: what stands before its payload, whose it is, and until when an answer is of use.
struct redis_request {
  char head[288] = {};
  std::size_t head_bytes = 0;
  tier_record record{};
  tier_key key{};
  void* payload = nullptr;  ///< of a load or a store: `block_bytes`
  std::uint64_t deadline = 0;
  tier_ticket batch{};
  std::uint32_t item = 0;
  std::uint16_t slot = 0;
  redis_verb verb = redis_verb::probe;
  unsigned char redirects = 0;
  bool asks = false;    ///< ASKING stands before it, and its answer before its own
  bool sealed = false;  ///< the record is made
};

/// How long values live, and the parts that all requests of a tier have in common.
///
/// Requires  open before anything else
class redis_phrases {
 public:
  /// `ttl_ms` 0: no time to live; `renew`: a load gives another time to live.
  void open(const redis_names& names, std::size_t value_bytes, std::uint64_t ttl_ms, bool renew) noexcept {
    names_ = names;
    value_bytes_ = value_bytes;
    renew_ = renew && ttl_ms != 0;
    text_buffer number(ttl_, sizeof ttl_);
    if (ttl_ms != 0) number << static_cast<std::size_t>(ttl_ms);
    text_buffer end(tail_, sizeof tail_);
    end << "\r\n$2\r\nNX\r\n";
    if (ttl_ms != 0) bulk(end << "$2\r\nPX\r\n", ttl_, number.length());
    tail_bytes_ = end.length();
    ttl_bytes_ = number.length();
  }

  /// Writes the head of a request out of its verb, key and `asks`.
  void write(redis_request& r) const noexcept {
    char name[redis_names::most + 1];
    const std::size_t n = names_.write(r.key, name);
    text_buffer out(r.head, sizeof r.head);
    if (r.asks) out << "*1\r\n$6\r\nASKING\r\n";
    switch (r.verb) {
      case redis_verb::load:
        bulk(out << (renew_ ? "*4\r\n$5\r\nGETEX\r\n" : "*2\r\n$3\r\nGET\r\n"), name, n);
        if (renew_) bulk(out << "$2\r\nPX\r\n", ttl_, ttl_bytes_);
        break;
      case redis_verb::store:
        bulk(out << (ttl_bytes_ != 0 ? "*6\r\n$3\r\nSET\r\n" : "*4\r\n$3\r\nSET\r\n"), name, n);
        out << "$" << value_bytes_ << "\r\n";
        break;
      case redis_verb::touch:
        bulk(out << (ttl_bytes_ != 0 ? "*3\r\n$7\r\nPEXPIRE\r\n" : "*2\r\n$6\r\nSTRLEN\r\n"), name, n);
        if (ttl_bytes_ != 0) bulk(out, ttl_, ttl_bytes_);
        break;
      case redis_verb::probe: bulk(out << "*2\r\n$6\r\nSTRLEN\r\n", name, n); break;
      case redis_verb::remove: bulk(out << "*2\r\n$6\r\nUNLINK\r\n", name, n); break;
      case redis_verb::topology: out << "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"; break;
    }
    r.head_bytes = out.length();
  }
  [[nodiscard]] const redis_names& names() const noexcept { return names_; }
  /// What stands behind the payload of a store.
  [[nodiscard]] const char* tail() const noexcept { return tail_; }
  [[nodiscard]] std::size_t tail_bytes() const noexcept { return tail_bytes_; }
  [[nodiscard]] std::size_t value_bytes() const noexcept { return value_bytes_; }

 private:
  static text_buffer& bulk(text_buffer& out, const char* text, std::size_t n) noexcept {
    return out << "$" << n << "\r\n" << text << "\r\n";
  }

  redis_names names_;
  char tail_[64] = {};
  char ttl_[24] = {};
  std::size_t tail_bytes_ = 0;
  std::size_t ttl_bytes_ = 0;
  std::size_t value_bytes_ = 0;
  bool renew_ = false;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
