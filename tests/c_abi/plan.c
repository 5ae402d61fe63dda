/* The planner from C: numbers that were worked out by hand, texts, and what makes no plan. */
#include "check.h"

#include <stdlib.h>

static const char* const config =
    "{\"model_type\": \"qwen3\", \"torch_dtype\": \"bfloat16\", \"hidden_size\": 4096, \"intermediate_size\": 12288,"
    " \"num_hidden_layers\": 36, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": 128,"
    " \"attention_bias\": false, \"vocab_size\": 151936, \"max_position_embeddings\": 40960, \"tie_word_embeddings\": false}";

static void a_model_of_eight_billion(void) {
  NEW(th_plan_options, with);
  with.config = config, with.device_bytes = (uint64_t)24 << 30, with.tokens = 8192, with.sequences = 2;
  th_plan* const plan = th_plan_open(&with);
  CHECK(plan != NULL);
  NEW(th_plan_numbers, n);
  CHECK(th_plan_numbers_of(plan, &n) == th_ok);
  CHECK(n.kv_bytes_per_token == 147456 && n.block_bytes == 16 * 147456 && n.block_tokens == 16 && n.tokens == 8192);
  CHECK(n.parameters == 8190735360 && n.weights_bytes == 2 * 8190735360 && n.devices_in_all == 1 && n.stages == 1);
  CHECK(n.fits == (n.max_sequences >= 2) && n.blocks / 512 == n.max_sequences);
  NEW(th_plan_device, d);
  CHECK(th_plan_device_of(plan, 0, &d) == th_ok && d.total == (uint64_t)24 << 30 && d.weights == n.weights_bytes_per_device);
  CHECK(d.total == d.unused + d.weights + d.lora + d.activations + d.reserve + d.kv && d.missing == 0);
  CHECK(d.kv / n.block_bytes == n.blocks && d.kv - n.blocks * n.block_bytes == d.kv_slack);
  CHECK_REFUSED(th_plan_device_of(plan, 1, &d), th_invalid_argument, 1, 1);

  size_t length = 0, same = 0;
  CHECK(th_plan_json(plan, NULL, 0, &length) == th_ok && length > 500);
  char* const text = malloc(length + 1);
  CHECK(th_plan_json(plan, text, length + 1, &same) == th_ok && same == length && strlen(text) == length);
  CHECK(strstr(text, "\"kv_bytes_per_token\":147456,") != NULL && text[0] == '{' && strcmp(text + length - 2, "}\n") == 0);
  CHECK_REFUSED(th_plan_json(plan, text, 10, &same), th_too_large, length + 1, 10);
  free(text);
  char table[4096];
  CHECK(th_plan_table(plan, table, sizeof table, &length) == th_ok);
  CHECK(strstr(table, "KV bytes per token        147456\n") != NULL && strstr(table, "devices of stage 0, 24.00 GiB each") != NULL);

  /* what was planned can be opened */
  NEW(th_pool_options, pool);
  pool.blocks = n.blocks, pool.block_tokens = (uint32_t)n.block_tokens;
  th_pool* const opened = th_pool_open(&pool);
  CHECK(opened != NULL && th_pool_close(opened) == th_ok);
  CHECK(th_plan_close(plan) == th_ok && th_plan_close(plan) == th_stale_handle);
}

static void what_does_not_fit_has_advice(void) {
  NEW(th_plan_options, with);
  with.config = config, with.device_bytes = (uint64_t)24 << 30, with.tokens = 40960, with.sequences = 8;
  th_plan* const plan = th_plan_open(&with);
  NEW(th_plan_numbers, n);
  CHECK(plan != NULL && th_plan_numbers_of(plan, &n) == th_ok && n.fits == 0);
  char table[8192];
  size_t length = 0;
  CHECK(th_plan_table(plan, table, sizeof table, &length) == th_ok);
  CHECK(strstr(table, "does not fit") == table && strstr(table, "fits with one of") != NULL && strstr(table, "tensor 4 instead of 1") != NULL);
  CHECK(th_plan_close(plan) == th_ok);

  with.tensor = 4, with.pipeline = 2, with.kv_dtype = "fp8", with.weight_dtype = "fp8";
  with.exact_reserves = 1, with.context_bytes = (uint64_t)1 << 30;
  th_plan* const wide = th_plan_open(&with);
  CHECK(wide != NULL && th_plan_numbers_of(wide, &n) == th_ok && n.fits == 1 && n.devices_in_all == 8 && n.stages == 2);
  CHECK(n.kv_bytes_per_token == 147456 / 2);
  NEW(th_plan_device, d);
  CHECK(th_plan_device_of(wide, 1, &d) == th_ok && d.reserve == (uint64_t)1 << 30);
  CHECK(th_plan_close(wide) == th_ok);
}

static void files_and_nonsense(void) {
  const char* const path = "c_abi_config.json";
  FILE* const file = fopen(path, "wb");
  CHECK(file != NULL && fputs(config, file) > 0 && fclose(file) == 0);
  NEW(th_plan_options, with);
  with.path = path, with.device_bytes = (uint64_t)80 << 30;
  th_plan* const plan = th_plan_open(&with);
  NEW(th_plan_numbers, n);
  CHECK(plan != NULL && th_plan_numbers_of(plan, &n) == th_ok && n.tokens == 40960 && n.kv_bytes_per_token == 147456);
  CHECK(th_plan_close(plan) == th_ok);
  remove(path);
  CHECK(th_plan_open(&with) == NULL && strstr(th_last_error(), "c_abi_config.json: there is no such file") != NULL);
  with.config = config;
  CHECK(th_plan_open(&with) == NULL && strstr(th_last_error(), "give one of both") != NULL);
  with.path = NULL, with.config = NULL;
  CHECK(th_plan_open(&with) == NULL && th_plan_open(NULL) == NULL);
  with.config = "{\"hidden_size\": -1}";
  CHECK(th_plan_open(&with) == NULL && strstr(th_last_error(), "config.json: ") != NULL);
  with.config = config, with.config_bytes = 20;
  CHECK(th_plan_open(&with) == NULL);
  with.config_bytes = 0, with.tensor = 7;
  CHECK(th_plan_open(&with) == NULL && strstr(th_last_error(), "tensor") != NULL);
  CHECK(th_plan_numbers_of(NULL, &n) == th_invalid_argument && th_plan_table(NULL, NULL, 0, NULL) == th_invalid_argument);
}

int main(void) {
  NEW(th_plan_options, with);
  with.config = config, with.device_bytes = (uint64_t)80 << 30;
  th_plan* const plan = th_plan_open(&with);
  if (plan == NULL && strstr(th_last_error(), "TOKENHEAP_C_PLAN") != NULL) {
    printf("the library was built without its planner: %s\n", th_last_error());
    return 77;
  }
  CHECK(th_plan_close(plan) == th_ok);
  a_model_of_eight_billion();
  what_does_not_fit_has_advice();
  files_and_nonsense();
  return failed;
}
