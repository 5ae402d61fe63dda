# tests/gpu/*.cu through nvcc: built as one test, run as another, which is skipped where there is no GPU.

if(NOT NVCC_PROGRAM)
  tokenheap_left_out("tests/gpu/*.cu" "nvcc not found")
  return()
endif()

file(GLOB kernels CONFIGURE_DEPENDS gpu/*.cu)
foreach(kernel IN LISTS kernels)
  cmake_path(GET kernel STEM name)
  set(program ${PROJECT_BINARY_DIR}/bin/gpu_${name})
  add_test(NAME gpu.${name}_build COMMAND ${NVCC_PROGRAM} -std=c++20 -O1 -I ${PROJECT_SOURCE_DIR}/include ${kernel} -o ${program})
  add_test(NAME gpu.${name} COMMAND ${program})
  set_tests_properties(gpu.${name}_build PROPERTIES LABELS gpu TIMEOUT 600 FIXTURES_SETUP gpu_${name})
  set_tests_properties(gpu.${name} PROPERTIES LABELS gpu TIMEOUT 600 SKIP_RETURN_CODE 77 FIXTURES_REQUIRED gpu_${name})
endforeach()
