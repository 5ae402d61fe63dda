// A user's program that includes by leaf: it compiles in a fraction of the time that the umbrella takes.
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/host.hpp>

int main() {
  tokenheap::layered<tokenheap::host_source, tokenheap::slab<>> memory;
  const tokenheap::allocation a = memory.allocate(3000, 64);
  const bool given = a && a.size == 3072;
  memory.deallocate(a);
  return given ? 0 : 1;
}
