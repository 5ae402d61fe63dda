// A slab over the heap, and whichever parts the package has.
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/host.hpp>
#ifdef WITH_PLAN
#include <tokenheap/plan/config_json.hpp>
#endif
#ifdef WITH_REDIS
#include <tokenheap/kv/tier_redis.hpp>
#endif

int main() {
  tokenheap::layered<tokenheap::host_source, tokenheap::slab<>> memory;
  const tokenheap::allocation a = memory.allocate(3000, 64);
  bool good = a && a.size == 3072;
  memory.deallocate(a);
#ifdef WITH_PLAN
  good = good && !tokenheap::plan::read_config("{", "config.json");
#endif
#ifdef WITH_REDIS
  good = good && tokenheap::kv::redis_tier_options{}.prefix != nullptr;
#endif
  return good ? 0 : 1;
}
