// All functions of the C interface: include it in one C++ source file of a program or of a shared library.
//
// TOKENHEAP_C_CUDA=1 takes CUDA devices in, and needs CUDA's runtime at the link; TOKENHEAP_C_REDIS=1 the tier in Redis,
// and needs hiredis.
#pragma once

#include <tokenheap/adapt/c.h>
#include <tokenheap/adapt/c_device_symbols.hpp>
#include <tokenheap/adapt/c_sequence_symbols.hpp>
#include <tokenheap/adapt/c_source_symbols.hpp>
#include <tokenheap/adapt/c_status_symbols.hpp>
#include <tokenheap/adapt/c_tier_symbols.hpp>
