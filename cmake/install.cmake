# Headers, a CMake package of compatibility SameMinorVersion, and pkg-config files; all of it may be moved after the install.
# Component tokenheap_dev is all of that, tokenheap_tools the program (cmake/packaging.cmake), tokenheap_license the license.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/tokenheap)

install(TARGETS tokenheap EXPORT tokenheap_targets
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT tokenheap_dev)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tokenheap DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT tokenheap_dev FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(EXPORT tokenheap_targets NAMESPACE tokenheap:: DESTINATION ${package_dir} FILE tokenheap-targets.cmake
  COMPONENT tokenheap_dev)

configure_package_config_file(cmake/tokenheap-config.cmake.in ${PROJECT_BINARY_DIR}/tokenheap-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tokenheap-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/tokenheap-config.cmake ${PROJECT_BINARY_DIR}/tokenheap-config-version.cmake
  DESTINATION ${package_dir} COMPONENT tokenheap_dev)

# pkg-config finds the prefix from the place of the file
set(package_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
file(RELATIVE_PATH tokenheap_prefix_from_pc
  ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" tokenheap_prefix_from_pc "${tokenheap_prefix_from_pc}")
configure_file(cmake/tokenheap.pc.in ${PROJECT_BINARY_DIR}/tokenheap.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tokenheap.pc DESTINATION ${package_dir} COMPONENT tokenheap_dev)

# the parts, by the modules of what they stand on; the module of CUDA's runtime has the toolkit's version in its name
foreach(part_and_need IN ITEMS plan:nlohmann_json redis:hiredis)
  string(REPLACE ":" ";" part_and_need ${part_and_need})
  list(GET part_and_need 0 part)
  list(GET part_and_need 1 need)
  configure_file(cmake/tokenheap-part.pc.in ${PROJECT_BINARY_DIR}/tokenheap-${part}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/tokenheap-${part}.pc DESTINATION ${package_dir} COMPONENT tokenheap_dev)
endforeach()

# a distribution's own build installs below /usr, and so does CPack
install(CODE "
  if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
    include(\"${PROJECT_SOURCE_DIR}/cmake/packaging/system_prefix.cmake\")
    tokenheap_system_prefix(\"\$ENV{DESTDIR}/usr/${package_dir}\")
  endif()" COMPONENT tokenheap_dev)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/tokenheap COMPONENT tokenheap_license)
