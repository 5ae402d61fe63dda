// A tree of limits: what a class, a model, a tenant and the whole process may hold together.
#pragma once

#include <atomic>

#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {

class budget;

/// What a node of a tree of budgets may hold, and whom it tells.
struct budget_options {
  const char* name = "budget";  ///< lives as long as the node
  budget* parent = nullptr;     ///< lives longer than the node; null: the root
  std::size_t hard = ~std::size_t{0};
  std::size_t soft = ~std::size_t{0};
  pressure_callback on_soft{};     ///< told once each time that the bytes held rise above `soft`
  pressure_callback on_refusal{};  ///< asked before a request is refused, from the leaf to the root
};

/// A node of a tree of hard and soft limits: what it admits counts here and at every node above.
///
/// Put one node for the process, one per tenant, one per model and one per class; pools sit under the leaves. It is a
/// limit policy: `with<budget>` makes the column's own leaf, and its `parent` says where that hangs. Without a column,
/// `charge` and `take_back` count by hand. For one limit and one thread `hard_limit` is cheaper.
///
/// Requires  that a node outlives its children. What a node still holds at its end is taken back from those above
/// Fails     a refused charge leaves every node as it was; `last_failure()` names the node that refused, and its numbers
/// Threads   safe. No hard limit is ever exceeded; while a charge that will be refused further up is under way, another
///           one may be refused for its sake. Callbacks run on the calling thread, outside every lock
/// Cost      O(depth): one atomic exchange at each node for a charge, one subtraction for a return
/// Example   examples/budget.cpp
class budget {
 public:
  using options = budget_options;
  static constexpr std::size_t unlimited = ~std::size_t{0};

  budget() noexcept = default;
  explicit budget(const options& with) noexcept
      : name_(with.name), parent_(with.parent), on_soft_(with.on_soft), on_refusal_(with.on_refusal),
        hard_(with.hard), soft_(with.soft) {
    if (parent_ != nullptr) parent_->children_.fetch_add(1, std::memory_order_relaxed);
  }
  budget(const budget&) = delete;
  budget& operator=(const budget&) = delete;
  ~budget() {
    TOKENHEAP_ASSERT(children_.load(std::memory_order_relaxed) == 0);
    if (parent_ == nullptr) return;
    if (const std::size_t left = held(); left != 0) parent_->take_back(left);
    parent_->children_.fetch_sub(1, std::memory_order_relaxed);
  }

  /// Counts bytes at this node and all above; false if one of them has no room. Asks and tells nobody: see `relieve`.
  [[nodiscard]] bool admit(std::size_t bytes) noexcept {
    const refusal no = add_to_path(bytes);
    if (no.at != nullptr) [[unlikely]] {
      const locked hold(lock_);
      last_ = failure_of(no, bytes);
      return false;
    }
    for (budget* n = this; n != nullptr; n = n->parent_) n->look();
    return true;
  }

  /// Counts bytes as `admit` does, asks the callbacks before it refuses, and tells of soft limits that were crossed.
  ///
  /// Returns   a failure that names the refusing node, with need, room and limit there; `errc::ok` if all is counted
  [[nodiscard]] failure charge(std::size_t bytes) noexcept {
    constexpr int max_tries = 16;
    refusal no = add_to_path(bytes);
    for (int tries = 0; no.at != nullptr && tries != max_tries && relieve(bytes, true); ++tries) no = add_to_path(bytes);
    if (no.at != nullptr) {
      const failure why = failure_of(no, bytes);
      const locked hold(lock_);
      return last_ = why;
    }
    for (budget* n = this; n != nullptr; n = n->parent_) n->look();
    static_cast<void>(relieve(bytes, false));
    return {};
  }

  /// Takes bytes that were admitted, charged or held off this node and all above.
  void take_back(std::size_t bytes) noexcept {
    for (budget* n = this; n != nullptr; n = n->parent_) n->subtract(bytes);
  }
  /// Counts bytes that are out already, above the limits too: what a growth in place was rounded up by.
  void hold(std::size_t bytes) noexcept {
    for (budget* n = this; n != nullptr; n = n->parent_) {
      n->held_.fetch_add(bytes);
      n->look();
    }
  }
  /// Tells of crossed soft limits from here to the root and, after a refusal, asks until one has made room.
  [[nodiscard]] bool relieve(std::size_t bytes, bool failed) noexcept {
    for (budget* n = this; n != nullptr; n = n->parent_) n->tell(bytes);
    if (!failed) [[likely]] return false;
    for (budget* n = this; n != nullptr; n = n->parent_)
      if (n->on_refusal_(bytes)) return true;
    return false;
  }

  /// Changes the limits of this node; what is held stays, and nothing more is given until it is below.
  void set_limits(std::size_t hard, std::size_t soft = unlimited) noexcept {
    hard_.store(hard, std::memory_order_relaxed);
    soft_.store(soft, std::memory_order_relaxed);
    over_.store(held() > soft);
  }

  [[nodiscard]] const char* name() const noexcept { return name_; }
  [[nodiscard]] budget* parent() const noexcept { return parent_; }
  [[nodiscard]] std::size_t held() const noexcept { return held_.load(std::memory_order_relaxed); }
  /// The most that was held, as seen right after an addition.
  [[nodiscard]] std::size_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t hard() const noexcept { return hard_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t soft() const noexcept { return soft_.load(std::memory_order_relaxed); }
  /// How often the soft limit was crossed upwards.
  [[nodiscard]] std::size_t crossings() const noexcept { return crossings_.load(std::memory_order_relaxed); }
  /// How often this node was the one that refused.
  [[nodiscard]] std::size_t refusals() const noexcept { return refusals_.load(std::memory_order_relaxed); }
  /// Bytes that this node and all above have room for. Cost: O(depth)
  [[nodiscard]] std::size_t room() const noexcept {
    std::size_t least = unlimited;
    for (const budget* n = this; n != nullptr; n = n->parent_) {
      const std::size_t here = n->hard() > n->held() ? n->hard() - n->held() : 0;
      if (here < least) least = here;
    }
    return least;
  }
  /// Why the last charge from this node was refused, here or above; `errc::ok` if none was.
  [[nodiscard]] failure last_failure() const noexcept {
    const locked hold(lock_);
    return last_;
  }

 private:
  /// The node that has no room, and its numbers at that moment.
  struct refusal {
    budget* at = nullptr;
    std::size_t available = 0;
    std::size_t limit = 0;
  };

  [[nodiscard]] bool add(std::size_t bytes, refusal& no) noexcept {
    std::size_t now = held_.load(std::memory_order_relaxed);
    do {
      const std::size_t most = hard();
      if (now > most || bytes > most - now) [[unlikely]] {
        no = {.at = this, .available = now < most ? most - now : 0, .limit = most};
        return false;
      }
    } while (!held_.compare_exchange_weak(now, now + bytes));
    return true;
  }
  [[nodiscard]] refusal add_to_path(std::size_t bytes) noexcept {
    refusal no;
    for (budget* n = this; n != nullptr; n = n->parent_) {
      if (n->add(bytes, no)) [[likely]] continue;
      for (budget* m = this; m != n; m = m->parent_) m->subtract(bytes);
      n->refusals_.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    return no;
  }
  void subtract(std::size_t bytes) noexcept {
    const std::size_t before = held_.fetch_sub(bytes);
    TOKENHEAP_ASSERT(before >= bytes);
    if (over_.load() && before - bytes <= soft()) [[unlikely]] over_.store(false);
  }
  /// Keeps the peak and notes a crossing, after bytes were added.
  void look() noexcept {
    const std::size_t now = held_.load();
    std::size_t most = peak();
    while (now > most && !peak_.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
    }
    if (now <= soft() || over_.load() || over_.exchange(true)) [[likely]] return;
    crossings_.fetch_add(1, std::memory_order_relaxed);
    pending_.store(true);
    // what went back in between would have found nothing to clear
    if (held_.load() <= soft()) over_.store(false);
  }
  void tell(std::size_t bytes) noexcept {
    // a plain read first: the exchange is paid only after a crossing
    if (!pending_.load(std::memory_order_relaxed)) [[likely]] return;
    if (pressure_callback::is_running() || !pending_.exchange(false)) return;
    static_cast<void>(on_soft_(bytes));
  }
  [[nodiscard]] static failure failure_of(const refusal& no, std::size_t bytes) noexcept {
    return {.code = errc::limit_reached, .pool = no.at->name_, .what = "bytes of a budget", .need = bytes,
            .available = no.available, .limit = no.limit, .fix = "raise this node's hard limit, or free what it holds"};
  }

  const char* name_ = "budget";
  budget* parent_ = nullptr;
  pressure_callback on_soft_{};
  pressure_callback on_refusal_{};
  std::atomic<std::size_t> hard_{unlimited};
  std::atomic<std::size_t> soft_{unlimited};
  std::atomic<std::size_t> held_{0};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::size_t> crossings_{0};
  std::atomic<std::size_t> refusals_{0};
  std::atomic<std::size_t> children_{0};
  std::atomic<bool> over_{false};
  std::atomic<bool> pending_{false};
  mutable spin_lock lock_;
  failure last_{};
};

static_assert(limit_policy<budget>);

}  // namespace v0
}  // namespace tokenheap
