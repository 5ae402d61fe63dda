/* Does what ggml's own ggml_aligned_malloc does, and measures what the heap of glibc holds for it; for LD_PRELOAD. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t asked, asked_peak, held, held_peak, calls;

/* The size of a chunk stands in front of it; a mapped one also says how far its mapping reaches back. */
static size_t chunk_of(void* p) {
  const size_t* const words = (const size_t*)p;
  const size_t size = words[-1] & ~(size_t)7;
  return (words[-1] & 2) != 0 ? size + words[-2] : size;
}

/* What was asked, beside the memory: a word in front of each piece would change what the heap holds. */
enum { places = 1 << 16 };
static struct {
  void* at;
  size_t bytes;
} table[places];

static size_t place_of(const void* p) {
  size_t k = (size_t)(((uintptr_t)p >> 6) * 0x9E3779B97F4A7C15u) >> 48;
  while (table[k].at != NULL && table[k].at != p) k = (k + 1) % places;
  return k;
}

__attribute__((visibility("default"))) void* ggml_aligned_malloc(size_t bytes) {
  void* p = NULL;
  if (bytes == 0 || posix_memalign(&p, 64, bytes) != 0) return NULL;
  pthread_mutex_lock(&lock);
  const size_t k = place_of(p);
  table[k].at = p;
  table[k].bytes = bytes;
  ++calls;
  asked += bytes;
  held += chunk_of(p);
  if (asked > asked_peak) asked_peak = asked;
  if (held > held_peak) held_peak = held;
  pthread_mutex_unlock(&lock);
  return p;
}

__attribute__((visibility("default"))) void ggml_aligned_free(void* p, size_t size) {
  (void)size;
  if (p == NULL) return;
  pthread_mutex_lock(&lock);
  /* the place stays taken: the heap gives few addresses, again and again */
  const size_t k = place_of(p);
  asked -= table[k].bytes;
  table[k].bytes = 0;
  held -= chunk_of(p);
  pthread_mutex_unlock(&lock);
  free(p);
}

/* 0 bytes asked at the peak, 1 bytes held at the peak, 2 calls */
__attribute__((visibility("default"))) size_t ggml_heap_stat(int which) {
  return which == 0 ? asked_peak : which == 1 ? held_peak : calls;
}
