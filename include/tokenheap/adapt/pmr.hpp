// Any host source behind the standard library's two doors: std::pmr::memory_resource and std::allocator.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>

#include <tokenheap/adapt/no_memory.hpp>
#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

namespace detail {

/// The standard library gives back the size that it asked for; what was granted stands in front of each piece.
template <class Source>
struct sized_pieces {
  static constexpr std::size_t front = sizeof(allocation);

  [[nodiscard]] static void* take(Source& from, std::size_t bytes, std::size_t alignment) noexcept {
    const std::size_t step = alignment > front ? alignment : front;
    std::size_t total = 0;
    if (!checked_add(bytes, step, total)) return nullptr;
    const allocation whole = from.allocate(total, step);
    if (!whole) return nullptr;
    unsigned char* const user = static_cast<unsigned char*>(whole.data) + step;
    new (user - front) allocation(whole);
    return user;
  }
  static void give(Source& to, void* user) noexcept {
    to.deallocate(*std::launder(reinterpret_cast<allocation*>(static_cast<unsigned char*>(user) - front)));
  }
};

}  // namespace detail

/// Gives a source to the containers of std::pmr.
///
/// For containers whose memory should be counted, limited or come from an arena. Not for memory that the CPU cannot
/// touch. Kept of the interface: any power-of-two alignment that the source takes, sizes of 0. Lost: `try_grow`, and
/// the null answer, which becomes std::bad_alloc (without exceptions the program ends).
///
/// Requires  a source that outlives the resource and all that was made from it
/// Fails     std::bad_alloc; the source's failure handler is told first, with need and limit, where it tells
/// Threads   as the source
/// Cost      the source's; 16 bytes in front of each piece, or its alignment if that is more
/// Example   examples/containers.cpp
template <source Source>
  requires cpu_accessible<Source>
class pmr_resource final : public std::pmr::memory_resource {
 public:
  explicit pmr_resource(Source& from) noexcept : from_(&from) {}

  [[nodiscard]] Source& upstream() const noexcept { return *from_; }

 private:
  using pieces = detail::sized_pieces<Source>;

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const p = pieces::take(*from_, bytes, alignment);
    if (p == nullptr) no_memory();
    return p;
  }
  void do_deallocate(void* p, std::size_t, std::size_t) override { pieces::give(*from_, p); }
  // without RTTI another class cannot be told from this one, and two of this class over one source are rare
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#if defined(__cpp_rtti)
    const auto* const same = dynamic_cast<const pmr_resource*>(&other);
    return same != nullptr && same->from_ == from_;
#else
    return this == &other;
#endif
  }

  Source* from_;
};

/// Gives a source to the containers of std, as their allocator.
///
/// As `pmr_resource`, without an indirect call and with the source in the container's type. Copies refer to the same
/// source; containers move and swap their memory with it.
///
/// Requires  a source that outlives all containers
/// Fails     std::bad_alloc
/// Threads   as the source
/// Example   examples/containers.cpp
template <class T, source Source>
  requires cpu_accessible<Source>
class std_allocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  using is_always_equal = std::false_type;
  /// The same allocator for another type; containers ask for it.
  template <class U>
  struct rebind {
    using other = std_allocator<U, Source>;
  };

  explicit std_allocator(Source& from) noexcept : from_(&from) {}
  template <class U>
  std_allocator(const std_allocator<U, Source>& other) noexcept : from_(&other.upstream()) {}

  [[nodiscard]] T* allocate(std::size_t n) {
    void* p = nullptr;
    if (n <= max_allocation / sizeof(T)) p = pieces::take(*from_, n * sizeof(T), alignof(T));
    if (p == nullptr) no_memory();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t) noexcept { pieces::give(*from_, p); }

  [[nodiscard]] Source& upstream() const noexcept { return *from_; }
  template <class U>
  friend bool operator==(const std_allocator& a, const std_allocator<U, Source>& b) noexcept {
    return &a.upstream() == &b.upstream();
  }

 private:
  using pieces = detail::sized_pieces<Source>;
  Source* from_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
