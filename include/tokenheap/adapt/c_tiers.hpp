// The tiers behind the C interface: any tier of the library under one lock, with a book of the batches in flight.
#pragma once

#include <optional>

#include <tokenheap/adapt/c_sources.hpp>
#include <tokenheap/adapt/c_tier.h>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/kv/tier_ref.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A text of the caller's that a tier may look at as long as it lives; false from `keep` for want of memory.
class c_text {
 public:
  [[nodiscard]] bool keep(const char* given, const char* otherwise) noexcept {
    if (given == nullptr) given = otherwise;
    const std::size_t bytes = std::strlen(given) + 1;
    if (!held_.open(bytes)) return false;
    std::memcpy(held_.first(), given, bytes);
    return true;
  }
  [[nodiscard]] const char* text() const noexcept { return held_.first(); }

 private:
  kv::column<char> held_;
};

/// A tier for C.
///
/// Batches are known by their tickets, so that a call with another one, or with too little room, is answered and not run.
/// Threads   safe: one lock for a chain and all of its tiers
class c_tier : public c_object {
 public:
  static constexpr c_kind kind = c_kind::tier;
  static constexpr const char* what = "a tier";
  /// Which way the bytes go.
  enum class way : unsigned char { load, store };

  c_tier(const char* name, const char* otherwise) noexcept : name_(name, otherwise) {}

  [[nodiscard]] th_status lookup(const th_block_name* names, std::size_t n, kv::tier_answer* out, std::size_t& hits) noexcept {
    const locked hold(lock_);
    if (const th_status no = take_rows(names, nullptr, n); no != th_ok) return no;
    hits = ref_.lookup(keys_.first(), n, out);
    return th_ok;
  }
  [[nodiscard]] th_status prepare(way going, const th_block_name* names, const th_block_span* spans, std::size_t n,
                                  std::uint64_t& ticket) noexcept {
    const locked hold(lock_);
    if (const th_status no = take_rows(names, spans, n); no != th_ok) return no;
    if (!flights_.grow(count_ + 1)) return no_memory(n);
    const kv::tier_ticket made = going == way::load ? ref_.prepare_load(keys_.first(), spans_.first(), n)
                                                    : ref_.prepare_store(keys_.first(), spans_.first(), n);
    if (!made) {
      return note({.code = errc::in_use, .what = "a batch of blocks", .need = n, .limit = count_,
                   .fix = "complete batches that are in flight, or give the tier more of them; a batch has a block at least"});
    }
    flights_[count_++] = {made.id, n, going};
    ticket = made.id;
    return th_ok;
  }
  /// `done` for the batch, or for the blocks that a store reads.
  [[nodiscard]] th_status poll(std::uint64_t ticket, bool for_source, bool& done) noexcept {
    const locked hold(lock_);
    const flight* const f = find(ticket);
    if (f == nullptr) return unknown(ticket);
    done = for_source && f->going == way::store ? source_done({ticket}) : ref_.poll({ticket});
    return th_ok;
  }
  [[nodiscard]] th_status complete(way going, std::uint64_t ticket, bool keep, kv::tier_answer* out, std::size_t room,
                                   std::size_t& hits) noexcept {
    const locked hold(lock_);
    flight* const f = find(ticket);
    if (f == nullptr) return unknown(ticket);
    failure no{.code = errc::too_large, .what = "answers of a batch", .need = f->count, .limit = room,
               .fix = "give room for one answer a block"};
    if (f->going != going) {
      no.code = errc::invalid_argument;
      return no.fix = "complete a load as a load, a store as a store", note(no);
    }
    if (f->count > room) return note(no);
    no.fix = "poll until the batch is over";
    if (!ref_.poll({ticket})) return no.code = errc::in_use, note(no);
    hits = going == way::load ? ref_.complete_load({ticket}, out) : ref_.complete_store({ticket}, keep, out);
    *f = flights_[--count_];
    return th_ok;
  }
  [[nodiscard]] th_status remove(const th_block_name* names, std::size_t n, std::size_t& gone) noexcept {
    const locked hold(lock_);
    if (const th_status no = take_rows(names, nullptr, n); no != th_ok) return no;
    gone = ref_.remove(keys_.first(), n);
    return th_ok;
  }
  [[nodiscard]] kv::tier_stats stats() noexcept {
    kv::tier_stats now{};
    under_all_locks([&] { now = ref_.stats(); });
    return now;
  }
  [[nodiscard]] bool is_valid() noexcept {
    bool valid = false;
    under_all_locks([&] { valid = ref_.is_valid(); });
    return valid;
  }
  [[nodiscard]] std::size_t in_flight() noexcept {
    const locked hold(lock_);
    return count_;
  }
  [[nodiscard]] const char* name() const noexcept { return name_.text; }
  [[nodiscard]] const kv::tier_ref& ref() const noexcept { return ref_; }

  /// A chain takes it, or lets it go with null; false if it has one, or batches of its own.
  [[nodiscard]] bool attach(c_tier* chain) noexcept {
    const locked hold(lock_);
    c_tier* none = nullptr;
    if (chain == nullptr) return above_.store(nullptr, std::memory_order_release), users.fetch_sub(1), true;
    if (count_ != 0 || !above_.compare_exchange_strong(none, chain, std::memory_order_acq_rel)) return false;
    return users.fetch_add(1), true;
  }

 protected:
  void refer(kv::tier_ref to) noexcept { ref_ = to; }
  [[nodiscard]] virtual bool source_done(kv::tier_ticket which) noexcept { return ref_.poll(which); }
  /// One lock for a tier; calls of a chain take its own, and reach its tiers without theirs.
  [[nodiscard]] mutex_lock& lock() noexcept { return lock_; }

 private:
  struct flight {
    std::uint64_t ticket;
    std::size_t count;
    way going;
  };

  /// Its own lock first, then those of the chains above: a chain that ends lets go of its tiers under their locks.
  template <class Call>
  void under_all_locks(Call&& call) noexcept {
    const locked hold(lock_);
    c_tier* const up = above_.load(std::memory_order_acquire);
    up != nullptr ? up->under_all_locks(call) : call();
  }
  [[nodiscard]] flight* find(std::uint64_t ticket) noexcept {
    for (std::size_t k = 0; k != count_; ++k)
      if (flights_[k].ticket == ticket) return &flights_[k];
    return nullptr;
  }
  /// The caller's rows as the tier wants them.
  [[nodiscard]] th_status take_rows(const th_block_name* names, const th_block_span* spans, std::size_t n) noexcept {
    if (above_.load(std::memory_order_acquire) != nullptr) {
      return note({.code = errc::in_use, .what = "batches of a tier that a chain has", .fix = "ask the chain"});
    }
    if (!keys_.grow(n) || !spans_.grow(n)) return no_memory(n);
    for (std::size_t k = 0; k != n; ++k) {
      keys_[k] = {names[k].hash.low, names[k].hash.high, names[k].group};
      if (spans != nullptr) spans_[k] = {spans[k].address, spans[k].bytes};
    }
    return th_ok;
  }
  TOKENHEAP_COLD th_status no_memory(std::size_t n) const noexcept {
    return note({.code = errc::out_of_memory, .what = "rows for a batch of blocks", .need = n, .fix = "free some memory"});
  }
  TOKENHEAP_COLD th_status unknown(std::uint64_t ticket) const noexcept {
    return note({.code = errc::stale_handle, .what = "a batch by its ticket", .need = ticket,
                 .fix = "give the ticket of a batch that is in flight"});
  }
  TOKENHEAP_COLD th_status note(failure why) const noexcept {
    why.pool = name_.text;
    return c_refuse(why);
  }

  c_name name_;
  mutex_lock lock_;
  kv::tier_ref ref_;
  std::atomic<c_tier*> above_{nullptr};
  kv::column<kv::tier_key> keys_;
  kv::column<kv::tier_span> spans_;
  kv::column<flight> flights_;
  std::size_t count_ = 0;
};

/// The heap, or a source of C's, for what takes a source by reference.
class c_memory {
 public:
  using space = host_space;

  explicit c_memory(c_source* from) noexcept : from_(from) {
    if (from_ != nullptr) from_->users.fetch_add(1, std::memory_order_relaxed);
  }
  c_memory(const c_memory&) = delete;
  c_memory& operator=(const c_memory&) = delete;
  ~c_memory() {
    if (from_ != nullptr) from_->users.fetch_sub(1, std::memory_order_release);
  }
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    return from_ != nullptr ? from_->allocate(bytes, alignment) : host_source{}.allocate(bytes, alignment);
  }
  void deallocate(allocation a) noexcept { from_ != nullptr ? from_->deallocate(a) : host_source{}.deallocate(a); }

 private:
  c_source* from_;
};

/// One tier of the library, with the texts and the memory that it looks at.
template <kv::tier Tier>
class c_tier_of final : public c_tier {
 public:
  c_tier_of(const char* name, const char* otherwise, c_source* from) noexcept : c_tier(name, otherwise), memory(from) {}

  [[nodiscard]] failure keep(result<Tier>&& opened) noexcept {
    if (opened) held_.emplace(static_cast<Tier&&>(*opened));
    if (opened) refer(*held_);
    return opened.why();
  }

  c_memory memory;
  c_text texts[4];

 private:
  std::optional<Tier> held_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
