// Any source behind two words: the one erased type of the library.
#pragma once

#include <concepts>

#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {

/// Stands for any source in one space without owning it; made to pass allocators through compiled interfaces.
///
/// Two words, trivially copyable, no heap. Name concrete types where speed counts: a call through here is an indirect
/// call. A default-made one refers to nothing and gives nothing.
///
/// Requires  that the source it was made from outlives it
/// Threads   as the source behind it
/// Cost      one indirect call
template <space Space>
class basic_source_ref {
 public:
  using space = Space;
  using options = basic_source_ref;

  constexpr basic_source_ref() noexcept = default;

  template <source Source>
    requires(std::same_as<typename Source::space, Space> && !std::same_as<Source, basic_source_ref>)
  constexpr basic_source_ref(Source& source) noexcept : object_(&source), calls_(&calls_of<Source>) {}

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    return calls_ == nullptr ? allocation{} : calls_->allocate(object_, bytes, alignment);
  }
  void deallocate(allocation a) noexcept {
    if (calls_ != nullptr) calls_->deallocate(object_, a);
  }
  [[nodiscard]] const char* name() const noexcept { return calls_ == nullptr ? "nothing" : calls_->name(object_); }

  [[nodiscard]] constexpr explicit operator bool() const noexcept { return object_ != nullptr; }
  friend constexpr bool operator==(const basic_source_ref&, const basic_source_ref&) = default;

 private:
  struct calls {
    allocation (*allocate)(void*, std::size_t, std::size_t) noexcept;
    void (*deallocate)(void*, allocation) noexcept;
    const char* (*name)(const void*) noexcept;
  };

  template <class Source>
  [[nodiscard]] static const char* name_of(const void* object) noexcept {
    if constexpr (named<Source>) {
      return static_cast<const Source*>(object)->name();
    } else {
      return "unnamed";
    }
  }

  template <class Source>
  static constexpr calls calls_of{
      [](void* object, std::size_t bytes, std::size_t alignment) noexcept {
        return static_cast<Source*>(object)->allocate(bytes, alignment);
      },
      [](void* object, allocation a) noexcept { static_cast<Source*>(object)->deallocate(a); },
      &name_of<Source>};

  void* object_ = nullptr;
  const calls* calls_ = nullptr;
};

using source_ref = basic_source_ref<host_space>;

static_assert(source<source_ref> && named<source_ref> && sizeof(source_ref) == 2 * sizeof(void*));

}  // namespace v0
}  // namespace tokenheap
