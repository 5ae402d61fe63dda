// One of two translation units that include everything; linked together, a definition that is not inline shows.
#include <tokenheap/tokenheap.hpp>

#include "odr.hpp"

const void* first_address() { return &tokenheap::library_version; }

unsigned first_use() { return use(); }

int main() {
  if (first_address() != second_address()) return 1;
  return first_use() == second_use() ? 0 : 2;
}
