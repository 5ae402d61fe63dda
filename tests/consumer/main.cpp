// What a program of a user is at its smallest; every way to get at the library builds and runs it.
// [main]
#include <tokenheap/tokenheap.hpp>

int main() {
  tokenheap::host_source heap;
  const tokenheap::allocation a = heap.allocate(1000, 64);
  const bool given = a.data != nullptr && a.size >= 1000;
  heap.deallocate(a);
  return given ? 0 : 1;
}
// [main]
