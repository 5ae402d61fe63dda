// A program that opens its shared objects late, with RTLD_LOCAL: they share one registry, also when one of them goes.
//
//   registry_stranger OBJECT NAME OBJECT NAME...    functions of OBJECT begin with NAME
//
// OWN_POOL 0: it knows nothing of the library. 1: it has a pool of its own and exports its symbols. 2: it does not export.

#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <vector>

#include "late.hpp"

#if OWN_POOL
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/observe/reading_of.hpp>
#include <tokenheap/source/host.hpp>
#endif

#define EXPECT(condition)                                                    \
  do {                                                                       \
    if (!(condition)) {                                                      \
      std::fprintf(stderr, "registry_stranger: expected %s\n", #condition);  \
      return 1;                                                              \
    }                                                                        \
  } while (false)

int main(int count, char** arguments) {
  std::size_t shared = 0;
#if OWN_POOL
  struct memory : tokenheap::layered<tokenheap::host_source, tokenheap::arena<>, tokenheap::with<tokenheap::spin_lock>> {};
  memory own;
  const tokenheap::registration seen(own, {.pool = "program"});
  shared = OWN_POOL == 1 ? 1 : 0;
#endif
  std::vector<opened> all(static_cast<std::size_t>(count / 2));
  EXPECT(all.size() >= 2);
  for (std::size_t k = 0; k != all.size(); ++k) {
    EXPECT(open(arguments[2 * k + 1], arguments[2 * k + 2], all[k]));
    all[k].enter();
    ++shared;
    for (std::size_t j = 0; j <= k; ++j) EXPECT(all[j].sees() == shared && all[j].address() == all[0].address());
  }
#if OWN_POOL == 1
  EXPECT(all[0].address() == &tokenheap::process_registry() && tokenheap::registry().size() == shared);
#elif OWN_POOL == 2
  EXPECT(all[0].address() != &tokenheap::process_registry() && tokenheap::registry().size() == 1);
#endif

  // the object that brought the registry goes; the others keep it, and find the same one when it comes back
  const void* const before = all[1].address();
  all[0].leave();
  EXPECT(::dlclose(all[0].object) == 0);
  --shared;
  for (std::size_t k = 1; k != all.size(); ++k) EXPECT(all[k].sees() == shared && all[k].address() == before);
  EXPECT(open(arguments[1], arguments[2], all[0]));
  all[0].enter();
  ++shared;
  for (const opened& one : all) EXPECT(one.sees() == shared && one.address() == before);
  for (const opened& one : all) one.leave();
  EXPECT(all[0].sees() == shared - all.size());
  for (const opened& one : all) EXPECT(::dlclose(one.object) == 0);
  std::printf("%zu shared objects, opened late, with one registry\n", all.size());
  return 0;
}
