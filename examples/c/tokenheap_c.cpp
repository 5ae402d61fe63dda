// libtokenheap_c.so: the C interface as a shared library. See docs/c.md.
#include <tokenheap/adapt/c_library.hpp>
