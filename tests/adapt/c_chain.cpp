#include <tokenheap/adapt/c_chain.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "c_kit.hpp"

using namespace tokenheap;
using namespace tokenheap::adapt;
using namespace c_kit;

TEST_CASE("a chain of C holds its tiers, and gives them back when it ends or cannot be opened") {
  host first("first", "", nullptr), second("second", "", nullptr);
  open(first, 4);
  open(second, 4);
  c_tier* both[] = {&first, &second};
  {
    c_chain chain("chain", "");
    REQUIRE(chain.open(both, 2, {}).code == errc::ok);
    REQUIRE((first.users == 1 && second.users == 1));
    c_chain other("other", "");
    REQUIRE(other.open(both, 2, {}).code == errc::in_use);
    REQUIRE((first.users == 1 && second.users == 1));
    std::size_t hits = 0;
    const th_block_name name = name_of(1);
    kv::tier_answer answer{};
    REQUIRE(first.lookup(&name, 1, &answer, hits) == th_in_use);
    REQUIRE(std::string(c_last_reason().pool) == "first");
  }
  REQUIRE((first.users == 0 && second.users == 0));
  {
    c_tier* twice[] = {&first, &first};
    c_chain chain("chain", "");
    REQUIRE(chain.open(twice, 2, {}).code == errc::in_use);
    REQUIRE(first.users == 1);
  }
  REQUIRE(first.users == 0);
  c_chain none("none", "");
  REQUIRE(none.open(both, 0, {}).code == errc::invalid_argument);
}

TEST_CASE("threads store and load through one chain of C, and whatever they get is theirs") {
  c_source_of<host_source, no_lock> heap(th_source_options{}, "heap", nullptr);
  {
    host first("first", "", &heap), second("second", "", &heap);
    open(first, 16, 64);
    open(second, 64, 64);
    c_tier* both[] = {&first, &second};
    c_chain chain("chain", "");
    REQUIRE(chain.open(both, 2, {}).code == errc::ok);
    std::atomic<int> wrong{0}, served{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t != 4; ++t) {
      threads.emplace_back([&, t] {
        unsigned char block[bytes];
        const th_block_span span{block, bytes};
        for (std::uint64_t round = 0; round != 300; ++round) {
          const th_block_name name = name_of(t * 1000 + round % 20);
          const auto mark = static_cast<unsigned char>(t * 20 + round % 20);
          const bool stores = round % 3 == 0;
          const c_tier::way way = stores ? c_tier::way::store : c_tier::way::load;
          std::memset(block, stores ? mark : 0xff, bytes);
          std::uint64_t ticket = 0;
          if (chain.prepare(way, &name, &span, 1, ticket) != th_ok) continue;
          for (bool done = false; !done;) wrong += chain.poll(ticket, false, done) != th_ok;
          kv::tier_answer answer{};
          std::size_t hits = 0;
          wrong += chain.complete(way, ticket, true, &answer, 1, hits) != th_ok;
          for (std::size_t k = 0; !stores && hits == 1 && k != bytes; ++k) wrong += block[k] != mark;
          served += !stores && hits == 1;
          wrong += !second.is_valid() || second.stats().blocks > 64;
        }
      });
    }
    for (std::thread& t : threads) t.join();
    REQUIRE(wrong == 0);
    REQUIRE(served > 100);
    REQUIRE((chain.is_valid() && chain.stats().adds_up(true) && chain.in_flight() == 0));
  }
  REQUIRE((heap.stats().bytes == 0 && heap.users == 0));
}

TEST_CASE("tiers of C may be looked at while a chain above them opens and ends") {
  host first("first", "", nullptr), second("second", "", nullptr);
  open(first, 4);
  open(second, 4);
  std::atomic<bool> over{false};
  std::atomic<std::size_t> wrong{0};
  std::thread looking([&] {
    while (!over) wrong += first.stats().capacity != 4 || !second.is_valid();
  });
  std::size_t opened = 0;
  for (int round = 0; round != 300; ++round) {
    auto* const chain = new c_chain("chain", "");
    c_tier* both[] = {&first, &second};
    opened += chain->open(both, 2, {}).code == errc::ok;
    delete chain;
  }
  over = true;
  looking.join();
  REQUIRE((opened == 300 && wrong == 0 && first.users == 0 && second.users == 0));
}
