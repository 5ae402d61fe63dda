// A guard as a layer: a book of every allocation above it, and what stands beside the bytes.
#pragma once

#include <cstring>

#include <tokenheap/alloc/annotate.hpp>
#include <tokenheap/alloc/ledger.hpp>
#include <tokenheap/alloc/quarantine.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/policy/guard.hpp>

namespace tokenheap {
inline namespace v0 {

/// The name under which a guard reports; the source's own name if none is given.
struct guard_options {
  const char* name = nullptr;
};

template <class P>
concept shaped_guard = guard_policy<P> && std::same_as<std::remove_cv_t<decltype(P::shape)>, guard_shape>;

/// Catches every misuse of what is below: see `guard` for what it finds and what it costs.
///
/// With a canary the caller sees exactly the bytes that he asked for, and all up to the end of the slot is canary.
///
/// Fails     as the source below; also if the book cannot grow
/// Threads   not safe; put it below a lock
template <shaped_guard P>
struct with<P> {
  template <source Below>
  class on : public policy_floor<Below, P> {
    static constexpr guard_shape shape = P::shape;
    static_assert(cpu_accessible<Below> || (shape.canary == 0 && !shape.poison),
                  "canary and poison write to memory: the CPU must be able to reach it");
    static constexpr unsigned char canary_byte = 0xC5;
    static constexpr unsigned char poison_byte = 0xDF;
    using state = ledger_entry::state;

   public:
    using layer = with<P>;
    using own_options = guard_options;

    template <class... Options>
    explicit on(const Options&... given)
        : policy_floor<Below, P>(given...), options_(pick_option<guard_options>(given...)) {}

    ~on() {
      release_quarantine();
      check_all_canaries();
      if (book_.live() != 0) report_leaks();
    }

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      std::size_t wanted = 0;
      if (bytes == 0 || !checked_add(bytes, shape.canary, wanted)) return {};
      allocation a = take(wanted, alignment);
      // what waits in quarantine is free memory after all: it goes before anybody is refused
      if (!a && release_quarantine() != 0) a = take(wanted, alignment);
      if (!a) return {};
      book_.insert(a.data, bytes, a.size);
      return hand_out(a, bytes);
    }

    void deallocate(allocation a) noexcept {
      if (!a) return;
      const ledger_entry* const known = book_.find(a.data);
      if (known == nullptr || known->is() != state::live) return misuse(classify(a.data, known), a, 0);
      if (const std::size_t size = size_seen(*known); a.size != size) return misuse(errc::wrong_size, a, size);
      const allocation whole{a.data, known->granted};
      check_canary(*known);
      if constexpr (shape.annotate) annotate::allow(whole.data, whole.size);
      if constexpr (shape.poison) std::memset(whole.data, poison_byte, whole.size);
      if (shape.quarantine == 0 || whole.size > shape.quarantine || !quarantine_.push(whole)) return give_down(whole);
      book_.mark(whole.data, state::held);
      if constexpr (shape.annotate) annotate::forbid(whole.data, whole.size);
      while (quarantine_.bytes() > shape.quarantine) release_oldest();
    }

    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept
      requires growable<Below>
    {
      if (!a) return false;
      const ledger_entry* const known = book_.find(a.data);
      if (known == nullptr || known->is() != state::live) return misuse(classify(a.data, known), a, 0), false;
      if (const std::size_t size = size_seen(*known); a.size != size) return misuse(errc::wrong_size, a, size), false;
      std::size_t wanted = 0;
      if (bytes <= a.size) return true;
      if (!checked_add(bytes, shape.canary, wanted)) return false;
      allocation whole{a.data, known->granted};
      check_canary(*known);
      if (!this->below_.try_grow(whole, wanted)) return false;
      book_.set_sizes(whole.data, bytes, whole.size);
      a = hand_out(whole, bytes);
      return true;
    }

    void reset() noexcept
      requires resettable<Below>
    {
      release_quarantine();
      check_all_canaries();
      if constexpr (shape.annotate) {
        book_.for_each_live([](const ledger_entry& e) noexcept {
          annotate::allow(reinterpret_cast<void*>(e.address), e.granted);
        });
      }
      book_.clear();
      this->below_.reset();
    }

    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept
      requires trimmable<Below>
    {
      release_quarantine();
      return this->below_.trim(keep);
    }

    /// Walks the book and looks at every canary.
    [[nodiscard]] bool is_valid() const noexcept {
      bool whole = book_.is_valid();
      book_.for_each_live([&](const ledger_entry& e) noexcept { whole = whole && canary_holds(e); });
      if constexpr (self_checking<Below>) whole = whole && this->below_.is_valid();
      return whole;
    }

    [[nodiscard]] const char* name() const noexcept {
      return options_.name != nullptr ? options_.name : over<Below>::name();
    }
    [[nodiscard]] std::size_t live() const noexcept { return book_.live(); }
    [[nodiscard]] std::size_t quarantined_bytes() const noexcept { return quarantine_.bytes(); }

   private:
    [[nodiscard]] allocation take(std::size_t wanted, std::size_t alignment) noexcept {
      return book_.reserve_one() ? this->below_.allocate(wanted, alignment) : allocation{};
    }

    [[nodiscard]] static constexpr std::size_t size_seen(const ledger_entry& e) noexcept {
      return shape.canary != 0 ? static_cast<std::size_t>(e.requested) : e.granted;
    }

    [[nodiscard]] static allocation hand_out(allocation whole, std::size_t bytes) noexcept {
      if constexpr (shape.canary != 0) {
        // a piece that grew has its old canary in the middle
        if constexpr (shape.annotate) annotate::allow(whole.data, whole.size);
        std::memset(offset(whole.data, bytes), canary_byte, whole.size - bytes);
        if constexpr (shape.annotate) annotate::forbid(offset(whole.data, bytes), whole.size - bytes);
        whole.size = bytes;
      }
      return whole;
    }

    [[nodiscard]] static bool all_are(const void* from, std::size_t count, unsigned char wanted) noexcept {
      const auto* const bytes = static_cast<const unsigned char*>(from);
      for (std::size_t k = 0; k != count; ++k) {
        if (bytes[k] != wanted) return false;
      }
      return true;
    }

    [[nodiscard]] static bool canary_holds(const ledger_entry& e) noexcept {
      if constexpr (shape.canary == 0) return true;
      void* const start = reinterpret_cast<void*>(e.address);
      void* const tail = offset(start, e.requested);
      const std::size_t size = e.granted - e.requested;
      if constexpr (shape.annotate) annotate::allow(tail, size);
      const bool holds = all_are(tail, size, canary_byte);
      if constexpr (shape.annotate) annotate::forbid(tail, size);
      return holds;
    }

    void check_canary(const ledger_entry& e) noexcept {
      if (!canary_holds(e)) {
        misuse(errc::corrupted, {reinterpret_cast<void*>(e.address), e.requested}, e.requested);
      }
    }

    void check_all_canaries() noexcept {
      if constexpr (shape.canary != 0) book_.for_each_live([this](const ledger_entry& e) noexcept { check_canary(e); });
    }

    [[nodiscard]] errc classify(const void* p, const ledger_entry* known) const noexcept {
      if (known != nullptr) return errc::double_free;
      return book_.find_around(p) != nullptr ? errc::interior_pointer : errc::foreign_pointer;
    }

    void give_down(allocation whole) noexcept {
      book_.mark(whole.data, state::gone);
      this->below_.deallocate(whole);
    }

    void release_oldest() noexcept {
      const allocation oldest = quarantine_.pop();
      if constexpr (shape.annotate) annotate::allow(oldest.data, oldest.size);
      if constexpr (shape.poison) {
        if (!all_are(oldest.data, oldest.size, poison_byte)) misuse(errc::corrupted, oldest, oldest.size);
      }
      give_down(oldest);
    }

    std::size_t release_quarantine() noexcept {
      const std::size_t bytes = quarantine_.bytes();
      while (quarantine_.bytes() != 0) release_oldest();
      return bytes;
    }

    TOKENHEAP_COLD void misuse(errc code, allocation a, std::size_t expected) noexcept {
      const char* fix = "give back each allocation once, as it came, to the pool that it came from";
      if (code == errc::corrupted) fix = "find who writes behind the end, or after the free";
      this->policy_.on_misuse({.code = code,
                               .pool = name(),
                               .what = "bytes of an allocation",
                               .need = a.size,
                               .limit = expected,
                               .address = a.data,
                               .fix = fix});
    }

    TOKENHEAP_COLD void report_leaks() noexcept {
      failure f{.code = errc::leaked, .pool = name(), .what = "bytes still out at the end (limit: how many pieces)"};
      f.limit = book_.live();
      f.fix = "give back every allocation before its pool ends, or reset the pool";
      book_.for_each_live([&](const ledger_entry& e) noexcept {
        f.need += e.granted;
        if (f.address == nullptr) f.address = reinterpret_cast<const void*>(e.address);
        if constexpr (shape.annotate) annotate::allow(reinterpret_cast<void*>(e.address), e.granted);
      });
      this->policy_.on_misuse(f);
    }

    guard_options options_;
    ledger book_;
    quarantine quarantine_;
  };
};

}  // namespace v0
}  // namespace tokenheap
