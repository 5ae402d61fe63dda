// expect: no matching function
// A reference to host memory never stands for device memory.
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/source/fixed.hpp>

void pass(tokenheap::basic_fixed_source<tokenheap::device_space>& device) {
  tokenheap::source_ref ref(device);
  static_cast<void>(ref);
}
