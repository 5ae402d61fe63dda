// Composition by type: a source and the layers above it, bottom first.
#pragma once

#include <tokenheap/alloc/guarded.hpp>
#include <tokenheap/alloc/over.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/policy/none.hpp>

namespace tokenheap {
inline namespace v0 {

/// True for a policy that neither counts, locks, refuses, guards nor records: as a layer it is left out.
template <class P>
inline constexpr bool does_nothing = std::same_as<P, no_lock> || std::same_as<P, no_stats> || std::same_as<P, no_limit> ||
                                     std::same_as<P, no_guard> || std::same_as<P, no_trace>;

/// Folds a source and layers into one type: each layer's `on<everything below>`.
template <source Source, class... Layers>
struct column {
  using type = Source;
};
template <source Source, class Layer, class... Rest>
struct column<Source, Layer, Rest...> {
  using type = typename column<typename Layer::template on<Source>, Rest...>::type;
};
template <source Source, class P, class... Rest>
  requires does_nothing<P>
struct column<Source, with<P>, Rest...> {
  using type = typename column<Source, Rest...>::type;
};

/// True for the layers that may ask a callback to make room.
template <class Layer>
inline constexpr bool relieves = false;
template <limit_policy P>
inline constexpr bool relieves<with<P>> = !does_nothing<P>;

/// True for a column with such a layer, whose own `allocate` is the one that asks.
template <class Source>
concept asks_for_room = Source::asks_callbacks && requires {
  requires std::same_as<decltype(&Source::allocate), decltype(&Source::unnamed::allocate)>;
};

/// A column as the floor of another one: it leaves asking to the outermost, which holds no lock while it does.
template <source Source>
struct as_floor {
  using type = Source;
};
template <source Source>
  requires asks_for_room<Source>
struct as_floor<Source> {
  struct type : Source {
    template <class... Options>
    explicit type(const Options&... given) : Source(given...) {}

    [[nodiscard]] TOKENHEAP_INLINE allocation allocate(std::size_t bytes,
                                                       std::size_t alignment = default_alignment) noexcept {
      return this->allocate_once(bytes, alignment);
    }
  };
};

/// An allocator made of a source and the layers above it, read from the bottom up.
///
/// Give it a name of its own by inheritance; the name is short in error messages and can be declared ahead. Each part
/// finds its own options aggregate among the arguments of the constructor; an option that nobody takes is an error. A
/// name made by inheritance is an aggregate: its options stand in two pairs of braces, `staging mem{{option, ...}}`, or
/// it inherits the constructors too, `using layered::layered;`.
///
/// Fails     as its parts; where a limit has a callback, a refusal asks it and tries again, outside all locks
/// Threads   as its parts; safe with a `with<spin_lock>` or `with<mutex_lock>` on top
/// Cost      that of its parts: calls inline, empty parts take no space
/// Example   struct staging : layered<host_source, arena<>, slab<>, with<counters>> {};
template <source Source, class Layer, class... Layers>
class layered : public column<typename as_floor<Source>::type, Layer, Layers...>::type {
  using top = typename column<typename as_floor<Source>::type, Layer, Layers...>::type;
  static constexpr int max_tries = 16;

 public:
  using unnamed = layered;
  static constexpr bool asks_callbacks = relieves<Layer> || (relieves<Layers> || ...) || asks_for_room<Source>;

  template <class... Options>
  layered(const Options&... given) : top(given...) {
    static_assert((takes_option<top, Options>() && ...), "no part of this column takes one of these options");
  }

  [[nodiscard]] TOKENHEAP_INLINE allocation allocate(std::size_t bytes,
                                                     std::size_t alignment = default_alignment) noexcept {
    allocation a = top::allocate(bytes, alignment);
    if constexpr (asks_callbacks) {
      // a hundred polite callbacks that free nothing must not become an endless loop
      for (int tries = 0; tries != max_tries && this->relieve(bytes, !a) && !a; ++tries)
        a = top::allocate(bytes, alignment);
    }
    return a;
  }

 protected:
  [[nodiscard]] TOKENHEAP_INLINE allocation allocate_once(std::size_t bytes, std::size_t alignment) noexcept {
    return top::allocate(bytes, alignment);
  }
};

}  // namespace v0
}  // namespace tokenheap
