# Gives pkg-config files below FOLDER the fixed prefix /usr. Found from their own place it would be /usr/share/pkgconfig/../..,
# which pkg-config does not know for a system folder: a build that takes it as `-isystem` hides the C library from the C++ one.

function(tokenheap_system_prefix folder)
  file(GLOB modules ${folder}/tokenheap*.pc)
  foreach(module IN LISTS modules)
    file(READ ${module} text)
    string(REGEX REPLACE "prefix=\\\${pcfiledir}[^\n]*" "prefix=/usr" text "${text}")
    file(WRITE ${module} "${text}")
  endforeach()
endfunction()
