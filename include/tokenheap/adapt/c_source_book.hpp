// The book that every source of the C interface keeps over whatever gives the memory.
#pragma once

#include <tokenheap/adapt/c_handles.hpp>
#include <tokenheap/adapt/c_source.h>
#include <tokenheap/alloc/ledger.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/stats.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Runs a function of the user's own; one that throws has answered `otherwise`.
///
/// What the function is refused by this interface meanwhile is not the answer to the call that runs it.
template <class Call, class Answer>
[[nodiscard]] Answer c_call(Call&& call, Answer otherwise) noexcept {
  struct aside {
    ~aside() { c_noted() = noted; }
    std::uint64_t noted = c_noted();
  };
  [[maybe_unused]] const aside counts;
#if TOKENHEAP_HAS_EXCEPTIONS
  try {
    return call();
  } catch (...) {
    return otherwise;
  }
#else
  static_cast<void>(otherwise);
  return call();
#endif
}

/// A source of memory for C: counts, limits and catches misuse, and leaves the memory to those who inherit it.
///
/// It is a source itself, so that pools, tiers, arenas and slabs stand on it. Its lock is never held while memory is asked
/// for or given back: functions of the user's own run without it.
///
/// Threads   safe
/// Cost      two short locks and an entry of a hash table a piece
class c_source : public c_object {
 public:
  using space = host_space;
  static constexpr c_kind kind = c_kind::source;
  static constexpr const char* what = "a source";

  c_source(const th_source_options& with, const char* otherwise, c_source* below) noexcept
      : name_(with.name, otherwise), limit_({.limit = with.limit == 0 ? ~std::size_t{0} : with.limit}),
        pressure_(with.on_refusal), pressure_user_(with.on_refusal_user), below_(below) {
    if (below_ != nullptr) below_->users.fetch_add(1, std::memory_order_relaxed);
  }
  ~c_source() override {
    if (below_ != nullptr) below_->users.fetch_sub(1, std::memory_order_release);
  }

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) {
      note({.code = errc::invalid_argument, .what = "bytes of a request", .need = bytes, .limit = max_allocation,
            .fix = "ask for 1 byte up to limit, at a power of two up to 1 GiB"});
      return {};
    }
    for (int tries = 0;; ++tries) {
      failure why{};
      const allocation a = try_once(bytes, alignment, why);
      if (a || tries == max_tries || !relieve(bytes)) {
        if (!a) count_failure(bytes, why);
        return a;
      }
    }
  }
  void deallocate(allocation a) noexcept {
    if (!a) return;
    failure wrong{.code = errc::ok, .what = "bytes given back", .need = a.size, .address = a.data,
                  .fix = "give back each piece once, as it came, to the source that it came from"};
    {
      const locked hold(lock_);
      const ledger_entry* const known = book_.find(a.data);
      if (known == nullptr || known->is() != ledger_entry::state::live) {
        wrong.code = known != nullptr ? errc::double_free
                                      : book_.find_around(a.data) != nullptr ? errc::interior_pointer : errc::foreign_pointer;
      } else if (known->granted != a.size) {
        wrong.code = errc::wrong_size;
        wrong.limit = known->granted;
      } else {
        counts_.on_deallocate(known->requested, known->granted);
        limit_.take_back(known->granted);
        book_.mark(a.data, ledger_entry::state::gone);
      }
    }
    // the book says that it is gone before the memory can come again
    if (wrong.code == errc::ok) return give(a);
    note(wrong);
  }

  [[nodiscard]] th_status reset() noexcept {
    const std::size_t over = users.load(std::memory_order_acquire);
    if (over != 0) return note({.code = errc::in_use, .what = "what stands on the source", .need = over, .fix = "close it first"});
    if (!reset_below()) {
      return note({.code = errc::unsupported, .what = "a reset", .fix = "give back each piece; arenas and buffers can be reset"});
    }
    const locked hold(lock_);
    book_.clear();
    counts_.on_reset();
    limit_.take_back(limit_.held());
    return th_ok;
  }
  [[nodiscard]] th_status trim(std::size_t keep, std::size_t& given) noexcept {
    if (trim_below(keep, given)) return th_ok;
    return note({.code = errc::unsupported, .what = "a trim", .fix = "trim an arena or a slab: other sources keep nothing"});
  }
  [[nodiscard]] th_status may_close() noexcept {
    const locked hold(lock_);
    if (book_.live() == 0) return th_ok;
    return note({.code = errc::in_use, .what = "pieces that are out of a source to be closed", .need = book_.live(),
                 .fix = "give back every piece, or reset the source"});
  }

  void set_limit(std::size_t bytes) noexcept {
    const locked hold(lock_);
    limit_.set_limit(bytes == 0 ? ~std::size_t{0} : bytes);
  }
  [[nodiscard]] th_source_stats stats() const noexcept {
    const locked hold(lock_);
    const counter_values now = counts_.values();
    th_source_stats out{};
    out.pieces = now.calls.current;
    out.bytes = now.granted.current;
    out.peak_bytes = now.granted.peak;
    out.requested_bytes = now.requested.current;
    out.allocations = now.calls.allocated;
    out.deallocations = now.calls.freed;
    out.failures = now.failures;
    out.failed_bytes = now.failed_bytes;
    out.limit = limit_.limit() == ~std::size_t{0} ? 0 : limit_.limit();
    return out;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    const bool below = is_valid_below();
    const locked hold(lock_);
    return below && book_.is_valid() && book_.live() == counts_.values().calls.current;
  }
  [[nodiscard]] const char* name() const noexcept { return name_.text; }

 protected:
  [[nodiscard]] virtual allocation take(std::size_t bytes, std::size_t alignment, failure& why) noexcept = 0;
  virtual void give(allocation a) noexcept = 0;
  [[nodiscard]] virtual bool reset_below() noexcept = 0;
  [[nodiscard]] virtual bool trim_below(std::size_t keep, std::size_t& given) noexcept = 0;
  [[nodiscard]] virtual bool is_valid_below() const noexcept = 0;

 private:
  static constexpr int max_tries = 16;

  [[nodiscard]] allocation try_once(std::size_t bytes, std::size_t alignment, failure& why) noexcept {
    {
      const locked hold(lock_);
      why = {.code = errc::limit_reached, .what = "bytes under the limit of a source", .need = bytes,
             .available = limit_.limit() > limit_.held() ? limit_.limit() - limit_.held() : 0, .limit = limit_.limit(),
             .fix = "raise the limit, or give pieces back"};
      if (!limit_.admit(bytes)) return {};
    }
    failure below{.code = errc::out_of_memory, .what = "bytes of a source", .need = bytes,
                  .fix = "free memory below the source, or ask for less"};
    const allocation a = take(bytes, alignment, below);
    bool fits = true;
    {
      const locked hold(lock_);
      if (a && is_out(a.data)) return limit_.take_back(bytes), why = given_twice(a), allocation{};
      fits = a && limit_.admit(a.size - bytes);
      if (!fits) limit_.take_back(bytes);
      if (fits && book_.reserve_one()) {
        book_.insert(a.data, bytes, a.size);
        counts_.on_allocate(bytes, a.size);
        return a;
      }
      if (fits) limit_.take_back(a.size);
    }
    if (a) give(a);
    if (!a || fits) why = below;
    return {};
  }
  // under the lock
  [[nodiscard]] bool is_out(const void* data) const noexcept {
    const ledger_entry* const known = book_.find(data);
    return known != nullptr && known->is() == ledger_entry::state::live;
  }
  [[nodiscard]] static failure given_twice(allocation a) noexcept {
    return {.code = errc::corrupted, .what = "bytes that lie where a piece is out", .need = a.size, .address = a.data,
            .fix = "let the function that gives memory give none twice"};
  }
  [[nodiscard]] bool relieve(std::size_t bytes) noexcept {
    if (pressure_ == nullptr) return false;
    const c_stay open(*this);
    // a source below has said why already: that reason stays, whatever the user's function asks and clears
    const c_reason why = c_last_reason();
    const pressure_callback ask{[](void* self, std::size_t n) noexcept {
                                  const auto& me = *static_cast<const c_source*>(self);
                                  return c_call([&] { return me.pressure_(me.pressure_user_, n); }, 0) != 0;
                                },
                                this};
    const bool again = ask(bytes);
    c_last_reason() = why;
    return again;
  }
  TOKENHEAP_COLD void count_failure(std::size_t bytes, failure why) noexcept {
    {
      const locked hold(lock_);
      counts_.on_failure(bytes);
    }
    // a source below that refused has named itself already
    if (why.code != errc::ok) note(why);
  }
  TOKENHEAP_COLD th_status note(failure why) const noexcept {
    why.pool = name_.text;
    return c_refuse(why);
  }

  c_name name_;
  mutable spin_lock lock_;
  ledger book_;
  hard_limit limit_;
  exact_counters counts_;
  th_pressure_call pressure_;
  void* pressure_user_;
  c_source* below_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
