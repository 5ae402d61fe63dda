# cmake -DCASE=... -DROOT=source -DBUILD=build tree -DWORK=scratch -DVERSION=x.y.z -P run.cmake
# Installs the library, moves the installed tree elsewhere, and builds and runs small projects out of it.

set(installed ${WORK}/installed)
set(moved ${WORK}/moved)

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${what} failed:\n${output}")
  endif()
endfunction()

if(CASE STREQUAL "install")
  file(REMOVE_RECURSE ${WORK})
  run("install" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${installed} --component tokenheap_dev)
  file(RENAME ${installed} ${moved})
  # nothing in the moved tree may remember where it came from
  file(GLOB_RECURSE texts ${moved}/*)
  foreach(text IN LISTS texts)
    file(READ ${text} content)
    foreach(place IN ITEMS ${ROOT} ${BUILD} ${WORK})
      if(content MATCHES "${place}")
        message(FATAL_ERROR "${text} names ${place}")
      endif()
    endforeach()
  endforeach()
  return()
endif()

set(configure ${CMAKE_COMMAND} -G Ninja -DCMAKE_BUILD_TYPE=Debug -DTOKENHEAP_ROOT=${ROOT} -DCMAKE_PREFIX_PATH=${moved}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
set(ENV{PKG_CONFIG_PATH} ${moved}/share/pkgconfig)

if(CASE STREQUAL "version")
  # SameMinorVersion: this minor version, at least this patch, and no other
  string(REGEX MATCH "^([0-9]+)\\.([0-9]+)" minor ${VERSION})
  math(EXPR next "${CMAKE_MATCH_2} + 1")
  set(refused ${CMAKE_MATCH_1}.${next} ${minor}.999 99.0)
  run("configure for ${minor}" ${configure} -DWANTED_VERSION=${minor} -S ${ROOT}/tests/consumer/find_package -B ${WORK}/version)
  foreach(wanted IN LISTS refused)
    execute_process(
      COMMAND ${configure} -DWANTED_VERSION=${wanted} -S ${ROOT}/tests/consumer/find_package -B ${WORK}/version-${wanted}
      RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(result EQUAL 0 OR NOT output MATCHES "compatible with requested|not\nconsidered|not considered")
      message(FATAL_ERROR "version ${wanted} was not refused:\n${output}")
    endif()
  endforeach()
  return()
endif()

run("configure" ${configure} -DWANTED_VERSION=${VERSION} -S ${ROOT}/tests/consumer/${CASE} -B ${WORK}/${CASE})
run("build" ${CMAKE_COMMAND} --build ${WORK}/${CASE})
run("the program" ${WORK}/${CASE}/consumer)
