/* Tiers from C: blocks leave a small pool, come back with their own bytes, and every misuse of a batch has an answer. */
#include "check.h"

#include <stdlib.h>

enum { tokens = 16, block_bytes = 4096, blocks_out = 64 };
static const char* const path = "c_abi_tiers.kv";

static th_tier* open_host(uint64_t blocks, uint32_t order, th_source* source) {
  NEW(th_host_tier_options, with);
  with.block_bytes = block_bytes, with.blocks = blocks, with.order = order, with.source = source, with.name = "near";
  return th_host_tier_open(&with);
}
static th_tier* open_file(void) {
  NEW(th_file_tier_options, with);
  with.path = path, with.block_bytes = block_bytes, with.max_bytes = 4 << 20;
  return th_file_tier_open(&with);
}

/* stands for a model: the bytes that computing a block of this prompt gives */
static void compute(uint32_t prompt, unsigned char* block) {
  uint32_t now = prompt + 1;
  for (size_t at = 0; at != block_bytes; ++at) block[at] = (unsigned char)((now = now * 1664525u + 1013904223u) >> 24);
}
static th_block_name name_of(th_pool* pool, uint32_t prompt) {
  uint32_t row[tokens];
  for (size_t at = 0; at != tokens; ++at) row[at] = prompt;
  th_block_name name;
  size_t count = 0;
  CHECK(th_pool_names(pool, row, tokens, NULL, 0, &name, 1, &count) == th_ok && count == 1);
  return name;
}

static void blocks_leave_and_return(uint32_t order) {
  remove(path);
  th_source* const heap = th_source_open(NULL);
  NEW(th_pool_options, with);
  with.blocks = 8, with.block_bytes = block_bytes, with.source = heap;
  th_pool* const pool = th_pool_open(&with);
  th_tier* const host = open_host(16, order, heap);
  th_tier* const file = open_file();
  CHECK(host != NULL && file != NULL);
  th_tier* below[2] = {host, file};
  NEW(th_chain_options, chain);
  chain.write = th_tier_write_on_eviction, chain.name = "chain";
  th_tier* const tiers = th_chain_open(below, 2, &chain);
  CHECK(tiers != NULL);

  uint8_t answer = 9;
  size_t hits = 0;
  for (uint32_t prompt = 0; prompt != blocks_out; ++prompt) {
    uint32_t id = 0;
    uint64_t ticket = 0;
    int done = 0;
    void* address = NULL;
    CHECK(th_pool_allocate(pool, &id, 1) == th_ok && th_pool_address(pool, id, &address) == th_ok);
    compute(prompt, address);
    const th_block_name name = name_of(pool, prompt);
    const th_block_span span = {address, block_bytes};
    CHECK(th_tier_prepare_store(tiers, &name, &span, 1, &ticket) == th_ok);
    while (th_tier_source_done(tiers, ticket, &done) == th_ok && !done) {}
    while (th_tier_poll(tiers, ticket, &done) == th_ok && !done) {}
    CHECK(th_tier_complete_store(tiers, ticket, 1, &answer, 1, &hits) == th_ok && answer == th_tier_hit && hits == 1);
    CHECK(th_pool_deallocate(pool, &id, 1) == th_ok);
  }
  NEW(th_tier_stats, near);
  NEW(th_tier_stats, far);
  CHECK(th_tier_stats_of(host, &near) == th_ok && near.blocks == 16 && near.capacity == 16);
  CHECK(th_tier_stats_of(file, &far) == th_ok && far.blocks == 48);

  for (uint32_t prompt = blocks_out; prompt-- != 0;) {
    unsigned char got[block_bytes], wanted[block_bytes];
    const th_block_name name = name_of(pool, prompt);
    const th_block_span span = {got, block_bytes};
    CHECK(th_tier_load(tiers, &name, &span, 1, &answer, &hits) == th_ok && answer == th_tier_hit && hits == 1);
    compute(prompt, wanted);
    CHECK(memcmp(got, wanted, block_bytes) == 0);
  }
  const th_block_name absent = name_of(pool, 1000);
  CHECK(th_tier_lookup(tiers, &absent, 1, &answer, &hits) == th_ok && answer == th_tier_miss && hits == 0);
  NEW(th_tier_stats, all);
  CHECK(th_tier_stats_of(tiers, &all) == th_ok && all.stored == 64 && all.loaded == 64 && all.lookups == 1 && all.misses == 1);
  CHECK(th_tier_is_valid(tiers) == th_ok && th_tier_is_valid(host) == th_ok);

  CHECK(th_tier_lookup(host, &absent, 1, &answer, &hits) == th_in_use && strstr(th_last_error(), "ask the chain") != NULL);
  CHECK_REFUSED(th_tier_close(host), th_in_use, 1, 0);
  CHECK(th_chain_open(below, 1, NULL) == NULL && strstr(th_last_error(), "in no chain") != NULL);
  CHECK_REFUSED(th_source_close(heap), th_in_use, 2, 0);
  CHECK(th_tier_close(tiers) == th_ok);
  const th_block_name first = name_of(pool, 0);
  CHECK(th_tier_lookup(host, &first, 1, &answer, &hits) == th_ok);
  CHECK(th_tier_close(host) == th_ok && th_tier_close(file) == th_ok && th_tier_close(file) == th_stale_handle);

  /* what a file has survives the tier */
  th_tier* const again = open_file();
  CHECK(again != NULL && th_tier_stats_of(again, &far) == th_ok && far.recovered >= 48);
  size_t gone = 0;
  CHECK(th_tier_lookup(again, &first, 1, &answer, &hits) == th_ok && hits == 1);
  CHECK(th_tier_remove(again, &first, 1, &gone) == th_ok && gone == 1);
  CHECK(th_tier_lookup(again, &first, 1, &answer, &hits) == th_ok && answer == th_tier_miss);
  CHECK(th_tier_close(again) == th_ok && th_pool_close(pool) == th_ok && th_source_close(heap) == th_ok);
  remove(path);
}

static void misused_batches(void) {
  th_tier* const tier = open_host(4, th_tier_order_lru, NULL);
  static unsigned char bytes[2 * block_bytes];
  const th_block_name names[2] = {{{1, 2}, 0, 0}, {{3, 4}, 0, 0}};
  const th_block_span spans[2] = {{bytes, block_bytes}, {bytes + block_bytes, block_bytes}};
  uint8_t answers[2];
  uint64_t ticket = 0, other = 0;
  size_t hits = 7;
  int done = 0;
  CHECK(th_tier_prepare_store(tier, names, spans, 2, &ticket) == th_ok && ticket != 0);
  CHECK_REFUSED(th_tier_close(tier), th_in_use, 1, 0);
  CHECK(th_tier_poll(tier, ticket, &done) == th_ok && done == 1);
  CHECK_REFUSED(th_tier_complete_store(tier, ticket, 1, answers, 1, &hits), th_too_large, 2, 1);
  CHECK(th_tier_complete_load(tier, ticket, answers, 2, &hits) == th_invalid_argument);
  CHECK_REFUSED(th_tier_poll(tier, ticket + 1, &done), th_stale_handle, ticket + 1, 0);
  CHECK(th_tier_complete_store(tier, ticket, 0, answers, 2, &hits) == th_ok && hits == 0 && answers[1] == th_tier_miss);
  CHECK_REFUSED(th_tier_complete_store(tier, ticket, 1, answers, 2, &hits), th_stale_handle, ticket, 0);

  CHECK(th_tier_store(tier, names, spans, 2, answers, &hits) == th_ok && hits == 2);
  const th_block_span cut = {bytes, block_bytes - 1};
  CHECK(th_tier_load(tier, names, &cut, 1, answers, &hits) == th_ok && hits == 0 && answers[0] == th_tier_miss);
  CHECK(th_tier_load(tier, NULL, NULL, 0, NULL, NULL) == th_ok);
  CHECK(th_tier_load(tier, NULL, spans, 1, answers, NULL) == th_invalid_argument);
  CHECK(th_tier_lookup(tier, names, 2, NULL, NULL) == th_invalid_argument);
  CHECK(th_tier_prepare_load(tier, names, spans, 2, NULL) == th_invalid_argument);
  CHECK(th_tier_prepare_load(tier, names, spans, 0, &other) == th_in_use);
  CHECK(th_tier_lookup(NULL, names, 2, answers, NULL) == th_invalid_argument);
  for (int at = 0; at != 64; ++at) CHECK(th_tier_prepare_load(tier, names, spans, 1, &ticket) == th_ok);
  CHECK_REFUSED(th_tier_prepare_load(tier, names, spans, 1, &other), th_in_use, 1, 64);
  CHECK(th_tier_close(tier) == th_in_use);
}

static void options_that_make_no_tier(void) {
  CHECK(open_host(0, th_tier_order_lru, NULL) == NULL && strstr(th_last_error(), "pool 'near'") == th_last_error());
  CHECK(open_host(4, 2, NULL) == NULL && strstr(th_last_error(), "th_tier_order") != NULL);
  th_source* const heap = th_source_open(NULL);
  CHECK(th_source_set_limit(heap, 3 * block_bytes) == th_ok);
  CHECK(open_host(4, th_tier_order_arc, heap) == NULL && strstr(th_last_error(), "limit reached") != NULL);
  CHECK(th_source_close(heap) == th_ok);
  NEW(th_file_tier_options, file);
  CHECK(th_file_tier_open(&file) == NULL && strstr(th_last_error(), "path") != NULL);
  file.path = "no such folder/x", file.block_bytes = block_bytes, file.max_bytes = 1 << 20;
  CHECK(th_file_tier_open(&file) == NULL && strstr(th_last_error(), "pool 'file'") == th_last_error());
  th_tier* const one = open_host(4, th_tier_order_lru, NULL);
  th_tier* many[9] = {one, one, one, one, one, one, one, one, one};
  CHECK(th_chain_open(many, 9, NULL) == NULL && th_chain_open(many, 0, NULL) == NULL && th_chain_open(many, 2, NULL) == NULL);
  NEW(th_chain_options, chain);
  chain.write = 2;
  CHECK(th_chain_open(many, 1, &chain) == NULL && strstr(th_last_error(), "th_tier_write") != NULL);
  CHECK(th_tier_close(one) == th_ok);
}

/* nobody serves there: the tier opens, and says miss or retry, never wrong bytes; or the build has no Redis */
static void a_store_that_is_down(void) {
  NEW(th_redis_tier_options, with);
  with.servers = "127.0.0.1:1", with.block_bytes = block_bytes, with.deadline_ns = 50000000;
  th_tier* const tier = th_redis_tier_open(&with);
  if (tier == NULL) {
    CHECK(strstr(th_last_error(), "unsupported") != NULL && strstr(th_last_error(), "TOKENHEAP_C_REDIS") != NULL);
    return;
  }
  static unsigned char bytes[block_bytes];
  const th_block_name name = {{1, 2}, 0, 0};
  const th_block_span span = {bytes, block_bytes};
  uint8_t answer = 9;
  size_t hits = 9;
  CHECK(th_tier_load(tier, &name, &span, 1, &answer, &hits) == th_ok && hits == 0);
  CHECK(answer == th_tier_miss || answer == th_tier_retry);
  CHECK(th_tier_close(tier) == th_ok);
}

int main(void) {
  blocks_leave_and_return(th_tier_order_lru);
  blocks_leave_and_return(th_tier_order_arc);
  misused_batches();
  options_that_make_no_tier();
  a_store_that_is_down();
  return failed;
}
