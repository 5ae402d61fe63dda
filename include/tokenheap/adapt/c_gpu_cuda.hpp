// A CUDA device for the C interface; where TOKENHEAP_C_CUDA is 1, and the program links CUDA's runtime.
#pragma once

#include <tokenheap/adapt/c_gpu.hpp>
#include <tokenheap/device/cuda.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A CUDA device by its number; C's streams are its cudaStream_t.
struct c_cuda_home {
  explicit c_cuda_home(const th_gpu_options& with) noexcept : device(static_cast<int>(with.ordinal)) {}

  static cudaStream_t handle(void* stream) noexcept { return static_cast<cudaStream_t>(stream); }
  static void* pointer(cudaStream_t handle) noexcept { return handle; }

  cuda_device device;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
