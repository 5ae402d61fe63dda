#include "caching_programs.hpp"

using namespace caching_programs;

TEST_CASE("caching: every short program, growable segments, borrowing when_out_of_memory", "[caching][exhaustive]") {
  run<tiny_policy<segment_kind::growable, borrowing::when_out_of_memory>>("growable, when_out_of_memory");
}
