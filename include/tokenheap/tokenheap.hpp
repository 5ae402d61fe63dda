// Everything that needs no GPU toolkit and no third-party header. The library itself includes by leaf, never this.
#pragma once

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/config.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/policy/trace.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/host.hpp>
