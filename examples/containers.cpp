// Containers of the standard library over a source: what they take is counted, and an arena takes it back at once.
#include <cstdio>
#include <map>
#include <memory_resource>
#include <string>
#include <vector>

#include <tokenheap/adapt/pmr.hpp>
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/source/host.hpp>

int main() {
  // [pmr]
  tokenheap::layered<tokenheap::host_source, tokenheap::arena<>> step;
  tokenheap::adapt::pmr_resource memory(step);
  std::pmr::map<int, std::pmr::vector<int>> tables(&memory);  // the nodes, and the vectors inside them
  for (int request = 0; request != 100; ++request) tables[request].assign(64, request);
  // [pmr]

  // [allocator]
  tokenheap::host_source heap;
  using ids = std::vector<int, tokenheap::adapt::std_allocator<int, tokenheap::host_source>>;
  ids order{tokenheap::adapt::std_allocator<int, tokenheap::host_source>(heap)};
  for (const auto& [request, blocks] : tables) order.push_back(request);
  // [allocator]

  const bool right = order.size() == 100 && tables[7][63] == 7 && step.owns(tables[99].data());
  std::printf("100 tables in an arena, their order on the heap: %s\n", right ? "as expected" : "WRONG");
  return right ? 0 : 1;
}
