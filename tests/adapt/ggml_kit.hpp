#pragma once

// What the adapters use of ggml's interface, written anew after its documented behaviour: it counts what ggml would abort on.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

struct ggml_backend_buffer;
struct ggml_backend_buffer_type;

enum ggml_status { GGML_STATUS_FAILED = -1, GGML_STATUS_SUCCESS = 0 };

struct ggml_tensor {
  std::size_t bytes = 0;
  ggml_backend_buffer* buffer = nullptr;
  ggml_tensor* view_src = nullptr;
  std::size_t view_offs = 0;
  void* data = nullptr;
};
struct ggml_context {
  std::vector<ggml_tensor> tensors;
};

struct ggml_backend_buffer_type_i {
  const char* (*get_name)(ggml_backend_buffer_type*);
  ggml_backend_buffer* (*alloc_buffer)(ggml_backend_buffer_type*, std::size_t);
  std::size_t (*get_alignment)(ggml_backend_buffer_type*);
  bool (*is_host)(ggml_backend_buffer_type*);
};
struct ggml_backend_buffer_type {
  ggml_backend_buffer_type_i iface;
  void* device;
  void* context;
};
struct ggml_backend_buffer_i {
  void (*free_buffer)(ggml_backend_buffer*);
  void* (*get_base)(ggml_backend_buffer*);
  void (*clear)(ggml_backend_buffer*, std::uint8_t);
};
struct ggml_backend_buffer {
  ggml_backend_buffer_i iface;
  ggml_backend_buffer_type* buft;
  void* context;
  std::size_t size;
};
struct ggml_tallocr {
  ggml_backend_buffer* buffer;
  unsigned char* first;
  std::size_t alignment;
  std::size_t offset;
};

namespace ggml_kit {

/// What happened in the made-up ggml since a test began.
struct state {
  std::size_t buffers = 0;     ///< that are out
  std::size_t aborts = 0;      ///< calls that end the program in ggml
  std::size_t alignment = 32;  ///< of tensors
  int refuse_wrap = 0;         ///< from this wrap on, counted from 1
  int refuse_tensor = 0;       ///< this one, counted from 1
};
inline state now;

inline ggml_backend_buffer_type cpu{
    {[](ggml_backend_buffer_type*) { return "CPU"; }, [](ggml_backend_buffer_type*, std::size_t) -> ggml_backend_buffer* {
       return nullptr;
     },
     [](ggml_backend_buffer_type*) { return now.alignment; }, [](ggml_backend_buffer_type*) { return true; }},
    nullptr,
    nullptr};

}  // namespace ggml_kit

inline ggml_backend_buffer_type* ggml_backend_cpu_buffer_type() { return &ggml_kit::cpu; }

inline ggml_backend_buffer* ggml_backend_cpu_buffer_from_ptr(void* p, std::size_t size) {
  if (ggml_kit::now.refuse_wrap != 0 && --ggml_kit::now.refuse_wrap == 0) return nullptr;
  if (reinterpret_cast<std::uintptr_t>(p) % 32 != 0) ++ggml_kit::now.aborts;
  ++ggml_kit::now.buffers;
  return new ggml_backend_buffer{{nullptr, [](ggml_backend_buffer* b) { return b->context; },
                                  [](ggml_backend_buffer* b, std::uint8_t value) { std::memset(b->context, value, b->size); }},
                                 &ggml_kit::cpu, p, size};
}
inline void ggml_backend_buffer_free(ggml_backend_buffer* b) {
  if (b == nullptr) return;
  if (b->iface.free_buffer != nullptr) b->iface.free_buffer(b);
  --ggml_kit::now.buffers;
  delete b;
}
inline std::size_t ggml_backend_buffer_get_alignment(ggml_backend_buffer* b) { return b->buft->iface.get_alignment(b->buft); }

inline ggml_tensor* ggml_get_first_tensor(ggml_context* c) { return c->tensors.empty() ? nullptr : c->tensors.data(); }
inline ggml_tensor* ggml_get_next_tensor(ggml_context* c, ggml_tensor* t) {
  return t + 1 == c->tensors.data() + c->tensors.size() ? nullptr : t + 1;
}
inline std::size_t ggml_nbytes(const ggml_tensor* t) { return t->bytes; }

inline ggml_tallocr ggml_tallocr_new(ggml_backend_buffer* b) {
  return {b, static_cast<unsigned char*>(b->iface.get_base(b)), ggml_kit::now.alignment, 0};
}
inline ggml_status ggml_tallocr_alloc(ggml_tallocr* cut, ggml_tensor* t) {
  const std::size_t bytes = (t->bytes + cut->alignment - 1) / cut->alignment * cut->alignment;
  if (cut->offset + bytes > cut->buffer->size || t->buffer != nullptr || t->view_src != nullptr) ++ggml_kit::now.aborts;
  if (ggml_kit::now.refuse_tensor != 0 && --ggml_kit::now.refuse_tensor == 0) return GGML_STATUS_FAILED;
  t->buffer = cut->buffer;
  t->data = cut->first + cut->offset;
  cut->offset += bytes;
  return GGML_STATUS_SUCCESS;
}
inline ggml_status ggml_backend_view_init(ggml_tensor* t) {
  if (t->buffer != nullptr || t->view_src == nullptr || t->view_src->data == nullptr) {
    ++ggml_kit::now.aborts;
    return GGML_STATUS_FAILED;
  }
  t->buffer = t->view_src->buffer;
  t->data = static_cast<unsigned char*>(t->view_src->data) + t->view_offs;
  return GGML_STATUS_SUCCESS;
}
