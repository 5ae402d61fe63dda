// expect: an elastic pool does not wipe the memory that it maps
#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/elastic_pool.hpp>

namespace kv = tokenheap::kv;

struct wiping : kv::default_policy {
  using scrub = kv::scrub<>;
};

using wrong = kv::elastic_pool<kv::block_pool<wiping>, tokenheap::sim_device>;

int main() { return static_cast<int>(sizeof(wrong)); }
