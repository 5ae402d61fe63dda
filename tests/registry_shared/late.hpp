#pragma once

// A shared object that a program opens late, and the functions of tests/registry_shared/part.cpp in it.

#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <string>

struct opened {
  void* object = nullptr;
  void (*enter)() = nullptr;
  void (*leave)() = nullptr;
  std::size_t (*sees)() = nullptr;
  const void* (*address)() = nullptr;
};

template <class F>
bool find(void* object, const std::string& name, F& out) {
  out = reinterpret_cast<F>(::dlsym(object, name.c_str()));
  return out != nullptr;
}

inline bool open(const char* path, const std::string& name, opened& out) {
  out.object = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (out.object == nullptr) return std::fprintf(stderr, "%s\n", ::dlerror()), false;
  return find(out.object, name + "_register", out.enter) && find(out.object, name + "_leave", out.leave) &&
         find(out.object, name + "_sees", out.sees) && find(out.object, name + "_address", out.address);
}
