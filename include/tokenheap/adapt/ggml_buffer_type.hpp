// A full buffer type of ggml over a source, for programs that have ggml's private header.
#pragma once

#include <atomic>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/policy/guard.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// True for ggml's buffer type once <ggml-backend-impl.h> has said what is in it.
template <class Type>
concept ggml_buffer_type_in_full = requires(Type& t) {
  t.iface.alloc_buffer;
  t.iface.get_name;
  t.device;
  t.context;
};

/// Gives a source to everything of ggml that takes a buffer type.
///
/// For graph allocators, schedulers, whole contexts and llama.cpp's overrides of where tensors lie. Include
/// <ggml-backend-impl.h> before use: it lies in ggml's source tree and is not installed; `ggml_memory` needs no private
/// header. A buffer is one that ggml makes for the CPU, over memory of the source, with another end; so whatever ggml's own
/// buffers can do stays as it is, in every version. Kept: alignment, host access, copies between backends. Lost: nothing.
///
/// Requires  a source that outlives it, and that it outlives all buffers; those still out at its end are reported
/// Fails     null, as ggml expects it
/// Threads   as the source
/// Cost      that of the source
/// Example   ggml_buffer_type type(pages, ggml_backend_cpu_buffer_type(), &ggml_backend_cpu_buffer_from_ptr);
template <source Source, class Type, class Buffer>
  requires cpu_accessible<Source> && ggml_buffer_type_in_full<Type>
class ggml_buffer_type {
 public:
  /// `cpu` is ggml_backend_cpu_buffer_type(), `wrap` is ggml_backend_cpu_buffer_from_ptr; `name` lives as long as this.
  ggml_buffer_type(Source& from, Type* cpu, Buffer* (*wrap)(void*, std::size_t), const char* name = "tokenheap") noexcept
      : type_(*cpu), from_(&from), wrap_(wrap), name_(name) {
    type_.context = this;
    type_.iface.get_name = [](Type* self) { return of(self).name_; };
    type_.iface.alloc_buffer = [](Type* self, std::size_t bytes) -> Buffer* { return of(self).allocate(bytes); };
    alignment_ = cpu->iface.get_alignment(cpu);
    if (alignment_ < 64) alignment_ = 64;
  }
  ggml_buffer_type(const ggml_buffer_type&) = delete;
  ggml_buffer_type& operator=(const ggml_buffer_type&) = delete;
  ~ggml_buffer_type() {
    if (const std::size_t out = buffers(); out != 0) {
      report({.code = errc::leaked, .pool = name_, .what = "buffers of ggml that are still out", .need = out,
              .fix = "free every buffer, allocator and scheduler of ggml before the buffer type"});
    }
  }

  /// What ggml takes wherever it wants a ggml_backend_buffer_type_t.
  [[nodiscard]] Type* get() noexcept { return &type_; }
  /// Buffers that are out.
  [[nodiscard]] std::size_t buffers() const noexcept { return out_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] static ggml_buffer_type& of(Type* self) noexcept { return *static_cast<ggml_buffer_type*>(self->context); }

  [[nodiscard]] Buffer* allocate(std::size_t bytes) noexcept {
    const allocation piece = from_->allocate(bytes, alignment_);
    if (!piece) return nullptr;
    // ggml sees the size that was granted, so that the piece goes back as it came
    Buffer* const made = wrap_(piece.data, piece.size);
    if (made == nullptr) return from_->deallocate(piece), nullptr;
    made->buft = &type_;
    made->context = piece.data;
    made->iface.free_buffer = [](Buffer* buffer) {
      ggml_buffer_type& mine = of(buffer->buft);
      mine.from_->deallocate({buffer->context, buffer->size});
      mine.out_.fetch_sub(1, std::memory_order_relaxed);
    };
    out_.fetch_add(1, std::memory_order_relaxed);
    return made;
  }

  Type type_;
  Source* from_;
  Buffer* (*wrap_)(void*, std::size_t);
  const char* name_;
  std::size_t alignment_ = 0;
  std::atomic<std::size_t> out_{0};
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
