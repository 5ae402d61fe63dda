// The whole C interface. Link the shared library `tokenheap_c`, or compile one C++ source file of your own that includes
// <tokenheap/adapt/c_library.hpp>.
#pragma once

#include <tokenheap/adapt/c_device.h>
#include <tokenheap/adapt/c_events.h>
#include <tokenheap/adapt/c_kv.h>
#include <tokenheap/adapt/c_plan.h>
#include <tokenheap/adapt/c_source.h>
#include <tokenheap/adapt/c_status.h>
#include <tokenheap/adapt/c_tier.h>
