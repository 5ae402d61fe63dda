# Tests of what the packages hold and of programs built out of them; behind tree_tests.cmake.

if(NOT TOKENHEAP_INSTALL)
  tokenheap_left_out("tests of the packages" "TOKENHEAP_INSTALL is off")
  return()
endif()
if(NOT Python3_Interpreter_FOUND)
  tokenheap_left_out("tests of the packages" "python3 not found; cmake/deps.sh installs it")
  return()
endif()

function(tokenheap_add_packaging_test name)
  add_test(NAME packaging.${name}
    COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/packaging/${name}.py ${PROJECT_SOURCE_DIR} ${ARGN})
  set_tests_properties(packaging.${name} PROPERTIES LABELS tree TIMEOUT 600 SKIP_RETURN_CODE 77 COST 60)
endfunction()

tokenheap_add_packaging_test(install_tree ${CMAKE_CXX_COMPILER})
tokenheap_add_packaging_test(vcpkg ${CMAKE_CXX_COMPILER})

# `conan create` runs where conan is (pip install conan); the recipe is tested without it too
find_program(CONAN_PROGRAM conan)
mark_as_advanced(CONAN_PROGRAM)
if(NOT CONAN_PROGRAM)
  tokenheap_left_out("conan create" "conan not found; PyPI has it")
endif()
tokenheap_add_packaging_test(conan_recipe ${CMAKE_CXX_COMPILER} "$<$<BOOL:${CONAN_PROGRAM}>:${CONAN_PROGRAM}>")

if(TARGET tokenheap_program)
  tokenheap_add_packaging_test(deb ${CMAKE_CXX_COMPILER} ${PROJECT_BINARY_DIR})
else()
  tokenheap_add_packaging_test(deb ${CMAKE_CXX_COMPILER})
endif()

if(GCC_PROGRAM)
  tokenheap_add_packaging_test(one_header ${GCC_PROGRAM} $<$<BOOL:${CLANG_PROGRAM}>:${CLANG_PROGRAM}>)
endif()
