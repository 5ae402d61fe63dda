// The sources behind the C interface: each kind under the book.
#pragma once

#include <new>
#include <type_traits>

#include <tokenheap/adapt/c_source_book.hpp>
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/host.hpp>
#include <tokenheap/source/pages.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What an arena or a slab wants of the source below it, and has for it, while its lock is held: done without the lock.
///
/// So functions of the user's own run under no lock, however many sources stand above them.
/// Threads   each thread has its own
class c_errand {
 public:
  /// As long as it lives this thread's `c_below` notes what it is asked for.
  class running {
   public:
    explicit running(c_errand& mine) noexcept : before_(now()) { now() = &mine; }
    running(const running&) = delete;
    running& operator=(const running&) = delete;
    ~running() { now() = before_; }

   private:
    c_errand* before_;
  };
  [[nodiscard]] static c_errand*& now() noexcept {
    static thread_local c_errand* mine = nullptr;
    return mine;
  }

  /// Gives what was brought, or notes that it is wanted.
  [[nodiscard]] allocation take(c_source& from, std::size_t bytes, std::size_t alignment) noexcept {
    const allocation a = brought_;
    from_ = &from;
    if (a.size >= bytes && address_of(a.data) % alignment == 0 && a) return brought_ = {}, a;
    bytes_ = bytes;
    alignment_ = alignment;
    return {};
  }
  void give(c_source& to, allocation a) noexcept {
    from_ = &to;
    gone_ = ::new (a.data) piece{a, gone_};
  }

  /// Brings what is wanted; false where nothing is, or where the source below has refused, and said why.
  [[nodiscard]] bool fetch() noexcept {
    if (bytes_ == 0) return false;
    brought_ = from_->allocate(bytes_, alignment_);
    bytes_ = 0;
    return static_cast<bool>(brought_);
  }
  [[nodiscard]] bool wants() const noexcept { return bytes_ != 0; }
  [[nodiscard]] bool has_rest() const noexcept { return brought_ || gone_ != nullptr; }
  /// Gives back what was brought in vain, and what is no longer wanted.
  void give_back() noexcept {
    if (brought_) from_->deallocate(brought_);
    brought_ = {};
    while (gone_ != nullptr) {
      const piece first = *gone_;
      gone_ = first.next;
      from_->deallocate(first.whole);
    }
  }

 private:
  /// Lies in the memory that goes: pieces of an arena or slab are larger.
  struct piece {
    allocation whole;
    piece* next;
  };
  c_source* from_ = nullptr;
  allocation brought_{};
  std::size_t bytes_ = 0;
  std::size_t alignment_ = 0;
  piece* gone_ = nullptr;
};

/// The source that an arena or a slab of C takes its chunks from; what it refuses it has noted itself.
class c_below {
 public:
  using space = host_space;
  /// What is below.
  struct options {
    c_source* source = nullptr;
  };

  explicit c_below(const options& with) noexcept : source_(with.source) {}
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    c_errand* const errand = c_errand::now();
    return errand != nullptr ? errand->take(*source_, bytes, alignment) : source_->allocate(bytes, alignment);
  }
  void deallocate(allocation a) noexcept {
    if (!a) return;
    c_errand* const errand = c_errand::now();
    errand != nullptr ? errand->give(*source_, a) : source_->deallocate(a);
  }

 private:
  c_source* source_;
};

/// An arena over another source.
struct c_arena : layered<c_below, arena<arena_shape{.chunk = MiB}>> {
  using layered::layered;
};
/// A slab over another source.
struct c_slab : layered<c_below, slab<slab_shape{.largest = 64 * KiB, .chunk = MiB}>> {
  using layered::layered;
};

/// Functions of the user's own as a source.
class c_callbacks {
 public:
  using space = host_space;

  explicit c_callbacks(const th_source_options& with) noexcept
      : allocate_(with.allocate), deallocate_(with.deallocate), user_(with.user) {}

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    void* const p = c_call([&] { return allocate_(user_, bytes, alignment); }, static_cast<void*>(nullptr));
    last_ = {.code = errc::out_of_memory, .what = "bytes of a function of the user's own", .need = bytes,
             .fix = "look at why it gave nothing"};
    if (p == nullptr) return {};
    if (address_of(p) % alignment == 0) return {p, bytes};
    last_ = {.code = errc::invalid_argument, .what = "alignment of what a function of the user's own gave", .need = alignment,
             .address = p, .fix = "let it keep to the alignment that it is asked for"};
    deallocate({p, bytes});
    return {};
  }
  void deallocate(allocation a) noexcept {
    static_cast<void>(c_call([&] { return deallocate_(user_, a.data, a.size), 0; }, 0));
  }
  /// Why this thread got nothing.
  [[nodiscard]] static const failure& last_failure() noexcept { return last_; }

 private:
  inline static thread_local failure last_{};
  th_allocate_call allocate_;
  th_deallocate_call deallocate_;
  void* user_;
};

/// A source of the library under the book; `Lock` makes it safe where it is not.
template <source Source, lockable Lock>
class c_source_of final : public c_source {
 public:
  template <class... Options>
  c_source_of(const th_source_options& with, const char* otherwise, c_source* below, const Options&... given) noexcept
      : c_source(with, otherwise, below), source_(given...) {}

 private:
  static constexpr bool has_below = std::is_constructible_v<Source, const c_below::options&>;
  /// Calls of callbacks always run functions of the user's own; those of an arena or a slab do on an errand.
  struct nobody {
    explicit nobody(c_object&) noexcept {}
  };
  using stay = std::conditional_t<std::is_same_v<Source, c_callbacks>, c_stay, nobody>;

  /// Runs a call under the lock, and then without it what the call has for the source below.
  template <class Call>
  void run(c_errand& errand, Call&& call) noexcept {
    {
      const locked hold(lock_);
      if constexpr (has_below) {
        const c_errand::running now(errand);
        call();
      } else {
        call();
      }
    }
    if (!errand.has_rest()) return;
    const c_stay open(*this);
    errand.give_back();
  }

  [[nodiscard]] allocation take(std::size_t bytes, std::size_t alignment, failure& why) noexcept override {
    [[maybe_unused]] const stay open(*this);
    c_errand errand;
    allocation a{};
    const auto ask = [&] {
      a = source_.allocate(bytes, alignment);
      if constexpr (requires { source_.last_failure(); })
        if (!a) why = source_.last_failure();
    };
    for (run(errand, ask); !a && errand.wants(); run(errand, ask)) {
      const c_stay until(*this);
      if (errand.fetch()) continue;
      why = {};  // the source below has said it
      return {};
    }
    return a;
  }
  void give(allocation a) noexcept override {
    [[maybe_unused]] const stay open(*this);
    c_errand errand;
    run(errand, [&] { source_.deallocate(a); });
  }
  [[nodiscard]] bool reset_below() noexcept override {
    if constexpr (resettable<Source>) {
      c_errand errand;
      return run(errand, [&] { source_.reset(); }), true;
    }
    return false;
  }
  [[nodiscard]] bool trim_below(std::size_t keep, std::size_t& given) noexcept override {
    if constexpr (trimmable<Source>) {
      c_errand errand;
      return run(errand, [&] { given = source_.trim(keep); }), true;
    }
    return static_cast<void>(keep), static_cast<void>(given), false;
  }
  [[nodiscard]] bool is_valid_below() const noexcept override {
    if constexpr (self_checking<Source>) {
      const locked hold(lock_);
      return source_.is_valid();
    }
    return true;
  }

  mutable Lock lock_;
  Source source_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
