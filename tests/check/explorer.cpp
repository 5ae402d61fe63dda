#include <tokenheap/check/explorer.hpp>

#include <support/catch.hpp>

#include <map>
#include <set>
#include <string>

using namespace tokenheap;

namespace {

// ---- a toy device and a toy lock, which ask the hooks as the real ones do

void step(const char* what) noexcept {
  const sim_hooks* const hooks = installed_sim_hooks();
  hooks->step(hooks->user, what);
}
bool query() noexcept {
  const sim_hooks* const hooks = installed_sim_hooks();
  return hooks->is_done(hooks->user);
}
device_error call(sim_call which) noexcept {
  const sim_hooks* const hooks = installed_sim_hooks();
  hooks->step(hooks->user, to_text(which));
  return hooks->fault(hooks->user, which);
}
unsigned self() noexcept {
  const sim_hooks* const hooks = installed_sim_hooks();
  return hooks->host_thread(hooks->user);
}

class toy_lock {
 public:
  explicit toy_lock(const char* left = "unlock") : left_(left) {}
  void lock() noexcept {
    step("lock");
    const sim_hooks* const hooks = installed_sim_hooks();
    while (taken_) hooks->wait_for(hooks->user, this);
    taken_ = true;
  }
  void unlock() noexcept {
    taken_ = false;
    step(left_);
  }

 private:
  const char* left_;
  bool taken_ = false;
};

// ---- scenarios

/// Threads that make so many steps and note the order of them.
struct steppers {
  unsigned threads = 2;
  int steps = 3;
  std::set<std::string>* orders = nullptr;
  std::string order;

  void run(unsigned thread) noexcept {
    for (int k = 0; k != steps; ++k) {
      step("step");
      order += static_cast<char>('a' + thread);
    }
  }
  const char* check() noexcept {
    if (orders != nullptr) orders->insert(order);
    return order.size() == threads * static_cast<std::size_t>(steps) ? nullptr : "a step was lost";
  }
};

auto make_steppers(unsigned threads, int steps, std::set<std::string>& orders) {
  return [=, &orders] { return steppers{threads, steps, &orders, {}}; };
}

std::size_t binomial(std::size_t n, std::size_t k) {
  std::size_t value = 1;
  for (std::size_t j = 1; j <= k; ++j) value = value * (n - k + j) / j;
  return value;
}

/// How often an order switches away from a thread that still has steps to make.
std::size_t preemptions_of(const std::string& order) {
  std::size_t count = 0;
  for (std::size_t k = 1; k < order.size(); ++k)
    count += static_cast<std::size_t>(order[k] != order[k - 1] && order.find(order[k - 1], k) != std::string::npos);
  return count;
}

/// Two threads add to a number by reading it and writing it back.
struct lost_update {
  unsigned threads = 2;
  int value = 0;
  void run(unsigned) noexcept {
    step("read");
    const int seen = value;
    step("write");
    value = seen + 1;
  }
  const char* check() noexcept { return value == 2 ? nullptr : "an update was lost"; }
};

/// The same under a lock.
struct kept_update {
  unsigned threads = 2;
  int value = 0;
  toy_lock lock{};
  void run(unsigned) noexcept {
    lock.lock();
    step("read");
    const int seen = value;
    step("write");
    value = seen + 1;
    lock.unlock();
  }
  const char* check() noexcept { return value == static_cast<int>(threads) ? nullptr : "an update was lost"; }
};

/// Two locks, taken in two orders.
struct embrace {
  unsigned threads = 2;
  toy_lock locks[2];
  void run(unsigned thread) noexcept {
    locks[thread].lock();
    locks[1 - thread].lock();
    locks[1 - thread].unlock();
    locks[thread].unlock();
  }
  const char* check() noexcept { return nullptr; }
};

}  // namespace

TEST_CASE("two threads of n steps have exactly binomial(2n, n) orders", "[check]") {
  for (int n = 0; n <= 7; ++n) {
    std::set<std::string> orders;
    const explore_report r = explore(make_steppers(2, n, orders));
    const std::size_t expected = binomial(2 * static_cast<std::size_t>(n), static_cast<std::size_t>(n));
    INFO("n = " << n << ": " << r.broken);
    // threads without a step still begin in one order or the other
    CHECK(r.schedules == (n == 0 ? 2 : expected));
    CHECK(orders.size() == expected);
    CHECK(r.complete);
    CHECK(r);
  }
}

TEST_CASE("three threads have the multinomial number of orders, each met once", "[check]") {
  std::set<std::string> orders;
  const explore_report r = explore(make_steppers(3, 3, orders));
  CHECK(r.schedules == 1680);  // 9! / (3!)^3
  CHECK(orders.size() == 1680);
  CHECK(r);
}

TEST_CASE("a bound on preemptions leaves exactly the orders within it", "[check]") {
  for (const unsigned threads : {2u, 3u}) {
    std::set<std::string> all;
    REQUIRE(explore(make_steppers(threads, threads == 2 ? 5 : 3, all)));
    std::map<std::size_t, std::size_t> with;
    for (const std::string& order : all) ++with[preemptions_of(order)];
    std::size_t expected = 0;
    for (std::size_t bound = 0; bound <= 8; ++bound) {
      std::set<std::string> orders;
      const explore_report r = explore(make_steppers(threads, threads == 2 ? 5 : 3, orders), {.preemptions = bound});
      expected += with[bound];
      INFO(threads << " threads, " << bound << " preemptions");
      CHECK(r.schedules == expected);
      CHECK(orders.size() == expected);
      for (const std::string& order : orders) CHECK(preemptions_of(order) <= bound);
      CHECK(r);
    }
    CHECK(expected == all.size());
  }
}

TEST_CASE("a lost update is found, with a schedule that shows it again", "[check]") {
  const explore_report r = explore<lost_update>();
  CHECK_FALSE(r);
  CHECK(r.violations == 1);
  CHECK(std::string(r.first_broken()) == "an update was lost");
  CHECK(r.schedule == "1:t1");  // after thread 0 has read, before it writes
  const explore_report again = replay<lost_update>(r.schedule.c_str());
  CHECK(again.schedules == 1);
  CHECK(again.broken == r.broken);
  CHECK(again.schedule == r.schedule);
  // its neighbours are sound: the finding hangs on this decision
  CHECK(replay<lost_update>("-"));
  CHECK(replay<lost_update>("0:t1"));
  CHECK(replay<lost_update>(""));
}

TEST_CASE("all violations are counted where that is asked for", "[check]") {
  const explore_report all = explore<lost_update>({.stop_after = explore_options::unlimited});
  CHECK(all.schedules == 6);
  CHECK(all.violations == 4);  // all but aabb and bbaa
  CHECK(all.complete);
  CHECK_FALSE(all);
  CHECK(explore<lost_update>({.preemptions = 0}));
}

TEST_CASE("a lock keeps updates, and a waiting thread is no choice", "[check]") {
  const explore_report r = explore<kept_update>();
  CHECK(r);
  CHECK(r.schedules > 2);
  const explore_report three = explore([] { return kept_update{.threads = 3}; }, {.preemptions = 3});
  CHECK(three);
  INFO(three.schedules);
  CHECK(three.schedules > r.schedules);
}

TEST_CASE("a deadlock is a violation with a schedule", "[check]") {
  const explore_report r = explore<embrace>();
  CHECK(r.broken == "deadlock: these threads wait for locks: 0, 1");
  REQUIRE_FALSE(r.schedule.empty());
  const explore_report again = replay<embrace>(r.schedule.c_str());
  CHECK(again.broken == r.broken);
  CHECK(explore<embrace>({.preemptions = 0}));
  const explore_report all = explore<embrace>({.stop_after = explore_options::unlimited});
  CHECK(all.complete);
  CHECK(all.violations > 1);
  CHECK(all.violations < all.schedules);
}

namespace {

/// A lock that says something else when it is left.
struct quiet_lock {
  unsigned threads = 3;
  int inside = 0;
  int most = 0;
  toy_lock lock{"left"};
  void run(unsigned) noexcept {
    lock.lock();
    if (++inside > most) most = inside;
    step("work");
    --inside;
    lock.unlock();
  }
  const char* check() noexcept { return most == 1 ? nullptr : "two at once"; }
};

/// Forgets to unlock.
struct left_locked {
  unsigned threads = 2;
  toy_lock lock{};
  void run(unsigned) noexcept { lock.lock(); }
  const char* check() noexcept { return nullptr; }
};

/// Polls until the device is done.
struct poller {
  unsigned threads = 1;
  int asked = 0;
  std::map<int, int>* seen = nullptr;
  void run(unsigned) noexcept {
    do {
      step("query_event");
      ++asked;
    } while (!query());
  }
  const char* check() noexcept { return (seen != nullptr && ++(*seen)[asked] > 1) ? "seen twice" : nullptr; }
};

/// Asks three queries.
struct asker {
  unsigned threads = 1;
  std::set<int>* seen = nullptr;
  int answers = 0;
  void run(unsigned) noexcept {
    for (int k = 0; k != 3; ++k) answers = 2 * answers + static_cast<int>(query());
  }
  const char* check() noexcept {
    seen->insert(answers);
    return answers == 5 ? "done, busy, done" : nullptr;
  }
};

}  // namespace

TEST_CASE("a lock that does not say unlock is waited for all the same", "[check]") {
  CHECK(explore<quiet_lock>({.preemptions = 2}));
  CHECK(explore<left_locked>({.preemptions = 2}).broken == "deadlock: these threads wait for locks: 1");
}

TEST_CASE("every outcome of open queries is tried", "[check]") {
  std::set<int> seen;
  const auto make = [&seen] { return asker{.seen = &seen}; };
  const explore_report r = explore(make, {.stop_after = explore_options::unlimited});
  CHECK(r.schedules == 8);
  CHECK(seen.size() == 8);
  CHECK(r.violations == 1);
  CHECK(r.schedule == "2:busy");  // point 0 chose the thread
  CHECK(replay(make, "2:busy").broken == "done, busy, done");
  seen.clear();
  CHECK(explore(make, {.busy_answers = 0}).schedules == 1);
  CHECK(seen == std::set<int>{7});
  CHECK(explore(make, {.busy_answers = 1, .stop_after = 9}).schedules == 4);
}

TEST_CASE("a run that never ends is a violation, and a bound on busy answers ends it", "[check]") {
  const explore_report endless = explore<poller>({.points = 1000});
  CHECK(endless.broken == "no progress: more than 1000 points; if a thread polls, set busy_answers");
  std::map<int, int> seen;
  const auto make = [&seen] { return poller{.seen = &seen}; };
  CHECK(explore(make, {.busy_answers = 6}));
  CHECK(seen.size() == 7);  // done at the 1st, ... 7th question
}

namespace {

/// Four calls of different kinds; keeps every combination of errors that it met.
struct failing {
  unsigned threads = 1;
  std::set<std::string>* met = nullptr;
  std::string errors{};
  void run(unsigned) noexcept {
    for (const sim_call c : {sim_call::allocate, sim_call::create_event, sim_call::record, sim_call::query_event}) {
      const device_error error = call(c);
      if (error != device_error::ok) errors += std::string(to_text(c)) + " " + to_text(error) + ";";
    }
  }
  const char* check() noexcept {
    met->insert(errors);
    return errors == "record failed;" ? "record must not fail" : nullptr;
  }
};

fault_list only_allocate(sim_call c) noexcept {
  return c == sim_call::allocate ? fault_list{{device_error::out_of_memory}, 1} : fault_list{};
}

}  // namespace

TEST_CASE("a sweep makes every call fail with every error", "[check]") {
  std::set<std::string> met;
  const auto make = [&met] { return failing{.met = &met}; };
  const explore_report none = explore(make);
  CHECK((none && none.schedules == 1 && none.faults == 0));
  const explore_report one = explore(make, {.faults = 1, .stop_after = 100});
  CHECK(one.schedules == 1 + 4 * 4);
  CHECK(one.faults == 16);
  CHECK(met.size() == 17);
  CHECK(met.count("allocate out of memory;") == 1);
  CHECK(met.count("record the driver is gone;") == 1);
  CHECK(one.violations == 1);
  // 0 the thread, 1 allocate, then a step and a call for each: 3, 5, 7
  CHECK(one.schedule == "5:failed");
  CHECK(replay(make, "5:failed").broken == "record must not fail");
  CHECK(replay(make, "5:unsupported"));
  CHECK(met.count("record unsupported;") == 1);

  met.clear();
  const explore_report two = explore(make, {.faults = 2, .stop_after = 100});
  CHECK(two.schedules == 1 + 16 + 6 * 16);
  CHECK(met.size() == two.schedules);
  met.clear();
  CHECK(explore(make, {.faults = 3, .errors = &only_allocate}).schedules == 2);
}

namespace {

/// Keeps a number from one run to the next.
struct remembers {
  unsigned threads = 2;
  int* runs = nullptr;
  void run(unsigned) noexcept {
    for (int k = 0; k != 3 + (*runs == 2); ++k) step("step");
  }
  const char* check() noexcept { return ++*runs, nullptr; }
};

struct crowd {
  unsigned threads = 17;
  void run(unsigned) noexcept {}
  const char* check() noexcept { return nullptr; }
};

struct outside_calls {
  unsigned threads = 2;
  unsigned numbers[3] = {};
  bool calm = true;
  outside_calls() {
    numbers[2] = self();
    step("constructor");
    calm = calm && query() && call(sim_call::allocate) == device_error::ok;
  }
  void run(unsigned thread) noexcept { numbers[thread] = self(); }
  const char* check() noexcept {
    step("check");
    calm = calm && query() && call(sim_call::allocate) == device_error::ok;
    const bool right = numbers[0] == 0 && numbers[1] == 1 && numbers[2] == self() && self() > 1;
    return calm && right ? nullptr : "a hook outside of the threads decided something";
  }
};

}  // namespace

TEST_CASE("a scenario that is not deterministic is told so", "[check]") {
  int runs = 0;
  const explore_report r = explore([&runs] { return remembers{.runs = &runs}; });
  CHECK(r.broken == "the scenario is not deterministic: the same decisions led to other choices");
  CHECK_FALSE(r.complete);
}

TEST_CASE("too many threads, and schedules that are none, are told so", "[check]") {
  CHECK(explore<crowd>().violations == 1);
  CHECK(replay<lost_update>("1:t7").broken == "the schedule does not fit the scenario: a decision was not possible at its point");
  CHECK(replay<lost_update>("99:t1").violations == 1);
  CHECK(replay<lost_update>("1:busy").violations == 1);
  for (const char* text : {"x", "1", "1:", ":t1", "1:t", "1:t1 1:t0", "2:t1 1:t1", "-1:t1", "1:out of memory", "1:t16"}) {
    INFO(text);
    const explore_report r = replay<lost_update>(text);
    CHECK(r.broken.rfind("the schedule has a word that is none", 0) == 0);
    CHECK(r.schedules == 0);
    CHECK_FALSE(r);
  }
}

TEST_CASE("hooks decide nothing outside of the threads, and those before come back", "[check]") {
  const sim_hooks mine{};
  const sim_hooks* const before = set_sim_hooks(&mine);
  const explore_report r = explore<outside_calls>({.faults = 2});
  CHECK(r.broken == "");
  CHECK(r);
  CHECK(installed_sim_hooks() == &mine);
  set_sim_hooks(before);
}

TEST_CASE("an exploration that is cut off is not complete", "[check]") {
  std::set<std::string> orders;
  const explore_report r = explore(make_steppers(2, 5, orders), {.schedules = 100});
  CHECK(r.schedules == 100);
  CHECK(orders.size() == 100);
  CHECK(r.violations == 0);
  CHECK_FALSE(r.complete);
  CHECK_FALSE(r);
  const explore_report exact = explore(make_steppers(2, 5, orders), {.schedules = 252});
  CHECK(exact);
}

namespace {

/// Breaks only if thread 1 runs between two given steps of thread 0, and thread 2 right after that.
struct deep {
  unsigned threads = 3;
  std::string order;
  void run(unsigned thread) noexcept {
    for (int k = 0; k != 40; ++k) {
      step("step");
      order += static_cast<char>('a' + thread);
    }
  }
  const char* check() noexcept { return order.find("aaabca") != std::string::npos ? "the order aaabca" : nullptr; }
};

}  // namespace

TEST_CASE("random schedules find what is too deep for all of them, and shorten it", "[check]") {
  const std::uint64_t seed = 2026;
  INFO("seed " << seed);
  const explore_report r = explore_random<deep>(seed, 100'000);
  REQUIRE(r.violations == 1);
  INFO(r.schedule);
  CHECK(r.broken == "the order aaabca");
  CHECK(replay<deep>(r.schedule.c_str()).broken == r.broken);
  std::vector<deviation> decisions;
  std::string wrong;
  REQUIRE(read_schedule(r.schedule.c_str(), decisions, wrong));
  CHECK(decisions.size() <= 4);
  const explore_report again = explore_random<deep>(seed, 100'000);
  CHECK(again.schedule == r.schedule);
  CHECK(again.schedules == r.schedules);
  CHECK(explore_random<kept_update>(seed, 2000));
  CHECK(explore_random<embrace>(seed, 2000).broken == "deadlock: these threads wait for locks: 0, 1");
}

namespace {

struct line_keeper {
  std::vector<std::string> lines;
  static void keep(void* user, const explore_step& s) noexcept {
    static_cast<line_keeper*>(user)->lines.push_back(std::to_string(s.point) + (s.decided ? "*" : " ") + "t" +
                                                     std::to_string(s.thread) + " " + s.what);
  }
};

}  // namespace

TEST_CASE("a replay shows every step in the order in which it happens", "[check]") {
  line_keeper keeper;
  const explore_report r = replay<lost_update>("1:t1", {.watch = &line_keeper::keep, .user = &keeper});
  CHECK_FALSE(r);
  CHECK(keeper.lines == std::vector<std::string>{"0 t0 starts", "0 t0 read", "1*t1 starts", "1 t1 read", "2 t1 write",
                                                 "2 t1 ends", "1 t0 write", "1 t0 ends"});
}

TEST_CASE("what is no scenario is refused", "[check]") {
  struct no_threads {
    void run(unsigned) noexcept {}
    const char* check() noexcept { return nullptr; }
  };
  struct may_throw {
    unsigned threads = 1;
    void run(unsigned) {}
    const char* check() noexcept { return nullptr; }
  };
  struct no_text {
    unsigned threads = 1;
    void run(unsigned) noexcept {}
    bool check() noexcept { return true; }
  };
  static_assert(scenario<lost_update> && scenario<steppers>);
  static_assert(!scenario<no_threads> && !scenario<may_throw> && !scenario<no_text>);
  static_assert(!makes_scenarios<lost_update>);
}
