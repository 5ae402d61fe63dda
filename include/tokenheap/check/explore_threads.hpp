// Host threads as fibers: who may go on, who waits for a lock, and what each hook of a simulated device decides.
#pragma once

#include <cstring>

#include <tokenheap/check/explore_choices.hpp>
#include <tokenheap/check/fiber.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/device/sim_order.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {

/// How a run came to its end.
enum class run_end : std::uint8_t {
  finished,     ///< all threads have ended
  deadlock,     ///< every thread that has not ended waits for a lock
  no_progress,  ///< more points than allowed
};

/// Runs the threads of a scenario as fibers, one at a time, and asks a `choice_book` at every point what comes next.
///
/// The engine below `explore`. It is installed as the hooks of the process while a scenario lives; outside of its threads
/// (in the constructor of the scenario and in `check`) a hook decides nothing: queries are done, nothing fails.
///
/// Threads   not safe; one at a time in a process
class explored_threads {
 public:
  using body = void (*)(void* subject, unsigned thread) noexcept;

  explored_threads(choice_book& book, const explore_options& with) noexcept : book_(book), with_(with) {
    hooks_.user = this;
    hooks_.step = [](void* self, const char* what) noexcept { static_cast<explored_threads*>(self)->step(what); };
    hooks_.wait_for = [](void* self, const void*) noexcept { static_cast<explored_threads*>(self)->wait(); };
    hooks_.is_done = [](void* self) noexcept { return static_cast<explored_threads*>(self)->answer(); };
    hooks_.fault = [](void* self, sim_call call) noexcept { return static_cast<explored_threads*>(self)->fault(call); };
    hooks_.host_thread = [](void* self) noexcept { return static_cast<explored_threads*>(self)->current_; };
    before_ = set_sim_hooks(&hooks_);
  }
  ~explored_threads() { set_sim_hooks(before_); }
  explored_threads(const explored_threads&) = delete;
  explored_threads& operator=(const explored_threads&) = delete;

  /// Makes stacks for this many threads; false if the system has none, or there are too many.
  [[nodiscard]] bool open(unsigned threads) {
    if (threads == 0 || threads > choice_point::most) return false;
    count_ = threads;
    while (opened_ != threads) {
      lane& l = lanes_[opened_];
      if (!l.stack.open(with_.stack_bytes)) return false;
      l.owner = this;
      l.number = opened_++;
      l.stack.start(&live, &l);
    }
    return true;
  }

  /// Runs every thread of `subject` to its end, or to where none can go on.
  [[nodiscard]] run_end run(body life, void* subject) noexcept {
    life_ = life;
    subject_ = subject;
    preemptions_ = busy_ = faults_ = progress_ = 0;
    end_ = run_end::finished;
    for (unsigned k = 0; k != count_; ++k) lanes_[k].now = state::fresh;
    begin_threads();
    running_ = true;
    hand_over(home_);
    running_ = false;
    join_threads();
    // some are still in the middle of their lives: they get empty stacks
    if (end_ != run_end::finished)
      for (unsigned k = 0; k != count_; ++k) lanes_[k].stack.start(&live, &lanes_[k]);
    return end_;
  }

  [[nodiscard]] std::size_t faults() const noexcept { return faults_; }

  /// Who waits for a lock, as text: "0, 2".
  void waiting(text_buffer& out) const noexcept {
    const char* comma = "";
    for (unsigned k = 0; k != count_; ++k) {
      if (lanes_[k].now == state::waits) out << comma << std::size_t{k};
      if (lanes_[k].now == state::waits) comma = ", ";
    }
  }

  /// The number that hooks give for code outside of all threads.
  static constexpr unsigned outside = choice_point::most;

 private:
  enum class state : std::uint8_t { fresh, ready, waits, ended };
  struct lane {
    fiber stack;
    explored_threads* owner = nullptr;
    unsigned number = 0;
    state now = state::ended;
    bool at_start = false;           // no point passed yet: its first one belongs to the choice that started it
    std::size_t waits_since = 0;     // progress when it began to wait
    std::size_t at = 0;              // the last point that it came to
  };

  static void live(void* argument) noexcept {
    auto& l = *static_cast<lane*>(argument);
    for (;;) l.owner->live_once(l);
  }
  void live_once(lane& l) noexcept {
    l.at_start = true;
    l.now = state::ready;
    show("starts");
    life_(subject_, l.number);
    l.now = state::ended;
    ++progress_;
    show("ends");
    hand_over(l.stack);
  }

  // a simulated device takes the threads for made where the scenario was made: all know its work, none another's
  void begin_threads() noexcept {
    sim_order* const order = sim_order::newest();
    if (order == nullptr) return;
    const locked guard(order->lock());
    static_cast<void>(order->self());
    for (current_ = 0; current_ != count_; ++current_) static_cast<void>(order->self());
    current_ = outside;
  }
  // and for joined before they are judged
  void join_threads() noexcept {
    current_ = outside;
    sim_order* const order = sim_order::newest();
    if (order == nullptr) return;
    const locked guard(order->lock());
    order->host_barrier();
  }

  // ---- the hooks

  void step(const char* what) noexcept {
    if (!running_) return;
    ++progress_;
    lane& me = lanes_[current_];
    if (std::strcmp(what, "unlock") == 0) wake(progress_);
    if (!me.at_start) {
      choice_point p;
      p.add(current_);
      if (preemptions_ != with_.preemptions) add_others(p);
      me.at = book_.points();
      const unsigned next = choose(p);
      preemptions_ += static_cast<std::size_t>(next != me.number);
      go(me.stack, next);
    }
    me.at_start = false;
    show(what);
  }

  void wait() noexcept {
    TOKENHEAP_ASSERT(running_ && "a lock was left taken outside of the threads");
    lane& me = lanes_[current_];
    me.at_start = false;
    me.now = state::waits;
    me.waits_since = progress_;
    show("waits");
    hand_over(me.stack);
  }

  [[nodiscard]] bool answer() noexcept {
    if (!running_) return true;
    ++progress_;
    choice_point p;
    p.kind = choice_kind::answer;
    p.add(1);
    if (busy_ != with_.busy_answers) p.add(0);
    lanes_[current_].at = book_.points();
    const bool done = choose(p) != 0;
    busy_ += static_cast<std::size_t>(!done);
    show(done ? "done" : "busy");
    return done;
  }

  [[nodiscard]] device_error fault(sim_call call) noexcept {
    if (!running_) return device_error::ok;
    ++progress_;
    choice_point p;
    p.kind = choice_kind::fault;
    p.add(static_cast<unsigned>(device_error::ok));
    if (faults_ != with_.faults) {
      const fault_list list = with_.errors(call);
      for (unsigned k = 0; k != list.count; ++k) p.add(static_cast<unsigned>(list.errors[k]));
    }
    lanes_[current_].at = book_.points();
    const auto error = static_cast<device_error>(choose(p));
    if (error == device_error::ok) return error;
    ++faults_;
    show(to_text(error));
    return error;
  }

  // ---- who goes on

  [[nodiscard]] unsigned choose(const choice_point& p) noexcept {
    const unsigned chosen = book_.choose(p, current_);
    if (chosen != p.values[0]) decided_ = true;
    if (book_.points() > with_.points && current_ != outside) give_up(run_end::no_progress);
    return chosen;
  }

  void add_others(choice_point& p) const noexcept {
    for (unsigned k = 0; k != count_; ++k)
      if (k != current_ && lanes_[k].now <= state::ready) p.add(k);
  }

  // threads that began to wait before `now` may find their lock free
  bool wake(std::size_t now) noexcept {
    bool any = false;
    for (unsigned k = 0; k != count_; ++k) {
      if (lanes_[k].now != state::waits || lanes_[k].waits_since >= now) continue;
      lanes_[k].now = state::ready;
      any = true;
    }
    return any;
  }

  // the calling stack cannot go on: somebody else does, and if nobody can, the run is over
  void hand_over(fiber& from) noexcept {
    choice_point p;
    const unsigned me = current_;
    current_ = outside;
    add_others(p);
    // a lock of a kind that does not say "unlock" may have become free unseen
    if (p.count == 0 && wake(progress_)) add_others(p);
    if (p.count != 0) {
      current_ = me;
      return go(from, choose(p));
    }
    for (unsigned k = 0; k != count_; ++k)
      if (lanes_[k].now != state::ended) end_ = run_end::deadlock;
    from.switch_to(home_);
  }

  void go(fiber& from, unsigned next) noexcept {
    current_ = next;
    if (lanes_[next].now == state::fresh) lanes_[next].at = book_.points() - 1;
    if (&lanes_[next].stack != &from) from.switch_to(lanes_[next].stack);
  }

  void give_up(run_end why) noexcept {
    end_ = why;
    lanes_[current_].stack.switch_to(home_);
  }

  void show(const char* what) noexcept {
    if (with_.watch != nullptr) with_.watch(with_.user, {lanes_[current_].at, current_, what, decided_});
    decided_ = false;
  }

  choice_book& book_;
  const explore_options& with_;
  sim_hooks hooks_;
  const sim_hooks* before_ = nullptr;
  fiber home_;
  lane lanes_[choice_point::most];
  unsigned opened_ = 0;
  unsigned count_ = 0;
  unsigned current_ = outside;
  bool running_ = false;
  bool decided_ = false;  // a decision since the last step was not the default
  run_end end_ = run_end::finished;
  body life_ = nullptr;
  void* subject_ = nullptr;
  std::size_t preemptions_ = 0;
  std::size_t busy_ = 0;
  std::size_t faults_ = 0;
  std::size_t progress_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
