# The API as a user meets it: its reference, what its headers pull in, how they are spelled, and one registry for strangers.
# Included by tests/CMakeLists.txt behind cmake/tree_tests.cmake.

if(NOT Python3_Interpreter_FOUND)
  tokenheap_left_out("doxygen, third_party" "python3 not found; cmake/deps.sh installs it")
else()
  find_program(DOXYGEN_PROGRAM doxygen)
  mark_as_advanced(DOXYGEN_PROGRAM)
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
endif()
