// A user's program over the two parts that need a third party: the tier in Redis, and the planner.
#include <tokenheap/kv/tier_redis.hpp>
#include <tokenheap/plan/config_json.hpp>

int main() {
  const auto unread = tokenheap::plan::read_config("{", "config.json");
  const tokenheap::kv::redis_tier_options where{};
  return unread || where.prefix == nullptr ? 1 : 0;
}
