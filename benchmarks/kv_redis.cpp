// Blocks of 1 MiB to and from a Redis server on loopback, beside a raw socket that copies the same bytes.
//
// The limit is one thread that writes a block into a socket and one that reads it into memory: what a shared tier would
// cost without a server, a protocol and a checksum. Times are of the wall, and the server is another process.

#include <benchmark/benchmark.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/kv/tier_redis.hpp>

namespace {

namespace kv = tokenheap::kv;

constexpr std::size_t block = kv::redis_payload(tokenheap::MiB);
constexpr std::size_t batch = 16;

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv_redis: %s\n", why);
  std::exit(1);
}

// a listening socket of loopback, and the port that it got
int listen_somewhere(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t n = sizeof at;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), n) != 0 || ::listen(fd, 1) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &n) != 0)
    fail("no socket");
  port = ntohs(at.sin_port);
  return fd;
}

struct server {
  std::uint16_t port = 0;
  pid_t pid = 0;

  server() {
    ::close(listen_somewhere(port));
    const std::string text = std::to_string(port);
    pid = ::fork();
    if (pid == 0) {
      const int nowhere = ::open("/dev/null", O_WRONLY);
      ::dup2(nowhere, STDOUT_FILENO);
      ::execlp("redis-server", "redis-server", "--port", text.c_str(), "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", nullptr);
      ::_exit(127);
    }
  }
  ~server() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  // there is a server only if it is still running after a moment
  bool is_up() const {
    for (int tries = 0; tries != 500; ++tries) {
      redisContext* const c = redisConnect("127.0.0.1", port);
      const bool good = c != nullptr && c->err == 0;
      if (c != nullptr) redisFree(c);
      if (good) return true;
      if (::waitpid(pid, nullptr, WNOHANG) == pid) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
};
server& running() {
  static server one;
  return one;
}

struct rows {
  std::vector<std::vector<unsigned char>> bytes{batch, std::vector<unsigned char>(block, 0x5A)};
  std::vector<kv::tier_key> keys;
  std::vector<kv::tier_span> spans;
  std::vector<kv::tier_answer> answers{batch};
  rows() {
    for (std::uint64_t k = 0; k != batch; ++k) {
      bytes[k][0] = static_cast<unsigned char>(k);
      keys.push_back({k * 0x9E3779B97F4A7C15u + 1, ~k, 0});
      spans.push_back({bytes[k].data(), block});
    }
  }
};

using tier = kv::redis_tier<>;
// each row begins with a server that has none of its blocks
tokenheap::result<tier> open_tier(bool keyed) {
  static int opened = 0;
  const std::string at = "127.0.0.1:" + std::to_string(running().port), prefix = "row" + std::to_string(++opened);
  return tier::open({.servers = at.c_str(),
                     .block_bytes = block,
                     .prefix = prefix.c_str(),
                     .key = keyed ? kv::siphash_key{3, 4} : kv::siphash_key{}});
}
// what was removed is gone when nothing is in flight any more
void remove_all(tier& t, rows& all) {
  t.remove(all.keys.data(), batch);
  for (std::size_t left = 1; left != 0;) {
    (void)t.poll({});
    left = 0;
    t.servers().each_in_flight([&](std::uint32_t) { ++left; });
  }
}

void count(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * batch * block));
}

void store(tier& t, rows& all, bool keep) {
  const kv::tier_ticket ticket = t.prepare_store(all.keys.data(), all.spans.data(), batch);
  while (!t.poll(ticket)) {}
  t.complete_store(ticket, keep, all.answers.data());
}
void load(tier& t, rows& all) {
  const kv::tier_ticket ticket = t.prepare_load(all.keys.data(), all.spans.data(), batch);
  while (!t.poll(ticket)) {}
  if (t.complete_load(ticket, all.answers.data()) != batch) fail("a load missed");
}

void redis_store(benchmark::State& state) {
  auto t = open_tier(state.range(0) != 0);
  if (!t || !running().is_up()) return state.SkipWithError("no redis-server");
  rows all;
  for (auto _ : state) {
    store(*t, all, true);
    state.PauseTiming();
    if (t->stats().refused + t->stats().present != 0) fail("a store was refused");
    remove_all(*t, all);
    state.ResumeTiming();
  }
  count(state);
}
void redis_load(benchmark::State& state) {
  auto t = open_tier(state.range(0) != 0);
  if (!t || !running().is_up()) return state.SkipWithError("no redis-server");
  rows all;
  store(*t, all, true);
  for (auto _ : state) load(*t, all);
  count(state);
  remove_all(*t, all);
}

void raw_socket_copy(benchmark::State& state) {
  std::uint16_t port = 0;
  const int door = listen_somewhere(port);
  const int to = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  if (::connect(to, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) fail("no connection");
  const int from = ::accept(door, nullptr, nullptr);
  // the reader says one byte back for each batch, as a server answers
  std::thread reader([from] {
    std::vector<unsigned char> into(batch * block);
    for (;;) {
      for (std::size_t got = 0; got != into.size();) {
        const ssize_t n = ::recv(from, into.data() + got, into.size() - got, 0);
        if (n <= 0) return;
        got += static_cast<std::size_t>(n);
      }
      if (::send(from, "+", 1, MSG_NOSIGNAL) != 1) return;
    }
  });
  rows all;
  for (auto _ : state) {
    for (const auto& bytes : all.bytes)
      for (std::size_t sent = 0; sent != block;) sent += static_cast<std::size_t>(::send(to, bytes.data() + sent, block - sent, 0));
    char done = 0;
    if (::recv(to, &done, 1, 0) != 1) fail("the reader is gone");
  }
  count(state);
  ::shutdown(to, SHUT_RDWR);
  reader.join();
  for (const int fd : {to, from, door}) ::close(fd);
}

BENCHMARK(raw_socket_copy)->UseRealTime();
BENCHMARK(redis_store)->ArgName("secret")->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(redis_load)->ArgName("secret")->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
