# cmake -DPORTFILE=... -DROOT=source -DWORK=folder -DFEATURES=a;b -DVERSION=x.y.z -DPORT=tokenheap -DCOMPILER=... -P vcpkg_steps.cmake
# Runs a portfile where vcpkg is absent: the functions it calls, by their documented meaning, over plain CMake. What they do not
# know they refuse. The package comes to WORK/packages, as vcpkg lays it out.

cmake_minimum_required(VERSION 3.24)

set(CURRENT_PACKAGES_DIR ${WORK}/packages)
set(build ${WORK}/build)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGV}:\n${output}")
  endif()
  # vcpkg complains of options that a project does not know
  if(output MATCHES "not used by the project:[^-]*(TOKENHEAP_[A-Z_]+)")
    message(FATAL_ERROR "nothing reads the option ${CMAKE_MATCH_1}")
  endif()
endfunction()

macro(take_arguments one many)
  cmake_parse_arguments(arg "" "${one}" "${many}" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
endmacro()

function(vcpkg_from_github)
  take_arguments("OUT_SOURCE_PATH;REPO;REF;SHA512;HEAD_REF" "" ${ARGN})
  if(NOT arg_REPO STREQUAL "tokenheap/tokenheap" OR NOT arg_REF STREQUAL "v${VERSION}" OR arg_SHA512 STREQUAL "")
    message(FATAL_ERROR "fetches ${arg_REPO} ${arg_REF} ${arg_SHA512}")
  endif()
  set(${arg_OUT_SOURCE_PATH} ${ROOT} PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
  take_arguments("SOURCE_PATH" "OPTIONS" ${ARGN})
  # vcpkg's own: one configuration, no registries, no downloads, dependencies from its own tree
  run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${build} -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} -DFETCHCONTENT_FULLY_DISCONNECTED=ON
    -DCMAKE_EXPORT_NO_PACKAGE_REGISTRY=ON -DCMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY=ON ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
  if(ARGN)
    message(FATAL_ERROR "unknown arguments: ${ARGN}")
  endif()
  run(${CMAKE_COMMAND} --build ${build} --target install)
endfunction()

# moves the CMake package to share/PORT, two folders below the prefix
function(vcpkg_cmake_config_fixup)
  take_arguments("PACKAGE_NAME;CONFIG_PATH" "" ${ARGN})
  set(from ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH})
  set(to ${CURRENT_PACKAGES_DIR}/share/${PORT})
  if(NOT IS_DIRECTORY ${from} OR NOT VCPKG_BUILD_TYPE STREQUAL "release")
    message(FATAL_ERROR "'${from}' does not exist, or a debug package is missing")
  endif()
  file(GLOB files ${from}/*.cmake)
  file(COPY ${files} DESTINATION ${to})
  file(REMOVE_RECURSE ${from})
  cmake_path(GET from PARENT_PATH parent)
  file(GLOB rest ${parent}/*)
  if(NOT rest)
    file(REMOVE_RECURSE ${parent})
  endif()
  file(GLOB files ${to}/*.cmake)
  foreach(file IN LISTS files)
    file(READ ${file} text)
    string(REGEX REPLACE "(get_filename_component\\(PACKAGE_PREFIX_DIR \"[^\"]*LIST_DIR}/)[./]+\" ABSOLUTE" "\\1../../\" ABSOLUTE"
      text "${text}")
    # one step up for each folder between the file and the prefix: now two, and the file itself
    set(step "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\n")
    string(REPLACE "${step}${step}${step}" "${step}${step}" text "${text}")
    file(WRITE ${file} "${text}")
  endforeach()
endfunction()

# every module must be one that pkg-config can resolve among what the features install
function(vcpkg_fixup_pkgconfig)
  find_program(PKG_CONFIG_PROGRAM pkg-config)
  if(ARGN OR NOT PKG_CONFIG_PROGRAM)
    return()
  endif()
  set(ENV{PKG_CONFIG_LIBDIR} ${CURRENT_PACKAGES_DIR}/share/pkgconfig:${WORK}/dependencies)
  file(GLOB modules ${CURRENT_PACKAGES_DIR}/share/pkgconfig/*.pc)
  foreach(module IN LISTS modules)
    cmake_path(GET module STEM name)
    run(${PKG_CONFIG_PROGRAM} --print-errors --exists ${name})
  endforeach()
endfunction()

function(vcpkg_install_copyright)
  take_arguments("" "FILE_LIST" ${ARGN})
  file(INSTALL ${arg_FILE_LIST} DESTINATION ${CURRENT_PACKAGES_DIR}/share/${PORT} RENAME copyright)
endfunction()

include(${PORTFILE})
