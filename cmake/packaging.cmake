# Debian packages by `cpack -G DEB`: libtokenheap-dev for every architecture, and tokenheap-tools where the program is built.
# A release sets the address of who answers: -D CPACK_PACKAGE_CONTACT="Name <address>".

if(NOT PROJECT_IS_TOP_LEVEL OR NOT TOKENHEAP_INSTALL)
  return()
endif()
set(packaging ${PROJECT_SOURCE_DIR}/cmake/packaging)

set(CPACK_PACKAGE_CONTACT "tokenheap <nobody@tokenheap.invalid>" CACHE STRING "Who answers for the packages")
mark_as_advanced(CPACK_PACKAGE_CONTACT)
find_program(GZIP_PROGRAM gzip)
mark_as_advanced(GZIP_PROGRAM)

# a text below cmake/packaging/deb, filled in and compressed as Debian wants it; installed without gzip it stays away
function(tokenheap_debian_text name)
  configure_file(${packaging}/deb/${name}.in ${PROJECT_BINARY_DIR}/deb/${name} @ONLY)
  if(GZIP_PROGRAM)
    execute_process(COMMAND ${GZIP_PROGRAM} -9nc ${PROJECT_BINARY_DIR}/deb/${name} OUTPUT_FILE ${PROJECT_BINARY_DIR}/deb/${name}.gz)
    install(FILES ${PROJECT_BINARY_DIR}/deb/${name}.gz ${ARGN})
  endif()
endfunction()

# what Debian wants beside the files; a plain install leaves it out
function(tokenheap_debian_papers component package)
  set(place DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES ${packaging}/deb/copyright ${place})
  file(READ ${PROJECT_SOURCE_DIR}/CHANGELOG.md tokenheap_changelog)
  string(TIMESTAMP tokenheap_now "%a, %d %b %Y %H:%M:%S +0000" UTC)
  tokenheap_debian_text(changelog ${place})
endfunction()

tokenheap_debian_papers(tokenheap_dev libtokenheap-dev)
set(CPACK_COMPONENTS_ALL tokenheap_dev)
if(TARGET tokenheap_program)
  install(TARGETS tokenheap_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tokenheap_tools)
  tokenheap_debian_text(tokenheap.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tokenheap_tools)
  tokenheap_debian_papers(tokenheap_tools tokenheap-tools)
  list(APPEND CPACK_COMPONENTS_ALL tokenheap_tools)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tokenheap)
set(CPACK_PACKAGE_VENDOR tokenheap)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${packaging}/deb/permissions.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)

set(CPACK_DEBIAN_TOKENHEAP_DEV_PACKAGE_NAME libtokenheap-dev)
set(CPACK_DEBIAN_TOKENHEAP_DEV_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_TOKENHEAP_DEV_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_TOKENHEAP_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_TOKENHEAP_DEV_PACKAGE_RECOMMENDS "nlohmann-json3-dev, libhiredis-dev")
set(CPACK_DEBIAN_TOKENHEAP_DEV_PACKAGE_SUGGESTS "tokenheap-tools, liburing-dev, valgrind, nvidia-cuda-toolkit")
set(CPACK_COMPONENT_TOKENHEAP_DEV_DESCRIPTION "\
A header-only C++20 library that manages the memory of LLM inference:
allocators composed by type, device memory in the order of streams, paged
KV blocks with shared prefixes, tiers, planning and metrics.
.
The planner needs nlohmann-json, the tier in Redis needs hiredis.")

set(CPACK_DEBIAN_TOKENHEAP_TOOLS_PACKAGE_NAME tokenheap-tools)
set(CPACK_DEBIAN_TOKENHEAP_TOOLS_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_TOKENHEAP_TOOLS_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_TOKENHEAP_TOOLS_PACKAGE_SHLIBDEPS ON)  # asks dpkg-shlibdeps, of dpkg-dev
set(CPACK_COMPONENT_TOKENHEAP_TOOLS_DESCRIPTION "\
The program tokenheap says how much memory a model takes and how many users
it serves, replays traces of allocations and of prefixes, serves a trace
through a small transformer, and reports what a machine offers.")

include(CPack)
