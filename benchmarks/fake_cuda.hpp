// The functions of the CUDA runtime that CUB's pool calls: addresses without memory, and a count of the calls.
//
// Included by one translation unit, which is not linked against a runtime.
#pragma once

#include "device_peers.hpp"

#ifdef TOKENHEAP_HAS_CUB
extern "C" {
inline cudaError_t counted(std::size_t tokenheap_count = 1) {
  device_peers::runtime().all += tokenheap_count;
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaGetDevice(int* out) { return *out = 0, cudaSuccess; }
cudaError_t CUDARTAPI cudaSetDevice(int) { return cudaSuccess; }
cudaError_t CUDARTAPI cudaGetLastError() { return cudaSuccess; }
cudaError_t CUDARTAPI cudaPeekAtLastError() { return cudaSuccess; }
const char* CUDARTAPI cudaGetErrorString(cudaError_t) { return ""; }
cudaError_t CUDARTAPI cudaMalloc(void** out, std::size_t bytes) {
  *out = device_peers::fresh_addresses(bytes);
  return counted();
}
cudaError_t CUDARTAPI cudaFree(void*) { return counted(); }
cudaError_t CUDARTAPI cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = reinterpret_cast<cudaEvent_t>(std::uintptr_t{64});
  return counted();
}
cudaError_t CUDARTAPI cudaEventDestroy(cudaEvent_t) { return counted(); }
cudaError_t CUDARTAPI cudaEventRecord(cudaEvent_t, cudaStream_t) {
  ++device_peers::runtime().records;
  return counted();
}
cudaError_t CUDARTAPI cudaEventQuery(cudaEvent_t) { return counted(); }
}
#endif
