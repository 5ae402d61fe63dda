#include <tokenheap/device/sim_lock.hpp>

#include <support/catch.hpp>

#include <string>
#include <thread>
#include <vector>

#include <tokenheap/check/policy_contract.hpp>
#include <tokenheap/device/sim.hpp>

#include <support/verdict.hpp>

using namespace tokenheap;

namespace {

struct schedule {
  std::vector<std::string> steps;
  sim_lock<>* to_unlock = nullptr;
  unsigned thread = 0;
};

void step(void* user, const char* what) noexcept { static_cast<schedule*>(user)->steps.emplace_back(what); }
void wait_for(void* user, const void* lock) noexcept {
  auto& s = *static_cast<schedule*>(user);
  s.steps.emplace_back(lock == s.to_unlock ? "wait" : "wait for another");
  // the holder runs on, on its own thread
  const unsigned waiting = std::exchange(s.thread, 1u);
  s.to_unlock->unlock();
  s.thread = waiting;
}
unsigned host_thread(void* user) noexcept { return static_cast<schedule*>(user)->thread; }

}  // namespace

TEST_CASE("a lock without hooks keeps others out", "[device][threads]") {
  const bool with_machine = GENERATE(false, true);
  const auto machine = with_machine ? std::make_unique<sim_machine>() : nullptr;
  sim_lock<> spin;
  REQUIRE_CONTRACT(check_lockable(spin));
  sim_lock<mutex_lock> mutex;
  REQUIRE_CONTRACT(check_lockable(mutex));
}

TEST_CASE("a scheduler is asked before a lock is taken, while it is taken, and after it is left", "[device]") {
  schedule s;
  const sim_hooks hooks{.user = &s, .step = step, .wait_for = wait_for, .host_thread = host_thread};
  set_sim_hooks(&hooks);
  sim_lock<> lock;
  s.to_unlock = &lock;
  lock.lock();
  lock.lock();  // waits until the hook has unlocked
  lock.unlock();
  set_sim_hooks(nullptr);
  REQUIRE(s.steps == std::vector<std::string>{"lock", "lock", "wait", "unlock", "unlock"});
}

TEST_CASE("a lock orders what two host threads did to pinned memory", "[device]") {
  const bool locks = GENERATE(false, true);
  schedule s;
  const sim_hooks hooks{.user = &s, .host_thread = host_thread};
  set_sim_hooks(&hooks);
  {
    sim_machine machine;
    sim_device d = machine.device();
    void* p = nullptr;
    REQUIRE(d.allocate_pinned(64, p));
    s.thread = 1;
    machine.host_reads(p, 0);  // thread 1 is known from here
    int ordinal = 0;
    REQUIRE(d.current(ordinal));
    s.thread = 0;
    sim_lock<> lock;
    if (locks) lock.lock();
    machine.host_writes(p, 64);
    if (locks) lock.unlock();
    s.thread = 1;
    if (locks) lock.lock();
    machine.host_writes(p, 64);
    if (locks) lock.unlock();
    REQUIRE(machine.violations() == (locks ? 0 : 1));
    REQUIRE(d.deallocate_pinned(p));
  }
  set_sim_hooks(nullptr);
}
