// What a Redis server answers: short replies through hiredis' reader, and the table of a cluster's slots.
#pragma once

#if !__has_include(<hiredis/hiredis.h>)
#error "tokenheap's Redis tier needs hiredis: install libhiredis-dev, and link it (tokenheap::redis)"
#endif

#include <hiredis/hiredis.h>

#include <tokenheap/kv/redis_cluster.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The answer to one request.
struct redis_answer {
  /// What an answer holds.
  enum class kind : unsigned char {
    lost,     ///< the connection ended, or time was up
    refused,  ///< it was never sent: the server's breaker is open, or nobody serves the slot
    whole,    ///< the value arrived in its span, and is the block's own
    damaged,  ///< a value of another length, or with other bytes
    absent,   ///< nil
    done,     ///< a status: it was done
    number,
    error,    ///< `text` says which
    tree,     ///< the slots of a cluster
  };
  kind what = kind::lost;
  long long number = 0;
  const char* text = "";
  std::size_t length = 0;
  const redisReply* tree = nullptr;
};

/// Reads short replies line by line; of what a broken server may send, only what one of our requests can be answered with.
///
/// Values of blocks do not pass through here: hiredis would copy them three times.
///
/// Threads   not safe
/// Cost      hiredis asks the heap once or twice a reply
class redis_lines {
 public:
  /// What one line has come to.
  enum class got : unsigned char { more, reply, garbage };

  /// Takes one whole line with its end. A reply always ends with a line, so that no line holds more than one.
  template <class See>
  [[nodiscard]] got feed(redisReader* reader, const char* line, std::size_t n, bool tree, See&& see) noexcept {
    if (!is_expected(line, n, tree)) return got::garbage;
    void* raw = nullptr;
    if (redisReaderFeed(reader, line, n) != REDIS_OK || redisReaderGetReply(reader, &raw) != REDIS_OK) return got::garbage;
    if (raw == nullptr) return inside_ = true, got::more;
    inside_ = false;
    fed_ = 0;
    const auto* const reply = static_cast<const redisReply*>(raw);
    redis_answer a;
    a.text = reply->str != nullptr ? reply->str : "";
    a.length = reply->len;
    a.number = reply->integer;
    a.tree = reply;
    const bool known = name(reply->type, a.what);
    if (known) see(a);
    freeReplyObject(raw);
    return known ? got::reply : got::garbage;
  }
  void reset() noexcept { inside_ = false, fed_ = 0; }

 private:
  static constexpr std::size_t most_elements = 65'536;
  static constexpr std::size_t most_text = 4 * 1024;
  static constexpr std::size_t most_tree = 4 * 1024 * 1024;

  // a length that no request of ours is answered with would make hiredis ask for that much memory
  [[nodiscard]] bool is_expected(const char* line, std::size_t n, bool tree) noexcept {
    const bool first = !inside_;
    if (n < 2 || (first && n < 3) || line[n - 2] != '\r' || (fed_ += n) > most_tree) return false;
    if (line[0] == '*') {
      std::size_t elements = 0;
      return tree && redis_text::number(line + 1, n - 3, most_elements, elements);
    }
    if (line[0] == '$') {
      std::size_t length = 0;
      if (n == 5 && line[1] == '-' && line[2] == '1') return true;
      return tree && !first && redis_text::number(line + 1, n - 3, most_text, length);
    }
    return !first || line[0] == '+' || line[0] == '-' || line[0] == ':';
  }
  [[nodiscard]] static bool name(int type, redis_answer::kind& out) noexcept {
    using kind = redis_answer::kind;
    switch (type) {
      case REDIS_REPLY_STATUS: return out = kind::done, true;
      case REDIS_REPLY_ERROR: return out = kind::error, true;
      case REDIS_REPLY_INTEGER: return out = kind::number, true;
      case REDIS_REPLY_NIL: return out = kind::absent, true;
      case REDIS_REPLY_ARRAY: return out = kind::tree, true;
      default: return false;
    }
  }

  bool inside_ = false;
  std::size_t fed_ = 0;
};

/// True for an address that needs no resolver, which might wait: IPv4 or IPv6 in digits.
[[nodiscard]] inline bool is_numeric(const redis_address& a) noexcept {
  const bool v6 = std::strchr(a.host, ':') != nullptr;
  return a.host[0] != '\0' && a.host[std::strspn(a.host, v6 ? "0123456789abcdefABCDEF:." : "0123456789.")] == '\0';
}

/// True for an error that says that the server as a whole does not serve now.
[[nodiscard]] inline bool is_server_down(const redis_answer& a) noexcept {
  constexpr const char* words[] = {"LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOAUTH", "WRONGPASS", "BUSY", "MISCONF"};
  for (const char* const word : words)
    if (redis_text::starts_with(a.text, a.length, word)) return true;
  return false;
}

namespace redis_text {

/// Calls `see(first, last, address)` for each row of an answer to CLUSTER SLOTS; false at the first that is malformed.
template <class See>
[[nodiscard]] bool each_range(const redisReply& all, const redis_address& asked, See&& see) noexcept {
  if (all.type != REDIS_REPLY_ARRAY) return false;
  for (std::size_t k = 0; k != all.elements; ++k) {
    const redisReply& row = *all.element[k];
    if (row.type != REDIS_REPLY_ARRAY || row.elements < 3) return false;
    const redisReply &first = *row.element[0], &last = *row.element[1], &node = *row.element[2];
    if (first.type != REDIS_REPLY_INTEGER || last.type != REDIS_REPLY_INTEGER || first.integer < 0 ||
        last.integer < first.integer || last.integer >= static_cast<long long>(redis_slots))
      return false;
    if (node.type != REDIS_REPLY_ARRAY || node.elements < 2 || node.element[1]->type != REDIS_REPLY_INTEGER) return false;
    const redisReply& host = *node.element[0];
    const long long port = node.element[1]->integer;
    redis_address at = asked;
    // a node that does not know its own address means the one that it was asked under
    const bool named = host.type == REDIS_REPLY_STRING && host.len != 0;
    if ((!named && host.type != REDIS_REPLY_NIL && host.type != REDIS_REPLY_STRING) || port <= 0 ||
        !at.assign(named ? host.str : asked.host, named ? host.len : std::strlen(asked.host), static_cast<std::size_t>(port)))
      return false;
    see(static_cast<std::size_t>(first.integer), static_cast<std::size_t>(last.integer), at);
  }
  return true;
}

}  // namespace redis_text

/// Takes the answer of CLUSTER SLOTS into a table; false, and the table as it was, if the answer is malformed.
[[nodiscard]] inline bool read_slots(const redisReply& all, const redis_address& asked, slot_table& into) noexcept {
  if (!redis_text::each_range(all, asked, [](std::size_t, std::size_t, const redis_address&) {})) return false;
  into.clear();
  return redis_text::each_range(all, asked, [&](std::size_t first, std::size_t last, const redis_address& at) {
    into.assign(first, last, is_numeric(at) ? into.add(at) : slot_table::no_server);
  });
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
