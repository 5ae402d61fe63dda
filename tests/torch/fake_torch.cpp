// The same symbols over a CUDA runtime of our own, so that they can be called as PyTorch calls them without a GPU.
#include <tokenheap/adapt/torch_symbols.hpp>

#include <fake_cuda/runtime/runtime.hpp>

namespace {
fake_cuda::runtime machine({.capacity = 512 * tokenheap::MiB});
}

extern "C" __attribute__((visibility("default"))) cudaStream_t make_stream() {
  cudaStream_t made = nullptr;
  return cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking) == cudaSuccess ? made : nullptr;
}
