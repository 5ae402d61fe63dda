// All servers of a Redis or Valkey cluster, or the one there is: where a request goes, and where it goes next.
#pragma once

#include <memory>
#include <new>

#include <netdb.h>

#include <tokenheap/kv/redis_connection.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Sends each request to who serves its slot, follows MOVED and ASK, and keeps the table of slots up to date.
///
/// The machinery of `redis_tier`. Requests come from a pool of fixed size: `take` one, fill it in, `submit` it; its answer
/// comes out of `pump`, and then it is the caller's again, to be submitted once more or given back.
///
/// Fails     take and submit say no; every submitted request gets exactly one answer
/// Threads   not safe
class redis_servers {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// `list`: addresses with commas between; false if none can be read or resolved, or there is no memory.
  [[nodiscard]] bool open(const char* list, std::size_t requests, std::uint64_t patience, const breaker_options& breaker) noexcept {
    breaker_ = breaker;
    patience_ = patience;
    // one more than asked for: the table of slots is always to be had
    if (requests == 0 || requests > most_requests || !wire_.requests.open(requests + 1) || !spare_.open(requests + 1)) return false;
    for (; spare_count_ <= requests; ++spare_count_) spare_[spare_count_] = static_cast<std::uint32_t>(requests - spare_count_);
    connections_.reset(new (std::nothrow) std::unique_ptr<redis_connection>[slot_table::most_servers]);
    return connections_ != nullptr && read_list(list);
  }

  /// A request that nobody uses; `none` if all are in flight.
  [[nodiscard]] std::uint32_t take() noexcept { return spare_count_ > 1 ? spare_[--spare_count_] : none; }
  void give(std::uint32_t request) noexcept { spare_[spare_count_++] = request; }
  [[nodiscard]] std::size_t spare() const noexcept { return spare_count_ > 1 ? spare_count_ - 1 : 0; }
  [[nodiscard]] redis_request& operator[](std::uint32_t request) noexcept { return wire_.requests[request]; }

  /// Queues a request whose verb, key, payload and deadline are set; false, and no answer comes, where that cannot be.
  [[nodiscard]] bool submit(std::uint32_t request, std::uint64_t now) noexcept {
    redis_request& r = wire_.requests[request];
    char name[redis_names::most + 1];
    r.slot = redis_slot(name, wire_.phrases.names().write(r.key, name));
    r.redirects = 0;
    r.asks = r.sealed = false;
    const std::uint16_t server = table_.owner(r.slot);
    if (server == slot_table::no_server) wants_slots_ = true;
    return send(server, request, now);
  }

  /// Moves everything on as far as it goes without waiting; `done(request, answer)` for what is over.
  template <class Done>
  void pump(std::uint64_t now, Done&& done) noexcept {
    for (std::uint16_t k = 0; k < table_.servers(); ++k) {
      if (connections_[k] == nullptr || !connections_[k]->is_busy()) continue;
      connections_[k]->pump(wire_, now, [&](std::uint32_t request, const redis_answer& a) { settle(k, request, a, now, done); });
    }
    refresh(now);
  }

  [[nodiscard]] redis_wire& wire() noexcept { return wire_; }
  [[nodiscard]] const redis_wire& wire() const noexcept { return wire_; }
  [[nodiscard]] const slot_table& table() const noexcept { return table_; }
  /// What the breaker of a server thinks of it.
  [[nodiscard]] breaker_state state_of(std::uint16_t server) const noexcept {
    return connections_[server] == nullptr ? breaker_state::closed : connections_[server]->breaker().state();
  }
  template <class See>
  void each_in_flight(See&& see) const noexcept {
    for (std::uint16_t k = 0; k < table_.servers(); ++k)
      if (connections_[k] != nullptr) connections_[k]->each(see);
  }
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t in_flight = 0;
    each_in_flight([&](std::uint32_t) { ++in_flight; });
    for (std::uint16_t k = 0; k < table_.servers(); ++k)
      if (connections_[k] != nullptr && !connections_[k]->is_valid()) return false;
    return table_.is_valid() && spare_count_ <= spare_.size() && in_flight <= spare_.size() - spare_count_;
  }

 private:
  static constexpr std::size_t most_requests = std::size_t{1} << 20;
  static constexpr unsigned char most_redirects = 5;
  static constexpr std::uint64_t refresh_wait = 200'000'000;  // ns between two questions for the table

  [[nodiscard]] bool read_list(const char* list) noexcept {
    bool any = false;
    while (*list != '\0') {
      const std::size_t n = std::strcspn(list, ",");
      redis_address at;
      if (!read_address(list, n, at) || !resolve(at)) return false;
      if (!any && !table_.open(at)) return false;
      if (any && table_.add(at) == slot_table::no_server) return false;
      any = true;
      list += n + (list[n] == ',');
    }
    return any;
  }
  [[nodiscard]] static bool read_address(const char* text, std::size_t n, redis_address& out) noexcept {
    std::size_t colon = n;
    while (colon > 0 && text[colon - 1] != ':') --colon;
    std::size_t port = 0;
    if (colon < 2 || !redis_text::number(text + colon, n - colon, 65'536, port)) return false;
    const bool bracketed = text[0] == '[' && text[colon - 2] == ']';
    return out.assign(text + bracketed, colon - 1 - 2 * std::size_t{bracketed}, port) && out.host[0] != '\0';
  }
  /// Puts digits in the place of a name, once and for all: later that might wait.
  [[nodiscard]] static bool resolve(redis_address& at) noexcept {
    if (is_numeric(at)) return true;
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    char digits[redis_address::most + 1] = {};
    if (::getaddrinfo(at.host, nullptr, &wanted, &found) != 0) return false;
    const int failed = ::getnameinfo(found->ai_addr, found->ai_addrlen, digits, sizeof digits, nullptr, 0, NI_NUMERICHOST);
    ::freeaddrinfo(found);
    return failed == 0 && at.assign(digits, std::strlen(digits), at.port);
  }

  [[nodiscard]] redis_connection* connection(std::uint16_t server) noexcept {
    if (server == slot_table::no_server) return nullptr;
    std::unique_ptr<redis_connection>& c = connections_[server];
    if (c == nullptr) {
      c.reset(new (std::nothrow) redis_connection);
      if (c != nullptr && !c->open(table_.server(server), wire_.requests.size(), breaker_)) c.reset();
    }
    return c.get();
  }
  [[nodiscard]] bool send(std::uint16_t server, std::uint32_t request, std::uint64_t now) noexcept {
    redis_connection* const c = connection(server);
    if (c == nullptr || !c->allows(now)) return false;
    wire_.phrases.write(wire_.requests[request]);
    if (c->submit(wire_, request, now)) return true;
    wants_slots_ = true;
    return false;
  }

  /// The answer of a server: to us where it is a redirection or the table of slots, else to who asked.
  template <class Done>
  void settle(std::uint16_t server, std::uint32_t request, const redis_answer& a, std::uint64_t now, Done&& done) noexcept {
    using kind = redis_answer::kind;
    const redis_request& r = wire_.requests[request];
    circuit_breaker& breaker = connections_[server]->breaker();
    if (a.what == kind::lost) {
      wants_slots_ = wants_slots_ || is_cluster_;
    } else if (a.what == kind::error && is_server_down(a)) {
      breaker.failure(now);
      wants_slots_ = wants_slots_ || is_cluster_;
    } else {
      breaker.success();
    }
    if (r.verb == redis_verb::topology) return take_slots(server, request, a);
    if (a.what == kind::error && follow(server, request, a, now)) return;
    wire_.stats.damaged += a.what == kind::damaged;
    done(request, a);
  }
  [[nodiscard]] bool follow(std::uint16_t server, std::uint32_t request, const redis_answer& a, std::uint64_t now) noexcept {
    redis_redirect found = read_redirect(a.text, a.length);
    redis_request& r = wire_.requests[request];
    if (found.what == redis_redirect::kind::none || ++r.redirects > most_redirects) return false;
    if (found.to.host[0] == '\0') {
      const redis_address& asked = table_.server(server);
      if (!found.to.assign(asked.host, std::strlen(asked.host), found.to.port)) return false;
    }
    const std::uint16_t to = is_numeric(found.to) ? table_.add(found.to) : slot_table::no_server;
    r.asks = found.what == redis_redirect::kind::ask;
    if (!r.asks) {
      wants_slots_ = is_cluster_ = true;
      if (to != slot_table::no_server) table_.assign(found.slot, found.slot, to);
    }
    if (!send(to, request, now)) return false;
    ++wire_.stats.redirected;
    return true;
  }

  void refresh(std::uint64_t now) noexcept {
    if (!wants_slots_ || asking_ || (was_asked_ && now - asked_at_ < refresh_wait) || spare_count_ == 0) return;
    was_asked_ = true;
    asked_at_ = now;
    // another one each time: who was asked last may be the one that is gone
    for (std::uint16_t k = 0; k != table_.servers(); ++k) {
      const std::uint16_t server = static_cast<std::uint16_t>(next_++ % table_.servers());
      const std::uint32_t request = spare_[--spare_count_];
      wire_.requests[request] = redis_request{};
      wire_.requests[request].verb = redis_verb::topology;
      wire_.requests[request].deadline = now + patience_;
      if (asking_ = send(server, request, now); asking_) return;
      give(request);
    }
  }
  void take_slots(std::uint16_t server, std::uint32_t request, const redis_answer& a) noexcept {
    using kind = redis_answer::kind;
    asking_ = false;
    give(request);
    const bool alone = a.what == kind::error && !is_server_down(a);  // not part of a cluster
    const bool read = a.what == kind::tree && a.tree->elements != 0 && read_slots(*a.tree, table_.server(server), table_);
    is_cluster_ = is_cluster_ || read;
    wire_.stats.refreshed += read;
    wants_slots_ = !(alone || read);
  }

  redis_wire wire_;
  column<std::uint32_t> spare_;
  std::size_t spare_count_ = 0;
  slot_table table_;
  std::unique_ptr<std::unique_ptr<redis_connection>[]> connections_;
  breaker_options breaker_;
  std::uint64_t patience_ = 0;
  std::uint64_t asked_at_ = 0;
  std::size_t next_ = 0;
  bool was_asked_ = false;
  bool asking_ = false;
  bool wants_slots_ = true;
  bool is_cluster_ = false;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
