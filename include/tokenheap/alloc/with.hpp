// A policy as a layer: where it stands in the column says what it sees.
#pragma once

#include <concepts>
#include <type_traits>

#include <tokenheap/alloc/ledger.hpp>
#include <tokenheap/alloc/over.hpp>
#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a policy takes at construction; void if it takes nothing.
template <class P>
struct own_options_of {
  using type = void;
};
template <has_options P>
struct own_options_of<P> {
  using type = typename P::options;
};

/// Keeps a policy and finds policies for `mem.policy<P>()`; what every `with<P>` is made of.
template <source Below, class P>
class policy_floor : public over<Below> {
 public:
  template <class... Options>
  constexpr explicit policy_floor(const Options&... given)
    requires has_options<P>
      : over<Below>(given...), policy_(pick_option<typename P::options>(given...)) {}
  template <class... Options>
  constexpr explicit policy_floor(const Options&... given)
    requires(!has_options<P>)
      : over<Below>(given...) {}

  using own_options = typename own_options_of<P>::type;

  template <class Wanted>
  [[nodiscard]] auto& policy() noexcept {
    if constexpr (std::same_as<Wanted, P>) {
      return policy_;
    } else {
      return this->below_.template policy<Wanted>();
    }
  }
  template <class Wanted>
  [[nodiscard]] const auto& policy() const noexcept {
    if constexpr (std::same_as<Wanted, P>) {
      return policy_;
    } else {
      return this->below_.template policy<Wanted>();
    }
  }

 protected:
  ~policy_floor() = default;

  TOKENHEAP_NO_UNIQUE_ADDRESS mutable P policy_;
};

/// Puts one policy into a column: a lock, counters, a limit, a guard or a trace.
///
/// Example   struct staging : layered<host_source, with<hard_limit>, arena<>, slab<>, with<spin_lock>> {};
template <column_policy P>
struct with;

/// Puts everything below under one lock. Nothing of the user's runs while it is held.
///
/// Threads   safe for every call that it passes on
template <lockable P>
struct with<P> {
  template <source Below>
  class on : public policy_floor<Below, P> {
   public:
    using layer = with<P>;
    using policy_floor<Below, P>::policy_floor;

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      const locked hold(this->policy_);
      return this->below_.allocate(bytes, alignment);
    }
    void deallocate(allocation a) noexcept {
      const locked hold(this->policy_);
      this->below_.deallocate(a);
    }
    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept
      requires growable<Below>
    {
      const locked hold(this->policy_);
      return this->below_.try_grow(a, bytes);
    }
    void reset() noexcept
      requires resettable<Below>
    {
      const locked hold(this->policy_);
      this->below_.reset();
    }
    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept
      requires trimmable<Below>
    {
      const locked hold(this->policy_);
      return this->below_.trim(keep);
    }
    [[nodiscard]] bool owns(const void* p) const noexcept
      requires owner<Below>
    {
      const locked hold(this->policy_);
      return this->below_.owns(p);
    }
    [[nodiscard]] bool is_valid() const noexcept
      requires self_checking<Below>
    {
      const locked hold(this->policy_);
      return this->below_.is_valid();
    }
  };
};

/// Counts what passes: calls, bytes, failures.
template <stats_policy P>
struct with<P> {
  template <source Below>
  class on : public policy_floor<Below, P> {
    struct no_ledger {};

   public:
    using layer = with<P>;
    using policy_floor<Below, P>::policy_floor;

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      if constexpr (remembers_requests<P>) {
        if (!requests_.reserve_one()) return refuse(bytes);
      }
      const allocation a = this->below_.allocate(bytes, alignment);
      if (!a) return refuse(bytes);
      if constexpr (remembers_requests<P>) requests_.insert(a.data, bytes, a.size);
      this->policy_.on_allocate(bytes, a.size);
      return a;
    }
    void deallocate(allocation a) noexcept {
      if (!a) return;
      std::size_t requested = 0;
      if constexpr (remembers_requests<P>) {
        const ledger_entry* const known = requests_.find(a.data);
        if (known == nullptr || known->is() != ledger_entry::state::live) return this->below_.deallocate(a);
        requested = known->requested;
        a.size = known->granted;
        requests_.mark(a.data, ledger_entry::state::gone);
      }
      this->policy_.on_deallocate(requested, a.size);
      this->below_.deallocate(a);
    }
    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept
      requires growable<Below>
    {
      const allocation before = a;
      std::size_t requested = 0;
      if constexpr (remembers_requests<P>) {
        const ledger_entry* const known = requests_.find(a.data);
        if (known == nullptr || known->is() != ledger_entry::state::live) return false;
        requested = known->requested;
      }
      if (!this->below_.try_grow(a, bytes)) return false;
      // what was large enough before did not grow, and is not counted
      if (bytes <= (remembers_requests<P> ? requested : before.size)) return true;
      if constexpr (remembers_requests<P>) requests_.set_sizes(a.data, bytes, a.size);
      this->policy_.on_deallocate(requested, before.size);
      this->policy_.on_allocate(bytes, a.size);
      return true;
    }
    void reset() noexcept
      requires resettable<Below>
    {
      if constexpr (remembers_requests<P>) requests_.clear();
      this->policy_.on_reset();
      this->below_.reset();
    }
    [[nodiscard]] bool is_valid() const noexcept
      requires self_checking<Below>
    {
      if constexpr (remembers_requests<P>) {
        if (!requests_.is_valid()) return false;
      }
      return this->below_.is_valid();
    }

   private:
    TOKENHEAP_COLD allocation refuse(std::size_t bytes) noexcept {
      this->policy_.on_failure(bytes);
      return {};
    }

    TOKENHEAP_NO_UNIQUE_ADDRESS std::conditional_t<remembers_requests<P>, ledger, no_ledger> requests_;
  };
};

/// Refuses what a limit does not admit, before the source below is asked.
template <limit_policy P>
struct with<P> {
  template <source Below>
  class on : public policy_floor<Below, P> {
   public:
    using layer = with<P>;
    using policy_floor<Below, P>::policy_floor;

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      if (!this->policy_.admit(bytes)) return {};
      allocation a = this->below_.allocate(bytes, alignment);
      if (!a) {
        this->policy_.take_back(bytes);
      } else if (a.size != bytes && !this->policy_.admit(a.size - bytes)) {
        // what was granted counts, and that is known only now
        this->below_.deallocate(a);
        this->policy_.take_back(bytes);
        a = {};
      }
      return a;
    }
    void deallocate(allocation a) noexcept {
      if (!a) return;
      this->policy_.take_back(a.size);
      this->below_.deallocate(a);
    }
    /// The floor below may round a growth up, and what grew in place cannot shrink: that rest counts without being asked.
    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept
      requires growable<Below> && requires(P& p) { p.hold(bytes); }
    {
      const std::size_t before = a.size;
      if (bytes <= before) return this->below_.try_grow(a, bytes);
      if (!this->policy_.admit(bytes - before)) return false;
      if (!this->below_.try_grow(a, bytes)) {
        this->policy_.take_back(bytes - before);
        return false;
      }
      this->policy_.hold(a.size - bytes);
      return true;
    }
    void reset() noexcept
      requires resettable<Below> && requires(P& p) { p.held(); }
    {
      this->policy_.take_back(this->policy_.held());
      this->below_.reset();
    }
    [[nodiscard]] bool relieve(std::size_t bytes, bool failed) noexcept {
      const bool below = over<Below>::relieve(bytes, failed);
      return this->policy_.relieve(bytes, failed) || below;
    }
  };
};

/// Records what passes.
template <trace_policy P>
struct with<P> {
  template <source Below>
  class on : public policy_floor<Below, P> {
   public:
    using layer = with<P>;
    using policy_floor<Below, P>::policy_floor;

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      const allocation a = this->below_.allocate(bytes, alignment);
      this->policy_.record({a ? trace_kind::allocate : trace_kind::out_of_memory, a.data, bytes, a.size});
      return a;
    }
    void deallocate(allocation a) noexcept {
      if (!a) return;
      this->policy_.record({trace_kind::deallocate, a.data, 0, a.size});
      this->below_.deallocate(a);
    }
    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept
      requires growable<Below>
    {
      const allocation before = a;
      if (!this->below_.try_grow(a, bytes)) return false;
      this->policy_.record({trace_kind::deallocate, before.data, 0, before.size});
      this->policy_.record({trace_kind::allocate, a.data, bytes, a.size});
      return true;
    }
    void reset() noexcept
      requires resettable<Below>
    {
      this->policy_.record({trace_kind::reset, nullptr, 0, 0});
      this->below_.reset();
    }
    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept
      requires trimmable<Below>
    {
      const std::size_t given = this->below_.trim(keep);
      this->policy_.record({trace_kind::trim, nullptr, keep, given});
      return given;
    }
  };
};

}  // namespace v0
}  // namespace tokenheap
