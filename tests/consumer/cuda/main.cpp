// tokenheap::cuda brings the headers and the runtime library of the toolkit; no device is needed to ask its version.
#include <cuda_runtime_api.h>

#include <tokenheap/tokenheap.hpp>

int main() {
  int version = 0;
  return cudaRuntimeGetVersion(&version) == cudaSuccess && version > 0 ? 0 : 1;
}
