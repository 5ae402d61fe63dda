// A program, two shared objects that it links and any number that it opens: one registry.
//
//   registry_shared [OBJECT NAME]...    OBJECT is opened with RTLD_LOCAL; its functions begin with NAME

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/observe/openmetrics.hpp>
#include <tokenheap/observe/reading_of.hpp>
#include <tokenheap/source/host.hpp>

#include "late.hpp"
#include "part.hpp"

DECLARE_PART(first);
DECLARE_PART(second);

#define EXPECT(condition)                                                        \
  do {                                                                           \
    if (!(condition)) {                                                          \
      std::fprintf(stderr, "registry_shared: expected %s\n", #condition);        \
      return 1;                                                                  \
    }                                                                            \
  } while (false)

namespace {

struct memory : tokenheap::layered<tokenheap::host_source, tokenheap::arena<>, tokenheap::with<tokenheap::spin_lock>> {};

bool has(const std::vector<tokenheap::pool_reading>& all, const std::string& name) {
  return std::any_of(all.begin(), all.end(), [&](const tokenheap::pool_reading& r) { return r.pool == name; });
}

}  // namespace

int main(int count, char** arguments) {
  memory own;
  const tokenheap::registration seen(own, {.pool = "program"});
  first_register();
  second_register();
  std::vector<opened> late(static_cast<std::size_t>(count / 2));
  for (std::size_t k = 0; k != late.size(); ++k) {
    EXPECT(open(arguments[2 * k + 1], arguments[2 * k + 2], late[k]));
    late[k].enter();
  }
  const std::size_t pools = 3 + late.size();
  const std::vector<tokenheap::pool_reading> all = tokenheap::registry().snapshot();
  EXPECT(all.size() == pools);
  EXPECT(has(all, "program") && has(all, "first") && has(all, "second"));
  EXPECT(first_address() == &tokenheap::process_registry() && second_address() == first_address());
  EXPECT(first_sees() == pools && second_sees() == pools);
  for (std::size_t k = 0; k != late.size(); ++k) {
    EXPECT(has(all, arguments[2 * k + 2]));
    EXPECT(late[k].address() == first_address() && late[k].sees() == pools);
  }
  EXPECT(tokenheap::to_metrics(all).find("tokenheap_registered_pools " + std::to_string(pools) + "\n") != std::string::npos);

  for (const opened& one : late) {
    one.leave();
    EXPECT(::dlclose(one.object) == 0);
  }
  EXPECT(first_sees() == 3 && tokenheap::registry().size() == 3);
  first_leave();
  EXPECT(second_sees() == 2);
  second_leave();
  EXPECT(first_sees() == 1);
  std::printf("%zu pools of %zu shared objects and a program in one registry\n", pools, 2 + late.size());
  return 0;
}
