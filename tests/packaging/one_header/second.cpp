// The other of two translation units: twice the same include, and what both must share.
#include "one.hpp"
#include "one.hpp"

tokenheap::allocation second_takes(tokenheap::host_source& heap) { return heap.allocate(100, 64); }
const void* second_sees() { return &tokenheap::library_version; }
