# The tests of the caching allocator must be able to fail: each planted bug has to be found.

if(Python3_Interpreter_FOUND)
  add_test(NAME tree.mutants
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/mutants.py --compiler ${CMAKE_CXX_COMPILER})
  set_tests_properties(tree.mutants PROPERTIES TIMEOUT 900 LABELS tree COST 1000)
endif()
