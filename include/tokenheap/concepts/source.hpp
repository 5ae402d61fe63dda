// Questions that anything which gives memory can answer: one question, one small concept.
#pragma once

#include <concepts>
#include <cstddef>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Where bytes live: ordinary memory of the process.
struct host_space {
  static constexpr bool cpu_accessible = true;
  static constexpr bool device_accessible = false;
};

/// Where bytes live: host memory that a device can read and write at full speed.
struct pinned_space {
  static constexpr bool cpu_accessible = true;
  static constexpr bool device_accessible = true;
};

/// Where bytes live: memory of a device; the CPU never touches it.
struct device_space {
  static constexpr bool cpu_accessible = false;
  static constexpr bool device_accessible = true;
};

/// Where bytes live: nowhere yet; addresses are offsets into something that the user owns.
struct offset_space {
  static constexpr bool cpu_accessible = false;
  static constexpr bool device_accessible = false;
};

// exactly bool: a function of that name would convert to true, whatever it returns
template <class T>
concept space = requires {
  { T::cpu_accessible } -> std::same_as<const bool&>;
  { T::device_accessible } -> std::same_as<const bool&>;
};

template <class S>
concept names_its_space = requires { typename S::space; } && space<typename S::space>;

template <class S>
concept can_allocate = requires(S& s, std::size_t n) {
  { s.allocate(n, n) } noexcept -> std::same_as<allocation>;
};

template <class S>
concept can_deallocate = requires(S& s, allocation a) {
  { s.deallocate(a) } noexcept -> std::same_as<void>;
};

/// Gives memory: `allocate(bytes, alignment)` and `deallocate(allocation)`, both noexcept, in a named space.
///
/// allocate returns a null allocation for 0 bytes, for an alignment that is no power of two, and when there is no more;
/// a refusal changes nothing. deallocate of a null allocation does nothing. `check/contract.hpp` tests all of it.
template <class S>
concept source = names_its_space<S> && can_allocate<S> && can_deallocate<S>;

template <class S>
concept names_its_stream = requires { typename S::stream; };

template <class S>
concept can_allocate_on_stream = requires(S& s, typename S::stream stream, std::size_t n) {
  { s.allocate(stream, n, n) } noexcept -> std::same_as<allocation>;
};

template <class S>
concept can_deallocate_on_stream = requires(S& s, typename S::stream stream, allocation a) {
  { s.deallocate(stream, a) } noexcept -> std::same_as<void>;
};

/// Gives memory in the order of a stream: the stream comes first in both calls.
template <class S>
concept stream_source =
    names_its_space<S> && names_its_stream<S> && can_allocate_on_stream<S> && can_deallocate_on_stream<S>;

/// Knows its own: `owns(pointer)` is true for every address inside what it took from below.
template <class S>
concept owner = requires(const S& s, const void* p) {
  { s.owns(p) } noexcept -> std::same_as<bool>;
};

/// Takes everything back at once: `reset()` ends all allocations and keeps the memory for the next ones.
template <class S>
concept resettable = requires(S& s) {
  { s.reset() } noexcept -> std::same_as<void>;
};

/// Gives idle memory down: `trim(keep)` returns how many bytes it gave; at most `keep` idle bytes stay.
template <class S>
concept trimmable = requires(S& s, std::size_t keep) {
  { s.trim(keep) } noexcept -> std::same_as<std::size_t>;
};

/// Grows in place: `try_grow(allocation&, bytes)` is true and updates the size, or false and changes nothing.
template <class S>
concept growable = requires(S& s, allocation& a, std::size_t n) {
  { s.try_grow(a, n) } noexcept -> std::same_as<bool>;
};

/// Can be asked whether its own structures hold together: `is_valid()` walks them all.
template <class S>
concept self_checking = requires(const S& s) {
  { s.is_valid() } noexcept -> std::same_as<bool>;
};

/// Has a name for reports: `name()` is a text that lives as long as the source.
template <class S>
concept named = requires(const S& s) {
  { s.name() } noexcept -> std::convertible_to<const char*>;
};

template <class S>
concept cpu_accessible = names_its_space<S> && S::space::cpu_accessible;

template <class S>
concept device_accessible = names_its_space<S> && S::space::device_accessible;

}  // namespace v0
}  // namespace tokenheap
