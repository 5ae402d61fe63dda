// expect: values are copied by the device, byte by byte
// A device copies bytes: what has a copy constructor of its own cannot lie in its memory.
#include <string>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/device_buffer.hpp>
#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

std::size_t count(device_vector<std::string, caching_allocator<sim_device>>& texts) { return texts.size(); }
