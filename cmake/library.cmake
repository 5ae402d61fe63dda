# The targets that users link. tokenheap::tokenheap never mentions CUDA; a target for a part stands when the part does.

file(GLOB_RECURSE tokenheap_headers CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/include/tokenheap/*.hpp ${PROJECT_SOURCE_DIR}/include/tokenheap/*.h)

# headers that need a toolkit or a third party; they say so in one #error where it is absent
set(tokenheap_plain_headers ${tokenheap_headers})
list(FILTER tokenheap_plain_headers EXCLUDE REGEX
  "/tokenheap/((source|device)/cuda[^/]*\\.hpp|adapt/|plan/|observe/nvtx_trace\\.hpp|kv/file_ring\\.hpp|kv/(tier_redis|redis_(reply|connection|servers))\\.hpp)")

add_library(tokenheap INTERFACE)
add_library(tokenheap::tokenheap ALIAS tokenheap)
target_compile_features(tokenheap INTERFACE cxx_std_20)
target_sources(tokenheap INTERFACE
  FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${tokenheap_plain_headers})

if(TOKENHEAP_CUDA)
  find_package(CUDAToolkit QUIET)
endif()
if(CUDAToolkit_FOUND)
  add_library(tokenheap_cuda INTERFACE)
  add_library(tokenheap::cuda ALIAS tokenheap_cuda)
  target_link_libraries(tokenheap_cuda INTERFACE tokenheap::tokenheap CUDA::cudart)
endif()

find_path(TOKENHEAP_HIREDIS_INCLUDE_DIR hiredis/hiredis.h)
find_library(TOKENHEAP_HIREDIS_LIBRARY hiredis)
mark_as_advanced(TOKENHEAP_HIREDIS_INCLUDE_DIR TOKENHEAP_HIREDIS_LIBRARY)
if(TOKENHEAP_HIREDIS_INCLUDE_DIR AND TOKENHEAP_HIREDIS_LIBRARY)
  add_library(tokenheap_redis INTERFACE)
  add_library(tokenheap::redis ALIAS tokenheap_redis)
  target_link_libraries(tokenheap_redis INTERFACE tokenheap::tokenheap ${TOKENHEAP_HIREDIS_LIBRARY})
  target_include_directories(tokenheap_redis SYSTEM INTERFACE ${TOKENHEAP_HIREDIS_INCLUDE_DIR})
endif()

find_package(nlohmann_json QUIET)
if(nlohmann_json_FOUND)
  add_library(tokenheap_plan INTERFACE)
  add_library(tokenheap::plan ALIAS tokenheap_plan)
  target_link_libraries(tokenheap_plan INTERFACE tokenheap::tokenheap nlohmann_json::nlohmann_json)
endif()
