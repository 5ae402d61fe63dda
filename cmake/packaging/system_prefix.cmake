# Gives pkg-config files below FOLDER the fixed prefix /usr. Found from their own place it would be /usr/share/pkgconfig/../..,
# which pkg-config does not know for a system folder: as `-isystem` it hides the C library from the C++ one.

function(tokenheap_system_prefix folder)
  file(GLOB modules ${folder}/tokenheap*.pc)
  foreach(module IN LISTS modules)
    file(READ ${module} text)
    string(REGEX REPLACE "prefix=\\\${pcfiledir}[^\n]*" "prefix=/usr" text "${text}")
    file(WRITE ${module} "${text}")
  endforeach()
endfunction()

# as a script of CPack: what it is about to pack
if(CPACK_TEMPORARY_DIRECTORY)
  file(GLOB folders LIST_DIRECTORIES true ${CPACK_TEMPORARY_DIRECTORY}/usr/share/pkgconfig
    ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/pkgconfig)
  foreach(folder IN LISTS folders)
    tokenheap_system_prefix(${folder})
  endforeach()
endif()
