#include "caching_programs.hpp"

using namespace caching_programs;

TEST_CASE("caching: every short program, growable segments, borrowing always", "[caching][exhaustive]") {
  run<tiny_policy<segment_kind::growable, borrowing::always>>("growable, always");
}
