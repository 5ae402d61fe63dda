#pragma once

// What a shared object of this test exports, and nothing else: all of it is compiled with -fvisibility=hidden.

#include <cstddef>

#define PART_JOIN_(a, b) a##b
#define PART_JOIN(a, b) PART_JOIN_(a, b)
#define PART_EXPORT extern "C" [[gnu::visibility("default")]]

#define DECLARE_PART(name)                                 \
  PART_EXPORT void PART_JOIN(name, _register)();           \
  PART_EXPORT void PART_JOIN(name, _leave)();              \
  PART_EXPORT std::size_t PART_JOIN(name, _sees)();        \
  PART_EXPORT const void* PART_JOIN(name, _address)()
