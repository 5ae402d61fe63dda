// A user's program over the tier in Redis alone.
#include <tokenheap/kv/tier_redis.hpp>

int main() { return tokenheap::kv::redis_tier_options{}.prefix == nullptr ? 1 : 0; }
