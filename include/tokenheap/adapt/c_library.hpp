// All functions of the C interface: include it in one C++ source file of a program or of a shared library.
//
// What needs more than the library is taken in by a macro of value 1: TOKENHEAP_C_CUDA CUDA devices (links CUDA's runtime),
// TOKENHEAP_C_REDIS the tier in Redis (links hiredis), TOKENHEAP_C_PLAN the planner (includes nlohmann-json). Without it the
// calls are there, and answer th_unsupported.
#pragma once

#include <tokenheap/adapt/c.h>
#include <tokenheap/adapt/c_device_symbols.hpp>
#include <tokenheap/adapt/c_event_symbols.hpp>
#include <tokenheap/adapt/c_kv_symbols.hpp>
#include <tokenheap/adapt/c_plan_symbols.hpp>
#include <tokenheap/adapt/c_sequence_symbols.hpp>
#include <tokenheap/adapt/c_source_symbols.hpp>
#include <tokenheap/adapt/c_status_symbols.hpp>
#include <tokenheap/adapt/c_tier_symbols.hpp>
