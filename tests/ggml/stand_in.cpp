// Stands for libggml-base.so: exports the two functions and calls them itself, as ggml does.
#include <cstddef>
#include <cstdlib>

extern "C" {
void* ggml_aligned_malloc(std::size_t size);
void ggml_aligned_free(void* p, std::size_t size);
void* stand_in_take(std::size_t size);
void stand_in_give(void* p, std::size_t size);
}

void* ggml_aligned_malloc(std::size_t size) {
  void* p = nullptr;
  return size == 0 || posix_memalign(&p, 64, size) != 0 ? nullptr : p;
}
void ggml_aligned_free(void* p, std::size_t) { std::free(p); }

void* stand_in_take(std::size_t size) {
  void* const p = ggml_aligned_malloc(size);
  asm volatile("" ::: "memory");  // no tail call: ggml looks at the answer too
  return p;
}
void stand_in_give(void* p, std::size_t size) { ggml_aligned_free(p, size); }
