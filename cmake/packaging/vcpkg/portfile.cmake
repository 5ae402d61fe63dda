# SHA512 is that of the release's archive; with 0, vcpkg stops and prints the right one.
vcpkg_from_github(
  OUT_SOURCE_PATH SOURCE_PATH
  REPO tokenheap/tokenheap
  REF "v${VERSION}"
  SHA512 0
  HEAD_REF main
)

# headers alone: one configuration is all of them
set(VCPKG_BUILD_TYPE release)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DTOKENHEAP_BUILD_TESTS=OFF
    -DTOKENHEAP_BUILD_EXAMPLES=OFF
    -DTOKENHEAP_BUILD_PROGRAM=OFF
    -DTOKENHEAP_BUILD_BENCHMARKS=OFF
    -DTOKENHEAP_CHECK_TREE=OFF
    -DTOKENHEAP_CUDA=OFF
    -DTOKENHEAP_INSTALL=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/tokenheap)

# a module of pkg-config may name only what is installed
foreach(part IN ITEMS plan redis)
  if(NOT part IN_LIST FEATURES)
    file(REMOVE "${CURRENT_PACKAGES_DIR}/share/pkgconfig/tokenheap-${part}.pc")
  endif()
endforeach()
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
