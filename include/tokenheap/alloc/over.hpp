// How a layer stands on the one below it, and how each finds its own options.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {

template <class T>
concept has_options = requires { typename T::options; } && std::constructible_from<T, const typename T::options&>;

/// A layer that already stands on something: it hands options on to what is below.
template <class T>
concept stands_on_a_floor = requires { typename T::below_type; };

/// True if `Option` is what `T`, or anything below it, takes at construction.
template <class T, class Option>
[[nodiscard]] consteval bool takes_option() {
  if constexpr (has_options<T>) {
    if (std::same_as<typename T::options, Option>) return true;
  }
  if constexpr (requires { typename T::own_options; }) {
    if (std::same_as<typename T::own_options, Option>) return true;
  }
  if constexpr (stands_on_a_floor<T>) return takes_option<typename T::below_type, Option>();
  return false;
}

/// Returns the first of `given` that is an `Option`, or a default one.
template <class Option>
[[nodiscard]] constexpr Option pick_option() noexcept {
  return Option{};
}
template <class Option, class First, class... Rest>
[[nodiscard]] constexpr Option pick_option(const First& first, const Rest&... rest) noexcept {
  if constexpr (std::same_as<Option, First>) {
    return first;
  } else {
    return pick_option<Option>(rest...);
  }
}

/// Keeps the floor below a layer and passes on the questions that every layer answers alike.
///
/// What a layer is made of: inherit it, and call `below_`. A layer cannot be moved: what stands above holds addresses.
template <source Below>
class over {
 public:
  using space = typename Below::space;
  using below_type = Below;

  // three ways to make what is below in its place: nothing here is ever moved
  template <class... Options>
  constexpr explicit over(const Options&... given)
    requires stands_on_a_floor<Below>
      : below_(given...) {}
  template <class... Options>
  constexpr explicit over(const Options&... given)
    requires(!stands_on_a_floor<Below> && has_options<Below>)
      : below_(pick_option<typename Below::options>(given...)) {}
  template <class... Options>
  constexpr explicit over(const Options&...)
    requires(!stands_on_a_floor<Below> && !has_options<Below>)
  {}
  over(const over&) = delete;
  over& operator=(const over&) = delete;

  [[nodiscard]] bool owns(const void* p) const noexcept
    requires owner<Below>
  {
    return below_.owns(p);
  }
  [[nodiscard]] bool is_valid() const noexcept
    requires self_checking<Below>
  {
    return below_.is_valid();
  }
  [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept
    requires trimmable<Below>
  {
    return below_.trim(keep);
  }
  [[nodiscard]] const char* name() const noexcept {
    if constexpr (named<Below>) {
      return below_.name();
    } else {
      return "unnamed";
    }
  }

  /// The nearest floor below that is a `Floor`: a source, or a layer by the name that the column uses for it.
  template <class Floor>
  [[nodiscard]] auto& floor() noexcept {
    return find<Floor>(below_);
  }
  template <class Floor>
  [[nodiscard]] const auto& floor() const noexcept {
    return find<Floor>(below_);
  }
  /// The nearest policy `P` that a `with<P>` put into the column.
  template <class P>
  [[nodiscard]] auto& policy() noexcept {
    return below_.template policy<P>();
  }
  template <class P>
  [[nodiscard]] const auto& policy() const noexcept {
    return below_.template policy<P>();
  }
  /// Asks the limits below to make room, outside all locks; true if a refused request is worth another try.
  [[nodiscard]] bool relieve(std::size_t bytes, bool failed) noexcept {
    if constexpr (requires { below_.relieve(bytes, failed); }) return below_.relieve(bytes, failed);
    return false;
  }

 protected:
  ~over() = default;

  TOKENHEAP_NO_UNIQUE_ADDRESS Below below_;

 private:
  template <class Floor, class Self>
  [[nodiscard]] static auto& find(Self& self) noexcept {
    if constexpr (std::derived_from<Self, Floor>) {
      return static_cast<std::conditional_t<std::is_const_v<Self>, const Floor, Floor>&>(self);
    } else if constexpr (requires { requires std::same_as<typename Self::layer, Floor>; }) {
      return self;
    } else {
      return self.template floor<Floor>();
    }
  }
};

}  // namespace v0
}  // namespace tokenheap
