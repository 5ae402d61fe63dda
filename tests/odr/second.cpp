// The other translation unit; it includes everything twice and in its own order.
#include "odr.hpp"

#include <tokenheap/tokenheap.hpp>
#include <tokenheap/tokenheap.hpp>

const void* second_address() { return &tokenheap::library_version; }

unsigned second_use() { return use(); }
