#pragma once

// A CUDA runtime of our own, linked instead of the toolkit's: the real prototypes over a simulated machine.

#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include <tokenheap/device/cuda.hpp>
#include <tokenheap/device/sim.hpp>

namespace fake_cuda {

/// Stands for the driver while it lives; without one every call answers 35, and outputs stay as they are.
class runtime {
 public:
  explicit runtime(const tokenheap::sim_options& with = {});
  ~runtime();
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  tokenheap::sim_machine machine;
  /// Names of the calls, in order. cudaGetDevice is left out: every call begins with it.
  std::vector<std::string> log;
  /// The driver knows the calls for addresses.
  bool has_addresses = true;
  /// How often somebody took the last error.
  int taken_errors = 0;

  /// The next call of this name fails with this number.
  void fail(std::string call, int native);
  [[nodiscard]] int planned(const std::string& call);
  [[nodiscard]] bool logged(const std::string& call) const;
  [[nodiscard]] std::size_t count(const std::string& call) const;

 private:
  std::string failing_;
  int native_ = 0;
};

/// What cudaGetLastError would say, without taking it.
[[nodiscard]] int pending_error();
void set_pending_error(int native);
[[nodiscard]] int current_device();

}  // namespace fake_cuda
