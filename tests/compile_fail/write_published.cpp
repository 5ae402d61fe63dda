// expect: invalid conversion from
// Others can find a published block, so its bytes are const.
#include <tokenheap/kv/block_pool.hpp>

void* write_into(tokenheap::kv::published_block<tokenheap::kv::default_policy>& block) { return block.data(); }
