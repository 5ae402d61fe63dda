#pragma once

// A column with state for each thread, and what a shared object does with one that is its own and one that is lent to it.

#include <cstddef>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/magazines.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/host.hpp>

namespace lent {

struct memory : tokenheap::layered<tokenheap::host_source, tokenheap::slab<>, tokenheap::magazines<>> {};

}  // namespace lent

/// True if a thread that has used its own column gets from the lent one what is the lent one's, and both stay whole.
extern "C" [[gnu::visibility("default")]] bool borrower_uses(lent::memory& other);
