#include <tokenheap/kv/tier_file.hpp>

#include <support/catch.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include <sys/wait.h>

#include "../kv/tier_suite.hpp"

using namespace tokenheap;
using namespace tokenheap::kv;
using namespace support;

namespace {

constexpr std::size_t block = 24 * KiB;
constexpr std::uint64_t names = 40;

file_tier_options at(const std::string& path) {
  return {.path = path.c_str(), .block_bytes = block, .max_bytes = 20 * (block + 8 * KiB), .key = {3, 4}};
}

// stores, loads and removes for ever, or until somebody ends it; leaves by a number if something is wrong
[[noreturn]] void live(const std::string& path, std::uint64_t seed) {
  auto t = file_tier<>::open(at(path));
  if (!t) ::_exit(3);
  std::mt19937_64 random(seed);
  std::vector<unsigned char> bytes(2 * block);
  for (;;) {
    const tier_key keys[2] = {key_of(random() % names), key_of(random() % names)};
    const tier_span spans[2] = {{bytes.data(), block}, {bytes.data() + block, block}};
    tier_answer out[2];
    fill_block(keys[0], bytes.data(), block);
    fill_block(keys[1], bytes.data() + block, block);
    t->complete_store(t->prepare_store(keys, spans, 2), random() % 8 != 0, out);
    if (random() % 4 == 0) t->remove(keys, 1);
  }
}

}  // namespace

TEST_CASE("a process that is killed at any point costs blocks, and never a wrong byte") {
  const char* const asked = std::getenv("TOKENHEAP_TEST_LONG");
  const int cycles = asked != nullptr ? 2000 : 500;
  const std::string path = "tier_kill." + std::to_string(::getpid());
  std::mt19937_64 random(11);
  std::uint64_t served = 0, torn = 0, most = 0;
  for (int cycle = 0; cycle != cycles; ++cycle) {
    CAPTURE(cycle);
    const std::uint64_t seed = random();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) live(path, seed);
    ::usleep(static_cast<useconds_t>(random() % 6000));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);

    auto t = file_tier<>::open(at(path));
    REQUIRE(t);
    REQUIRE(t->is_valid());
    torn += t->damaged_at_open();
    std::vector<tier_key> keys;
    for (std::uint64_t k = 0; k != names; ++k) keys.push_back(key_of(k));
    std::uint64_t hits = 0;
    for (const tier_answer a : load(*t, keys)) hits += a == tier_answer::hit;  // load compares every byte
    REQUIRE(hits == t->stats().recovered - t->stats().removed);
    REQUIRE(t->stats().lost == 0);
    served += hits;
    most = hits > most ? hits : most;
  }
  std::remove(path.c_str());
  std::printf("%d kills: %llu blocks served and compared, %llu slots torn\n", cycles,
              static_cast<unsigned long long>(served), static_cast<unsigned long long>(torn));
  CHECK(served > 0);
  CHECK(most > 8);
}
