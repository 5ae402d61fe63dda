#include <tokenheap/kv/tiers.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>

#include <cstdio>

#include <unistd.h>

#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/source/pinned.hpp>

#include "tier_suite.hpp"

using namespace tokenheap;
using namespace tokenheap::kv;
using namespace support;

namespace {

constexpr std::size_t block = 256;

struct scratch_file {
  std::string path = "tiers_test." + std::to_string(::getpid());
  ~scratch_file() { std::remove(path.c_str()); }
};

// host memory above a file, and a chain over both
struct two_tiers {
  scratch_file at;
  counting_source from;
  result<host_tier<counting_source>> host;
  result<file_tier<>> file;
  result<tier_chain<counting_source>> chain;

  explicit two_tiers(std::size_t blocks, const tier_chain_options& with = {})
      : host(host_tier<counting_source>::open({.block_bytes = block, .room = {.blocks = blocks}}, from)),
        file(file_tier<>::open({.path = at.path.c_str(), .block_bytes = block, .max_bytes = 65 * 4 * KiB})),
        chain(made(with)) {}
  result<tier_chain<counting_source>> made(const tier_chain_options& with) {
    REQUIRE(host);
    REQUIRE(file);
    const tier_ref both[] = {*host, *file};
    return tier_chain<counting_source>::open(with, both, 2, from);
  }
};

using device_tier = host_tier<pinned_source<sim_device>, device_copier<sim_device>>;
using device_chain = tier_chain<pinned_source<sim_device>, device_copier<sim_device>>;

}  // namespace

TEST_CASE("a chain is a tier: the suite holds, however it writes and whether it promotes") {
  for (const tier_write write : {tier_write::through, tier_write::on_eviction}) {
    for (const bool promote : {true, false}) {
      two_tiers t(4, {.write = write, .promote = promote});
      REQUIRE(t.chain);
      check_tier(*t.chain, {.shared = true});
      CHECK(t.host->stats().adds_up());
      CHECK(t.file->stats().adds_up());
    }
  }
}

TEST_CASE("written through, a block outlives the first tier and comes up again when it is loaded") {
  two_tiers t(2);
  REQUIRE(t.chain);
  for (std::uint64_t k = 0; k != 6; ++k) CHECK(store(*t.chain, {key_of(k)}) == all(1, tier_answer::hit));
  CHECK(t.host->stats().blocks == 2);
  CHECK(t.file->stats().blocks == 6);
  CHECK(lookup(*t.host, {key_of(0)}) == all(1, tier_answer::miss));
  CHECK(load(*t.chain, {key_of(0), key_of(5), key_of(77)}) ==
        std::vector{tier_answer::hit, tier_answer::hit, tier_answer::miss});
  CHECK(t.chain->chain_stats().promoted == 1);
  CHECK(lookup(*t.host, {key_of(0)}) == all(1, tier_answer::hit));
  CHECK(t.file->stats().stored == 6);
  CHECK(t.chain->is_valid());
}

TEST_CASE("written on eviction, the file gets a block once, before it leaves, and nothing is lost") {
  two_tiers t(4, {.write = tier_write::on_eviction});
  REQUIRE(t.chain);
  for (std::uint64_t k = 0; k != 4; ++k) store(*t.chain, {key_of(k)});
  CHECK(t.file->stats().stored == 0);
  for (std::uint64_t k = 4; k != 20; ++k) store(*t.chain, {key_of(k)});
  CHECK(t.file->stats().stored == 16);
  CHECK(t.chain->chain_stats().spilled == 16);
  std::vector<tier_key> keys;
  for (std::uint64_t k = 0; k != 20; ++k) keys.push_back(key_of(k));
  for (const tier_key& key : keys) CHECK(load(*t.chain, {key}) == all(1, tier_answer::hit));
  CHECK(t.host->stats().adds_up());
  CHECK(t.chain->is_valid());
}

TEST_CASE("with a threshold of two the first sighting is not stored, and the second is") {
  two_tiers t(4, {.threshold = 2});
  REQUIRE(t.chain);
  CHECK(store(*t.chain, {key_of(1), key_of(2)}) == all(2, tier_answer::miss));
  CHECK(t.host->stats().stores == 0);
  CHECK(store(*t.chain, {key_of(2), key_of(3)}) == std::vector{tier_answer::hit, tier_answer::miss});
  CHECK(t.chain->chain_stats().skipped == 3);
  CHECK(t.chain->stats().adds_up(true));
}

TEST_CASE("when the lower tier is damaged the chain misses, and goes on") {
  two_tiers t(2);
  REQUIRE(t.chain);
  for (std::uint64_t k = 0; k != 4; ++k) store(*t.chain, {key_of(k)});
  std::FILE* const f = std::fopen(t.at.path.c_str(), "r+b");
  REQUIRE(f != nullptr);
  std::fseek(f, 4096 + 100, SEEK_SET);
  std::fputc(0x5A, f);
  std::fclose(f);
  CHECK(load(*t.chain, {key_of(0), key_of(1)}) == std::vector{tier_answer::miss, tier_answer::hit});
  CHECK(t.file->stats().lost == 1);
  CHECK(store(*t.chain, {key_of(0)}) == all(1, tier_answer::hit));
  CHECK(load(*t.chain, {key_of(0)}) == all(1, tier_answer::hit));
}

TEST_CASE("device blocks go to pinned memory and a file and come back, and no timing of the device shows a race") {
  sim_machine machine({.backed = true});
  sim_device device = machine.device();
  const scratch_file at;
  {
    pinned_source<sim_device> pinned({.device = device});
    auto host = device_tier::open({.block_bytes = block, .room = {.blocks = 3}}, pinned, device_copier<sim_device>(device, 4));
    auto file = file_tier<>::open({.path = at.path.c_str(), .block_bytes = block, .max_bytes = 65 * 4 * KiB});
    REQUIRE(host);
    REQUIRE(file);
    const tier_ref both[] = {*host, *file};
    auto chain = device_chain::open({.staging = 4}, both, 2, pinned, device_copier<sim_device>(device));
    REQUIRE(chain);

    sim_device::stream compute{};
    void* memory = nullptr;
    void* bounce = nullptr;
    REQUIRE(device.create_stream(compute));
    REQUIRE(device.allocate(2 * block, memory));
    REQUIRE(device.allocate_pinned(block, bounce));
    const tier_span span{memory, block};
    tier_answer out{};
    const auto settle = [&](tier_ticket which) {
      CHECK(!chain->poll(which));  // time alone completes nothing
      for (int round = 0; round != 4 && !chain->poll(which); ++round) {
        (void)device.synchronize(host->copies().stream());
        (void)device.synchronize(chain->copies().stream());
      }
      REQUIRE(chain->poll(which));
    };
    for (std::uint64_t k = 0; k != 5; ++k) {
      const tier_key key = key_of(k);
      machine.host_writes(bounce, block);
      fill_block(key, bounce, block);
      REQUIRE(device.copy(memory, bounce, block, compute));
      REQUIRE(host->copies().after(compute));
      REQUIRE(chain->copies().after(compute));
      const tier_ticket which = chain->prepare_store(&key, &span, 1);
      REQUIRE(which);
      CHECK(!chain->source_done(which));
      settle(which);
      CHECK(chain->source_done(which));
      CHECK(chain->complete_store(which, true, &out) == 1);
      REQUIRE(device.synchronize(compute));
    }
    CHECK(file->stats().blocks == 5);
    CHECK(host->stats().blocks == 3);
    for (std::uint64_t k = 0; k != 5; ++k) {
      const tier_key key = key_of(k);
      REQUIRE(host->copies().after(compute));
      REQUIRE(chain->copies().after(compute));
      const tier_ticket which = chain->prepare_load(&key, &span, 1);
      REQUIRE(which);
      settle(which);
      CHECK(chain->complete_load(which, &out) == 1);
      REQUIRE(device.copy(bounce, memory, block, compute));
      REQUIRE(device.synchronize(compute));
      machine.host_reads(bounce, block);
      CHECK(std::memcmp(bounce, block_of(key, block).data(), block) == 0);
    }
    CHECK(chain->chain_stats().promoted >= 2);
    CHECK(chain->is_valid());
    CHECK(host->stats().adds_up());
    REQUIRE(device.destroy_stream(compute));
    REQUIRE(device.deallocate(memory));
    REQUIRE(device.deallocate_pinned(bounce));
  }
  char line[256] = "";
  if (machine.violations() != 0) machine.describe(0, line, sizeof line);
  INFO(line);
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}

TEST_CASE("a block that is overwritten while its store runs is a race that the simulated device names") {
  sim_machine machine;
  sim_device device = machine.device();
  pinned_source<sim_device> pinned({.device = device});
  auto host = device_tier::open({.block_bytes = block, .room = {.blocks = 3}}, pinned, device_copier<sim_device>(device));
  REQUIRE(host);
  sim_device::stream compute{};
  void* memory = nullptr;
  REQUIRE(device.create_stream(compute));
  REQUIRE(device.allocate(block, memory));
  const tier_key key = key_of(1);
  const tier_span span{memory, block};
  REQUIRE(device.launch_write(compute, memory, block));
  REQUIRE(host->copies().after(compute));
  tier_answer out{};
  const tier_ticket which = host->prepare_store(&key, &span, 1);
  CHECK(!host->poll(which));
  CHECK(host->complete_store(which, true, &out) == 0);  // the token says: not yet
  REQUIRE(device.launch_write(compute, memory, block));  // the pool gave it out too early
  CHECK(machine.violations() == 1);
  REQUIRE(device.synchronize(host->copies().stream()));
  CHECK(host->complete_store(which, true, &out) == 1);
  REQUIRE(device.synchronize(compute));
  REQUIRE(device.deallocate(memory));
  REQUIRE(device.destroy_stream(compute));
}

TEST_CASE("a stream can wait for one layer of a load and begin") {
  sim_machine machine;
  sim_device device = machine.device();
  pinned_source<sim_device> pinned({.device = device});
  auto host = device_tier::open({.block_bytes = block, .room = {.blocks = 3}}, pinned, device_copier<sim_device>(device, 4));
  REQUIRE(host);
  sim_device::stream compute{};
  void* memory = nullptr;
  REQUIRE(device.create_stream(compute));
  REQUIRE(device.allocate(block, memory));
  REQUIRE(device.fill(memory, 7, block, compute));
  const tier_key key = key_of(1);
  const tier_span span{memory, block};
  tier_answer out{};
  REQUIRE(host->copies().after(compute));
  const tier_ticket stored = host->prepare_store(&key, &span, 1);
  REQUIRE(device.synchronize(host->copies().stream()));
  CHECK(host->complete_store(stored, true, &out) == 1);
  REQUIRE(device.synchronize(compute));
  const tier_ticket loading = host->prepare_load(&key, &span, 1);
  const std::uint64_t mark = host->mark_of(loading);
  REQUIRE(host->copies().join(mark, 0, compute));
  REQUIRE(device.launch_read(compute, memory, block / 4));
  CHECK(machine.violations() == 0);
  REQUIRE(device.launch_read(compute, offset(memory, block / 4), block / 4));  // the second layer was not waited for
  CHECK(machine.violations() == 1);
  REQUIRE(device.synchronize(host->copies().stream()));
  CHECK(host->complete_load(loading, &out) == 1);
  REQUIRE(device.synchronize(compute));
  REQUIRE(device.deallocate(memory));
  REQUIRE(device.destroy_stream(compute));
}

TEST_CASE("a chain that cannot be says why") {
  counting_source from;
  auto one = host_tier<counting_source>::open({.block_bytes = 64, .room = {.blocks = 2}}, from);
  auto two = host_tier<counting_source>::open({.block_bytes = 128, .room = {.blocks = 2}}, from);
  const tier_ref both[] = {*one, *two};
  CHECK(tier_chain<counting_source>::open({}, both, 0, from).error() == errc::invalid_argument);
  CHECK(tier_chain<counting_source>::open({}, both, 2, from).error() == errc::invalid_argument);
  CHECK(tier_chain<counting_source>::open({}, both, 1, from));
}
