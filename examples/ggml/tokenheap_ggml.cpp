// libtokenheap_ggml.so: started with it, an unmodified program of ggml takes its host memory here and ends with a report.
#include <tokenheap/adapt/ggml_symbols.hpp>
