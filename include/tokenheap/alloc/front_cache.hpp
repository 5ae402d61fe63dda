// What each thread keeps in front of the caching allocator, where anybody who is short of memory can take it.
#pragma once

#include <atomic>
#include <utility>

#include <tokenheap/alloc/caching.hpp>

namespace tokenheap {
inline namespace v0 {

/// The numbers of a set of fronts that are fixed at compile time.
struct front_shape {
  std::size_t fronts = 64;  ///< threads that can have one at a time
  std::size_t slots = 8;    ///< pieces that each front knows, out or kept
};

/// What fronts keep; what users have is the allocator's `allocated_bytes` less `bytes`.
struct front_stats {
  std::size_t bytes = 0;
  std::size_t pieces = 0;
  std::uint64_t hits = 0;  ///< requests served by fronts so far
};

template <class Gpu, front_shape Shape>
class front_cache;

/// The book of all fronts of one caching allocator: whoever is short of memory empties them through it.
///
/// Make it before the allocator, name `callback()` in the allocator's options, and open a front for each thread. Not where
/// every request has a size of its own: then fronts keep what nobody asks for.
///
/// Requires  it outlives the allocator and the fronts; all that are open at a time are of one allocator
/// Threads   safe
/// Cost      about 600 bytes for each front that could be open
template <class Gpu, front_shape Shape = front_shape{}>
class front_caches {
  static_assert(Shape.fronts != 0 && Shape.slots != 0);

 public:
  using stream = typename Gpu::stream;

  /// `then` is asked for memory after the fronts, each time that they are.
  explicit front_caches(pressure_callback then = {}) noexcept : then_(then) {}
  front_caches(const front_caches&) = delete;
  front_caches& operator=(const front_caches&) = delete;

  /// For `caching_options::on_pressure`.
  [[nodiscard]] pressure_callback callback() noexcept { return {&relieve, this}; }

  /// A front for one thread; where all are taken, one that keeps nothing.
  [[nodiscard]] front_cache<Gpu, Shape> open(Gpu& gpu) noexcept {
    gpu_.store(&gpu, std::memory_order_relaxed);
    for (front& f : fronts_)
      if (!f.used.load(std::memory_order_relaxed) && !f.used.exchange(true, std::memory_order_acquire)) return {*this, gpu, &f};
    return {*this, gpu, nullptr};
  }

  /// Gives everything that fronts keep back to the allocator; returns the bytes. Before `retire`, `trim` and exact sums.
  std::size_t flush() noexcept {
    pause();
    const std::size_t bytes = sweep();
    resume();
    return bytes;
  }
  /// From now on all calls go straight to the allocator; around captures and `sleep`, with a `flush` behind it.
  void pause() noexcept { pauses_.fetch_add(1, std::memory_order_seq_cst); }
  void resume() noexcept { pauses_.fetch_sub(1, std::memory_order_release); }

  /// Exact while no front is in a call. Cost: O(fronts)
  [[nodiscard]] front_stats stats() const noexcept {
    front_stats sum{};
    for (const front& f : fronts_) {
      sum.hits += f.hits.load(std::memory_order_relaxed);
      for (std::size_t k = 0; k != Shape.slots; ++k) {
        if ((f.words[k].load(std::memory_order_acquire) & state_bits) != kept) continue;
        sum.bytes += f.places[k].size.load(std::memory_order_relaxed);
        ++sum.pieces;
      }
    }
    return sum;
  }

 private:
  friend class front_cache<Gpu, Shape>;

  // a word is 0, or an address with its state: the piece is out, or kept, or in the hands of one who empties the slot
  static constexpr std::uint64_t out = 1, kept = 2, leaving = 3, state_bits = 3;
  static_assert(Gpu::shape.granularity > state_bits);

  /// What is known of the piece of a slot; written by the front's own thread while the slot is empty.
  struct alignas(64) place {
    std::size_t bytes = 0;  // as requested
    std::atomic<std::size_t> size{0};
    stream home{};
    memory_class of = memory_class::general;
    std::uint16_t owner = 0;
  };
  struct front {
    alignas(64) std::atomic<std::uint64_t> words[Shape.slots] = {};
    place places[Shape.slots];
    std::size_t last = 0;  // the slot of the last hit
    std::size_t hand = 0;  // where the next slot is taken away
    std::atomic<std::uint64_t> hits{0};
    std::atomic<bool> used{false};
  };
  enum class finding { nothing, was_out, was_kept };

  static bool relieve(void* user, std::size_t bytes) noexcept {
    auto& self = *static_cast<front_caches*>(user);
    const std::size_t diverted = self.diverted_.load(std::memory_order_relaxed);
    const bool came = self.flush() != 0 || self.diverted_.load(std::memory_order_relaxed) != diverted;
    // called past the guard against callbacks in callbacks: it stands in for this one
    const bool more = self.then_ && self.then_.call(self.then_.user, bytes);
    return came || more;
  }

  [[nodiscard]] bool is_paused() const noexcept { return pauses_.load(std::memory_order_seq_cst) != 0; }

  /// Empties all slots with a kept piece; afterwards none has one that was put there before the pause. Requires a pause
  std::size_t sweep() noexcept {
    std::size_t bytes = 0;
    for (front& f : fronts_)
      for (std::size_t k = 0; k != Shape.slots; ++k) bytes += give_back(f, k);
    return bytes;
  }

  /// Takes a kept piece out of a slot of any thread and gives it back on its stream; returns its bytes, or 0.
  std::size_t give_back(front& f, std::size_t k) noexcept {
    std::uint64_t word = f.words[k].load(std::memory_order_seq_cst);
    if ((word & state_bits) != kept) return 0;
    // the owner fills no slot in this state, so the place can be read
    if (!f.words[k].compare_exchange_strong(word, leaving, std::memory_order_seq_cst)) return 0;
    const stream home = f.places[k].home;
    const allocation a{pointer(word), f.places[k].size.load(std::memory_order_relaxed)};
    f.words[k].store(0, std::memory_order_release);
    unmark(word);
    gpu_.load(std::memory_order_relaxed)->deallocate(home, a);
    return a.size;
  }

  /// Ends what any front knows of a piece that is out, of a kept one `even_kept`. Cost: O(1) where none does, else O(fronts)
  TOKENHEAP_NOINLINE finding forget(std::uint64_t address, bool even_kept = false) noexcept {
    if (mark(address).load(std::memory_order_relaxed) == 0) [[likely]] return finding::nothing;
    for (front& f : fronts_) {
      for (auto& w : f.words) {
        std::uint64_t word = w.load(std::memory_order_relaxed);
        if ((word & ~state_bits) != address || address == 0) continue;
        const bool is_kept = (word & state_bits) == kept;
        if (is_kept && !even_kept) return finding::was_kept;
        if (!w.compare_exchange_strong(word, 0, std::memory_order_acq_rel)) continue;
        unmark(address);
        return is_kept ? finding::was_kept : finding::was_out;
      }
    }
    return finding::nothing;
  }

  /// Lets a front know a piece that it has just got. Only the front's own thread
  TOKENHEAP_NOINLINE void learn(front& f, const stream& s, const device_request& with, allocation a) noexcept {
    const std::uint64_t address = address_of(a.data);
    // somebody gave it back past the fronts: what they know of it is old, and the allocator's word counts
    if (forget(address, true) == finding::was_kept) complain(errc::double_free, a);
    const std::size_t k = make_room(f);
    if (k == Shape.slots) return;
    place& p = f.places[k];
    p.bytes = with.bytes;
    p.size.store(a.size, std::memory_order_relaxed);
    p.home = s;
    p.of = with.of;
    p.owner = with.owner;
    mark(address).fetch_add(1, std::memory_order_relaxed);
    f.words[k].store(address | out, std::memory_order_release);
    f.last = k;
  }

  /// An empty slot: one that is, or that of a piece which is out, or in turn one with a piece; none if others are at it.
  [[nodiscard]] std::size_t make_room(front& f) noexcept {
    for (std::size_t k = 0; k != Shape.slots; ++k)
      if (f.words[k].load(std::memory_order_acquire) == 0) return k;
    for (std::size_t n = 0; n != Shape.slots; ++n) {
      const std::size_t k = next(f.hand, 1);
      f.hand = k;
      std::uint64_t word = f.words[k].load(std::memory_order_relaxed);
      if ((word & state_bits) != out) continue;
      if (f.words[k].compare_exchange_strong(word, 0, std::memory_order_acq_rel)) unmark(word);
      return f.words[k].load(std::memory_order_acquire) == 0 ? k : Shape.slots;
    }
    const std::size_t k = f.hand = next(f.hand, 1);
    static_cast<void>(give_back(f, k));
    return f.words[k].load(std::memory_order_acquire) == 0 ? k : Shape.slots;
  }

  void close(front& f) noexcept {
    for (std::size_t k = 0; k != Shape.slots; ++k) {
      static_cast<void>(give_back(f, k));
      std::uint64_t word = f.words[k].load(std::memory_order_relaxed);
      if ((word & state_bits) == out && f.words[k].compare_exchange_strong(word, 0, std::memory_order_acq_rel)) unmark(word);
    }
    f.used.store(false, std::memory_order_release);
  }

  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    guard_.on_misuse({.code = code, .pool = gpu_.load(std::memory_order_relaxed)->name(),
                      .what = "bytes given back to a front of device memory", .need = a.size, .available = 0, .limit = 0,
                      .address = a.data, .fix = "give each piece back once, as it was handed out, and through a front"});
  }

  [[nodiscard]] static constexpr std::size_t next(std::size_t k, std::size_t by) noexcept { return (k + by) % Shape.slots; }
  [[nodiscard]] static void* pointer(std::uint64_t word) noexcept { return reinterpret_cast<void*>(word & ~state_bits); }
  [[nodiscard]] std::atomic<std::uint32_t>& mark(std::uint64_t word) noexcept {
    return marks_[(word & ~state_bits) / Gpu::shape.granularity * 0x9E3779B97F4A7C15u >> 54];
  }
  void unmark(std::uint64_t word) noexcept { mark(word).fetch_sub(1, std::memory_order_relaxed); }

  front fronts_[Shape.fronts];
  std::atomic<std::uint32_t> marks_[1024] = {};  // how many pieces that fronts know have addresses of a hash
  std::atomic<Gpu*> gpu_{nullptr};
  std::atomic<std::size_t> pauses_{0};
  std::atomic<std::size_t> diverted_{0};  // pieces that went straight back because of a pause
  pressure_callback then_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Gpu::policy_type::guard guard_;
};

/// One thread's front of a caching allocator: a piece given back is at hand for the same request on the same stream.
///
/// For threads that ask for the same few sizes again and again while other threads do too: a hit takes no lock and makes
/// no device call. Not for pieces that live long, and not between `begin_pool` and `end_pool` or in a sleep, unless
/// `front_caches::pause` came before. Pieces kept here count as allocated in the allocator's sums and limits; before a
/// request is refused they go back, whoever kept them. What a front handed out goes back through a front, any of them,
/// and its uses are told by the front's `record_stream`; past the fronts a second return is found late or not at all.
///
/// Requires  it ends before the allocator
/// Fails     as the allocator does
/// Threads   one at a time; others may empty it meanwhile
/// Streams   what is given back on a stream goes out on that stream alone, so the stream itself is the order
/// Cost      one compare-exchange for each hit and each return; a piece of another thread's front costs a walk of all fronts
template <class Gpu, front_shape Shape = front_shape{}>
class [[nodiscard]] front_cache {
  using book = front_caches<Gpu, Shape>;
  using front = typename book::front;

 public:
  using stream = typename Gpu::stream;

  front_cache(front_cache&& from) noexcept : fronts_(from.fronts_), gpu_(from.gpu_), own_(std::exchange(from.own_, nullptr)) {}
  front_cache& operator=(front_cache&&) = delete;
  ~front_cache() {
    if (own_ != nullptr) fronts_.close(*own_);
  }

  /// False if all fronts were taken: then every call goes straight to the allocator.
  [[nodiscard]] bool keeps() const noexcept { return own_ != nullptr; }

  [[nodiscard]] allocation allocate(const stream& s, std::size_t bytes) noexcept { return allocate(s, {.bytes = bytes}); }
  [[nodiscard]] allocation allocate(const stream& s, const device_request& with, shortage* why = nullptr) noexcept {
    const allocation a = take(s, with);
    return a ? a : miss(s, with, why);
  }
  /// The same without a callback: what other fronts keep counts as in use.
  [[nodiscard]] allocation try_allocate(const stream& s, const device_request& with) noexcept {
    if (const allocation a = take(s, with)) return a;
    const allocation a = gpu_.try_allocate(s, with);
    if (a) learn(s, with, a);
    return a;
  }

  /// Takes back a piece of any front or of the allocator; all uses so far are ordered before what the stream gets next.
  ///
  /// A misuse is reported and changes nothing.
  void deallocate(const stream& s, allocation a) noexcept {
    if (!a) return;
    const std::uint64_t address = address_of(a.data);
    if (own_ == nullptr) return give_straight(s, a);
    for (std::size_t n = 0; n != Shape.slots; ++n) {
      const std::size_t k = book::next(own_->last, n);
      const std::uint64_t word = own_->words[k].load(std::memory_order_relaxed);
      if ((word ^ address) <= book::state_bits && word > book::state_bits) return keep(s, a, k, word);
    }
    give_straight(s, a);
  }

  /// As the allocator's; the piece goes straight to it when it comes back.
  [[nodiscard]] errc record_stream(allocation a, const stream& s) noexcept {
    if (fronts_.forget(address_of(a.data)) == book::finding::was_kept) return errc::double_free;
    return gpu_.record_stream(a, s);
  }

 private:
  friend book;
  front_cache(book& fronts, Gpu& gpu, front* own) noexcept : fronts_(fronts), gpu_(gpu), own_(own) {}

  [[nodiscard]] TOKENHEAP_INLINE allocation take(const stream& s, const device_request& with) noexcept {
    if (own_ == nullptr || !is_request(with.bytes, with.alignment)) [[unlikely]] return {};
    for (std::size_t n = 0; n != Shape.slots; ++n) {
      const std::size_t k = book::next(own_->last, n);
      const auto& p = own_->places[k];
      if (p.bytes != with.bytes || !(p.home == s) || p.of != with.of || p.owner != with.owner) continue;
      std::uint64_t word = own_->words[k].load(std::memory_order_relaxed);
      if ((word & book::state_bits) != book::kept) continue;
      const std::uint64_t address = word & ~book::state_bits;
      if ((address & (with.alignment - 1)) != 0) continue;
      if (!own_->words[k].compare_exchange_strong(word, address | book::out, std::memory_order_acquire)) continue;
      own_->last = k;
      own_->hits.store(own_->hits.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return {book::pointer(word), p.size.load(std::memory_order_relaxed)};
    }
    return {};
  }

  TOKENHEAP_NOINLINE allocation miss(const stream& s, const device_request& with, shortage* why) noexcept {
    allocation a = gpu_.allocate(s, with, why);
    if (!a && is_request(with.bytes, with.alignment)) {
      // what went into fronts since the callback emptied them is had too, and while they are paused nothing goes in
      const std::size_t diverted = fronts_.diverted_.load(std::memory_order_relaxed);
      fronts_.pause();
      if (fronts_.sweep() != 0 || fronts_.diverted_.load(std::memory_order_relaxed) != diverted) a = gpu_.allocate(s, with, why);
      fronts_.resume();
    }
    if (a) learn(s, with, a);
    return a;
  }

  void learn(const stream& s, const device_request& with, allocation a) noexcept {
    // memory of a pool, or of a class that will sleep, is nothing to keep
    if (own_ != nullptr && !fronts_.is_paused()) return fronts_.learn(*own_, s, with, a);
    if (fronts_.forget(address_of(a.data), true) == book::finding::was_kept) fronts_.complain(errc::double_free, a);
  }

  /// Puts a piece that the front knows into its slot.
  TOKENHEAP_INLINE void keep(const stream& s, allocation a, std::size_t k, std::uint64_t word) noexcept {
    const auto& p = own_->places[k];
    const std::size_t size = p.size.load(std::memory_order_relaxed);
    if ((word & book::state_bits) == book::kept) [[unlikely]] return fronts_.complain(errc::double_free, a);
    if (a.size != size && a.size != p.bytes) [[unlikely]] return fronts_.complain(errc::wrong_size, a);
    if (!(p.home == s) || fronts_.is_paused()) [[unlikely]] return divert(s, a);
    const std::uint64_t there = (word & ~book::state_bits) | book::kept;
    if (!own_->words[k].compare_exchange_strong(word, there, std::memory_order_seq_cst)) [[unlikely]] return give_straight(s, a);
    own_->last = k;
    // who paused the fronts either sees the piece or is seen here
    if (fronts_.is_paused()) [[unlikely]] {
      fronts_.diverted_.fetch_add(1, std::memory_order_relaxed);
      static_cast<void>(fronts_.give_back(*own_, k));
    }
  }

  TOKENHEAP_NOINLINE void divert(const stream& s, allocation a) noexcept {
    fronts_.diverted_.fetch_add(1, std::memory_order_relaxed);
    give_straight(s, a);
  }
  TOKENHEAP_NOINLINE void give_straight(const stream& s, allocation a) noexcept {
    if (fronts_.forget(address_of(a.data)) == book::finding::was_kept) return fronts_.complain(errc::double_free, a);
    gpu_.deallocate(s, a);
  }

  book& fronts_;
  Gpu& gpu_;
  front* own_;
};

}  // namespace v0
}  // namespace tokenheap
