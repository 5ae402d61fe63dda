#pragma once

#include <tokenheap/source/host.hpp>

const void* first_address();
const void* second_address();
unsigned first_use();
unsigned second_use();

// some real work, so that templates are instantiated in both translation units
inline unsigned use() {
  tokenheap::host_source heap;
  const tokenheap::allocation a = heap.allocate(4096, 64);
  const auto bytes = static_cast<unsigned>(a.size);
  heap.deallocate(a);
  return bytes;
}
