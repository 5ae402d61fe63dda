/* A small engine in C: it plans, opens a KV pool, serves requests that share prompts, and finds out why a call was refused.
 *
 * Its model is a stand-in: the "keys and values" of a token are a number made of all tokens so far, so that the end of each
 * request can show that whatever came out of the cache was what computing it would have given. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tokenheap/adapt/c.h>

#define EXPECT(condition)                                                                         \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      fprintf(stderr, "engine: expected %s; last error: %s\n", #condition, th_last_error());      \
      exit(1);                                                                                    \
    }                                                                                             \
  } while (0)

enum { block_tokens = 16, most_tokens = 160, requests = 24, blocks = 40 };

struct request {
  uint32_t tokens[most_tokens]; /* the prompt, then what was generated */
  size_t prompt, count, wanted; /* tokens: of the prompt, now, in the end */
  th_sequence* sequence;        /* null while it waits */
};

/* what the model computes for the next token, from what it computed for the one before */
static uint32_t compute(uint32_t before, uint32_t token) { return (before ^ token) * 2654435761u + 12345u; }

static uint32_t* slot(th_pool* pool, const uint32_t* ids, size_t token) {
  void* block = NULL;
  EXPECT(th_pool_address(pool, ids[token / block_tokens], &block) == th_ok);
  return (uint32_t*)block + token % block_tokens;
}

/* computes keys and values of the tokens from `first` on, and says that they are written */
static void run_model(th_pool* pool, struct request* r, size_t first) {
  uint32_t ids[most_tokens / block_tokens + 1];
  size_t count = 0;
  EXPECT(th_sequence_blocks(r->sequence, 0, ids, sizeof ids / sizeof ids[0], &count) == th_ok);
  uint32_t now = first == 0 ? 0 : *slot(pool, ids, first - 1);
  for (size_t at = first; at != r->count; ++at) *slot(pool, ids, at) = now = compute(now, r->tokens[at]);
  EXPECT(th_sequence_publish(r->sequence, r->count) == th_ok);
}

static void check_and_close(th_pool* pool, struct request* r) {
  uint32_t ids[most_tokens / block_tokens + 1], now = 0;
  size_t count = 0;
  EXPECT(th_sequence_blocks(r->sequence, 0, ids, sizeof ids / sizeof ids[0], &count) == th_ok);
  for (size_t at = 0; at != r->count; ++at) EXPECT(*slot(pool, ids, at) == (now = compute(now, r->tokens[at])));
  EXPECT(th_sequence_close(r->sequence) == th_ok);
  r->sequence = NULL;
}

// [plan]
/* how many blocks of a real model a device would have; 0 in a build without the planner */
static uint64_t blocks_of_a_real_model(void) {
  const th_plan_options ask = {
      .size = sizeof ask,
      .version = TOKENHEAP_C_VERSION,
      .config = "{\"model_type\": \"llama\", \"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_hidden_layers\": 32,"
                " \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": 128256,"
                " \"max_position_embeddings\": 8192}",
      .device_bytes = (uint64_t)80 << 30,
  };
  th_plan* const plan = th_plan_open(&ask);
  if (plan == NULL) return fprintf(stderr, "%s\n", th_last_error()), 0;
  th_plan_numbers numbers = {.size = sizeof numbers, .version = TOKENHEAP_C_VERSION};
  EXPECT(th_plan_numbers_of(plan, &numbers) == th_ok);
  EXPECT(th_plan_close(plan) == th_ok);
  return numbers.blocks;
}
// [plan]

// [admit]
/* opens the request if it fits now; what is cached of its prompt is not computed again */
static int admit(th_pool* pool, struct request* r) {
  r->sequence = th_sequence_open(pool, r->tokens, r->count, NULL);
  if (r->sequence == NULL) return 0;
  th_sequence_stats now = {.size = sizeof now, .version = TOKENHEAP_C_VERSION};
  EXPECT(th_sequence_stats_of(r->sequence, &now) == th_ok);
  run_model(pool, r, now.cached_tokens);
  return 1;
}
// [admit]

// [step]
/* one token for each running request; one that finds no block gives its own back and waits, its prefix stays cached */
static size_t step(th_pool* pool, struct request* all, size_t n, uint32_t random) {
  size_t ended = 0;
  for (size_t at = 0; at != n; ++at) {
    struct request* const r = &all[at];
    if (r->sequence == NULL) continue;
    const uint32_t token = (random = random * 1664525u + 1013904223u) >> 20;
    const th_status status = th_sequence_append(r->sequence, &token, 1);
    if (status == th_out_of_memory) {
      EXPECT(th_sequence_close(r->sequence) == th_ok);
      r->sequence = NULL;
      continue;
    }
    EXPECT(status == th_ok);
    r->tokens[r->count++] = token;
    run_model(pool, r, r->count - 1);
    if (r->count == r->wanted) check_and_close(pool, r), ++ended;
  }
  return ended;
}
// [step]

static void serve(th_pool* pool) {
  static struct request all[requests];
  for (size_t k = 0; k != requests; ++k) {
    struct request* const r = &all[k];
    r->prompt = r->count = 50 + 2 * k;
    r->wanted = r->count + 40;
    /* three system prompts of 48 tokens, and a question of its own */
    for (size_t at = 0; at != r->count; ++at) r->tokens[at] = (uint32_t)(at < 48 ? 1000 * (k % 3) + at : 7919 * k + at);
  }
  size_t ended = 0, steps = 0;
  for (; ended != requests && steps != 10000; ++steps) {
    for (size_t k = 0; k != requests; ++k) {
      if (all[k].sequence == NULL && all[k].count != all[k].wanted && !admit(pool, &all[k])) break;
    }
    ended += step(pool, all, requests, (uint32_t)steps);
  }
  EXPECT(ended == requests);

  // [stats]
  th_pool_stats stats = {.size = sizeof stats, .version = TOKENHEAP_C_VERSION};
  EXPECT(th_pool_stats_of(pool, &stats) == th_ok);
  printf("%d requests in %zu steps: %.0f %% of prompt tokens came from the cache, %llu evictions\n", requests, steps,
         100.0 * (double)stats.reused_tokens / (double)stats.asked_tokens, (unsigned long long)stats.evictions);
  // [stats]
  EXPECT(stats.live_blocks == 0 && stats.reused_tokens > 1000 && th_pool_is_valid(pool) == th_ok);
}

static void refusals(th_pool* pool, th_source* heap) {
  // [refusal]
  static const uint32_t prompt[16 * 41] = {1};
  if (th_sequence_open(pool, prompt, 16 * 41, NULL) == NULL) {
    th_failure why = {.size = sizeof why, .version = TOKENHEAP_C_VERSION};
    EXPECT(th_last_failure(&why) == th_ok);
    printf("%s\n", th_last_error()); /* pool 'kv': too large: slots of a prompt, in blocks; need 41, available 40, ... */
    EXPECT(why.status == th_too_large && why.need == 41 && why.limit == 40);
  }
  // [refusal]
  th_sequence* const one = th_sequence_open(pool, prompt, 20, NULL);
  EXPECT(th_pool_close(pool) == th_in_use && th_source_close(heap) == th_in_use);
  EXPECT(th_sequence_close(one) == th_ok && th_sequence_close(one) == th_stale_handle);
  EXPECT(th_sequence_append(NULL, prompt, 1) == th_invalid_argument);
}

int main(void) {
  const uint64_t planned = blocks_of_a_real_model();
  if (planned != 0) printf("a model of eight billion has %llu blocks on a device of 80 GiB\n", (unsigned long long)planned);
  // [open]
  th_source* const heap = th_source_open(NULL);
  const th_pool_options with = {
      .size = sizeof with,
      .version = TOKENHEAP_C_VERSION,
      .blocks = blocks,
      .block_bytes = block_tokens * sizeof(uint32_t),
      .block_tokens = block_tokens,
      .source = heap, /* or .memory and .memory_bytes: a tensor that the engine has */
      .name = "kv",
  };
  th_pool* const pool = th_pool_open(&with);
  if (pool == NULL) return fprintf(stderr, "%s\n", th_last_error()), 1;
  // [open]
  serve(pool);
  refusals(pool, heap);
  EXPECT(th_pool_close(pool) == th_ok && th_source_close(heap) == th_ok);
  return 0;
}
