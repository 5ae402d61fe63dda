// All functions of the C interface: include it in one C++ source file of a program or of a shared library.
#pragma once

#include <tokenheap/adapt/c.h>
#include <tokenheap/adapt/c_sequence_symbols.hpp>
#include <tokenheap/adapt/c_source_symbols.hpp>
#include <tokenheap/adapt/c_status_symbols.hpp>
