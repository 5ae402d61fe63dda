#include <tokenheap/plan/gguf_types.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>

namespace plan = tokenheap::plan;
using plan::find_gguf_type;

TEST_CASE("each type of tensors stands at its id", "[plan][gguf]") {
  std::set<std::string> names;
  std::size_t retired = 0;
  for (std::uint32_t id = 0; const plan::gguf_type& type : plan::gguf_types) {
    CHECK(type.id == id);
    CHECK(find_gguf_type(id) == &type);
    CHECK(names.insert(std::string(type.name)).second);
    CHECK(type.retired() == (type.block_numbers == 0));
    retired += type.retired() ? 1 : 0;
    ++id;
  }
  CHECK(names.size() == 43);
  CHECK(retired == 8);
  CHECK(find_gguf_type(43) == nullptr);
  CHECK(find_gguf_type(~0u) == nullptr);
}

TEST_CASE("bits of a weight are those that are published", "[plan][gguf]") {
  const auto bits = [](std::string_view name) {
    for (const plan::gguf_type& type : plan::gguf_types) {
      if (type.name == name) return 8.0 * type.block_bytes / type.block_numbers;
    }
    return 0.0;
  };
  CHECK(bits("F32") == 32);
  CHECK(bits("F64") == 64);
  CHECK(bits("BF16") == 16);
  CHECK(bits("Q4_0") == 4.5);
  CHECK(bits("Q4_1") == 5);
  CHECK(bits("Q5_0") == 5.5);
  CHECK(bits("Q5_1") == 6);
  CHECK(bits("Q8_0") == 8.5);
  CHECK(bits("Q8_1") == 9);
  CHECK(bits("Q2_K") == 2.625);
  CHECK(bits("Q3_K") == 3.4375);
  CHECK(bits("Q4_K") == 4.5);
  CHECK(bits("Q5_K") == 5.5);
  CHECK(bits("Q6_K") == 6.5625);
  CHECK(bits("Q8_K") == 9.125);
  CHECK(bits("IQ2_XXS") == 2.0625);
  CHECK(bits("IQ2_XS") == 2.3125);
  CHECK(bits("IQ3_XXS") == 3.0625);
  CHECK(bits("IQ1_S") == 1.5625);
  CHECK(bits("IQ4_NL") == 4.5);
  CHECK(bits("IQ3_S") == 3.4375);
  CHECK(bits("IQ2_S") == 2.5625);
  CHECK(bits("IQ4_XS") == 4.25);
  CHECK(bits("IQ1_M") == 1.75);
  CHECK(bits("TQ1_0") == 1.6875);
  CHECK(bits("TQ2_0") == 2.0625);
  CHECK(bits("MXFP4") == 4.25);
  CHECK(bits("NVFP4") == 4.5);
  CHECK(bits("Q1_0") == 1.125);
  CHECK(bits("Q2_0") == 2.25);
}
