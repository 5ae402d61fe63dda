#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "doctor.hpp"

namespace program {
namespace {

void look_at_ring(const machine_files& files, std::vector<finding>& into) {
  finding f{.name = "io_uring", .state = finding_state::good, .value = "a ring can be opened"};
  constexpr long setup = 425;  // the same number on every architecture
  // struct io_uring_params, all zero: the kernel fills it in
  alignas(8) unsigned char parameters[120] = {};
  const long ring = ::syscall(setup, 4, &parameters[0]);
  f.numbers = {{"errno", ring < 0 ? errno : 0}};
  if (ring >= 0) {
    ::close(static_cast<int>(ring));
  } else {
    const auto switched_off = files.read_number("/proc/sys/kernel/io_uring_disabled");
    f.state = finding_state::missing;
    f.value = std::strerror(f.numbers["errno"].get<int>());
    f.cost = "the file tier reads and writes in the caller's thread: a step waits for the disk";
    f.fix = switched_off.value_or(0) != 0 ? "sudo sysctl kernel.io_uring_disabled=0"
                                          : "docker run --security-opt seccomp=unconfined    # or Linux 5.1 and later";
  }
  into.push_back(f);
}

/// A socket that is closed at the end.
class short_call {
 public:
  explicit short_call(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    if (socket_ < 0) return;
    ::sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<::sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS) return;
    int error = 0;
    ::socklen_t length = sizeof error;
    connected_ = ready(POLLOUT) && ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
  }
  short_call(const short_call&) = delete;
  short_call& operator=(const short_call&) = delete;
  ~short_call() {
    if (socket_ >= 0) ::close(socket_);
  }

  [[nodiscard]] bool connected() const { return connected_; }
  /// Sends a text and returns what comes back at once.
  [[nodiscard]] std::string ask(std::string_view text) const {
    if (::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<::ssize_t>(text.size())) return "";
    char reply[128];
    const ::ssize_t length = ready(POLLIN) ? ::recv(socket_, reply, sizeof reply, 0) : 0;
    return length > 0 ? std::string(reply, static_cast<std::size_t>(length)) : "";
  }

 private:
  [[nodiscard]] bool ready(short what) const {
    ::pollfd wait{.fd = socket_, .events = what, .revents = 0};
    return ::poll(&wait, 1, 200) == 1;
  }

  int socket_;
  bool connected_ = false;
};

void look_at_redis(std::uint16_t port, std::vector<finding>& into) {
  finding f{.name = "redis"};
  f.numbers = {{"address", fmt::format("127.0.0.1:{}", port)}};
  const short_call call(port);
  const std::string reply = call.connected() ? call.ask("PING\r\n") : "";
  if (reply.compare(0, 5, "+PONG") == 0) {
    f.state = finding_state::good;
    f.value = fmt::format("answers at 127.0.0.1:{}", port);
  } else if (reply.compare(0, 7, "-NOAUTH") == 0) {
    f.state = finding_state::limited;
    f.value = fmt::format("answers at 127.0.0.1:{}, and wants a password", port);
    f.cost = "a Redis tier without the password stays empty";
    f.fix = "redis_tier_options{.password = \"...\"}";
  } else {
    f.state = finding_state::missing;
    f.value = fmt::format("{} at 127.0.0.1:{}", call.connected() ? "no Redis answers" : "nobody listens", port);
    f.cost = "blocks that leave memory are not shared with other processes: their prompts are computed again";
    f.fix = fmt::format("redis-server --port {} --save '' --daemonize yes", port);
  }
  into.push_back(f);
}

}  // namespace

void look_at_services(const machine_files& files, std::uint16_t redis_port, std::vector<finding>& into) {
  look_at_ring(files, into);
  look_at_redis(redis_port, into);
}

}  // namespace program
