// The sources behind the C interface: each kind under the book.
#pragma once

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
    return source_->allocate(bytes, alignment);
  }
  void deallocate(allocation a) noexcept { source_->deallocate(a); }

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
  [[nodiscard]] allocation take(std::size_t bytes, std::size_t alignment, failure& why) noexcept override {
    const locked hold(lock_);
    const std::uint64_t noted = c_noted();
    const allocation a = source_.allocate(bytes, alignment);
    if (a) return a;
    if constexpr (requires { source_.last_failure(); }) why = source_.last_failure();
    if (c_noted() != noted) why = {};
    return {};
  }
  void give(allocation a) noexcept override {
    const locked hold(lock_);
    source_.deallocate(a);
  }
  [[nodiscard]] bool reset_below() noexcept override {
    if constexpr (resettable<Source>) {
      const locked hold(lock_);
      return source_.reset(), true;
    }
    return false;
  }
  [[nodiscard]] bool trim_below(std::size_t keep, std::size_t& given) noexcept override {
    if constexpr (trimmable<Source>) {
      const locked hold(lock_);
      return given = source_.trim(keep), true;
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
