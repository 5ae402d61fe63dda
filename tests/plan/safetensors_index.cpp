#include <tokenheap/plan/safetensors_index.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;

namespace {

auto read(std::string_view text) { return plan::read_safetensors_index(text, "i"); }

const std::string good = R"({"metadata":{"total_size":123,"other":[1,{"total_size":"x"}]},"weight_map":{"a":"m-1.safetensors",)"
                         R"("b":"m-2.safetensors","c":"m-1.safetensors"},"more":{"total_size":5}})";

}  // namespace

TEST_CASE("an index names each file once", "[plan][safetensors]") {
  const auto got = read(good);
  REQUIRE(got.error.empty());
  CHECK(got.value.total_size == 123);
  CHECK(got.value.tensors == 3);
  CHECK(got.value.files == std::set<std::string, std::less<>>{"m-1.safetensors", "m-2.safetensors"});
  CHECK(read("{}").value.total_size == 0);
  CHECK(read(R"({"metadata":{"total_size":15000000000.0}})").value.total_size == 15'000'000'000);
  CHECK(read(R"({"metadata":{"total_size":18446744073709551615}})").value.total_size == ~std::uint64_t{0});
}

TEST_CASE("an index that makes no sense is refused with its field", "[plan][safetensors][bad]") {
  const auto error = [](std::string_view text) { return read(text).error; };
  CHECK(error("[]") == "i: is no object");
  CHECK(error("1") == "i: is no object");
  CHECK(error("{") == "i: no JSON, or cut off (byte 2)");
  CHECK(error(R"({"metadata":1})") == "i: metadata: is no object");
  CHECK(error(R"({"metadata":[]})") == "i: metadata: is no object");
  CHECK(error(R"({"weight_map":null})") == "i: weight_map: is no object");
  CHECK(error(R"({"weight_map":["a"]})") == "i: weight_map: is no object");
  CHECK(error(R"({"weight_map":{"a":1}})") == "i: weight_map.a: is no text");
  CHECK(error(R"({"weight_map":{"a":{"b":"c.safetensors"}}})") == "i: weight_map.a: is no text");
  for (const char* size : {"-1", "1.5", "\"1\"", "null", "[1]", "{}", "1e30"}) {
    INFO(size);
    CHECK(error(R"({"metadata":{"total_size":)" + std::string(size) + "}}") == "i: metadata.total_size: is no whole number");
  }
}

TEST_CASE("no name leads out of the folder", "[plan][safetensors][bad]") {
  const std::string up = R"({"weight_map":{"a":"../x.safetensors"}})";
  CHECK(read(up).error == "i: weight_map.a: '../x.safetensors' is no name of a safetensors file in the same folder");
  for (const char* name : {"/etc/passwd", "/x.safetensors", "a/b.safetensors", "..", ".", "", ".safetensors", "x.bin",
                           "a\\\\b.safetensors", "a\\u0000.safetensors", "model.safetensors.index.json"}) {
    INFO(name);
    CHECK(read(R"({"weight_map":{"a":")" + std::string(name) + "\"}}").error.find("i: weight_map.a: '") == 0);
  }
  CHECK(plan::is_file_beside("..safetensors"));  // a name like any other
  CHECK_FALSE(plan::is_file_beside(std::string(250, 'a') + ".safetensors"));
}

TEST_CASE("an index that is cut or spoiled anywhere breaks nothing", "[plan][safetensors][bad][fuzz]") {
  for (std::size_t n = 0; n < good.size(); ++n) REQUIRE_FALSE(read(std::string_view(good).substr(0, n)));
  const std::uint64_t seed = 5004;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 10'000; ++i) {
    const auto got = read(files::spoiled(good, random));
    for (const std::string& name : got.value.files) REQUIRE(plan::is_file_beside(name));
    if (!got) REQUIRE(got.error.find("i: ") == 0);
  }
}
