/* Sources from C: each kind, limits, what a book catches, and functions of the user's own. */
#include "check.h"

#include <stdlib.h>

static th_source* open_kind(uint32_t kind, th_source* below, uint64_t limit) {
  NEW(th_source_options, with);
  with.kind = kind;
  with.below = below;
  with.limit = limit;
  with.name = "mine";
  th_source* const source = th_source_open(&with);
  CHECK(source != NULL);
  return source;
}

static void a_book_catches_misuse(th_source* source) {
  th_allocation a, b;
  CHECK(th_source_allocate(source, 1000, 64, &a) == th_ok);
  CHECK(a.bytes >= 1000 && (uintptr_t)a.data % 64 == 0);
  memset(a.data, 1, a.bytes);
  CHECK(th_source_allocate(source, 100, 0, &b) == th_ok && (uintptr_t)b.data % 16 == 0);
  NEW(th_source_stats, now);
  CHECK(th_source_stats_of(source, &now) == th_ok);
  CHECK(now.pieces == 2 && now.bytes == a.bytes + b.bytes && now.requested_bytes == 1100 && now.allocations == 2);
  CHECK_REFUSED(th_source_close(source), th_in_use, 2, 0);

  th_allocation wrong = a;
  wrong.bytes += 16;
  CHECK_REFUSED(th_source_deallocate(source, wrong), th_wrong_size, a.bytes + 16, a.bytes);
  wrong.data = (char*)a.data + 16;
  CHECK(th_source_deallocate(source, wrong) == th_interior_pointer);
  wrong.data = &wrong;
  CHECK(th_source_deallocate(source, wrong) == th_foreign_pointer);
  CHECK(strstr(th_last_error(), "pool 'mine': foreign pointer") == th_last_error());
  CHECK(th_source_deallocate(source, a) == th_ok);
  CHECK(th_source_deallocate(source, a) == th_double_free);
  const th_allocation nothing = {NULL, 5};
  CHECK(th_source_deallocate(source, nothing) == th_ok);
  CHECK(th_source_deallocate(source, b) == th_ok);
  CHECK(th_source_is_valid(source) == th_ok);
  CHECK(th_source_stats_of(source, &now) == th_ok && now.pieces == 0 && now.bytes == 0 && now.peak_bytes == a.bytes + b.bytes);
  CHECK(th_source_allocate(source, 0, 0, &a) == th_invalid_argument && a.data == NULL);
  CHECK(th_source_allocate(source, 16, 48, &a) == th_invalid_argument);
  CHECK_REFUSED(th_source_allocate(source, SIZE_MAX, 0, &a), th_invalid_argument, SIZE_MAX, (SIZE_MAX >> 1) - ((size_t)1 << 30));
}

static void limits_refuse(void) {
  th_source* const source = open_kind(th_source_host, NULL, 1000);
  th_allocation a, b;
  CHECK(th_source_allocate(source, 600, 0, &a) == th_ok);
  CHECK_REFUSED(th_source_allocate(source, 500, 0, &b), th_limit_reached, 500, 1000);
  CHECK(strstr(th_last_error(), "available 400") != NULL && b.data == NULL);
  CHECK(th_source_set_limit(source, 0) == th_ok && th_source_allocate(source, 500, 0, &b) == th_ok);
  NEW(th_source_stats, now);
  CHECK(th_source_stats_of(source, &now) == th_ok && now.failures == 1 && now.failed_bytes == 500 && now.limit == 0);
  CHECK(th_source_deallocate(source, a) == th_ok && th_source_deallocate(source, b) == th_ok);
  CHECK(th_source_close(source) == th_ok);
}

static th_source* relieved;
static th_allocation spare;
static int give_spare(void* user, size_t bytes) {
  CHECK(user == &spare && bytes == 500);
  th_allocation inside;
  if (spare.data == NULL) return 0;
  /* a request in here is refused at once, and does not ask again */
  CHECK(th_source_allocate(relieved, 500, 0, &inside) == th_limit_reached);
  CHECK(th_source_deallocate(relieved, spare) == th_ok);
  spare.data = NULL;
  return 1;
}

static void pressure_is_told(void) {
  NEW(th_source_options, with);
  with.limit = 1000, with.on_refusal = &give_spare, with.on_refusal_user = &spare;
  relieved = th_source_open(&with);
  th_allocation a;
  CHECK(th_source_allocate(relieved, 600, 0, &spare) == th_ok);
  CHECK(th_source_allocate(relieved, 500, 0, &a) == th_ok);
  th_allocation b;
  CHECK(th_source_allocate(relieved, 500, 0, &b) == th_ok && spare.data == NULL);
  CHECK_REFUSED(th_source_allocate(relieved, 500, 0, &spare), th_limit_reached, 500, 1000);
  CHECK(th_source_deallocate(relieved, b) == th_ok);
  CHECK(th_source_deallocate(relieved, a) == th_ok && th_source_close(relieved) == th_ok);
}

static void layers_stand_on_sources(void) {
  th_source* const pages = open_kind(th_source_pages, NULL, 0);
  a_book_catches_misuse(pages);
  CHECK(th_source_reset(pages) == th_unsupported);
  th_source* const arena = open_kind(th_source_arena, pages, 0);
  th_source* const slab = open_kind(th_source_slab, arena, 0);
  a_book_catches_misuse(slab);
  CHECK_REFUSED(th_source_close(pages), th_in_use, 1, 0);
  CHECK_REFUSED(th_source_reset(arena), th_in_use, 1, 0);
  th_allocation a;
  CHECK(th_source_allocate(slab, 100, 0, &a) == th_ok && a.bytes == 112);
  CHECK(th_source_deallocate(slab, a) == th_ok);
  CHECK(th_source_close(slab) == th_ok && th_source_close(arena) == th_ok && th_source_close(pages) == th_ok);
}

static void an_arena_is_reset(void) {
  th_source* const pages = open_kind(th_source_pages, NULL, 0);
  th_source* const arena = open_kind(th_source_arena, pages, 0);
  th_allocation a;
  NEW(th_source_stats, below);
  CHECK(th_source_allocate(arena, 100, 0, &a) == th_ok && a.bytes == 112);
  CHECK(th_source_reset(arena) == th_ok && th_source_deallocate(arena, a) == th_foreign_pointer);
  CHECK(th_source_stats_of(pages, &below) == th_ok && below.bytes == 1 << 20);
  size_t given = 0;
  CHECK(th_source_trim(arena, 0, &given) == th_ok && given == 1 << 20);
  CHECK(th_source_stats_of(pages, &below) == th_ok && below.bytes == 0);
  CHECK(th_source_trim(pages, 0, &given) == th_unsupported);

  CHECK(th_source_set_limit(pages, 4096) == th_ok);
  CHECK_REFUSED(th_source_allocate(arena, 100, 0, &a), th_limit_reached, 1 << 20, 4096);
  CHECK(th_source_close(arena) == th_ok && th_source_close(pages) == th_ok);
}

static void a_buffer_is_cut(void) {
  static _Alignas(64) unsigned char buffer[4096];
  NEW(th_source_options, with);
  with.kind = th_source_fixed, with.memory = buffer, with.memory_bytes = sizeof buffer;
  th_source* const source = th_source_open(&with);
  th_allocation a, b;
  CHECK(th_source_allocate(source, 4000, 64, &a) == th_ok && a.data == buffer && a.bytes == 4000);
  CHECK_REFUSED(th_source_allocate(source, 100, 0, &b), th_out_of_memory, 100, 4096);
  CHECK_REFUSED(th_source_allocate(source, 5000, 0, &b), th_too_large, 5000, 4096);
  CHECK(th_source_reset(source) == th_ok && th_source_close(source) == th_ok);
}

struct heap {
  size_t out;
  int answer; /* 0 gives, 1 gives nothing, 2 gives a bad alignment */
};
static void* give(void* user, size_t bytes, size_t alignment) {
  struct heap* const mine = user;
  if (mine->answer == 1) return NULL;
  mine->out += bytes;
  char* const p = aligned_alloc(alignment, (bytes + 2 * alignment - 1) / alignment * alignment);
  return mine->answer == 2 ? p + 1 : p;
}
static void take_back(void* user, void* data, size_t bytes) {
  struct heap* const mine = user;
  mine->out -= bytes;
  free(mine->answer == 2 ? (char*)data - 1 : data);
}

static void functions_of_ones_own(void) {
  struct heap mine = {0, 0};
  NEW(th_source_options, with);
  with.kind = th_source_callback, with.allocate = &give, with.deallocate = &take_back, with.user = &mine;
  th_source* const source = th_source_open(&with);
  th_allocation a;
  CHECK(th_source_allocate(source, 100, 256, &a) == th_ok && mine.out == 100 && (uintptr_t)a.data % 256 == 0);
  CHECK(th_source_deallocate(source, a) == th_ok && mine.out == 0);
  mine.answer = 1;
  CHECK_REFUSED(th_source_allocate(source, 100, 0, &a), th_out_of_memory, 100, 0);
  mine.answer = 2;
  CHECK_REFUSED(th_source_allocate(source, 100, 64, &a), th_invalid_argument, 64, 0);
  CHECK(mine.out == 0);
  mine.answer = 0;
  th_source* const slab = open_kind(th_source_slab, source, 0);
  CHECK(th_source_allocate(slab, 10, 0, &a) == th_ok && mine.out == 1 << 20);
  CHECK(th_source_deallocate(slab, a) == th_ok && th_source_close(slab) == th_ok && mine.out == 0);
  CHECK(th_source_close(source) == th_ok);
}

static void options_that_make_no_source(void) {
  NEW(th_source_options, with);
  with.kind = 6;
  CHECK(th_source_open(&with) == NULL && strstr(th_last_error(), "kind of a source") != NULL);
  with.kind = th_source_fixed;
  CHECK(th_source_open(&with) == NULL && strstr(th_last_error(), "memory of a fixed source") != NULL);
  with.kind = th_source_callback;
  CHECK(th_source_open(&with) == NULL && strstr(th_last_error(), "both allocate and deallocate") != NULL);
  with.kind = th_source_arena;
  CHECK(th_source_open(&with) == NULL && strstr(th_last_error(), "a source") != NULL);
  with.kind = th_source_pages, with.huge_pages = 3;
  CHECK(th_source_open(&with) == NULL && strstr(th_last_error(), "th_huge_pages") != NULL);
}

int main(void) {
  th_source* const heap = th_source_open(NULL);
  CHECK(heap != NULL && th_source_close(heap) == th_ok);
  th_source* const source = open_kind(th_source_host, NULL, 0);
  a_book_catches_misuse(source);
  CHECK(th_source_close(source) == th_ok);
  limits_refuse();
  pressure_is_told();
  layers_stand_on_sources();
  an_arena_is_reset();
  a_buffer_is_cut();
  functions_of_ones_own();
  options_that_make_no_source();
  return failed;
}
