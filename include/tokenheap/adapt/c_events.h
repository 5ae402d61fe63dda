// Events of a KV pool for C: which prefixes came and which left, for those who route requests.
#pragma once

#include <tokenheap/adapt/c_kv.h>

TOKENHEAP_C_BEGIN

/// A reader of a pool's events. One thread at a time.
typedef struct th_feed th_feed;

typedef enum th_event_kind {
  th_event_none = 0,     ///< nothing new
  th_event_stored = 1,   ///< a run of blocks can be found, each below the one before it
  th_event_removed = 2,  ///< blocks can no longer be found
  th_event_cleared = 3   ///< nothing can be found any more
} th_event_kind;

/// How the events of a pool are read.
typedef struct th_feed_options {
  uint32_t size;
  uint32_t version;
  uint64_t bytes;      ///< of events that are copied at once; 0: 64 KiB
  uint64_t resume_at;  ///< with `resume`: the number of the event to go on with
  uint32_t resume;
  uint32_t reserved;
} th_feed_options;

/// One event. `names` and `tokens` live until the next call with the feed.
typedef struct th_event {
  uint32_t size;
  uint32_t version;
  uint64_t number;    ///< from 0 on, without gaps; of a snapshot: the number that comes next
  uint32_t kind;      ///< a th_event_kind
  uint32_t why;       ///< of removed: 0 its room was needed, 1 somebody called evict, 2 the pool was reset
  uint32_t snapshot;  ///< 1: not news, but what is there; such a `cleared` begins it
  uint32_t at_root;   ///< 1: the first block of a prompt; then `parent` stands for the key
  uint32_t tenant;
  uint32_t keyed;  ///< 1: under a salt, a tenant, or for one request alone
  uint64_t adapter;
  th_hash parent;  ///< the name of the prefix before the first block
  uint64_t block_tokens;
  const th_hash* names;
  uint64_t name_count;
  const uint32_t* tokens;
  uint64_t token_count;
} th_event;

/// Begins to read the events of a pool that keeps them. Who reads too rarely gets a snapshot, and never misses unknowing.
TOKENHEAP_C_API th_feed* th_feed_open(th_pool* pool, const th_feed_options* options) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_feed_close(th_feed* feed) TOKENHEAP_C_NOEXCEPT;
/// The next event; of kind th_event_none where there is none now.
TOKENHEAP_C_API th_status th_feed_next(th_feed* feed, th_event* out) TOKENHEAP_C_NOEXCEPT;

/// What stands around the events in the JSON of `th_feed_json`.
typedef struct th_feed_json_options {
  uint32_t size;
  uint32_t version;
  uint64_t microseconds;  ///< since 1970, by the caller's clock
  const char* spec_kind;  ///< such as "full_attention"; null: left out
  uint64_t sliding_window;  ///< 0: left out
  uint32_t rank_plus_one;   ///< 1 for rank 0 of data-parallel engines; 0: none
  uint32_t numbers;         ///< 1: names as numbers of 64 bits, for routers that take no others
} th_feed_json_options;

/// Writes as many of the next events as fit, as one object of the JSON that vLLM's routers read, and takes them out.
///
/// `length` is 0 where there is nothing new. th_too_large where not even one event fits: it stays the next one.
TOKENHEAP_C_API th_status th_feed_json(th_feed* feed, const th_feed_json_options* options, char* out, size_t room,
                                       size_t* length) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
