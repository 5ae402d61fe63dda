// Runs a scenario of host threads in every order, with every answer of a query and every fault, and shows the first that breaks.
#pragma once

#include <new>
#include <type_traits>

#include <tokenheap/check/explore_choices.hpp>
#include <tokenheap/check/explore_options.hpp>
#include <tokenheap/check/explore_threads.hpp>
#include <tokenheap/check/fiber.hpp>

namespace tokenheap {
inline namespace v0 {

template <class F>
concept makes_scenarios = requires(F& make) { requires scenario<std::remove_cvref_t<decltype(make())>>; };

/// Runs one schedule of a scenario after the other; what `explore`, `explore_random` and `replay` share.
template <makes_scenarios Make>
class exploration {
  using subject = std::remove_cvref_t<decltype(std::declval<Make&>()())>;

 public:
  exploration(Make& make, const explore_options& with) : make_(make), with_(with), threads_(book_, with_) {}
  exploration(const exploration&) = delete;
  exploration& operator=(const exploration&) = delete;
  ~exploration() { drop_room(); }

  [[nodiscard]] explore_report search() {
    book_.search();
    for (;;) {
      const bool sound = run();
      const bool more = sound && book_.next();
      report_.complete = sound && !more;
      if (!more || report_.violations >= with_.stop_after || report_.schedules >= with_.schedules) return report_;
    }
  }

  [[nodiscard]] explore_report walk(std::uint64_t seed, std::size_t runs) {
    const std::size_t changes = with_.preemptions < 3 ? with_.preemptions : 3;
    for (std::size_t k = 0; k != runs && report_.violations < with_.stop_after; ++k) {
      book_.walk(seed, k, changes, report_.longest == 0 ? 100 : report_.longest);
      run();
    }
    report_.complete = report_.schedules == runs;
    if (report_.violations != 0) shorten();
    return report_;
  }

  [[nodiscard]] explore_report follow(const char* schedule) {
    std::string wrong;
    if (!read_schedule(schedule, decisions_, wrong)) {
      report_.violations = 1;
      report_.broken = "the schedule has a word that is none: " + wrong;
      return report_;
    }
    book_.follow(decisions_);
    report_.complete = run();
    return report_;
  }

 private:
  /// One run, counted; false if it did not meet the choices that it was to repeat.
  bool run() {
    const char* const wrong = run_once();
    ++report_.schedules;
    report_.points += book_.points();
    report_.faults += threads_.faults();
    if (book_.points() > report_.longest) report_.longest = book_.points();
    if (wrong == nullptr) return true;
    if (++report_.violations == 1) {
      report_.broken = wrong;
      decisions_ = book_.made();
      report_.schedule = write_schedule(decisions_);
    }
    return sound_;
  }

  [[nodiscard]] const char* run_once() {
    book_.begin();
    if (room_ == nullptr) room_ = ::operator new(sizeof(subject), std::align_val_t{alignof(subject)});
    auto* const s = ::new (room_) subject(make_());
    if (!threads_.open(static_cast<unsigned>(s->threads))) {
      s->~subject();
      return sound_ = false, "a scenario has 1 to 16 threads, and the system must give stacks for them";
    }
    const run_end end = threads_.run([](void* p, unsigned k) noexcept { static_cast<subject*>(p)->run(k); }, s);
    const char* const wrong = judge(end, *s);
    if (end == run_end::finished) {
      s->~subject();
    } else {
      // threads that will never go on may be inside of it: it stays as it is
      fibers::leave_behind(room_);
      room_ = nullptr;
    }
    return wrong;
  }

  [[nodiscard]] const char* judge(run_end end, subject& s) noexcept {
    sound_ = book_.fits();
    if (!sound_) {
      return book_.follows() ? "the schedule does not fit the scenario: a decision was not possible at its point"
                             : "the scenario is not deterministic: the same decisions led to other choices";
    }
    text_buffer text(text_, sizeof text_);
    if (end == run_end::deadlock) {
      text << "deadlock: these threads wait for locks: ";
      threads_.waiting(text);
      return text_;
    }
    if (end == run_end::no_progress) {
      text << "no progress: more than " << with_.points << " points; if a thread polls, set busy_answers";
      return text_;
    }
    const char* const wrong = s.check();
    if (wrong == nullptr) return nullptr;
    text << wrong;
    return text_;
  }

  /// Leaves out every decision without which a run still breaks.
  void shorten() {
    for (std::size_t k = decisions_.size(); k-- != 0;) {
      std::vector<deviation> fewer = decisions_;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(k));
      book_.follow(fewer);
      const char* const wrong = run_once();
      if (wrong == nullptr || !sound_) continue;
      decisions_ = fewer;
      report_.broken = wrong;
    }
    report_.schedule = write_schedule(decisions_);
  }

  void drop_room() noexcept {
    if (room_ != nullptr) ::operator delete(room_, std::align_val_t{alignof(subject)});
  }

  Make& make_;
  const explore_options with_;
  choice_book book_;
  explored_threads threads_;
  explore_report report_;
  std::vector<deviation> decisions_;
  void* room_ = nullptr;
  bool sound_ = true;
  char text_[512] = {};
};

/// Runs a scenario under every schedule within the bounds, and reports the first that breaks, ready to be replayed.
///
/// A schedule is the order of the host threads at device calls and lock operations (every place where the code asks
/// `sim_hooks`), the outcome of every query that a simulated device leaves open, and which calls fail. The device's own
/// timings are not among them: a `sim_machine` judges all of them in one run. Each run makes its scenario afresh and is
/// deterministic, so a schedule is replayed by its text alone. Under `sim_lock` and a simulated device; not for code
/// that blocks in the system or races on plain memory: the threads are fibers of the calling thread.
///
/// Requires  a scenario that does the same when it decides the same: no time, no order by address, nothing kept
/// Returns   true if every schedule was run and none broke; `first_broken()` and `schedule` say what did
/// Fails     by a report: a deadlock, a run without end and a scenario that is not deterministic count as broken
/// Threads   not safe; one exploration at a time in a process
/// Cost      a schedule is the scenario and about 20 ns a point; their number grows with points to the power of preemptions
/// Example   examples/find_race.cpp
template <makes_scenarios Make>
[[nodiscard]] explore_report explore(Make make, const explore_options& with = {}) {
  return exploration<Make>(make, with).search();
}
template <scenario S>
[[nodiscard]] explore_report explore(const explore_options& with = {}) {
  return explore([] { return S(); }, with);
}

/// Runs a scenario under `runs` random schedules: for scenarios too deep for every one. The same seed draws the same.
///
/// Every other run gives the threads random priorities that change up to three times, which finds what needs few
/// switches; the others draw each choice alike. What is found is shortened to the decisions that it needs.
template <makes_scenarios Make>
[[nodiscard]] explore_report explore_random(Make make, std::uint64_t seed, std::size_t runs, const explore_options& with = {}) {
  return exploration<Make>(make, with).walk(seed, runs);
}
template <scenario S>
[[nodiscard]] explore_report explore_random(std::uint64_t seed, std::size_t runs, const explore_options& with = {}) {
  return explore_random([] { return S(); }, seed, runs, with);
}

/// Runs one schedule, as a report gave it; with `watch` set, every step of it is shown.
///
/// The text names decisions that differ from the default, by the number of their point: `12:t1` lets thread 1 go on,
/// `15:busy` answers a query with "not ready", `20:out_of_memory` makes a call fail. It does not depend on bounds.
template <makes_scenarios Make>
[[nodiscard]] explore_report replay(Make make, const char* schedule, explore_options with = {}) {
  with.preemptions = with.busy_answers = with.faults = explore_options::unlimited;
  return exploration<Make>(make, with).follow(schedule);
}
template <scenario S>
[[nodiscard]] explore_report replay(const char* schedule, const explore_options& with = {}) {
  return replay([] { return S(); }, schedule, with);
}

}  // namespace v0
}  // namespace tokenheap
