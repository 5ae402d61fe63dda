// Stands for libggml-cpu.so on a processor with AMX: takes a buffer by ggml_aligned_malloc and ends it by free().
#include <cstddef>
#include <cstdlib>

extern "C" {
void* ggml_aligned_malloc(std::size_t size);
void* stand_in_amx_take(std::size_t size);
void stand_in_amx_give(void* p);
}

void* stand_in_amx_take(std::size_t size) {
  void* const p = ggml_aligned_malloc(size);
  asm volatile("" ::: "memory");  // no tail call: ggml looks at the answer too
  return p;
}
void stand_in_amx_give(void* p) { std::free(p); }
