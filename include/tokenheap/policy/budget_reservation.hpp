// Bytes of a budget that are kept for one purpose before they are needed.
#pragma once

#include <tokenheap/policy/budget.hpp>

namespace tokenheap {
inline namespace v0 {

/// The node that a reservation takes from, and how much.
struct budget_reservation_options {
  budget* from = nullptr;  ///< lives longer than the reservation
  std::size_t bytes = 0;
};

/// Charges bytes of a budget in advance: what fits into the reservation is admitted whatever others take meanwhile.
///
/// For a request that must not stop halfway, and as `with<budget_reservation>` for a pool whose share is promised. It
/// counts in full at its node from the start to its end; its own bytes come and go without touching the tree.
///
/// Fails     a reservation that the tree refuses is closed: it admits nothing, and `why()` names the node
/// Threads   safe
/// Cost      O(depth) at its start and end; one atomic exchange in between
class budget_reservation {
 public:
  using options = budget_reservation_options;

  budget_reservation() noexcept = default;
  explicit budget_reservation(const options& with) noexcept {
    if (with.from == nullptr) return;
    why_ = with.from->charge(with.bytes);
    if (why_.code != errc::ok) return;
    from_ = with.from;
    amount_ = with.bytes;
    rest_ = with.bytes;
  }
  budget_reservation(const budget_reservation&) = delete;
  budget_reservation& operator=(const budget_reservation&) = delete;
  ~budget_reservation() {
    if (from_ != nullptr) from_->take_back(amount_);
  }

  [[nodiscard]] bool is_open() const noexcept { return from_ != nullptr; }
  /// Why the tree refused; `errc::ok` if it did not.
  [[nodiscard]] failure why() const noexcept { return why_; }

  [[nodiscard]] bool admit(std::size_t bytes) noexcept {
    std::size_t now = rest_.load(std::memory_order_relaxed);
    do {
      if (bytes > now || from_ == nullptr) return false;
    } while (!rest_.compare_exchange_weak(now, now - bytes, std::memory_order_relaxed));
    return true;
  }
  void take_back(std::size_t bytes) noexcept { rest_.fetch_add(bytes, std::memory_order_relaxed); }
  /// Counts bytes that are out already: the reservation grows by them, above the limits too.
  void hold(std::size_t bytes) noexcept {
    if (from_ == nullptr) return;
    from_->hold(bytes);
    amount_.fetch_add(bytes, std::memory_order_relaxed);
  }
  [[nodiscard]] bool relieve(std::size_t bytes, bool failed) noexcept {
    return from_ != nullptr && from_->relieve(bytes, failed);
  }

  /// Turns reserved bytes into bytes that the caller holds at the node, and takes back there; false if fewer are left.
  [[nodiscard]] bool hand_over(std::size_t bytes) noexcept {
    if (!admit(bytes)) return false;
    amount_.fetch_sub(bytes, std::memory_order_relaxed);
    return true;
  }

  [[nodiscard]] std::size_t amount() const noexcept { return amount_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t rest() const noexcept { return rest_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t held() const noexcept { return amount() - rest(); }

 private:
  budget* from_ = nullptr;
  std::atomic<std::size_t> amount_{0};
  std::atomic<std::size_t> rest_{0};
  failure why_{};
};

static_assert(limit_policy<budget_reservation>);

}  // namespace v0
}  // namespace tokenheap
