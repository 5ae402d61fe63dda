# The API as a user meets it: its reference, what its headers pull in, how they are spelled, and one registry for strangers.
# Included by tests/CMakeLists.txt behind cmake/tree_tests.cmake.

if(NOT Python3_Interpreter_FOUND)
  tokenheap_left_out("doxygen, third_party, headers.spelling, headers.pedantic" "python3 not found; cmake/deps.sh installs it")
else()
  find_program(DOXYGEN_PROGRAM doxygen)
  find_program(MINGW_PROGRAM NAMES x86_64-w64-mingw32-g++-posix x86_64-w64-mingw32-g++)
  mark_as_advanced(DOXYGEN_PROGRAM MINGW_PROGRAM)

  if(DOXYGEN_PROGRAM)
    # pages stay in the build tree: reference/html/index.html
    tokenheap_add_check(doxygen ${Python3_EXECUTABLE} ${scripts}/doxygen.py ${DOXYGEN_PROGRAM}
      --out ${PROJECT_BINARY_DIR}/reference)
    tokenheap_add_check(doxygen.self_test ${Python3_EXECUTABLE} ${scripts}/doxygen.py --self-test ${DOXYGEN_PROGRAM})
  else()
    tokenheap_left_out("doxygen" "doxygen not found; cmake/deps.sh installs it")
  endif()

  if(GCC_PROGRAM)
    foreach(folder IN ITEMS /usr/local/cuda/include/cccl /usr/local/cuda/include)
      if(IS_DIRECTORY ${folder})
        list(APPEND toolkit -I ${folder})
      endif()
    endforeach()
    tokenheap_add_check(third_party ${Python3_EXECUTABLE} ${scripts}/third_party.py ${GCC_PROGRAM} ${toolkit})
    tokenheap_add_check(third_party.self_test ${Python3_EXECUTABLE} ${scripts}/third_party.py --self-test ${GCC_PROGRAM})
  endif()

  tokenheap_add_check(headers.spelling ${Python3_EXECUTABLE} ${scripts}/headers.py spelling)
  if(CLANG_PROGRAM)
    tokenheap_add_check(headers.pedantic ${Python3_EXECUTABLE} ${scripts}/headers.py pedantic ${CLANG_PROGRAM})
  endif()
  if(MINGW_PROGRAM)
    tokenheap_add_check(headers.windows ${Python3_EXECUTABLE} ${scripts}/headers.py windows ${MINGW_PROGRAM})
  else()
    tokenheap_left_out("headers for Windows" "no MinGW found (Debian: g++-mingw-w64-x86-64-posix)")
  endif()
endif()

# the plain spelling of core/config.hpp gives the same numbers as the compiler's own
if(TARGET tests_main)
  add_executable(tests_plain core/allocation.cpp core/config.cpp core/result.cpp policy/lock.cpp kv/tokens.cpp kv/xxh3.cpp
    kv/sha256.cpp kv/prefix_index.cpp kv/expiry_wheel.cpp)
  target_link_libraries(tests_plain PRIVATE tests_main)
  target_compile_definitions(tests_plain PRIVATE TOKENHEAP_PLAIN=1)
  tokenheap_add_check(plain tests_plain)
endif()

# Shared objects with hidden symbols that a program opens late; two of them by clang where that is here, one optimised at link time.
if(TARGET registry_third)
  set(objects $<TARGET_FILE:registry_third> third $<TARGET_FILE:registry_fourth> fourth)
  if(CLANG_PROGRAM)
    foreach(part IN ITEMS fifth sixth)
      set(file ${PROJECT_BINARY_DIR}/bin/registry_${part}.so)
      set(optimised)
      if(part STREQUAL "sixth")
        set(optimised -O2 -flto)
      endif()
      tokenheap_add_check(observe.registry_${part} ${CLANG_PROGRAM} -std=c++20 ${optimised} -fPIC -shared -fvisibility=hidden
        -fvisibility-inlines-hidden -DPART_NAME=${part} -I${PROJECT_SOURCE_DIR}/include
        ${CMAKE_CURRENT_SOURCE_DIR}/registry_shared/part.cpp -o ${file})
      set_tests_properties(observe.registry_${part} PROPERTIES FIXTURES_SETUP registry_by_clang)
      list(APPEND objects ${file} ${part})
    endforeach()
  endif()
  # a program without the library, one with a pool that exports its symbols, one that does not and so stands alone
  set(kinds stranger exporting alone)
  foreach(kind IN LISTS kinds)
    list(FIND kinds ${kind} number)
    add_executable(registry_${kind} registry_shared/stranger.cpp)
    target_link_libraries(registry_${kind} PRIVATE tokenheap_own ${CMAKE_DL_LIBS})
    target_compile_definitions(registry_${kind} PRIVATE OWN_POOL=${number})
    set_target_properties(registry_${kind} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    tokenheap_add_check(observe.registry_${kind} registry_${kind} ${objects})
    set_tests_properties(observe.registry_${kind} PROPERTIES LABELS observe FIXTURES_REQUIRED registry_by_clang)
  endforeach()
  set_target_properties(registry_exporting PROPERTIES ENABLE_EXPORTS ON)
endif()

# what is kept for each thread stays apart where a program lends a column to a shared object with hidden symbols
add_library(registry_borrower SHARED registry_shared/borrower.cpp)
add_executable(registry_lender registry_shared/lender.cpp)
target_link_libraries(registry_lender PRIVATE registry_borrower)
foreach(target IN ITEMS registry_borrower registry_lender)
  target_link_libraries(${target} PRIVATE tokenheap_own)
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endforeach()
tokenheap_add_check(alloc.lent registry_lender)
