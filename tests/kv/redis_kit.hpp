#pragma once

// Servers for the tests of the Redis tier: real ones that are started here, and one that answers what it is told to.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <hiredis/hiredis.h>

#include <support/catch.hpp>

namespace support {

/// A socket that listens on a port of its own on loopback.
struct listening {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::uint16_t port = 0;
  listening() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof at;
    const bool good = ::bind(fd, reinterpret_cast<sockaddr*>(&at), n) == 0 && ::listen(fd, 16) == 0 &&
                      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &n) == 0;
    if (good) port = ntohs(at.sin_port);
  }
  listening(const listening&) = delete;
  ~listening() { ::close(fd); }
};

inline std::string at_port(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

/// The path of a server's program; empty where there is none.
inline const std::string& redis_program() {
  static const std::string found = [] {
    for (const char* name : {"redis-server", "valkey-server"})
      for (const char* folder : {"/usr/bin/", "/usr/local/bin/", "/usr/sbin/"})
        if (::access((std::string(folder) + name).c_str(), X_OK) == 0) return std::string(folder) + name;
    return std::string();
  }();
  return found;
}
/// True, and says so, where no server can be started: a test case ends then.
inline bool no_redis() {
  static const bool none = redis_program().empty() && std::printf("SKIP: no redis-server or valkey-server here\n") > 0;
  return none;
}

/// A server in a folder of its own, killed at the end. It keeps nothing on disk but a cluster's table.
class redis_server {
 public:
  explicit redis_server(std::vector<std::string> more = {}) : more_(std::move(more)) {
    char name[] = "/tmp/tokenheap_redis_XXXXXX";
    if (::mkdtemp(name) != nullptr) folder_ = name;
    // a port that was free a moment ago may be taken by somebody else
    for (int tries = 0; tries != 5 && pid_ == 0; ++tries) {
      port_ = two_ports();
      start();
    }
    REQUIRE(pid_ != 0);
  }
  redis_server(const redis_server&) = delete;
  ~redis_server() {
    kill();
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string address() const { return at_port(port_); }
  void kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  /// Starts it, on the same port, and waits until it answers.
  void start() {
    const std::string port = std::to_string(port_);
    std::vector<std::string> words = {redis_program(), "--port", port, "--bind", "127.0.0.1", "--save", "",
                                      "--appendonly", "no", "--dir", folder_, "--logfile", folder_ + "/log"};
    words.insert(words.end(), more_.begin(), more_.end());
    std::vector<char*> raw;
    for (std::string& w : words) raw.push_back(w.data());
    raw.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execv(raw[0], raw.data());
      ::_exit(127);
    }
    for (int tries = 0; tries != 1000; ++tries) {
      if (const std::string said = say({"PING"}); said == "PONG" || said.find("AUTH") != std::string::npos) return;
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    kill();
    pid_ = 0;
  }
  void pause() const { ::kill(pid_, SIGSTOP); }
  void resume() const { ::kill(pid_, SIGCONT); }

  /// One command and its answer as text: numbers in digits, nil as "nil", a list as what is in it with blanks between.
  [[nodiscard]] std::string say(const std::vector<std::string>& words) const {
    redisContext* const c = redisConnectWithTimeout("127.0.0.1", port_, timeval{5, 0});
    std::string out = "no connection";
    if (c != nullptr && c->err == 0) {
      std::vector<const char*> text;
      std::vector<std::size_t> size;
      for (const std::string& w : words) text.push_back(w.data()), size.push_back(w.size());
      auto* const r = static_cast<redisReply*>(redisCommandArgv(c, static_cast<int>(words.size()), text.data(), size.data()));
      if (r != nullptr) out = text_of(*r), freeReplyObject(r);
    }
    if (c != nullptr) redisFree(c);
    return out;
  }

 private:
  static std::string text_of(const redisReply& r) {
    if (r.type == REDIS_REPLY_INTEGER) return std::to_string(r.integer);
    if (r.type == REDIS_REPLY_NIL) return "nil";
    if (r.type != REDIS_REPLY_ARRAY) return std::string(r.str, r.len);
    std::string out;
    for (std::size_t k = 0; k != r.elements; ++k) out += (k != 0 ? " " : "") + text_of(*r.element[k]);
    return out;
  }
  // a cluster's node takes the port 10,000 above its own too
  static std::uint16_t two_ports() {
    for (;;) {
      const listening l;
      if (l.port < 55'000) return l.port;
    }
  }

  std::vector<std::string> more_;
  std::string folder_;
  std::uint16_t port_ = 0;
  pid_t pid_ = 0;
};

/// Three nodes that share the slots out among them.
class redis_trio {
 public:
  redis_trio() {
    static constexpr std::array<const char*, 4> bounds = {"0", "5461", "10923", "16384"};
    for (std::size_t k = 0; k != 3; ++k)
      nodes[k] = std::make_unique<redis_server>(std::vector<std::string>{
          "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"});
    for (std::size_t k = 0; k != 3; ++k) {
      CHECK(nodes[k]->say({"CLUSTER", "ADDSLOTSRANGE", bounds[k], std::to_string(std::atoi(bounds[k + 1]) - 1)}) == "OK");
      CHECK(nodes[k]->say({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(k + 1)}) == "OK");
    }
    for (std::size_t k = 1; k != 3; ++k)
      CHECK(nodes[0]->say({"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes[k]->port())}) == "OK");
    wait_until([this] {
      for (const auto& n : nodes) {
        const std::string seen = n->say({"CLUSTER", "INFO"});
        if (seen.find("cluster_state:ok") == std::string::npos || seen.find("cluster_slots_assigned:16384") == std::string::npos)
          return false;
      }
      return true;
    });
  }
  template <class Is>
  static void wait_until(Is is) {
    bool good = false;
    for (int tries = 0; tries != 3000 && !(good = is()); ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    REQUIRE(good);
  }
  [[nodiscard]] std::string id(std::size_t k) const { return nodes[k]->say({"CLUSTER", "MYID"}); }

  std::array<std::unique_ptr<redis_server>, 3> nodes;
};

/// What a made-up server answers to one command.
struct made_up_answer {
  std::string bytes = {};
  bool close = false;
  std::size_t piece = ~std::size_t{0};  ///< most bytes at once
};

/// Answers each command as a function of its words, in a thread of its own.
class made_up_server {
 public:
  using words = std::vector<std::string>;
  explicit made_up_server(std::function<made_up_answer(const words&)> says)
      : says_(std::move(says)), thread_([this] { run(); }) {}
  made_up_server(const made_up_server&) = delete;
  ~made_up_server() {
    over_ = true;
    thread_.join();
  }
  [[nodiscard]] std::string address() const { return at_port(door_.port); }
  [[nodiscard]] std::uint16_t port() const { return door_.port; }
  [[nodiscard]] int guests() const { return accepted_; }

 private:
  struct guest {
    int fd;
    std::string came = {};
  };
  void run() {
    std::vector<guest> guests;
    while (!over_) {
      std::vector<pollfd> watched = {{door_.fd, POLLIN, 0}};
      for (const guest& g : guests) watched.push_back({g.fd, POLLIN, 0});
      ::poll(watched.data(), watched.size(), 5);
      for (std::size_t k = watched.size() - 1; k != 0; --k)
        if (watched[k].revents != 0 && !serve(guests[k - 1])) {
          ::close(guests[k - 1].fd);
          guests.erase(guests.begin() + static_cast<std::ptrdiff_t>(k) - 1);
        }
      if (watched[0].revents == 0) continue;
      guests.push_back({::accept4(door_.fd, nullptr, nullptr, SOCK_CLOEXEC)});
      const int on = 1;
      ::setsockopt(guests.back().fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ++accepted_;
    }
    for (const guest& g : guests) ::close(g.fd);
  }
  bool serve(guest& g) {
    char piece[65536];
    const ssize_t n = ::recv(g.fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    g.came.append(piece, static_cast<std::size_t>(n));
    for (words w; take_command(g.came, w); w.clear()) {
      const made_up_answer a = says_(w);
      for (std::size_t sent = 0; sent != a.bytes.size();) {
        const ssize_t moved = ::send(g.fd, a.bytes.data() + sent, std::min(a.piece, a.bytes.size() - sent), MSG_NOSIGNAL);
        if (moved <= 0) return false;
        sent += static_cast<std::size_t>(moved);
        if (a.piece != ~std::size_t{0}) std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
      if (a.close) return false;
    }
    return true;
  }
  static bool take_command(std::string& came, words& out) {
    std::size_t at = 0;
    const auto number = [&](char mark, std::size_t& n) {
      const std::size_t end = came.find("\r\n", at);
      if (end == std::string::npos || came[at] != mark) return false;
      n = static_cast<std::size_t>(std::atoll(came.c_str() + at + 1));
      at = end + 2;
      return true;
    };
    std::size_t n = 0;
    if (came.empty() || !number('*', n)) return false;
    for (; n != 0; --n) {
      std::size_t length = 0;
      if (at >= came.size() || !number('$', length) || at + length + 2 > came.size()) return out.clear(), false;
      out.push_back(came.substr(at, length));
      at += length + 2;
    }
    came.erase(0, at);
    return true;
  }

  std::function<made_up_answer(const words&)> says_;
  listening door_;
  std::atomic<bool> over_{false};
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

/// A clock that stands still until a test moves it.
struct still_clock {
  std::shared_ptr<std::uint64_t> at = std::make_shared<std::uint64_t>(1'000'000'000'000);
  [[nodiscard]] std::uint64_t now() const noexcept { return *at; }
};

}  // namespace support
