// One Redis server: a socket that never waits, the requests on it in their order, and whether it is asked at all.
#pragma once

#include <cerrno>

#include <sys/socket.h>
#include <sys/uio.h>

#include <tokenheap/kv/circuit_breaker.hpp>
#include <tokenheap/kv/redis_reply.hpp>
#include <tokenheap/kv/redis_request.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What the connections of a tier have gone through.
struct redis_wire_stats {
  std::uint64_t connects = 0;    ///< begun
  std::uint64_t cut = 0;         ///< connections that ended with requests on them, or could not begin
  std::uint64_t late = 0;        ///< of those: because a deadline had passed
  std::uint64_t garbage = 0;     ///< of those: because the answer was none
  std::uint64_t redirected = 0;  ///< requests that went on to another server
  std::uint64_t refreshed = 0;   ///< slot tables that were read
  std::uint64_t damaged = 0;     ///< values that were not their names'
};

/// What all connections of a tier share: the requests, how they are spoken, and how values are sealed.
struct redis_wire {
  column<redis_request> requests;
  redis_phrases phrases;
  siphash_key secret{};
  record_sum sum = record_sum::siphash;
  std::size_t block_bytes = 0;
  std::uint64_t sequence = 0;
  const char* greeting = "";  ///< AUTH, or nothing
  std::size_t greeting_bytes = 0;
  redis_wire_stats stats;

  void seal(redis_request& r) noexcept {
    if (r.sealed) return;
    r.record = kv::seal(secret, r.key, r.payload, block_bytes, ++sequence, sum);
    r.sealed = true;
  }
  [[nodiscard]] bool is_own(const redis_request& r) const noexcept {
    return r.record.key() == r.key && is_whole(secret, r.record, r.payload, block_bytes, sum);
  }
  [[nodiscard]] std::size_t bytes_of(const redis_request& r) const noexcept {
    return r.head_bytes + (r.verb == redis_verb::store ? phrases.value_bytes() + phrases.tail_bytes() : 0);
  }
};

/// The requests to one server, in order, over one connection that opens when it is needed.
///
/// For `redis_servers`. `submit` queues; `pump` writes and reads as far as it goes at once and tells the answers. A value
/// goes from the caller's span into the socket and from the socket into the span, without a copy between. Any trouble
/// ends the connection: all that was on it is lost, and its breaker counts one failure.
///
/// Requires  a `done` that does not pump
/// Threads   not safe
/// Cost      no memory after open, but for what hiredis asks for: a connection, and each short reply
class redis_connection {
 public:
  [[nodiscard]] bool open(const redis_address& at, std::size_t requests, const breaker_options& breaker) noexcept {
    std::size_t room = 1;
    while (room < requests) room *= 2;
    breaker_ = circuit_breaker(breaker);
    address_ = at;
    return queue_.open(room);
  }
  redis_connection() noexcept = default;
  redis_connection(redis_connection&&) = delete;
  ~redis_connection() { close(); }

  /// True if a request may be submitted now; then it must be.
  [[nodiscard]] bool allows(std::uint64_t now) noexcept { return breaker_.allows(now); }
  /// Queues a request whose head is written; false if there is no connection to be had.
  [[nodiscard]] bool submit(redis_wire& wire, std::uint32_t request, std::uint64_t now) noexcept {
    if (at_ != nullptr && front_ == back_ && was_closed()) close();
    if (at_ == nullptr && !connect(wire)) return ++wire.stats.cut, breaker_.failure(now), false;
    const std::uint64_t deadline = wire.requests[request].deadline;
    if (front_ == back_ || deadline < earliest_) earliest_ = deadline;
    queue_[back_++ & mask()] = request;
    return true;
  }
  /// Writes and reads what can be at once; `done(request, answer)` for each that is over.
  template <class Done>
  void pump(redis_wire& wire, std::uint64_t now, Done&& done) noexcept {
    if (front_ == back_) return;
    if (now >= earliest_ && is_late(wire, now)) {
      ++wire.stats.late;
      return fail(wire, now, done);
    }
    if (!flush(wire) || !receive(wire, done)) fail(wire, now, done);
  }

  [[nodiscard]] bool is_busy() const noexcept { return front_ != back_; }
  [[nodiscard]] const redis_address& address() const noexcept { return address_; }
  [[nodiscard]] const circuit_breaker& breaker() const noexcept { return breaker_; }
  [[nodiscard]] circuit_breaker& breaker() noexcept { return breaker_; }
  template <class See>
  void each(See&& see) const noexcept {
    for (std::size_t at = front_; at != back_; ++at) see(queue_[at & mask()]);
  }
  [[nodiscard]] bool is_valid() const noexcept {
    return sent_ - front_ <= back_ - front_ && back_ - front_ <= queue_.size() && begin_ <= end_ && end_ <= sizeof in_ &&
           (at_ != nullptr || front_ == back_);
  }

 private:
  static constexpr int most_calls = 64;                  // in one pump
  static constexpr std::size_t most_parts = 64;          // in one call
  static constexpr std::size_t most_bytes = 128 * 1024;  // after which no further request joins a call
  enum class reading : unsigned char { line, value, skip };

  [[nodiscard]] std::size_t mask() const noexcept { return queue_.size() - 1; }
  [[nodiscard]] redis_request& front(redis_wire& wire) const noexcept { return wire.requests[queue_[front_ & mask()]]; }
  [[nodiscard]] static bool would_wait() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK; }

  [[nodiscard]] bool connect(redis_wire& wire) noexcept {
    ++wire.stats.connects;
    at_ = redisConnectNonBlock(address_.host, address_.port);
    if (at_ == nullptr || at_->err != 0) return close(), false;
    greeted_ = 0;
    greets_ = wire.greeting_bytes != 0;
    return true;
  }
  void close() noexcept {
    if (at_ != nullptr) redisFree(at_);
    at_ = nullptr;
    front_ = sent_ = back_;
    begin_ = end_ = partial_ = got_ = leading_ = 0;
    reading_ = reading::line;
    lines_.reset();
  }
  /// A server that restarted, or dropped who was idle, is met anew, and that is no failure.
  [[nodiscard]] bool was_closed() const noexcept {
    char byte = 0;
    const ssize_t n = ::recv(at_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || !would_wait();  // a byte that nobody asked for is no good sign either
  }
  [[nodiscard]] bool is_late(const redis_wire& wire, std::uint64_t now) noexcept {
    earliest_ = ~std::uint64_t{0};
    each([&](std::uint32_t request) {
      if (wire.requests[request].deadline < earliest_) earliest_ = wire.requests[request].deadline;
    });
    return now >= earliest_;
  }
  template <class Done>
  void fail(redis_wire& wire, std::uint64_t now, Done&& done) noexcept {
    ++wire.stats.cut;
    breaker_.failure(now);
    // who hears of it may ask again at once: that opens a new connection and stands in the queue behind what failed
    const std::size_t from = front_;
    const std::size_t to = back_;
    close();
    for (std::size_t at = from; at != to; ++at) done(queue_[at & mask()], redis_answer{});
  }

  // ---- writing

  [[nodiscard]] bool flush(redis_wire& wire) noexcept {
    for (int calls = 0; calls != most_calls && sent_ != back_; ++calls) {
      iovec parts[most_parts];
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = gather(wire, parts);
      const ssize_t moved = ::sendmsg(at_->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (moved >= 0) {
        advance(wire, static_cast<std::size_t>(moved));
      } else if (would_wait()) {
        seal_ahead(wire);
        return true;
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] std::size_t gather(redis_wire& wire, iovec* parts) noexcept {
    std::size_t n = 0;
    std::size_t bytes = 0;
    std::size_t skip = partial_;
    const auto add = [&](const void* from, std::size_t k) {
      if (skip >= k) return void(skip -= k);
      parts[n++] = {const_cast<char*>(static_cast<const char*>(from)) + skip, k - skip};
      bytes += k - skip;
      skip = 0;
    };
    if (greeted_ != wire.greeting_bytes) parts[n++] = {const_cast<char*>(wire.greeting) + greeted_, wire.greeting_bytes - greeted_};
    for (std::size_t at = sent_; at != back_ && n + 4 <= most_parts && bytes < most_bytes; ++at) {
      redis_request& r = wire.requests[queue_[at & mask()]];
      add(r.head, r.head_bytes);
      if (r.verb != redis_verb::store) continue;
      wire.seal(r);
      add(&r.record, sizeof r.record);
      add(r.payload, wire.block_bytes);
      add(wire.phrases.tail(), wire.phrases.tail_bytes());
    }
    return n;
  }
  void advance(const redis_wire& wire, std::size_t moved) noexcept {
    const std::size_t greeting = wire.greeting_bytes - greeted_ < moved ? wire.greeting_bytes - greeted_ : moved;
    greeted_ += greeting;
    partial_ += moved - greeting;
    while (sent_ != back_) {
      const std::size_t whole = wire.bytes_of(wire.requests[queue_[sent_ & mask()]]);
      if (partial_ < whole) return;
      partial_ -= whole;
      ++sent_;
    }
  }
  /// While the socket is full there is time for the checksum of the next store.
  void seal_ahead(redis_wire& wire) noexcept {
    for (std::size_t at = sent_; at != back_; ++at) {
      redis_request& r = wire.requests[queue_[at & mask()]];
      if (r.verb == redis_verb::store && !r.sealed) return wire.seal(r);
    }
  }

  // ---- reading

  template <class Done>
  [[nodiscard]] bool receive(redis_wire& wire, Done&& done) noexcept {
    for (int calls = 0; calls != most_calls && front_ != back_; ++calls) {
      const ssize_t moved = read(wire);
      if (moved == 0) return false;
      if (moved < 0 && would_wait()) return true;
      if (moved < 0 && errno != EINTR) return false;
      if (moved > 0 && !digest(wire, done)) return ++wire.stats.garbage, false;
    }
    return true;
  }
  /// Reads into the span and the record of the load in front, and what is behind its value into the buffer.
  [[nodiscard]] ssize_t read(redis_wire& wire) noexcept {
    if (begin_ == end_) begin_ = end_ = 0;
    if (begin_ != 0 && end_ == sizeof in_) {
      std::memmove(in_, in_ + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    iovec parts[3];
    int n = 0;
    std::size_t wanted = 0;
    if (reading_ == reading::value) {
      redis_request& r = front(wire);
      wanted = sizeof r.record + wire.block_bytes - got_;
      const std::size_t in_record = got_ < sizeof r.record ? sizeof r.record - got_ : 0;
      if (in_record != 0) parts[n++] = {reinterpret_cast<char*>(&r.record) + got_, in_record};
      parts[n++] = {static_cast<char*>(r.payload) + (in_record != 0 ? 0 : got_ - sizeof r.record), wanted - in_record};
    }
    parts[n++] = {in_ + end_, sizeof in_ - end_};
    const ssize_t moved = ::readv(at_->fd, parts, n);
    if (moved <= 0) return moved;
    const std::size_t straight = static_cast<std::size_t>(moved) < wanted ? static_cast<std::size_t>(moved) : wanted;
    got_ += straight;
    end_ += static_cast<std::size_t>(moved) - straight;
    return moved;
  }
  /// Takes what was read apart; false at the first byte that is no answer to what was asked.
  template <class Done>
  [[nodiscard]] bool digest(redis_wire& wire, Done&& done) noexcept {
    for (;;) {
      if (reading_ == reading::value) {
        if (!take_value(wire)) return true;
        if (end_ - begin_ < 2) return true;
        if (in_[begin_] != '\r' || in_[begin_ + 1] != '\n') return false;
        begin_ += 2;
        reading_ = reading::line;
        finish({.what = wire.is_own(front(wire)) ? redis_answer::kind::whole : redis_answer::kind::damaged}, done);
      } else if (reading_ == reading::skip) {
        const std::size_t k = end_ - begin_ < got_ ? end_ - begin_ : got_;
        begin_ += k;
        got_ -= k;
        if (got_ != 0) return true;
        reading_ = reading::line;
        finish({.what = redis_answer::kind::damaged}, done);
      } else {
        if (begin_ == end_) return true;
        if (sent_ == front_) return false;  // nothing was asked yet
        const void* const newline = std::memchr(in_ + begin_, '\n', end_ - begin_);
        if (newline == nullptr) return end_ - begin_ != sizeof in_;
        const char* const line = in_ + begin_;
        const std::size_t n = static_cast<std::size_t>(static_cast<const char*>(newline) - line) + 1;
        begin_ += n;
        if (!take_line(wire, line, n, done)) return false;
      }
    }
  }
  [[nodiscard]] bool take_value(redis_wire& wire) noexcept {
    redis_request& r = front(wire);
    while (begin_ != end_ && got_ != sizeof r.record + wire.block_bytes) {
      const bool in_record = got_ < sizeof r.record;
      char* const to = in_record ? reinterpret_cast<char*>(&r.record) + got_
                                 : static_cast<char*>(r.payload) + got_ - sizeof r.record;
      const std::size_t room = (in_record ? sizeof r.record : sizeof r.record + wire.block_bytes) - got_;
      const std::size_t k = end_ - begin_ < room ? end_ - begin_ : room;
      std::memcpy(to, in_ + begin_, k);
      begin_ += k;
      got_ += k;
    }
    return got_ == sizeof r.record + wire.block_bytes;
  }
  template <class Done>
  [[nodiscard]] bool take_line(redis_wire& wire, const char* line, std::size_t n, Done&& done) noexcept {
    const redis_request& r = front(wire);
    const bool greeting = greets_;
    const bool leading = !greeting && r.asks && leading_ == 0;
    if (!greeting && !leading && r.verb == redis_verb::load && line[0] == '$' && line[1] != '-') {
      std::size_t length = 0;
      if (line[n - 2] != '\r' || !redis_text::number(line + 1, n - 3, most_value, length)) return false;
      const bool right = length == wire.phrases.value_bytes();
      reading_ = right ? reading::value : reading::skip;
      got_ = right ? 0 : length + 2;
      return true;
    }
    bool good = true;
    const bool tree = !greeting && !leading && r.verb == redis_verb::topology;
    const auto came = lines_.feed(at_->reader, line, n, tree, [&](const redis_answer& a) {
      if (greeting) {
        greets_ = false;
        good = a.what == redis_answer::kind::done;
      } else if (leading) {
        leading_ = 1;
        good = a.what == redis_answer::kind::done || a.what == redis_answer::kind::error;
      } else if (good = fits(r.verb, a.what); good) {
        finish(a, done);
      }
    });
    return good && came != redis_lines::got::garbage;
  }
  /// Is this a kind of answer that the verb can have?
  [[nodiscard]] static bool fits(redis_verb verb, redis_answer::kind what) noexcept {
    using kind = redis_answer::kind;
    if (what == kind::error) return true;
    switch (verb) {
      case redis_verb::load: return what == kind::absent;
      case redis_verb::store: return what == kind::done || what == kind::absent;
      case redis_verb::topology: return what == kind::tree;
      default: return what == kind::number;
    }
  }
  template <class Done>
  void finish(const redis_answer& a, Done&& done) noexcept {
    const std::uint32_t request = queue_[front_ & mask()];
    ++front_;
    leading_ = 0;
    got_ = 0;
    done(request, a);
  }

  static constexpr std::size_t most_value = std::size_t{1} << 29;  // no server takes more

  redis_address address_;
  circuit_breaker breaker_;
  redisContext* at_ = nullptr;
  redis_lines lines_;
  column<std::uint32_t> queue_;  // front_ .. sent_ wait for answers, sent_ .. back_ for the socket
  std::size_t front_ = 0, sent_ = 0, back_ = 0;
  std::uint64_t earliest_ = 0;
  std::size_t partial_ = 0;  // bytes of the request at sent_ that were written
  std::size_t greeted_ = 0;
  std::size_t got_ = 0;      // bytes of the value in front that arrived, or that are still to be skipped
  std::size_t leading_ = 0;
  bool greets_ = false;
  reading reading_ = reading::line;
  std::size_t begin_ = 0, end_ = 0;
  char in_[16 * 1024];
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
