# tests_fake_cuda: tests/fake_cuda/*.cpp against the toolkit's headers and a CUDA runtime of our own, so without a GPU.

if(NOT TARGET tokenheap::cuda)
  tokenheap_left_out("tests over a made-up CUDA runtime" "no CUDA toolkit headers found")
  return()
endif()

tokenheap_add_floor_tests(fake_cuda)
if(NOT TARGET tests_fake_cuda)
  return()
endif()
target_sources(tests_fake_cuda PRIVATE fake_cuda/runtime/runtime.cpp)
# the headers alone: its runtime library would answer instead of ours
target_include_directories(tests_fake_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
