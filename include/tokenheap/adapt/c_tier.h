// Tiers for C: host memory, a file, Redis, and a chain of them, where KV blocks wait until they are wanted again.
#pragma once

#include <tokenheap/adapt/c_kv.h>

TOKENHEAP_C_BEGIN

/// A tier, or a chain of tiers. Safe to call from any thread, one call at a time.
typedef struct th_tier th_tier;

/// Where the bytes of one block are, in memory of the CPU. `bytes` is the block_bytes of the tier.
typedef struct th_block_span {
  void* address;
  size_t bytes;
} th_block_span;

/// What a tier says about one block.
typedef enum th_tier_answer {
  th_tier_miss = 0,     ///< not there, refused, or lost: the engine computes it
  th_tier_hit = 1,      ///< there; of a load: the bytes have arrived; of a store: the tier has them now
  th_tier_pending = 2,  ///< on its way in: a store is in flight
  th_tier_retry = 3     ///< cannot say now: ask again later, or take it as a miss
} th_tier_answer;

typedef enum th_tier_order {
  th_tier_order_lru = 0,
  th_tier_order_arc = 1  ///< keeps blocks that were used twice when a long scan passes through
} th_tier_order;

typedef enum th_tier_write {
  th_tier_write_through = 0,     ///< lower tiers get a block with the first one
  th_tier_write_on_eviction = 1  ///< when it is about to leave the first one: fewer writes, later
} th_tier_write;

/// How a tier in host memory is made.
typedef struct th_host_tier_options {
  uint32_t size;
  uint32_t version;
  uint64_t block_bytes;
  uint64_t blocks;
  uint64_t high;      ///< blocks from which eviction begins; 0: when it is full
  uint64_t low;       ///< blocks that an eviction leaves; 0: as high
  th_source* source;  ///< gives all of its memory, as one piece; null: the heap
  const char* name;   ///< copied, as all texts
  uint64_t batches;   ///< most batches in flight; 0: 64
  uint32_t order;     ///< a th_tier_order
  uint32_t reserved;
} th_host_tier_options;

/// How a tier in a file is made.
typedef struct th_file_tier_options {
  uint32_t size;
  uint32_t version;
  const char* path;
  uint64_t block_bytes;
  uint64_t max_bytes;  ///< of the file, with everything
  uint64_t high;
  uint64_t low;
  th_hash key;  ///< a secret, the same at each opening: forgery is found too; 0: damage alone
  const char* name;
  uint64_t batches;       ///< 0: 64
  uint32_t durable;       ///< 1: each batch of stores survives a loss of power
  uint32_t scan_headers;  ///< 1: opening reads 64 bytes a block, and damage is found by the load
} th_file_tier_options;

/// Where the library was built with Redis; else opening one is th_unsupported. 0 stands for the default of each number.
typedef struct th_redis_tier_options {
  uint32_t size;
  uint32_t version;
  const char* servers;  ///< HOST:PORT, several of a cluster with commas; null: 127.0.0.1:6379
  const char* user;
  const char* password;
  const char* prefix;    ///< of all keys
  uint64_t block_bytes;
  th_hash key;           ///< a secret that all who share the blocks have
  uint64_t ttl_ms;       ///< 0: an hour
  uint64_t deadline_ns;  ///< of a batch; 0: 2 s
  uint64_t recent_ns;    ///< how long lookups believe an answer; 0: 1 s
  uint64_t in_flight;    ///< most requests at a time; 0: 1024
  uint64_t batches;      ///< 0: 64
  const char* name;
  uint32_t keep_forever;  ///< 1: blocks have no time to live
  uint32_t no_renew;      ///< 1: a load does not give a block another time to live
} th_redis_tier_options;

/// How tiers are put behind a pool.
typedef struct th_chain_options {
  uint32_t size;
  uint32_t version;
  const char* name;
  uint64_t threshold;   ///< a block is stored from this use on; 0: 1
  uint64_t batches;     ///< 0: 32
  uint64_t sightings;   ///< names that the threshold remembers; 0: 65536
  uint32_t write;       ///< a th_tier_write
  uint32_t no_promote;  ///< 1: what a lower tier gave is not put into the first
} th_chain_options;

/// Each block of a batch ends in exactly one number of its row.
///
/// lookups == hits + misses + pending + retries; stores == stored + present + refused + storing;
/// loads == loaded + load_failures + loading; and where nobody else writes,
/// stored + recovered == blocks + evicted + removed + lost.
typedef struct th_tier_stats {
  uint32_t size;
  uint32_t version;
  uint64_t lookups, hits, misses, pending, retries;
  uint64_t stores, stored, present, refused, storing;
  uint64_t loads, loaded, load_failures, loading;
  uint64_t recovered, blocks, evicted, removed, lost;
  uint64_t capacity;  ///< most blocks at a time; 0: somebody else's limit
} th_tier_stats;

/// Threads   safe, as all opening calls
TOKENHEAP_C_API th_tier* th_host_tier_open(const th_host_tier_options* options) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_tier* th_file_tier_open(const th_file_tier_options* options) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_tier* th_redis_tier_open(const th_redis_tier_options* options) TOKENHEAP_C_NOEXCEPT;
/// Up to 8 tiers as one, from above to below: it looks in this order, and a load brings a block up again.
///
/// From now on batches go through the chain alone; its tiers answer with their stats.
TOKENHEAP_C_API th_tier* th_chain_open(th_tier* const* tiers, size_t n, const th_chain_options* options) TOKENHEAP_C_NOEXCEPT;
/// Ends a tier. `th_in_use`, and nothing changes, while a batch is in flight or a chain has it.
///
/// Threads   nobody else may call with the handle meanwhile
TOKENHEAP_C_API th_status th_tier_close(th_tier* tier) TOKENHEAP_C_NOEXCEPT;

/// Asks for each block; writes one th_tier_answer a block. `hits` may be null, in all calls.
TOKENHEAP_C_API th_status th_tier_lookup(th_tier* tier, const th_block_name* names, size_t n, uint8_t* answers,
                                         size_t* hits) TOKENHEAP_C_NOEXCEPT;
/// Starts to bring blocks into `to`, and returns at once; the spans belong to the tier until poll says that it is over.
///
/// Fails     in_use where too many batches are in flight
TOKENHEAP_C_API th_status th_tier_prepare_load(th_tier* tier, const th_block_name* names, const th_block_span* to, size_t n,
                                               uint64_t* ticket) TOKENHEAP_C_NOEXCEPT;
/// Starts to store blocks. `th_tier_source_done` says when the spans are free again.
TOKENHEAP_C_API th_status th_tier_prepare_store(th_tier* tier, const th_block_name* names, const th_block_span* from, size_t n,
                                                uint64_t* ticket) TOKENHEAP_C_NOEXCEPT;
/// Moves a batch on; `done` is 1 when it is over.
///
/// Fails     stale_handle for a ticket that is not in flight
TOKENHEAP_C_API th_status th_tier_poll(th_tier* tier, uint64_t ticket, int* done) TOKENHEAP_C_NOEXCEPT;
/// The same for the blocks of a store: 1 once nothing reads them any more, which may be before the store is over.
TOKENHEAP_C_API th_status th_tier_source_done(th_tier* tier, uint64_t ticket, int* done) TOKENHEAP_C_NOEXCEPT;
/// Takes the answers of a load and ends its ticket; `room` is how many answers fit.
///
/// Fails     in_use while it is not over, too_large, stale_handle; the batch goes on then
TOKENHEAP_C_API th_status th_tier_complete_load(th_tier* tier, uint64_t ticket, uint8_t* answers, size_t room,
                                                size_t* hits) TOKENHEAP_C_NOEXCEPT;
/// The same of a store; with `keep` 0 it leaves no trace.
TOKENHEAP_C_API th_status th_tier_complete_store(th_tier* tier, uint64_t ticket, int keep, uint8_t* answers, size_t room,
                                                 size_t* hits) TOKENHEAP_C_NOEXCEPT;
/// Loads, and waits until it is over: for programs that have nothing else to do meanwhile.
TOKENHEAP_C_API th_status th_tier_load(th_tier* tier, const th_block_name* names, const th_block_span* to, size_t n,
                                       uint8_t* answers, size_t* hits) TOKENHEAP_C_NOEXCEPT;
/// Stores and keeps, and waits until it is over.
TOKENHEAP_C_API th_status th_tier_store(th_tier* tier, const th_block_name* names, const th_block_span* from, size_t n,
                                        uint8_t* answers, size_t* hits) TOKENHEAP_C_NOEXCEPT;
/// Forgets blocks that nothing in flight touches; `gone` (may be null) is how many.
TOKENHEAP_C_API th_status th_tier_remove(th_tier* tier, const th_block_name* names, size_t n, size_t* gone) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_tier_stats_of(th_tier* tier, th_tier_stats* out) TOKENHEAP_C_NOEXCEPT;
/// Walks all books: th_ok, or corrupted.
TOKENHEAP_C_API th_status th_tier_is_valid(th_tier* tier) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
