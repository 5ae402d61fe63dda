// libtokenheap_torch.so: what torch.cuda.memory.CUDAPluggableAllocator loads. See docs/adapters.md.
#include <tokenheap/adapt/torch_symbols.hpp>
