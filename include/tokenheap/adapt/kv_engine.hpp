// All that an engine with a KV cache of its own needs: its tensors as our blocks, its page tables, its offload vocabulary.
#pragma once

#include <tokenheap/adapt/block_tables.hpp>
#include <tokenheap/adapt/engine_cache.hpp>
#include <tokenheap/adapt/engine_tensor.hpp>
#include <tokenheap/adapt/hicache_storage.hpp>
#include <tokenheap/adapt/lmcache_connector.hpp>
#include <tokenheap/adapt/offload_book.hpp>
#include <tokenheap/adapt/offload_choice.hpp>
#include <tokenheap/adapt/offload_key.hpp>
#include <tokenheap/adapt/trtllm_tables.hpp>
#include <tokenheap/adapt/vllm_offload.hpp>
#include <tokenheap/adapt/vllm_tables.hpp>
