# Debian packages by `cpack -G DEB`: libtokenheap-dev for every architecture, and tokenheap-tools where the program is built.
# A release sets the address of who answers: -D CPACK_PACKAGE_CONTACT="Name <address>".

if(NOT PROJECT_IS_TOP_LEVEL OR NOT TOKENHEAP_INSTALL)
  return()
endif()
set(packaging ${PROJECT_SOURCE_DIR}/cmake/packaging)

# what Debian wants beside the files; a plain install leaves it out
function(tokenheap_debian_papers component package)
  set(folder ${CMAKE_INSTALL_DATADIR}/doc/${package})
  install(FILES ${packaging}/deb/copyright DESTINATION ${folder} COMPONENT ${component} EXCLUDE_FROM_ALL)
  if(GZIP_PROGRAM)
    install(FILES ${PROJECT_BINARY_DIR}/changelog.gz DESTINATION ${folder} COMPONENT ${component} EXCLUDE_FROM_ALL)
  endif()
endfunction()

find_program(GZIP_PROGRAM gzip)
mark_as_advanced(GZIP_PROGRAM)
if(GZIP_PROGRAM)
  execute_process(COMMAND ${GZIP_PROGRAM} -9nc ${PROJECT_SOURCE_DIR}/CHANGELOG.md OUTPUT_FILE ${PROJECT_BINARY_DIR}/changelog.gz)
endif()

tokenheap_debian_papers(tokenheap_dev libtokenheap-dev)
set(CPACK_COMPONENTS_ALL tokenheap_dev)
if(TARGET tokenheap_program)
  install(TARGETS tokenheap_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tokenheap_tools)
  tokenheap_debian_papers(tokenheap_tools tokenheap-tools)
  list(APPEND CPACK_COMPONENTS_ALL tokenheap_tools)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tokenheap)
set(CPACK_PACKAGE_VENDOR tokenheap)
set(CPACK_PACKAGE_CONTACT "tokenheap <nobody@tokenheap.invalid>" CACHE STRING "Who answers for the packages")
mark_as_advanced(CPACK_PACKAGE_CONTACT)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PRE_BUILD_SCRIPTS ${packaging}/system_prefix.cmake)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

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
set(CPACK_DEBIAN_TOKENHEAP_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_TOKENHEAP_TOOLS_DESCRIPTION "\
The program tokenheap says how much memory a model takes and how many users
it serves, replays traces of allocations and of prefixes, serves a trace
through a small transformer, and reports what a machine offers.")

include(CPack)
