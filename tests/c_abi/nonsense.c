/* Options that nobody means: numbers from the edges of their types in every field. What opens works and closes; the rest says why. */
#include "check.h"

static uint32_t state;
static uint32_t next(void) { return (state = state * 1664525u + 1013904223u) >> 8; }

static uint64_t edge(void) {
  static const uint64_t edges[] = {0, 0, 0, 1, 2, 3, 7, 16, 17, 255, 256, 4096, 4097, (uint64_t)1 << 31, ((uint64_t)1 << 32) - 1,
                                   (uint64_t)1 << 32, (uint64_t)1 << 52, (uint64_t)1 << 62, (uint64_t)1 << 63, UINT64_MAX,
                                   0x7ff8000000000000 /* no number */, 0x3ff0000000000000 /* 1.0 */, 0xbff0000000000000};
  return edges[next() % (sizeof edges / sizeof edges[0])];
}
/* the 4 or 8 bytes of a field behind size and version, now in all of them, now in a few */
static void scramble(void* options, size_t bytes) {
  unsigned char* const at = options;
  const uint32_t often = 1 + next() % 12;
  for (size_t k = 8; k != bytes; k += 8) {
    if (next() % often != 0) continue;
    const uint64_t eight = edge();
    const uint32_t four[2] = {(uint32_t)edge(), (uint32_t)edge()};
    memcpy(at + k, next() % 2 == 0 ? (const void*)&eight : (const void*)four, 8);
  }
}
enum { kinds = 5 };
static size_t opened[kinds], refused[kinds];
static int kind = 0;
static int judge(const void* handle) {
  if (handle != NULL) return ++opened[kind], 1;
  CHECK(th_last_error()[0] != '\0');
  th_clear_error();
  return ++refused[kind], 0;
}

static void sources(void) {
  NEW(th_source_options, with);
  scramble(&with, sizeof with);
  with.kind %= 7, with.name = NULL, with.on_refusal = NULL, with.below = NULL, with.memory = NULL;
  with.allocate = NULL, with.deallocate = NULL, with.reserved = 0;
  with.touch_threads %= 3, with.huge_pages %= 4;
  th_source* const source = th_source_open(&with);
  if (!judge(source)) return;
  th_allocation a;
  const th_status status = th_source_allocate(source, 100, (size_t)edge(), &a);
  CHECK((status == th_ok) == (a.data != NULL));
  if (a.data != NULL) CHECK(th_source_deallocate(source, a) == th_ok);
  CHECK(th_source_allocate(source, UINT64_MAX - next() % 3, 0, &a) != th_ok);
  CHECK(th_source_close(source) == th_ok);
}

static void pools(void) {
  NEW(th_pool_options, with);
  scramble(&with, sizeof with);
  with.name = NULL, with.source = NULL, with.memory = NULL, with.copy = NULL;
  if (next() % 2 == 0) with.blocks = 1 + next() % 60, with.block_bytes = 0;
  /* what is large but allowed is asked of nobody's machine */
  if (with.blocks > 5000 && with.blocks < (uint64_t)1 << 30) with.blocks = 50;
  if (with.block_tokens > 5000 && with.block_tokens <= 1u << 20) with.block_tokens = 50;
  th_pool* const pool = th_pool_open(&with);
  if (!judge(pool)) return;
  NEW(th_sequence_options, how);
  scramble(&how, sizeof how);
  how.salt = NULL, how.share %= 4, how.admit %= 4;
  if (next() % 2 == 0) how.salt_bytes = 0;
  if (next() % 2 == 0) how.lookahead = 0;
  const uint32_t prompt[40] = {1, 2, 3};
  NEW(th_admission, fits);
  const th_status asked = th_pool_would_fit(pool, prompt, 40, &how, &fits);
  th_sequence* const one = th_sequence_open(pool, prompt, 40, &how);
  CHECK((one != NULL) == (asked == th_ok && fits.status == th_ok));
  if (one != NULL) {
    CHECK(th_sequence_append(one, prompt, (size_t)(edge() % 41)) <= th_forked);
    CHECK(th_sequence_grow(one, (size_t)edge()) <= th_forked && th_sequence_rewind(one, (size_t)edge()) <= th_forked);
    CHECK(th_sequence_publish(one, (size_t)edge()) <= th_forked && th_sequence_close(one) == th_ok);
  }
  CHECK(th_pool_is_valid(pool) == th_ok && th_pool_close(pool) == th_ok);
}

static void devices(void) {
  NEW(th_gpu_options, with);
  scramble(&with, sizeof with);
  with.kind = next() % 5 == 0 ? 2 : 0, with.ordinal %= 2, with.name = NULL, with.on_pressure = NULL, with.backed = 0;
  th_gpu* const gpu = th_gpu_open(&with);
  if (!judge(gpu)) return;
  NEW(th_gpu_request, how);
  scramble(&how, sizeof how);
  how.memory_class %= 7;
  th_allocation a, b;
  const th_status status = th_gpu_allocate_as(gpu, NULL, &how, &a);
  CHECK((status == th_ok) == (a.data != NULL));
  if (a.data != NULL) CHECK(a.bytes >= how.bytes && th_gpu_deallocate(gpu, NULL, a) == th_ok);
  if (th_gpu_allocate(gpu, NULL, 1000, &b) == th_ok) CHECK(th_gpu_deallocate(gpu, NULL, b) == th_ok);
  CHECK(th_gpu_trim(gpu, (size_t)edge(), NULL) == th_ok && th_gpu_is_valid(gpu) == th_ok && th_gpu_close(gpu) == th_ok);
}

static void tiers(void) {
  NEW(th_host_tier_options, with);
  scramble(&with, sizeof with);
  if (next() % 2 == 0) with.blocks = 4, with.block_bytes = 64, with.high = with.low = 0;
  with.source = NULL, with.name = NULL, with.order %= 3, with.reserved = 0;
  if (with.blocks > 5000 && with.blocks < (uint64_t)1 << 40) with.blocks = 50;
  if (with.block_bytes > 5000 && with.block_bytes < (uint64_t)1 << 40) with.block_bytes = 50;
  if (with.batches > 5000 && with.batches < (uint64_t)1 << 40) with.batches = 50;
  th_tier* const tier = th_host_tier_open(&with);
  if (!judge(tier)) return;
  NEW(th_chain_options, how);
  scramble(&how, sizeof how);
  how.name = NULL, how.write %= 3;
  if (how.batches > 5000 && how.batches < (uint64_t)1 << 40) how.batches = 50;
  if (how.sightings > 5000 && how.sightings < (uint64_t)1 << 40) how.sightings = 50;
  th_tier* const both[1] = {tier};
  th_tier* const chain = th_chain_open(both, 1, &how);
  uint8_t answer = 0;
  const th_block_name name = {{edge(), edge()}, 0, 0};
  if (judge(chain)) {
    CHECK(th_tier_lookup(chain, &name, 1, &answer, NULL) == th_ok && answer == th_tier_miss && th_tier_close(chain) == th_ok);
  }
  CHECK(th_tier_is_valid(tier) == th_ok && th_tier_close(tier) == th_ok);
}

static void plans(void) {
  NEW(th_plan_options, with);
  scramble(&with, sizeof with);
  if (next() % 2 == 0) with.device_bytes = (uint64_t)80 << 30;
  with.path = NULL, with.weight_dtype = NULL, with.kv_dtype = next() % 4 == 0 ? "nothing" : NULL, with.config_bytes = 0;
  with.config = "{\"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_hidden_layers\": 32, \"num_attention_heads\": 32,"
                " \"num_key_value_heads\": 8, \"vocab_size\": 128256, \"max_position_embeddings\": 8192}";
  th_plan* const plan = th_plan_open(&with);
  if (!judge(plan)) return;
  size_t length = 0;
  CHECK(th_plan_json(plan, NULL, 0, &length) == th_ok && length > 100 && th_plan_close(plan) == th_ok);
}

int main(void) {
  static void (*const each[kinds])(void) = {sources, pools, devices, tiers, plans};
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    state = seed;
    memset(opened, 0, sizeof opened);
    memset(refused, 0, sizeof refused);
    for (int round = 0; round != 120; ++round) {
      for (kind = 0; kind != kinds; ++kind) each[kind]();
    }
    for (kind = 0; kind != kinds; ++kind) {
      if (!failed && opened[kind] >= 5 && refused[kind] >= 5) continue;
      fprintf(stderr, "seed %u, kind %d: %zu opened, %zu refused\n", seed, kind, opened[kind], refused[kind]);
      failed = 1;
    }
  }
  return failed;
}
