// ggml's public door for other people's memory: a buffer over a source, and all tensors of a context placed in one.
#pragma once

#include <type_traits>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What memory for ggml is aligned to; its CPU backend asks for 32 bytes on x86-64.
inline constexpr std::size_t ggml_alignment = 64;

namespace detail {

[[nodiscard]] constexpr failure no_ggml_memory(errc code, const char* what, std::size_t need, const char* fix) noexcept {
  return {.code = code, .pool = "ggml", .what = what, .need = need, .fix = fix};
}

/// The buffer that a wrapping function makes.
template <class Wrap>
using wrapped_by = std::remove_pointer_t<decltype(std::declval<Wrap&>()(static_cast<void*>(nullptr), std::size_t{0}))>;

}  // namespace detail

/// A piece of a source that ggml sees as a buffer of its own; both end with it.
///
/// For weights, caches and inputs of programs that use ggml's public headers alone. The header includes no ggml: `Buffer`
/// is the program's own ggml_backend_buffer, and the functions are those of the ggml that the program includes. Kept:
/// everything that a buffer of ggml's CPU backend can do. Lost: memory that ggml takes by itself, such as that of
/// ggml_gallocr; where the private header is at hand `ggml_buffer_type` gives that too.
///
/// Requires  a source that outlives it; tensors in it are not used after it
/// Threads   as the source
/// Example   examples/ggml/decoder.cpp
template <source Source, class Buffer>
  requires cpu_accessible<Source>
class ggml_memory {
 public:
  ggml_memory(ggml_memory&& other) noexcept : from_(other.from_), piece_(other.piece_), buffer_(other.buffer_) {
    other.piece_ = {};
    other.buffer_ = nullptr;
  }
  ggml_memory& operator=(ggml_memory&&) = delete;
  ~ggml_memory() { close(); }

  /// What ggml takes wherever it wants a ggml_backend_buffer_t, such as in ggml_tallocr_new; null once closed.
  [[nodiscard]] Buffer* buffer() const noexcept { return buffer_; }
  [[nodiscard]] allocation memory() const noexcept { return piece_; }

  /// Ends the buffer and gives the memory back.
  void close() noexcept {
    if (buffer_ != nullptr) ggml_backend_buffer_free(buffer_);
    buffer_ = nullptr;
    from_->deallocate(piece_);
    piece_ = {};
  }

  /// Takes memory and wraps it; use `open_ggml_memory`, which finds out the types.
  template <class Wrap>
  [[nodiscard]] static result<ggml_memory> open(Source& from, std::size_t bytes, Wrap&& wrap) noexcept {
    const allocation piece = from.allocate(bytes, ggml_alignment);
    if (!piece) {
      return detail::no_ggml_memory(bytes == 0 ? errc::invalid_argument : errc::out_of_memory, "bytes of a buffer", bytes,
                                    bytes == 0 ? "ask for 1 byte at least" : "ask for less, or a larger source");
    }
    Buffer* const made = wrap(piece.data, piece.size);
    if (made == nullptr) {
      from.deallocate(piece);
      return detail::no_ggml_memory(errc::unsupported, "bytes wrapped as a buffer by ggml", bytes,
                                    "wrap with ggml_backend_cpu_buffer_from_ptr, or a device that takes host memory");
    }
    return ggml_memory(from, piece, made);
  }

 private:
  ggml_memory(Source& from, allocation piece, Buffer* buffer) noexcept : from_(&from), piece_(piece), buffer_(buffer) {}

  Source* from_;
  allocation piece_;
  Buffer* buffer_;
};

/// Takes memory and lets ggml see it: `wrap` is ggml_backend_cpu_buffer_from_ptr, or what wraps it for a device.
///
/// Fails     no memory, or a wrap that gives null; nothing is taken
/// Cost      that of the source; ggml's own allocation of one small object
/// Example   open_ggml_memory(pages, 64 * MiB, &ggml_backend_cpu_buffer_from_ptr)
template <source Source, class Wrap>
[[nodiscard]] result<ggml_memory<Source, detail::wrapped_by<Wrap>>> open_ggml_memory(Source& from, std::size_t bytes,
                                                                                     Wrap&& wrap) noexcept {
  return ggml_memory<Source, detail::wrapped_by<Wrap>>::open(from, bytes, wrap);
}

/// The bytes of all tensors of a context that have no memory yet; ~0 if they do not fit 64 bits.
template <class Context>
[[nodiscard]] std::size_t ggml_bytes_of(Context* tensors) noexcept {
  std::size_t sum = 0;
  for (auto* t = ggml_get_first_tensor(tensors); t != nullptr; t = ggml_get_next_tensor(tensors, t)) {
    std::size_t bytes = 0;
    if (t->data != nullptr || t->view_src != nullptr) continue;
    if (!checked_align_up(ggml_nbytes(t), ggml_alignment, bytes) || !checked_add(sum, bytes, sum)) return ~std::size_t{0};
  }
  return sum;
}

/// Gives all tensors of a context one piece of a source, as ggml_backend_alloc_ctx_tensors does with ggml's memory.
///
/// For a context made with `no_alloc`. Tensors that have memory stay where they are; views follow what they look at.
///
/// Fails     no memory, a tensor that ggml refuses, or nothing to place; the tensors are as they were
/// Example   examples/ggml/decoder.cpp
template <source Source, class Context, class Wrap>
[[nodiscard]] result<ggml_memory<Source, detail::wrapped_by<Wrap>>> open_ggml_tensors(Source& from, Context* tensors,
                                                                                      Wrap&& wrap) noexcept {
  auto made = open_ggml_memory(from, ggml_bytes_of(tensors), wrap);
  if (!made) return made;
  auto* const buffer = made->buffer();
  // room was counted by the header's own alignment: a backend that wants more would run over the end
  if (const std::size_t wanted = ggml_backend_buffer_get_alignment(buffer); wanted > ggml_alignment)
    return detail::no_ggml_memory(errc::unsupported, "alignment of tensors, in bytes", wanted, "place them by ggml_tallocr");
  auto cut = ggml_tallocr_new(buffer);
  for (auto* t = ggml_get_first_tensor(tensors); t != nullptr; t = ggml_get_next_tensor(tensors, t)) {
    int refused = 0;
    if (t->view_src == nullptr) {
      if (t->data == nullptr) refused = static_cast<int>(ggml_tallocr_alloc(&cut, t));
    } else if (t->buffer == nullptr && t->view_src->buffer != nullptr) {
      refused = static_cast<int>(ggml_backend_view_init(t));
    }
    if (refused == 0) continue;
    for (auto* placed = ggml_get_first_tensor(tensors); placed != nullptr; placed = ggml_get_next_tensor(tensors, placed)) {
      if (placed->buffer != buffer) continue;
      placed->buffer = nullptr;
      placed->data = nullptr;
    }
    return detail::no_ggml_memory(errc::unsupported, "bytes of a tensor that ggml refused", ggml_nbytes(t),
                                  "look at the backend's own message");
  }
  return made;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
