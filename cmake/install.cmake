# Headers, a CMake package of compatibility SameMinorVersion, and a pkg-config file; all of it may be moved after the install.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/tokenheap)

install(TARGETS tokenheap EXPORT tokenheap_targets FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tokenheap DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(EXPORT tokenheap_targets NAMESPACE tokenheap:: DESTINATION ${package_dir} FILE tokenheap-targets.cmake)

configure_package_config_file(cmake/tokenheap-config.cmake.in ${PROJECT_BINARY_DIR}/tokenheap-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tokenheap-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/tokenheap-config.cmake ${PROJECT_BINARY_DIR}/tokenheap-config-version.cmake
  DESTINATION ${package_dir})

# pkg-config finds the prefix from the place of the file
file(RELATIVE_PATH tokenheap_prefix_from_pc
  ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" tokenheap_prefix_from_pc "${tokenheap_prefix_from_pc}")
configure_file(cmake/tokenheap.pc.in ${PROJECT_BINARY_DIR}/tokenheap.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tokenheap.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/tokenheap)
