#include <tokenheap/plan/safetensors.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;

namespace {

plan::reading<plan::safetensors_header> read(std::string_view bytes) {
  plan::byte_reader from{bytes};
  return plan::read_safetensors(from, "m");
}
std::string error(std::string_view header) { return read(files::safetensors(header)).error; }

const std::string good = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]},)"
                         R"("c":{"data_offsets":[72,72],"shape":[0,3],"dtype":"F32"},)"
                         R"("b":{"shape":[],"data_offsets":[64,72],"dtype":"I64"}} )";

// one tensor with these fields
std::string tensor(std::string_view fields) { return "{\"t\":{" + std::string(fields) + "}}"; }

}  // namespace

TEST_CASE("the bytes of all tensors are those of their shapes", "[plan][safetensors]") {
  const std::string bytes = files::safetensors(good, 72);
  const auto got = read(bytes);
  REQUIRE(got.error.empty());
  CHECK(got.value.bytes == 72);
  CHECK(got.value.tensors == 3);
  CHECK(got.value.data_at == 8 + good.size());
  CHECK(got.value.file_bytes == bytes.size());
  CHECK(got.value.data_at + got.value.bytes == got.value.file_bytes);
  CHECK(got.value.main_type() == "bf16");
  CHECK(read(files::safetensors("{}")).value.bytes == 0);
  CHECK(read(files::safetensors("{}")).value.main_type().empty());
  CHECK(error(tensor(R"("dtype":"F4","shape":[4],"data_offsets":[0,2],"other":{"a":[{}]})")).empty());
  CHECK(error(tensor(R"("dtype":"F8_E4M3","shape":[1000000,1000000],"data_offsets":[0,1000000000000])")).empty());
  CHECK(read(files::safetensors(tensor(R"("dtype":"I32","shape":[1],"data_offsets":[0,4])"))).value.main_type().empty());
}

TEST_CASE("every type has its bits", "[plan][safetensors]") {
  for (const plan::safetensors_type& type : plan::safetensors_types) {
    const std::string name(type.name), end = std::to_string(type.bits);  // of 8 numbers in bytes
    const std::string fields = "\"dtype\":\"" + name + "\",\"shape\":[8],\"data_offsets\":[0," + end + "]";
    CHECK(error(tensor(fields)).empty());
  }
  CHECK(plan::safetensors_type_count == 22);
}

TEST_CASE("lengths that cannot be are refused before anything is taken", "[plan][safetensors][bad]") {
  CHECK(read("1234567").error == "m: header length: the file is too short for a safetensors file (byte 0)");
  CHECK(read(files::bytes_of<std::uint64_t>(100'000'001)).error ==
        "m: header length: 100000001 bytes, at most 100000000: no safetensors file (byte 0)");
  CHECK(read(files::bytes_of<std::uint64_t>(100'000'000) + "{}").error ==
        "m: header length: 100000000 bytes, but only 2 follow: the file is cut off (byte 0)");
  CHECK(read(files::bytes_of(~std::uint64_t{0})).error.find("m: header length: 18446744073709551615 bytes") == 0);
  CHECK(read(files::bytes_of<std::uint64_t>(0)).error == "m: no JSON, or cut off (byte 9)");
}

TEST_CASE("headers that make no sense are refused with tensor and field", "[plan][safetensors][bad]") {
  CHECK(error("[]") == "m: header: is no object");
  CHECK(error("7") == "m: header: is no object");
  CHECK(error("{\"t\":7}") == "m: t: is no object");
  CHECK(error("{\"t\":[]}") == "m: t: is no object");
  CHECK(error("{\"__metadata__\":7}") == "m: __metadata__: is no object");
  CHECK(error(tensor("")) == "m: t: dtype: is missing");
  CHECK(error(tensor(R"("dtype":"F32")")) == "m: t: shape: is missing");
  CHECK(error(tensor(R"("dtype":"F32","shape":[])")) == "m: t: data_offsets: is missing");
  CHECK(error(tensor(R"("dtype":"F33")")) == "m: t: dtype: 'F33' is not known");
  CHECK(error(tensor(R"("dtype":7)")) == "m: t: dtype: is no text");
  CHECK(error(tensor(R"("dtype":["F32"])")) == "m: t: dtype: is no text");
  CHECK(error(tensor(R"("dtype":"F32","dtype":"F16")")) == "m: t: dtype: is there twice");
  CHECK(error(tensor(R"("shape":4)")) == "m: t: shape: is no list of whole numbers");
  CHECK(error(tensor(R"("shape":{})")) == "m: t: shape: is no list of whole numbers");
  CHECK(error(tensor(R"("shape":[[4]])")) == "m: t: shape: is no list of whole numbers");
  CHECK(error(tensor(R"("shape":[-4])")) == "m: t: shape: is no list of whole numbers");
  CHECK(error(tensor(R"("shape":[1.5])")) == "m: t: shape: is no list of whole numbers");
  CHECK(error(tensor(R"("shape":[4294967296,4294967296])")) == "m: t: shape: overflows 64 bits");
  CHECK(error(tensor(R"("dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,0])")) == "m: t: shape: overflows 64 bits");
  CHECK(error(tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])")) == "m: t: shape: ends inside a byte");
  for (const char* offsets : {"[0]", "[]", "[0,4,8]", "4", "[\"0\",4]"}) {
    INFO(offsets);
    CHECK(error(tensor(R"("dtype":"F32","shape":[1],"data_offsets":)" + std::string(offsets))) ==
          "m: t: data_offsets: is no list of two whole numbers");
  }
  CHECK(error(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])")) ==
        "m: t: data_offsets: [0, 8] are not the 4 bytes of its shape");
  CHECK(error(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])")) ==
        "m: t: data_offsets: [4, 0] are not the 4 bytes of its shape");
  CHECK(error(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])")) ==
        "m: t: data_offsets: starts at 4, behind a hole from 0");
}

TEST_CASE("tensors neither overlap nor leave holes, nor are there twice", "[plan][safetensors][bad]") {
  const auto two = [](const char* second, const char* offsets) {
    return error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},")" + std::string(second) +
                 R"(":{"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}}");
  };
  CHECK(two("b", "[4,8]").empty());
  CHECK(two("b", "[2,6]") == "m: b: data_offsets: starts at 2, inside another tensor");
  CHECK(two("b", "[0,4]").find("data_offsets: starts at 0, inside another tensor") != std::string::npos);
  CHECK(two("b", "[5,9]") == "m: b: data_offsets: starts at 5, behind a hole from 4");
  CHECK(two("a", "[4,8]") == "m: a: is there twice");
}

TEST_CASE("a safetensors header that is cut anywhere is refused", "[plan][safetensors][bad][fuzz]") {
  const std::string all = files::safetensors(good);
  const std::size_t used = all.size() - 1;  // the last is a blank
  for (std::size_t n = 0; n < used; ++n) {
    INFO(n);
    REQUIRE_FALSE(read(std::string_view(all).substr(0, n)));
    if (n >= 8) REQUIRE_FALSE(error(good.substr(0, n - 8)).empty());
  }
  REQUIRE(read(all));
}

TEST_CASE("no bytes break the reader", "[plan][safetensors][bad][fuzz]") {
  const std::uint64_t seed = 5003;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::size_t refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    const bool whole = i % 4 == 0;
    const std::string bytes = whole ? files::spoiled(files::safetensors(good, 72), random)
                                    : files::safetensors(files::spoiled(good, random));
    const auto got = read(bytes);
    refused += got ? 0 : 1;
    if (!got) REQUIRE(got.error.find("m: ") == 0);
  }
  CHECK(refused > 3000);
  CHECK(refused < 10'000);
}

TEST_CASE("a file on disk is read by its header alone", "[plan][safetensors]") {
  const files::folder here;
  const std::string header = tensor(R"("dtype":"BF16","shape":[1000000,10000],"data_offsets":[0,20000000000])");
  const auto got = plan::read_safetensors(here.write("a.safetensors", files::safetensors(header)));
  REQUIRE(got.error.empty());
  CHECK(got.value.bytes == 20'000'000'000);
  CHECK(plan::read_safetensors(here.in("b")).error == here.in("b") + ": there is no such file");
}
