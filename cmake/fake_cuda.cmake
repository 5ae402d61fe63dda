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
# CUDA 13 keeps CCCL in a folder of its own; a newer copy may come first
foreach(folder IN LISTS CUDAToolkit_INCLUDE_DIRS)
  if(IS_DIRECTORY ${folder}/cccl)
    target_include_directories(tests_fake_cuda SYSTEM PRIVATE ${folder}/cccl)
  endif()
endforeach()

# what PyTorch loads, called as PyTorch calls it; a sanitizer's runtime would have to come before Python's
if(TARGET tokenheap_torch AND Python3_Interpreter_FOUND AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  add_library(fake_torch SHARED torch/fake_torch.cpp fake_cuda/runtime/runtime.cpp)
  target_link_libraries(fake_torch PRIVATE tokenheap_own)
  target_include_directories(fake_torch PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_include_directories(fake_torch SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  add_test(NAME torch.door COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/torch/door.py
    $<TARGET_FILE:fake_torch> $<TARGET_FILE:tokenheap_torch>)
  set_tests_properties(torch.door PROPERTIES TIMEOUT 120 LABELS adapt)
endif()
