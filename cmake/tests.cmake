# Helpers of tests/CMakeLists.txt.

# the test framework's main and runner, compiled once for all floors
function(tokenheap_add_catch_main)
  file(GLOB support CONFIGURE_DEPENDS support/*.cpp)
  add_library(tests_main OBJECT ${support})
  target_include_directories(tests_main PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(tests_main PUBLIC tokenheap_own)
  if(TARGET Catch2::Catch2WithMain)
    target_link_libraries(tests_main PUBLIC Catch2::Catch2WithMain)
  else()
    target_link_libraries(tests_main PUBLIC Catch2::Catch2)
  endif()
  # the runner is the one slow file of the tests and needs neither speed nor instrumentation
  set_source_files_properties(support/catch_main.cpp PROPERTIES COMPILE_OPTIONS "-O0;-g0;-w")
  if(TOKENHEAP_PRECOMPILE)
    # a target of its own: the runner is compiled with other options
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp "")
    add_library(tests_precompiled OBJECT ${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp)
    target_include_directories(tests_precompiled PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(tests_precompiled PRIVATE tokenheap_own)
    target_precompile_headers(tests_precompiled PRIVATE support/precompiled.hpp)
  endif()
endfunction()

# ThreadSanitizer finds nothing where one thread runs: keeps the files that start threads or fibers
function(tokenheap_keep_thread_tests list)
  foreach(source IN LISTS ${list})
    file(STRINGS ${source} found REGEX "std::thread|fiber|policy_contract|redis_kit" LIMIT_COUNT 1)
    if(found)
      list(APPEND kept ${source})
    endif()
  endforeach()
  set(${list} ${kept} PARENT_SCOPE)
endfunction()

# they enumerate: worth an optimiser's time, and first in the queue, or the last of them runs alone
set(tokenheap_long_tests
  "/(caching_(programs.*|schedules|sleep|random)|group_waste|oracle|tier_[^/]*|scrub|hash_chain|pinned_pool_schedules)\\.cpp$")

# each of the files is the test <floor>.<file> of the program
function(tokenheap_add_floor_program program floor sources)
  add_executable(${program} ${sources})
  target_link_libraries(${program} PRIVATE tests_main ${ARGN})
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    add_test(NAME ${floor}.${name} COMMAND ${program} --filenames-as-tags --warn NoTests "[#${name}]")
    set_tests_properties(${floor}.${name} PROPERTIES TIMEOUT 300 LABELS ${floor} SKIP_RETURN_CODE 77
      WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
  endforeach()
endfunction()

# tests_<floor> out of tests/<floor>/*.cpp, and tests_<floor>_long: one program would take the slow copies of what both
# instantiate. What follows the floor is linked to both.
function(tokenheap_add_floor_tests floor)
  file(GLOB sources CONFIGURE_DEPENDS ${floor}/*.cpp)
  if(TOKENHEAP_THREAD_TESTS_ONLY)
    tokenheap_keep_thread_tests(sources)
  endif()
  set(long ${sources})
  list(FILTER long INCLUDE REGEX ${tokenheap_long_tests})
  list(FILTER sources EXCLUDE REGEX ${tokenheap_long_tests})
  if(sources)
    tokenheap_add_floor_program(tests_${floor} ${floor} "${sources}" ${ARGN})
    if(TOKENHEAP_PRECOMPILE)
      target_precompile_headers(tests_${floor} REUSE_FROM tests_precompiled)
    endif()
  endif()
  if(long)
    tokenheap_add_floor_program(tests_${floor}_long ${floor} "${long}" ${ARGN})
    target_compile_options(tests_${floor}_long PRIVATE ${TOKENHEAP_HOT_OPTIONS})
    foreach(source IN LISTS long)
      cmake_path(GET source STEM name)
      set_tests_properties(${floor}.${name} PROPERTIES COST 50)
    endforeach()
  endif()
endfunction()

# for what a floor needs once it was looked for
function(tokenheap_link_floor floor)
  foreach(program IN ITEMS tests_${floor} tests_${floor}_long)
    if(TARGET ${program})
      target_link_libraries(${program} PRIVATE ${ARGN})
    endif()
  endforeach()
endfunction()

function(tokenheap_add_program_tests)
  file(GLOB scripts CONFIGURE_DEPENDS program/*.py)
  if(NOT TARGET tokenheap_program OR NOT Python3_Interpreter_FOUND)
    return()
  endif()
  foreach(script IN LISTS scripts)
    cmake_path(GET script STEM name)
    add_test(NAME program.${name}
      COMMAND ${Python3_EXECUTABLE} ${script} $<TARGET_FILE:tokenheap_program> ${PROJECT_SOURCE_DIR})
    set_tests_properties(program.${name} PROPERTIES TIMEOUT 600 LABELS program SKIP_RETURN_CODE 77 COST 200)
  endforeach()
  add_test(NAME program.browser COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/browser/report.py
    $<TARGET_FILE:tokenheap_program> ${PROJECT_SOURCE_DIR})
  set_tests_properties(program.browser PROPERTIES TIMEOUT 600 LABELS program SKIP_RETURN_CODE 77 COST 200)
endfunction()
