/* Handles and structs from C: what is null, closed, foreign, of another kind, older, newer or of a wrong size gets an answer. */
#include "check.h"

#include <stddef.h>

static void handles_are_checked(void) {
  NEW(th_pool_stats, stats);
  CHECK_REFUSED(th_pool_stats_of(NULL, &stats), th_invalid_argument, 0, 0);
  CHECK_REFUSED(th_pool_stats_of((th_pool*)&stats, &stats), th_foreign_pointer, 0, 0);
  CHECK(th_sequence_open(NULL, NULL, 0, NULL) == NULL && th_source_close(NULL) == th_invalid_argument);

  NEW(th_pool_options, with);
  with.blocks = 4;
  th_pool* const pool = th_pool_open(&with);
  CHECK(pool != NULL && th_source_close((th_source*)pool) == th_foreign_pointer);
  const uint32_t prompt[20] = {1};
  th_sequence* const one = th_sequence_open(pool, prompt, 20, NULL);
  CHECK(th_sequence_close(one) == th_ok);
  CHECK_REFUSED(th_sequence_close(one), th_stale_handle, 0, 0);
  CHECK(th_sequence_append(one, prompt, 1) == th_stale_handle && th_sequence_fork(one) == NULL);
  th_sequence* const two = th_sequence_open(pool, prompt, 20, NULL);
  CHECK(two != one && th_sequence_append(one, prompt, 1) == th_stale_handle); /* the place is used again, the handle is not */
  CHECK(th_sequence_close(two) == th_ok);

  CHECK(th_sequence_open(pool, NULL, 3, NULL) == NULL && strstr(th_last_error(), "tokens of a prompt") != NULL);
  th_sequence* const empty = th_sequence_open(pool, NULL, 0, NULL);
  CHECK(empty != NULL && th_sequence_append(empty, NULL, 0) == th_ok && th_sequence_append(empty, NULL, 1) == th_invalid_argument);
  CHECK(th_sequence_stats_of(empty, NULL) == th_invalid_argument && th_sequence_close(empty) == th_ok);
  CHECK(th_pool_close(pool) == th_ok && th_pool_close(pool) == th_stale_handle);
}

static void many_handles(void) {
  enum { n = 3000 };
  static th_source* all[n];
  for (int at = 0; at != n; ++at) CHECK((all[at] = th_source_open(NULL)) != NULL);
  for (int at = 0; at != n; ++at) CHECK(th_source_close(all[at]) == th_ok);
  for (int at = 0; at != n; ++at) CHECK(th_source_close(all[at]) == th_stale_handle);
}

/* a caller that was compiled when the struct ended after `block_tokens` and `index` */
struct older_pool_options {
  uint32_t size, version;
  uint64_t blocks, block_bytes;
  uint32_t block_tokens, index;
};
/* one that was compiled when the struct had another field */
struct newer_pool_options {
  th_pool_options known;
  uint64_t more;
};
struct newer_pool_stats {
  th_pool_stats known;
  uint64_t more[2];
};

static void structs_of_other_times(void) {
  struct older_pool_options old = {sizeof old, TOKENHEAP_C_VERSION, 6, 0, 8, th_index_hash_chain};
  th_pool* const pool = th_pool_open((const th_pool_options*)(const void*)&old);
  CHECK(pool != NULL);
  /* stats of a caller that knows only the first numbers: what is behind them is not touched */
  struct {
    uint32_t size, version;
    uint64_t total, unused, untouched;
  } few = {24, TOKENHEAP_C_VERSION, 0, 0, 77};
  CHECK(th_pool_stats_of(pool, (th_pool_stats*)(void*)&few) == th_ok);
  CHECK(few.total == 6 && few.unused == 6 && few.untouched == 77 && few.size == 24);
  /* and of one that knows more than the library: that is 0 */
  struct newer_pool_stats all;
  memset(&all, 0xff, sizeof all);
  all.known.size = sizeof all, all.known.version = TOKENHEAP_C_VERSION;
  CHECK(th_pool_stats_of(pool, &all.known) == th_ok);
  CHECK(all.known.total_blocks == 6 && all.known.asked_tokens == 0 && all.more[0] == 0 && all.more[1] == 0);
  CHECK(th_pool_close(pool) == th_ok);

  struct newer_pool_options young;
  memset(&young, 0, sizeof young);
  young.known.size = sizeof young, young.known.version = TOKENHEAP_C_VERSION, young.known.blocks = 6;
  th_pool* const same = th_pool_open(&young.known);
  CHECK(same != NULL && th_pool_close(same) == th_ok);
  young.more = 1; /* a wish that this library does not know must not be dropped without a word */
  CHECK(th_pool_open(&young.known) == NULL);
  NEW(th_failure, why);
  CHECK(th_last_failure(&why) == th_ok && why.status == th_unsupported);
  CHECK(why.need == sizeof young && why.limit == sizeof(th_pool_options));
}

static void wrong_sizes(void) {
  NEW(th_pool_options, with);
  with.blocks = 4;
  const uint32_t sizes[] = {0, 4, 7, 12, (uint32_t)sizeof with - 1};
  for (size_t at = 0; at != sizeof sizes / sizeof sizes[0]; ++at) {
    with.size = sizes[at];
    CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "sizeof") != NULL);
  }
  with.size = 8; /* knows nothing but size and version: all defaults, and a pool has no default for its blocks */
  CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "give at least 1") != NULL);
  with.size = (uint32_t)sizeof with, with.version = 0;
  CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "invalid argument") != NULL);
  with.version = TOKENHEAP_C_VERSION + 1;
  CHECK(th_pool_open(&with) == NULL && strstr(th_last_error(), "unsupported") != NULL);
}

static void the_last_error_stays(void) {
  CHECK(th_pool_close(NULL) == th_invalid_argument);
  const char* const text = th_last_error();
  CHECK(strstr(text, "pool 'c': invalid argument: a KV pool") == text);
  th_source* const source = th_source_open(NULL);
  CHECK(th_source_close(source) == th_ok && strstr(th_last_error(), "a KV pool") != NULL); /* success leaves it */
  th_failure wrong = {0};
  CHECK(th_last_failure(&wrong) == th_wrong_size && strstr(th_last_error(), "a KV pool") != NULL);
  CHECK(th_last_failure(NULL) == th_invalid_argument);
  th_clear_error();
  NEW(th_failure, why);
  CHECK(th_last_error()[0] == '\0' && th_last_failure(&why) == th_ok && why.status == th_ok && strcmp(why.code, "E000") == 0);
}

static void texts(void) {
  CHECK(strcmp(th_status_text(th_out_of_memory), "out of memory") == 0 && strcmp(th_status_code(th_out_of_memory), "E001") == 0);
  CHECK(strcmp(th_status_text(th_forked), "in a forked child") == 0 && strcmp(th_status_code(th_forked), "E019") == 0);
  CHECK(strcmp(th_status_text((th_status)20), "unknown") == 0 && strcmp(th_status_code((th_status)20), "E999") == 0);
  CHECK(th_version() >= 1000);
  NEW(th_pool_options, with);
  with.blocks = 4;
  th_pool* const pool = th_pool_open(&with);
  char line[512], cut[8];
  size_t length = 0, same = 0;
  CHECK(th_pool_dump(pool, line, sizeof line, &length) == th_ok && strlen(line) == length && length > 20);
  CHECK_REFUSED(th_pool_dump(pool, cut, sizeof cut, &same), th_too_large, length + 1, 8);
  CHECK(same == length && strlen(cut) == 7 && memcmp(cut, line, 7) == 0);
  CHECK(th_pool_dump(pool, NULL, 0, &same) == th_ok && same == length);
  CHECK(th_pool_dump(pool, NULL, 0, NULL) == th_invalid_argument && th_pool_dump(pool, NULL, 9, &same) == th_invalid_argument);
  CHECK(th_pool_close(pool) == th_ok);
}

int main(void) {
  handles_are_checked();
  many_handles();
  structs_of_other_times();
  wrong_sizes();
  the_last_error_stays();
  texts();
  return failed;
}
