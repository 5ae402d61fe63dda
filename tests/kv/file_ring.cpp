#if __has_include(<liburing.h>)
#include <tokenheap/kv/file_ring.hpp>

#include <support/catch.hpp>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/kv/tiers.hpp>

#include "tier_suite.hpp"

using namespace tokenheap;
using namespace tokenheap::kv;
using namespace support;

namespace {

constexpr std::size_t block = 9000;
constexpr std::size_t slot = 12 * KiB;
constexpr tier_limits patient{.patience = 2'000'000'000};  // a disk may take its time

using ring_tier = file_tier<file_ring>;

struct real_file {
  std::string path = "file_ring_test." + std::to_string(::getpid());
  ~real_file() { std::remove(path.c_str()); }
  [[nodiscard]] file_tier_options of(std::size_t blocks) const {
    return {.path = path.c_str(), .block_bytes = block, .max_bytes = 4 * KiB + blocks * slot};
  }
};
std::vector<tier_key> some(std::uint64_t n) {
  std::vector<tier_key> keys;
  for (std::uint64_t k = 0; k != n; ++k) keys.push_back(key_of(k));
  return keys;
}
std::size_t hits(const std::vector<tier_answer>& all) {
  std::size_t n = 0;
  for (const tier_answer a : all) n += a == tier_answer::hit;
  return n;
}

// false, and says so, where the kernel gives no ring: the rest is then tested over the calling thread
bool has_ring(const file_ring& ring) {
  if (!ring.has_ring()) WARN("no io_uring here (errno " << ring.refusal() << "): all is done in the calling thread");
  return ring.has_ring();
}

// the descriptor of the only ring of this process
int ring_descriptor() {
  int found = -1;
  DIR* const all = ::opendir("/proc/self/fd");
  if (all == nullptr) return -1;
  while (const dirent* one = ::readdir(all)) {
    char to[64] = {};
    if (::readlink((std::string("/proc/self/fd/") + one->d_name).c_str(), to, sizeof to - 1) < 0) continue;
    if (std::string(to).find("io_uring") != std::string::npos) found = std::atoi(one->d_name);
  }
  ::closedir(all);
  return found;
}

// from now on this process gets no ring, as in many containers
bool forbid_rings() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

TEST_CASE("a file tier over a ring keeps the contract, with room for one move or for many, durable or not") {
  for (const unsigned entries : {1u, 3u, 64u, 100'000u}) {
    for (const bool durable : {false, true}) {
      CAPTURE(entries, durable);
      const real_file at;
      file_tier_options with = at.of(6);
      with.durable = durable;
      auto t = ring_tier::open(with, file_ring({.entries = entries}));
      REQUIRE(t);
      (void)has_ring(t->calls());
      check_tier(*t, patient, durable ? 60 : 300);
      CHECK(t->calls().in_flight() == 0);
    }
  }
}

TEST_CASE("more batches may be out than a ring has room for, and they may end in any order") {
  const real_file at;
  auto t = ring_tier::open(at.of(40), file_ring({.entries = 8}));
  REQUIRE(t);
  std::vector<std::vector<unsigned char>> bytes;
  std::vector<tier_ticket> out;
  tier_answer answer{};
  for (const tier_key& k : some(40)) {
    bytes.push_back(block_of(k, block));
    const tier_span span{bytes.back().data(), block};
    out.push_back(t->prepare_store(&k, &span, 1));
    REQUIRE(out.back());
    CHECK(t->calls().in_flight() <= 8);
  }
  CHECK(t->stats().storing == 40);
  for (std::size_t k = 40; k-- != 0;) {  // the last first
    wait_for(*t, out[k], patient);
    CHECK(t->complete_store(out[k], true, &answer) == 1);
  }
  CHECK(hits(load(*t, some(40), patient)) == 40);
  CHECK(t->is_valid());
}

TEST_CASE("a file has the same bytes with a ring and without, and what is damaged or cut off is a miss") {
  const real_file with_ring, without;
  { REQUIRE(hits(store(*ring_tier::open(with_ring.of(4)), some(4), true, patient)) == 4); }
  { REQUIRE(hits(store(*file_tier<>::open(without.of(4)), some(4))) == 4); }
  {
    auto t = file_tier<>::open(with_ring.of(4));
    REQUIRE(t);
    CHECK(t->stats().recovered == 4);
    CHECK(t->damaged_at_open() == 0);
    CHECK(hits(load(*t, some(4))) == 4);
  }
  auto t = ring_tier::open(without.of(4));
  REQUIRE(t);
  CHECK(hits(load(*t, some(4), patient)) == 4);
  file_calls beside;
  int error = 0;
  const int fd = beside.open(without.path.c_str(), error);
  REQUIRE(fd >= 0);
  char wrong = 'x';
  REQUIRE(move_all<true>(beside, fd, {&wrong, 1}, {}, 4 * KiB + slot + 5000));  // in the second block
  REQUIRE(beside.truncate(fd, 4 * KiB + 3 * slot + 100));                       // in the fourth
  beside.close(fd);
  CHECK(load(*t, some(4), patient) == std::vector{tier_answer::hit, tier_answer::miss, tier_answer::hit, tier_answer::miss});
  CHECK(t->stats().lost == 2);
  CHECK(hits(store(*t, some(4), true, patient)) == 4);
  CHECK(hits(load(*t, some(4), patient)) == 4);
  CHECK(t->is_valid());
}

TEST_CASE("a file that cannot be written refuses stores over a ring, and goes on") {
  file_ring ring;
  (void)has_ring(ring);
  const real_file at;
  { REQUIRE(ring_tier::open(at.of(2))); }
  const int fd = ::open(at.path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  char bytes[2] = {};
  file_move writes{.first = {bytes, 1}, .second = {bytes + 1, 1}, .going = file_move::way::write};
  file_move reads{.first = {bytes, 1}, .second = {bytes + 1, 1}, .going = file_move::way::read};
  file_move past{.first = {bytes, 1}, .at = 1 * MiB, .going = file_move::way::read};
  file_move nothing{.going = file_move::way::read};
  file_move sync{.going = file_move::way::sync};
  for (file_move* m : {&writes, &reads, &past, &nothing, &sync}) REQUIRE(ring.start(fd, *m));
  while (ring.in_flight() != 0) ring.reap(fd);
  ::close(fd);
  CHECK(writes.is == file_move::state::failed);
  CHECK(reads.is == file_move::state::done);
  CHECK(past.is == file_move::state::failed);
  CHECK(nothing.is == file_move::state::done);
  CHECK(sync.is == file_move::state::done);
}

TEST_CASE("what the kernel cannot end yet is in flight, and nobody waits for it") {
  file_ring ring({.entries = 2});
  if (!has_ring(ring)) return;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  char first[2] = {}, second[3] = {};
  file_move reads{.first = {first, 2}, .second = {second, 3}, .going = file_move::way::read};
  file_move other{.first = {first, 2}, .going = file_move::way::read};
  REQUIRE(ring.start(ends[0], reads));
  for (int round = 0; round != 100; ++round) ring.reap(ends[0]);
  CHECK(reads.is == file_move::state::running);
  CHECK(ring.in_flight() == 1);
  REQUIRE(::write(ends[1], "abc", 3) == 3);
  while (!reads.is_over() && reads.is != file_move::state::waiting) ring.reap(ends[0]);
  CHECK(reads.is == file_move::state::waiting);  // three of five: the tier starts the rest
  CHECK(reads.moved == 3);
  REQUIRE(ring.start(ends[0], reads));
  REQUIRE(ring.start(ends[0], other));
  CHECK(!ring.start(ends[0], other));  // no room
  ring.reap(ends[0]);
  CHECK(ring.in_flight() == 2);
  REQUIRE(::write(ends[1], "dexy", 4) == 4);
  while (ring.in_flight() != 0) ring.reap(ends[0]);
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(reads.is == file_move::state::done);
  CHECK(other.is == file_move::state::done);
  CHECK(second[0] == 'c');
}

TEST_CASE("a tier under a chain may be over a ring") {
  const real_file at;
  {
    host_source heap;
    auto host = host_tier<>::open({.block_bytes = block, .room = {.blocks = 4}}, heap);
    auto file = ring_tier::open(at.of(64));
    REQUIRE(host);
    REQUIRE(file);
    const tier_ref both[] = {*host, *file};
    auto chain = tier_chain<>::open({}, both, 2, heap);
    REQUIRE(chain);
    check_tier(*chain, {.shared = true, .patience = patient.patience}, 200);
    CHECK(file->stats().adds_up());
    CHECK(file->stats().loading == 0);
  }
}

TEST_CASE("where rings are forbidden, or not asked for, or stop working, the calling thread does it all") {
  const real_file at;
  {
    auto t = ring_tier::open(at.of(6), file_ring({.entries = 0}));
    REQUIRE(t);
    CHECK(!t->calls().has_ring());
    CHECK(t->calls().refusal() == 0);
    check_tier(*t, {}, 50);
  }
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (!forbid_rings()) ::_exit(77);
    auto t = ring_tier::open(at.of(6));
    if (!t || t->calls().has_ring() || t->calls().refusal() != EPERM) ::_exit(1);
    ::_exit(hits(store(*t, some(3))) == 3 && hits(load(*t, some(3))) == 3 ? 0 : 2);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) WARN("no seccomp here: a kernel that forbids rings was not tried");
  else CHECK(WEXITSTATUS(status) == 0);

  auto t = ring_tier::open(at.of(6));
  REQUIRE(t);
  if (!has_ring(t->calls())) return;
  const int ring = ring_descriptor();
  const int other = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  REQUIRE(ring >= 0);
  REQUIRE(::dup2(other, ring) == ring);  // somebody closed a descriptor that was not his
  ::close(other);
  CHECK(hits(store(*t, some(4), true, patient)) == 4);
  CHECK(!t->calls().has_ring());
  CHECK(t->calls().refusal() != 0);
  CHECK(hits(load(*t, some(4))) == 4);
  CHECK(t->is_valid());
}

TEST_CASE("a ring that moved goes on, and one that ends waits for what it started") {
  const real_file at;
  file_calls beside;
  int error = 0;
  const int fd = beside.open(at.path.c_str(), error);
  REQUIRE(fd >= 0);
  std::vector<unsigned char> bytes = block_of(key_of(1), block);
  file_move writes{.second = {bytes.data(), block}, .going = file_move::way::write};
  {
    file_ring first;
    REQUIRE(first.start(fd, writes));
    file_ring second(static_cast<file_ring&&>(first));
    CHECK(!first.has_ring());
    CHECK(first.in_flight() == 0);
    second.reap(fd);
    file_ring third({.entries = 0});
    third = static_cast<file_ring&&>(second);
    CHECK(!second.has_ring());
  }
  CHECK(writes.is_over());
  std::vector<unsigned char> back(block);
  CHECK(move_all<false>(beside, fd, {back.data(), block}, {}, 0));
  CHECK(back == bytes);
  beside.close(fd);
}

#else
#include <support/catch.hpp>

TEST_CASE("a file tier over a ring was not tested") { WARN("no liburing here"); }
#endif
