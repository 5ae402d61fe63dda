#include "caching_programs.hpp"

using namespace caching_programs;

TEST_CASE("caching: every short program, fixed segments, borrowing when_out_of_memory", "[caching][exhaustive]") {
  run<tiny_policy<segment_kind::fixed, borrowing::when_out_of_memory>>("fixed, when_out_of_memory");
}
