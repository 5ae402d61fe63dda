// A user's program over the planner alone.
#include <tokenheap/plan/config_json.hpp>

int main() { return tokenheap::plan::read_config("{", "config.json") ? 1 : 0; }
