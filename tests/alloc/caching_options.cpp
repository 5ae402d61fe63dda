#include <tokenheap/alloc/caching_options.hpp>

#include <string>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("caching_options: sizes in steps of a doubling never shrink and waste less than a step", "[alloc]") {
  for (const unsigned divisions : {2u, 4u, 8u, 16u}) {
    std::size_t before = 0;
    bool right = true;
    for (std::size_t bytes = 1; bytes < 4 * MiB; bytes += 777) {
      const std::size_t granted = round_to_division(bytes, 512, divisions);
      right = right && granted >= bytes && granted >= before && granted % 512 == 0;
      right = right && (granted - bytes < 1024 || granted - bytes < bytes / divisions + 512);
      before = granted;
    }
    INFO(divisions);
    CHECK(right);
  }
  CHECK(round_to_division(5000, 512, 0) == 5120);
  CHECK(round_to_division(5000, 512, 1) == 5120);
}

TEST_CASE("caching_options: classes have names, and communication keeps to fixed segments", "[alloc]") {
  CHECK(std::string(to_text(memory_class::general)) == "general");
  CHECK(std::string(to_text(memory_class::communication)) == "communication");
  for (std::size_t c = 0; c != memory_classes; ++c) {
    const auto of = static_cast<memory_class>(c);
    CHECK((default_caching_policy::kind_of(of) == segment_kind::fixed) == (of == memory_class::communication));
  }
}
