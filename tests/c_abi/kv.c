/* KV pools, sequences and events from C: what works, and every refusal with its numbers. */
#include "check.h"

#include <stdlib.h>

static void fill(uint32_t* tokens, size_t n, uint32_t from) {
  for (size_t at = 0; at != n; ++at) tokens[at] = from + (uint32_t)at;
}

static void copy_nothing(void* user, uint32_t from, uint32_t to) {
  CHECK(user == NULL && from != to);
}

static th_pool* open_pool(uint64_t blocks, uint32_t index, uint32_t events) {
  NEW(th_pool_options, with);
  with.blocks = blocks;
  with.index = index;
  with.events = events;
  with.name = "worker";
  with.copy = &copy_nothing;
  th_pool* const pool = th_pool_open(&with);
  CHECK(pool != NULL);
  return pool;
}

static void requests_share_a_prefix(uint32_t index) {
  uint32_t prompt[100], ids[8];
  size_t count = 0, found = 0;
  fill(prompt, 100, 1);
  th_pool* const pool = open_pool(16, index, 0);
  th_sequence* const first = th_sequence_open(pool, prompt, 100, NULL);
  CHECK(first != NULL);
  CHECK(th_sequence_publish(first, 100) == th_ok);
  CHECK(th_pool_match(pool, prompt, 100, NULL, &found) == th_ok && found == 96);
  CHECK(th_sequence_blocks(first, 0, ids, 8, &count) == th_ok && count == 7);
  CHECK(th_sequence_close(first) == th_ok);

  prompt[99] = 7;
  th_sequence* const second = th_sequence_open(pool, prompt, 100, NULL);
  NEW(th_sequence_stats, now);
  CHECK(second != NULL && th_sequence_stats_of(second, &now) == th_ok);
  CHECK(now.tokens == 100 && now.cached_tokens == 96 && now.blocks == 7);
  uint32_t again[8];
  CHECK(th_sequence_blocks(second, 0, again, 8, &count) == th_ok && count == 7);
  CHECK(memcmp(ids, again, 6 * sizeof ids[0]) == 0);
  CHECK(th_sequence_blocks(second, 6, again, 1, &count) == th_ok && again[0] < 16);

  CHECK(th_sequence_append(second, prompt, 13) == th_ok);
  CHECK(th_sequence_stats_of(second, &now) == th_ok && now.tokens == 113 && now.blocks == 8);
  CHECK(th_sequence_rewind(second, 13) == th_ok && th_sequence_grow(second, 12) == th_ok);
  th_sequence* const fork = th_sequence_fork(second);
  CHECK(fork != NULL && th_sequence_append(fork, prompt, 1) == th_ok);

  NEW(th_pool_stats, stats);
  CHECK(th_pool_stats_of(pool, &stats) == th_ok);
  CHECK(stats.total_blocks == 16 && stats.live_blocks == 8 && stats.cached_blocks == 0 && stats.free_blocks == 8);
  CHECK(stats.asked_tokens == 200 && stats.reused_tokens == 96);
  CHECK_REFUSED(th_pool_close(pool), th_in_use, 2, 0);
  CHECK_REFUSED(th_pool_reset(pool), th_in_use, 8, 0);
  CHECK(th_sequence_close(fork) == th_ok && th_sequence_close(second) == th_ok);
  CHECK(th_pool_is_valid(pool) == th_ok);
  CHECK(th_pool_close(pool) == th_ok);
}

static void refusals_have_numbers(void) {
  uint32_t prompt[200], ids[4] = {0}, many[16];
  size_t count = 0;
  fill(prompt, 200, 1);
  th_pool* const pool = open_pool(8, th_index_radix, 0);
  CHECK(th_sequence_open(pool, prompt, 200, NULL) == NULL);
  NEW(th_failure, why);
  CHECK(th_last_failure(&why) == th_ok && why.status == th_too_large && why.need == 13 && why.limit == 8);
  CHECK(strcmp(why.pool, "worker") == 0 && strcmp(why.code, "E005") == 0 && strstr(why.fix, "shorten") != NULL);
  CHECK(strstr(th_last_error(), "pool 'worker': too large") == th_last_error());

  th_sequence* const one = th_sequence_open(pool, prompt, 100, NULL);
  CHECK(one != NULL);
  NEW(th_admission, fits);
  CHECK(th_pool_would_fit(pool, prompt + 50, 100, NULL, &fits) == th_ok);
  CHECK(fits.status == th_out_of_memory && fits.need == 7 && fits.room == 1 && fits.found == 0);
  CHECK(th_sequence_open(pool, prompt + 50, 100, NULL) == NULL);
  CHECK(th_last_failure(&why) == th_ok && why.status == th_out_of_memory && why.need == 7 && why.available == 1 && why.limit == 8);
  CHECK_REFUSED(th_sequence_append(one, prompt, 200), th_too_large, 200, 0);
  CHECK_REFUSED(th_sequence_publish(one, 101), th_invalid_argument, 101, 0);
  CHECK_REFUSED(th_sequence_rewind(one, 101), th_invalid_argument, 101, 0);
  CHECK(th_sequence_append(one, prompt, 28) == th_ok);
  CHECK_REFUSED(th_sequence_append(one, prompt, 1), th_too_large, 1, 0);
  th_sequence* const fork = th_sequence_fork(one);
  CHECK(fork != NULL && th_sequence_rewind(fork, 1) == th_ok);
  CHECK_REFUSED(th_sequence_append(fork, prompt, 1), th_out_of_memory, 1, 8);
  CHECK(strstr(th_last_error(), "available 0") != NULL);
  CHECK_REFUSED(th_sequence_blocks(one, 0, ids, 4, &count), th_too_large, 8, 4);
  CHECK(count == 8);
  CHECK(th_sequence_close(one) == th_ok && th_sequence_close(fork) == th_ok);

  CHECK_REFUSED(th_pool_allocate(pool, many, 9), th_too_large, 9, 8);
  CHECK(th_pool_allocate(pool, many, 7) == th_ok);
  CHECK_REFUSED(th_pool_allocate(pool, many + 7, 2), th_out_of_memory, 2, 8);
  CHECK_REFUSED(th_pool_close(pool), th_in_use, 7, 8);
  CHECK(th_pool_deallocate(pool, many, 7) == th_ok);
  CHECK(th_pool_deallocate(pool, many, 1) == th_double_free);
  CHECK(strstr(th_last_error(), "double free") != NULL);
  const uint32_t none = 8;
  CHECK(th_pool_deallocate(pool, &none, 1) == th_invalid_argument);
  void* address = &why;
  CHECK(th_pool_address(pool, 7, &address) == th_ok && address == NULL);
  CHECK_REFUSED(th_pool_address(pool, 8, &address), th_invalid_argument, 8, 7);
  CHECK(th_pool_close(pool) == th_ok);
}

static void ids_alone_need_a_copy(void) {
  NEW(th_pool_options, with);
  with.blocks = 4;
  th_pool* const pool = th_pool_open(&with);
  const uint32_t prompt[3] = {1, 2, 3};
  th_sequence* const one = th_sequence_open(pool, prompt, 3, NULL);
  th_sequence* const fork = th_sequence_fork(one);
  CHECK(th_sequence_append(fork, prompt, 1) == th_unsupported && strstr(th_last_error(), "`copy`") != NULL);
  CHECK(th_sequence_close(one) == th_ok && th_sequence_append(fork, prompt, 1) == th_ok); /* nobody else holds it now */
  CHECK(th_sequence_close(fork) == th_ok && th_pool_close(pool) == th_ok);
}

static void pins_hold_what_is_published(void) {
  uint32_t prompt[64];
  size_t gone = 0, found = 0;
  fill(prompt, 64, 1);
  th_pool* const pool = open_pool(4, th_index_radix, 0);
  CHECK(th_pool_pin(pool, prompt, 64, NULL) == NULL && strstr(th_last_error(), "published tokens") != NULL);
  th_sequence* const writer = th_sequence_open(pool, prompt, 48, NULL);
  CHECK(th_sequence_publish(writer, 48) == th_ok && th_sequence_close(writer) == th_ok);
  th_sequence* const pin = th_pool_pin(pool, prompt, 40, NULL); /* its whole blocks: 32 tokens */
  CHECK(pin != NULL);
  CHECK(th_pool_evict(pool, 4, &gone) == th_ok && gone == 1);
  CHECK(th_pool_match(pool, prompt, 64, NULL, &found) == th_ok && found == 32);
  CHECK(th_pool_unpin(pin) == th_ok);
  CHECK(th_pool_evict(pool, 4, &gone) == th_ok && gone == 2);
  CHECK(th_pool_close(pool) == th_ok);
}

static void steps_hold_blocks_back(void) {
  uint32_t ids[2];
  uint64_t step = 0;
  th_pool* const pool = open_pool(2, th_index_radix, 0);
  NEW(th_pool_stats, stats);
  CHECK(th_pool_allocate(pool, ids, 2) == th_ok);
  CHECK(th_pool_begin_step(pool, &step) == th_ok && step == 1);
  CHECK(th_pool_deallocate(pool, ids, 2) == th_ok);
  CHECK(th_pool_stats_of(pool, &stats) == th_ok && stats.in_flight_blocks == 2 && stats.free_blocks == 0);
  CHECK(th_pool_allocate(pool, ids, 1) == th_out_of_memory);
  CHECK_REFUSED(th_pool_settle(pool, 2), th_invalid_argument, 2, 0);
  CHECK(th_pool_settle(pool, step) == th_ok);
  CHECK(th_pool_allocate(pool, ids, 2) == th_ok && th_pool_deallocate(pool, ids, 2) == th_ok);
  CHECK(th_pool_close(pool) == th_ok);
}

static void events_tell_what_names_say(uint32_t index) {
  uint32_t prompt[40];
  size_t count = 0;
  fill(prompt, 40, 1);
  th_pool* const pool = open_pool(8, index, 1);
  th_feed* const feed = th_feed_open(pool, NULL);
  NEW(th_event, event);
  CHECK(feed != NULL && th_feed_next(feed, &event) == th_ok && event.kind == th_event_cleared && event.snapshot == 1);
  CHECK(th_feed_next(feed, &event) == th_ok && event.kind == th_event_none);

  NEW(th_sequence_options, with);
  with.salt = "user", with.salt_bytes = 4, with.adapter = 3, with.tenant = 9;
  th_sequence* const one = th_sequence_open(pool, prompt, 40, &with);
  CHECK(th_sequence_publish(one, 40) == th_ok);
  th_block_name names[2];
  CHECK(th_pool_names(pool, prompt, 40, &with, 5, names, 2, &count) == th_ok && count == 2 && names[1].group == 5);
  CHECK(th_feed_next(feed, &event) == th_ok && event.kind == th_event_stored && event.snapshot == 0);
  CHECK(event.name_count == 2 && event.token_count == 32 && event.block_tokens == 16 && event.at_root == 1);
  CHECK(event.tenant == 9 && event.adapter == 3 && event.keyed == 1);
  for (size_t at = 0; at != 2; ++at) CHECK(memcmp(&event.names[at], &names[at].hash, sizeof(th_hash)) == 0);
  CHECK(memcmp(event.tokens, prompt, 32 * sizeof prompt[0]) == 0);
  CHECK(th_sequence_close(one) == th_ok);
  CHECK(th_pool_evict(pool, 1, NULL) == th_ok);
  CHECK(th_feed_next(feed, &event) == th_ok && event.kind == th_event_removed && event.why == 1);
  CHECK(event.name_count == 1 && memcmp(event.names, &names[1].hash, sizeof(th_hash)) == 0);
  CHECK_REFUSED(th_pool_close(pool), th_in_use, 1, 0);
  CHECK_REFUSED(th_pool_names(pool, prompt, 40, &with, 0, names, 1, &count), th_too_large, 2, 1);
  with.share = th_share_request;
  CHECK(th_pool_names(pool, prompt, 40, &with, 0, names, 2, &count) == th_invalid_argument);
  CHECK(th_feed_close(feed) == th_ok && th_pool_close(pool) == th_ok);

  th_pool* const quiet = open_pool(8, index, 0);
  CHECK(th_feed_open(quiet, NULL) == NULL && strstr(th_last_error(), "`events`") != NULL);
  CHECK(th_pool_close(quiet) == th_ok);
}

static void blocks_lie_in_memory(void) {
  NEW(th_source_options, heap);
  heap.name = "heap";
  th_source* const source = th_source_open(&heap);
  NEW(th_pool_options, with);
  with.blocks = 4, with.block_bytes = 4096, with.block_tokens = 16, with.source = source;
  th_pool* const pool = th_pool_open(&with);
  CHECK(pool != NULL);
  NEW(th_source_stats, taken);
  CHECK(th_source_stats_of(source, &taken) == th_ok && taken.bytes == 4 * 4096);
  CHECK_REFUSED(th_source_close(source), th_in_use, 1, 0);

  uint32_t prompt[20], ids[2];
  fill(prompt, 20, 1);
  size_t count = 0;
  void *block = NULL, *copy = NULL;
  th_sequence* const one = th_sequence_open(pool, prompt, 20, NULL);
  CHECK(th_sequence_blocks(one, 0, ids, 2, &count) == th_ok && th_pool_address(pool, ids[1], &block) == th_ok);
  memset(block, 0x5a, 4096);
  th_sequence* const fork = th_sequence_fork(one);
  CHECK(th_sequence_append(fork, prompt, 1) == th_ok); /* writes into a shared block: it gets its own */
  CHECK(th_sequence_blocks(fork, 1, ids, 1, &count) == th_ok && th_pool_address(pool, ids[0], &copy) == th_ok);
  CHECK(copy != block && memcmp(copy, block, 4096) == 0);
  CHECK(th_sequence_close(one) == th_ok && th_sequence_close(fork) == th_ok && th_pool_close(pool) == th_ok);

  with.block_bytes = 4095;
  CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "multiple of block_tokens") != NULL);
  with.block_bytes = 4096, with.memory = prompt;
  CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "not both") != NULL);
  with.source = NULL;
  CHECK(th_pool_open(&with) == NULL); /* not aligned, or too short */
  with.memory_is_device = 1;
  CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "`copy`") != NULL);
  CHECK(th_source_set_limit(source, 4096) == th_ok);
  with.memory_is_device = 0, with.memory = NULL, with.source = source;
  CHECK(th_pool_open(&with) == NULL);
  CHECK(strstr(th_last_error(), "pool 'heap': limit reached") == th_last_error());
  CHECK(th_source_close(source) == th_ok);
}

static unsigned copies = 0;
static void copy_block(void* user, uint32_t from, uint32_t to) {
  CHECK(user == &copies && from != to);
  ++copies;
}

static void an_engine_has_its_own_tensor(void) {
  unsigned char* const tensor = aligned_alloc(256, 8 * 4096);
  NEW(th_pool_options, with);
  with.blocks = 7, with.null_block = 1, with.block_bytes = 4096, with.memory = tensor, with.memory_bytes = 8 * 4096;
  with.memory_is_device = 1, with.copy = &copy_block, with.copy_user = &copies;
  th_pool* const pool = th_pool_open(&with);
  CHECK(pool != NULL);
  uint32_t ids[7];
  CHECK(th_pool_allocate(pool, ids, 7) == th_ok);
  for (size_t at = 0; at != 7; ++at) {
    void* address = NULL;
    CHECK(ids[at] != 0 && th_pool_address(pool, ids[at], &address) == th_ok);
    CHECK(address == tensor + 4096 * (size_t)ids[at]);
  }
  CHECK(th_pool_deallocate(pool, ids, 7) == th_ok);
  const uint32_t prompt[3] = {1, 2, 3};
  th_sequence* const one = th_sequence_open(pool, prompt, 3, NULL);
  th_sequence* const fork = th_sequence_fork(one);
  CHECK(th_sequence_append(fork, prompt, 1) == th_ok && copies == 1);
  CHECK(th_sequence_close(one) == th_ok && th_sequence_close(fork) == th_ok && th_pool_close(pool) == th_ok);
  free(tensor);
}

int main(void) {
  requests_share_a_prefix(th_index_radix);
  requests_share_a_prefix(th_index_hash_chain);
  refusals_have_numbers();
  pins_hold_what_is_published();
  steps_hold_blocks_back();
  ids_alone_need_a_copy();
  events_tell_what_names_say(th_index_radix);
  events_tell_what_names_say(th_index_hash_chain);
  blocks_lie_in_memory();
  an_engine_has_its_own_tensor();
  return failed;
}
