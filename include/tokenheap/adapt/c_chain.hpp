// A chain of the C interface's tiers.
#pragma once

#include <tokenheap/adapt/c_tiers.hpp>
#include <tokenheap/kv/tiers.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A chain of C's tiers, which stay open as long as it does.
class c_chain final : public c_tier {
 public:
  using c_tier::c_tier;
  ~c_chain() override {
    {
      // somebody may look at one of its tiers now
      const locked hold(lock());
      held_.reset();
    }
    for (std::size_t k = 0; k != count_; ++k) static_cast<void>(tiers_[k]->attach(nullptr));
  }

  [[nodiscard]] failure open(c_tier* const* tiers, std::size_t n, kv::tier_chain_options with) noexcept {
    failure why{.code = errc::invalid_argument, .pool = name(), .what = "tiers of a chain", .need = n, .limit = most,
                .fix = "give 1 to 8 tiers"};
    if (n == 0 || n > most) return why;
    kv::tier_ref refs[most];
    for (std::size_t k = 0; k != n; ++k) {
      why.code = errc::in_use, why.fix = "give tiers that are in no chain, and that have no batch in flight";
      if (!tiers[k]->attach(this)) return why;
      tiers_[count_++] = tiers[k];
      refs[k] = tiers[k]->ref();
    }
    with.name = name();
    const locked hold(lock());
    result<kv::tier_chain<>> opened = kv::tier_chain<>::open(with, refs, n, heap_);
    if (opened) held_.emplace(static_cast<kv::tier_chain<>&&>(*opened));
    if (opened) refer(*held_);
    return opened.why();
  }

 private:
  static constexpr std::size_t most = kv::tier_chain<>::max_tiers;

  [[nodiscard]] bool source_done(kv::tier_ticket which) noexcept override { return held_->source_done(which); }

  host_source heap_;
  c_tier* tiers_[most] = {};
  std::size_t count_ = 0;
  std::optional<kv::tier_chain<>> held_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
