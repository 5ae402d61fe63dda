// KV blocks for C: a pool, the sequences of requests over it, and what it has of a prompt.
#pragma once

#include <tokenheap/adapt/c_source.h>

TOKENHEAP_C_BEGIN

/// A fixed number of KV blocks. Safe to call from any thread.
typedef struct th_pool th_pool;
/// The blocks of one request. One thread at a time.
typedef struct th_sequence th_sequence;

/// 128 bits that stand for a prefix: a key, and all tokens up to the end of a block.
typedef struct th_hash {
  uint64_t low;
  uint64_t high;
} th_hash;

/// The name of a block's bytes, in every tier and on every machine with the same seed.
typedef struct th_block_name {
  th_hash hash;
  uint32_t group;  ///< of layers, as the engine numbers them
  uint32_t reserved;
} th_block_name;

/// The id that no block has.
#define TOKENHEAP_C_NO_BLOCK 0xffffffffu

typedef enum th_index_kind {
  th_index_radix = 0,      ///< compares tokens along a tree
  th_index_hash_chain = 1  ///< hashes each block; its names are those of `th_pool_names`
} th_index_kind;

/// Copies the bytes of one block over another; it must not throw. No lock is held while it runs.
typedef void (*th_copy_call)(void* user, uint32_t from, uint32_t to);

/// How a pool of blocks is made.
typedef struct th_pool_options {
  uint32_t size;
  uint32_t version;
  uint64_t blocks;       ///< usable ones; at least 1
  uint64_t block_bytes;  ///< a multiple of block_tokens; 0: the pool has ids alone, and the engine knows where they lie
  uint32_t block_tokens; ///< 0: 16
  uint32_t index;        ///< a th_index_kind
  const char* name;      ///< for reports; copied
  th_source* source;     ///< gives memory for all blocks, as one piece; stays open longer
  void* memory;          ///< or the engine's own, at a multiple of 256; block `id` starts at id * block_bytes
  uint64_t memory_bytes;
  uint32_t memory_is_device; ///< 1: the CPU cannot touch it; then give `copy`
  uint32_t null_block;       ///< 1: id 0 is kept back, for the padding of page tables; it needs memory too
  uint32_t no_cache;         ///< 1: nothing can be found again
  uint32_t events;           ///< 1: keep the last events, 1 MiB of them, for th_feed_open
  uint64_t watermark;        ///< blocks that a request which begins leaves for those that run
  uint64_t seed;             ///< of names: the same on all machines that share them
  th_copy_call copy;         ///< for forks, in place of memcpy; of ids alone too
  void* copy_user;
} th_pool_options;

/// free + cached + live + in_flight == total, always.
typedef struct th_pool_stats {
  uint32_t size;
  uint32_t version;
  uint64_t total_blocks;
  uint64_t free_blocks;
  uint64_t cached_blocks;     ///< hold a published prefix and can be evicted at any time
  uint64_t live_blocks;       ///< held by sequences and pins, or handed out one by one
  uint64_t in_flight_blocks;  ///< given back, but the step of their last use has not ended
  uint64_t reserved_blocks;   ///< promised to running requests
  uint64_t published_blocks;
  uint64_t peak_live_blocks;
  uint64_t evictions;
  uint64_t asked_tokens;   ///< prompt tokens of all sequences that looked into the cache
  uint64_t reused_tokens;  ///< those of them that were found
  uint64_t bookkeeping_bytes;
} th_pool_stats;

/// With whom a request shares what it publishes, and whose blocks it finds.
typedef enum th_share {
  th_share_tenant = 0,   ///< with requests of the same tenant
  th_share_process = 1,  ///< with every tenant
  th_share_request = 2   ///< with its own forks alone
} th_share;

/// What must fit before a request begins.
typedef enum th_admit {
  th_admit_prompt = 0,   ///< its prompt and look-ahead
  th_admit_whole = 1,    ///< `expected_tokens` too, at that moment
  th_admit_reserved = 2  ///< these are set aside for it, so that its growth up to there cannot be refused
} th_admit;

/// How a sequence is opened.
typedef struct th_sequence_options {
  uint32_t size;
  uint32_t version;
  const void* salt;  ///< only equal salts, adapters and tenants share blocks
  uint64_t salt_bytes;
  uint64_t adapter;
  uint32_t tenant;
  uint32_t share;          ///< a th_share
  uint32_t no_read_cache;  ///< 1: find nothing, publish all the same
  uint32_t reuse_last;     ///< 1: the last prompt token may be found too; engines that sample need it computed
  uint32_t partial;        ///< 1: reuse a block that agrees in its first tokens only, at the price of a copy
  uint32_t admit;          ///< a th_admit
  uint64_t lookahead;      ///< slots beyond the prompt, for drafts
  uint64_t expected_tokens;
} th_sequence_options;

/// What a sequence holds.
typedef struct th_sequence_stats {
  uint32_t size;
  uint32_t version;
  uint64_t tokens;            ///< of the prompt and those appended since
  uint64_t cached_tokens;     ///< of the prompt: keys and values were there when it was opened
  uint64_t published_tokens;  ///< in blocks that others can find
  uint64_t blocks;
} th_sequence_stats;

/// What a pool says to a request for blocks.
typedef struct th_admission {
  uint32_t size;
  uint32_t version;
  th_status status;  ///< th_ok: it fits now
  uint32_t reserved;
  uint64_t need;   ///< blocks to be taken
  uint64_t found;  ///< published blocks that it would share
  uint64_t room;   ///< blocks that it may take
  uint64_t longest_tokens;  ///< of the longest prompt that starts with what was found and would fit now
} th_admission;

// ---- the pool

/// Threads   safe
TOKENHEAP_C_API th_pool* th_pool_open(const th_pool_options* options) TOKENHEAP_C_NOEXCEPT;
/// Ends a pool. `th_in_use`, and nothing changes, while sequences, feeds or blocks of it are out.
///
/// Threads   nobody else may call with the handle meanwhile
TOKENHEAP_C_API th_status th_pool_close(th_pool* pool) TOKENHEAP_C_NOEXCEPT;
/// Hands out `n` blocks that belong to no sequence, all or none.
TOKENHEAP_C_API th_status th_pool_allocate(th_pool* pool, uint32_t* out, size_t n) TOKENHEAP_C_NOEXCEPT;
/// Takes such blocks back; the first misuse is the answer, and ids that are misused are left alone.
TOKENHEAP_C_API th_status th_pool_deallocate(th_pool* pool, const uint32_t* ids, size_t n) TOKENHEAP_C_NOEXCEPT;
/// Where a block starts; `out` is null in a pool of ids alone.
TOKENHEAP_C_API th_status th_pool_address(th_pool* pool, uint32_t id, void** out) TOKENHEAP_C_NOEXCEPT;
/// How many tokens of a prompt are published, whole blocks; nothing changes. Of the options the key counts.
TOKENHEAP_C_API th_status th_pool_match(th_pool* pool, const uint32_t* prompt, size_t n,
                                        const th_sequence_options* options, size_t* tokens) TOKENHEAP_C_NOEXCEPT;
/// Whether a request would fit now, and where the blocks are; nothing changes. `th_ok` also where it does not fit.
TOKENHEAP_C_API th_status th_pool_would_fit(th_pool* pool, const uint32_t* prompt, size_t n,
                                            const th_sequence_options* options, th_admission* out) TOKENHEAP_C_NOEXCEPT;
/// The names of the whole blocks of a prompt, whether the pool has them or not: under these they lie in tiers and events.
///
/// `count` is how many there are. too_large where they are more than `room`; room for 0 asks for the count alone.
TOKENHEAP_C_API th_status th_pool_names(th_pool* pool, const uint32_t* prompt, size_t n, const th_sequence_options* options,
                                        uint32_t group, th_block_name* out, size_t room, size_t* count) TOKENHEAP_C_NOEXCEPT;
/// Makes up to `n` cached blocks free; `evicted` (may be null) is how many.
TOKENHEAP_C_API th_status th_pool_evict(th_pool* pool, size_t n, size_t* evicted) TOKENHEAP_C_NOEXCEPT;
/// Forgets every published block. `th_in_use`, and nothing changes, while any block is live.
TOKENHEAP_C_API th_status th_pool_reset(th_pool* pool) TOKENHEAP_C_NOEXCEPT;
/// The number of a step that is handed to the device now: what is given back from here on waits for it.
TOKENHEAP_C_API th_status th_pool_begin_step(th_pool* pool, uint64_t* step) TOKENHEAP_C_NOEXCEPT;
/// The step and all before it have ended: what waited for them can be used.
TOKENHEAP_C_API th_status th_pool_settle(th_pool* pool, uint64_t step) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_pool_stats_of(th_pool* pool, th_pool_stats* out) TOKENHEAP_C_NOEXCEPT;
/// One line about the pool; `length` (may be null) is that of the whole line.
TOKENHEAP_C_API th_status th_pool_dump(th_pool* pool, char* out, size_t room, size_t* length) TOKENHEAP_C_NOEXCEPT;
/// Walks all books: th_ok, or corrupted.
TOKENHEAP_C_API th_status th_pool_is_valid(th_pool* pool) TOKENHEAP_C_NOEXCEPT;

// ---- sequences

/// Finds what is cached of the prompt and takes blocks for the rest, at once or not at all.
///
/// Threads   safe
TOKENHEAP_C_API th_sequence* th_sequence_open(th_pool* pool, const uint32_t* prompt, size_t n,
                                              const th_sequence_options* options) TOKENHEAP_C_NOEXCEPT;
/// Holds what is published of a prompt, whole blocks, and nothing else: until it is closed, none of it is evicted.
///
/// Counts as a request that found all of it. `th_invalid_argument` where nothing is published.
/// Threads   safe
TOKENHEAP_C_API th_sequence* th_pool_pin(th_pool* pool, const uint32_t* prompt, size_t n,
                                         const th_sequence_options* options) TOKENHEAP_C_NOEXCEPT;
/// Ends a pin; the same as th_sequence_close.
TOKENHEAP_C_API th_status th_pool_unpin(th_sequence* pin) TOKENHEAP_C_NOEXCEPT;
/// Gives all blocks back, the tail first; published ones stay findable.
TOKENHEAP_C_API th_status th_sequence_close(th_sequence* sequence) TOKENHEAP_C_NOEXCEPT;
/// Makes sure that `n` more tokens have slots that this sequence alone may write.
TOKENHEAP_C_API th_status th_sequence_grow(th_sequence* sequence, size_t n) TOKENHEAP_C_NOEXCEPT;
/// Adds tokens that were decided on, with slots for them. Where it fails nothing has changed.
TOKENHEAP_C_API th_status th_sequence_append(th_sequence* sequence, const uint32_t* tokens, size_t n) TOKENHEAP_C_NOEXCEPT;
/// Says that keys and values of the first `written` tokens are in their slots: full blocks of them can be found.
TOKENHEAP_C_API th_status th_sequence_publish(th_sequence* sequence, size_t written) TOKENHEAP_C_NOEXCEPT;
/// Takes back the last `n` tokens, and the blocks beyond what is left.
TOKENHEAP_C_API th_status th_sequence_rewind(th_sequence* sequence, size_t n) TOKENHEAP_C_NOEXCEPT;
/// A second sequence with the same tokens in the same blocks; who writes first into a shared block gets a copy of it.
///
/// A pool of ids alone needs `copy` for that: without it the write is `th_unsupported` while both hold the block.
TOKENHEAP_C_API th_sequence* th_sequence_fork(th_sequence* sequence) TOKENHEAP_C_NOEXCEPT;
/// Copies the ids of the blocks from place `first` on, in the order of their tokens; `count` is how many there are in all.
///
/// Fails     too_large where they are more than `room` (nothing is written); room for 0 asks for the count alone
TOKENHEAP_C_API th_status th_sequence_blocks(th_sequence* sequence, size_t first, uint32_t* out, size_t room,
                                             size_t* count) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_sequence_stats_of(th_sequence* sequence, th_sequence_stats* out) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
