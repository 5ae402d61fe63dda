#include <tokenheap/adapt/c_handles.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace tokenheap;
using namespace tokenheap::adapt;

// opaque, as the handles of the interface are
struct thing_handle;
struct other_handle;

namespace {

std::atomic<int> things{0};
struct thing : c_object {
  static constexpr c_kind kind = c_kind::plan;
  static constexpr const char* what = "a thing";
  explicit thing(int n) : number(n) { ++things; }
  ~thing() override { --things; }
  int number;
};
struct other : c_object {
  static constexpr c_kind kind = c_kind::feed;
  static constexpr const char* what = "another";
};

}  // namespace

TEST_CASE("a handle finds its object until it is closed, and never again") {
  auto* const one = c_hand_out<thing_handle>(new thing(1));
  REQUIRE(one != nullptr);
  REQUIRE(c_find<thing>(one)->number == 1);
  REQUIRE(c_close<thing>(one, "one") == th_ok);
  REQUIRE(things == 0);
  REQUIRE(c_find<thing>(one) == nullptr);
  REQUIRE(c_last_reason().status == th_stale_handle);
  REQUIRE(c_close<thing>(one, "one") == th_stale_handle);
  auto* const two = c_hand_out<thing_handle>(new thing(2));
  REQUIRE(two != one);
  REQUIRE(c_find<thing>(one) == nullptr);
  REQUIRE(c_find<thing>(two)->number == 2);
  REQUIRE(c_close<thing>(two, "two") == th_ok);
}

TEST_CASE("null, an address, and a handle of another kind are told apart from one that was closed") {
  thing local(3);
  REQUIRE(c_find<thing>(static_cast<thing_handle*>(nullptr)) == nullptr);
  REQUIRE(c_last_reason().status == th_invalid_argument);
  REQUIRE(c_find<thing>(reinterpret_cast<thing_handle*>(&local)) == nullptr);
  REQUIRE(c_last_reason().status == th_foreign_pointer);
  REQUIRE(c_find<thing>(reinterpret_cast<thing_handle*>(~std::uintptr_t{0})) == nullptr);
  REQUIRE(c_last_reason().status == th_foreign_pointer);
  auto* const strange = c_hand_out<other_handle>(new other);
  REQUIRE(c_find<thing>(reinterpret_cast<thing_handle*>(strange)) == nullptr);
  REQUIRE(c_last_reason().status == th_foreign_pointer);
  REQUIRE(std::string(c_last_reason().what) == "a thing");
  REQUIRE(c_close<other>(strange, "other") == th_ok);
}

TEST_CASE("what others stand on cannot be closed") {
  auto* const one = c_hand_out<thing_handle>(new thing(1));
  c_find<thing>(one)->users = 2;
  REQUIRE(c_close<thing>(one, "one") == th_in_use);
  REQUIRE((c_last_reason().need == 2 && std::string(c_last_reason().pool) == "one"));
  c_find<thing>(one)->users = 0;
  REQUIRE(c_close<thing>(one, "one") == th_ok);
  REQUIRE(c_hand_out<thing_handle>(static_cast<thing*>(nullptr)) == nullptr);
  REQUIRE(c_last_reason().status == th_out_of_memory);
}

TEST_CASE("handles of threads never meet, and of all who close one at once a single one succeeds") {
  std::vector<std::thread> threads;
  std::vector<std::set<thing_handle*>> seen(4);
  std::atomic<int> wrong{0};
  for (std::size_t t = 0; t != seen.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round != 2000; ++round) {
        auto* const mine = c_hand_out<thing_handle>(new thing(round));
        const thing* const found = c_find<thing>(mine);
        wrong += found == nullptr || found->number != round || !seen[t].insert(mine).second;
        wrong += c_close<thing>(mine, "mine") != th_ok;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  REQUIRE(wrong == 0);
  std::set<thing_handle*> all;
  for (const auto& of : seen) all.insert(of.begin(), of.end());
  REQUIRE(all.size() == 8000);

  c_handles& table = c_handles::here();
  thing kept(5);
  const std::uint64_t handle = table.open(&kept, thing::kind);
  std::atomic<int> closed{0};
  threads.clear();
  for (int t = 0; t != 4; ++t) threads.emplace_back([&] { closed += table.close(handle); });
  for (std::thread& t : threads) t.join();
  REQUIRE(closed == 1);
}

TEST_CASE("threads that close one handle at once are told that it is over, and look at no object that has ended") {
  constexpr std::size_t rounds = 500, most = 4;
  std::vector<thing_handle*> handles(rounds);
  for (std::size_t k = 0; k != rounds; ++k) handles[k] = c_hand_out<thing_handle>(new thing(static_cast<int>(k)));
  std::atomic<std::size_t> ok{0}, stale{0}, looks{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t != most; ++t) {
    threads.emplace_back([&] {
      for (std::size_t k = 0; k != rounds; ++k) {
        const th_status got = c_close<thing>(handles[k], [&](thing& it, const char*& name) {
          looks += it.number == static_cast<int>(k);
          return name = "it", th_ok;
        });
        ok += got == th_ok, stale += got == th_stale_handle;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  REQUIRE((ok == rounds && looks == rounds && stale == (most - 1) * rounds));
  REQUIRE(things == 0);
}

TEST_CASE("who says that an object cannot end yet is heard, and nothing changes") {
  auto* const one = c_hand_out<thing_handle>(new thing(1));
  const auto no = [](thing&, const char*&) { return th_in_use; };
  REQUIRE(c_close<thing>(one, no) == th_in_use);
  REQUIRE((c_find<thing>(one) != nullptr && things == 1));
  REQUIRE(c_close<thing>(one, "one") == th_ok);
}
