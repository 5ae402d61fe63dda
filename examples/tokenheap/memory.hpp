// Who owns which memory: one named allocator per owner, each made of the library's parts and counted on its own.
#pragma once

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/host.hpp>

namespace program {

using tokenheap::arena;
using tokenheap::arena_shape;
using tokenheap::counters;
using tokenheap::host_source;
using tokenheap::layered;
using tokenheap::MiB;
using tokenheap::slab;
using tokenheap::with;

/// Weights live as long as the program: an arena that never looks back.
struct weight_memory : layered<host_source, arena<arena_shape{.chunk = 1 * MiB}>, with<counters>> {};

/// Keys and values: one piece for all blocks, handed to the block pool.
struct kv_memory : layered<host_source, with<counters>> {};

/// What one step needs and the next one overwrites.
struct scratch_memory : layered<host_source, arena<arena_shape{.chunk = 1 * MiB}>, with<counters>> {};

/// Request objects, their tokens and their block tables: sizes repeat, lifetimes do not.
struct request_memory : layered<host_source, slab<>, with<counters>> {};

/// What an owner holds now, and the most it ever held, in bytes.
struct owned_bytes {
  std::size_t current = 0;
  std::size_t peak = 0;
};

template <class Memory>
owned_bytes owned_by(const Memory& memory) {
  const auto& granted = memory.template policy<counters>().values().granted;
  return {granted.current, granted.peak};
}

}  // namespace program
