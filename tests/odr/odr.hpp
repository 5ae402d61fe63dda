#pragma once

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/host.hpp>

const void* first_address();
const void* second_address();
unsigned first_use();
unsigned second_use();

struct odr_memory : tokenheap::layered<tokenheap::host_source, tokenheap::arena<>, tokenheap::slab<>,
                                       tokenheap::with<tokenheap::counters>, tokenheap::with<tokenheap::spin_lock>> {};

// some real work, so that templates are instantiated in both translation units
inline unsigned use() {
  odr_memory memory;
  const tokenheap::allocation a = memory.allocate(1000, 64);
  const auto bytes = static_cast<unsigned>(a.size);
  memory.deallocate(a);
  return bytes;
}
