#include <tokenheap/plan/checkpoint.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;

namespace {

// a file of one tensor of so many bytes
std::string file(std::uint64_t bytes, const std::string& type = "U8") {
  const std::string n = std::to_string(type == "BF16" ? bytes / 2 : bytes);
  const std::string ends = std::to_string(bytes);
  const std::string tensor = "{\"dtype\":\"" + type + "\",\"shape\":[" + n + "],\"data_offsets\":[0," + ends + "]}";
  return files::safetensors("{\"t\":" + tensor + "}", static_cast<std::size_t>(bytes));
}
std::string two_parts(const std::string& total) {
  return R"({"metadata":{)" + total + R"(},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})";
}
constexpr const char* index_name = "model.safetensors.index.json";

}  // namespace

TEST_CASE("a folder is weighed by the headers of its files", "[plan][checkpoint]") {
  const files::folder here;
  const auto bytes = [&] { return plan::weigh_folder(here.path()).value.bytes; };
  CHECK(bytes() == 0);
  CHECK(plan::weigh_folder(here.path()).error.empty());
  here.write("adapter_model.safetensors", file(3));
  here.write("notes.txt", "x");
  CHECK(bytes() == 0);
  here.write("consolidated.safetensors", file(5));
  CHECK(bytes() == 5);
  here.write("other.safetensors", file(7));
  here.write("another.safetensors", file(1));
  CHECK(bytes() == 8);
  here.write("model-00001-of-00002.safetensors", file(100, "BF16"));
  here.write("model-00002-of-00002.safetensors", file(60));
  const auto parts = plan::weigh_folder(here.path());
  CHECK(parts.value.bytes == 160);
  CHECK(parts.value.found == "2 safetensors files");
  CHECK(parts.value.main_type == "bf16");
  CHECK(parts.value.warnings.empty());
  here.write("model.safetensors", file(9));
  CHECK(bytes() == 9);
  CHECK(plan::weigh_folder(here.path()).value.found == "1 safetensors file");
}

TEST_CASE("an index says which files count", "[plan][checkpoint]") {
  const files::folder here;
  here.write("model.safetensors", file(9));
  here.write("model-1.safetensors", file(100));
  here.write("model-2.safetensors", file(50));
  here.write(index_name, two_parts(R"("total_size":150)"));
  CHECK(plan::weigh_folder(here.path()).value.bytes == 150);
  CHECK(plan::weigh_folder(here.path()).value.warnings.empty());
  here.write(index_name, two_parts(R"("total_size":140)"));
  const auto other = plan::weigh_folder(here.path());
  CHECK(other.value.bytes == 150);
  REQUIRE(other.value.warnings.size() == 1);
  CHECK(other.value.warnings[0].find("metadata.total_size is 140, but its files have 150 bytes") != std::string::npos);
  here.write(index_name, two_parts(""));
  CHECK(plan::weigh_folder(here.path()).value.bytes == 150);
}

TEST_CASE("where files are missing the index's sum counts", "[plan][checkpoint]") {
  const files::folder here;
  here.write(index_name, two_parts(R"("total_size":150)"));
  CHECK(plan::weigh_folder(here.path()).value.bytes == 150);
  CHECK(plan::weigh_folder(here.path()).value.found == index_name);
  CHECK(plan::weigh_folder(here.path()).value.warnings.empty());
  here.write("model-1.safetensors", file(100));
  const auto some = plan::weigh_folder(here.path());
  CHECK(some.value.bytes == 150);
  REQUIRE(some.value.warnings.size() == 1);
  CHECK(some.value.warnings[0].find("1 of 2 safetensors files are missing, the first is model-2.safetensors") == 0);
  here.write(index_name, R"({"metadata":{"total_size":77},"weight_map":{}})");
  CHECK(plan::weigh_folder(here.path()).value.bytes == 77);
}

TEST_CASE("what is broken in a folder is named", "[plan][checkpoint][bad]") {
  const files::folder here;
  const auto error = [&] { return plan::weigh_folder(here.path()).error; };
  const std::string path = here.in(index_name);
  here.write(index_name, two_parts(""));
  CHECK(error() == path + ": metadata.total_size: is missing, and so is the file model-1.safetensors");
  here.write(index_name, "{}");
  CHECK(error() == path + ": metadata.total_size: is missing, and weight_map names no file");
  here.write(index_name, R"({"metadata":{"total_size":18446744073709551615}})");
  CHECK(error() == path + ": metadata.total_size: is more than 2^56");
  here.write(index_name, R"({"weight_map":{"a":"../x.safetensors"}})");
  CHECK(error().find(path + ": weight_map.a: '../x.safetensors'") == 0);
  // a name that leads back to the index, or round in a circle, ends
  here.write(index_name, R"({"metadata":{"total_size":5},"weight_map":{"a":"round.safetensors"}})");
  REQUIRE(::symlink("round.safetensors", here.in("round.safetensors").c_str()) == 0);
  CHECK(plan::weigh_folder(here.path()).value.bytes == 5);
  REQUIRE(::symlink(index_name, here.in("back.safetensors").c_str()) == 0);
  here.write(index_name, R"({"metadata":{"total_size":5},"weight_map":{"a":"back.safetensors"}})");
  CHECK(error().find(here.in("back.safetensors") + ": header length: ") == 0);
}

TEST_CASE("broken and short files of weights are told apart", "[plan][checkpoint][bad]") {
  const files::folder here;
  here.write("model.safetensors", "short");
  CHECK(plan::weigh_folder(here.path()).error ==
        here.in("model.safetensors") + ": header length: the file is too short for a safetensors file (byte 0)");
  const std::string whole = file(100);
  here.write("model.safetensors", whole.substr(0, whole.size() - 30));
  const auto cut = plan::weigh_folder(here.path());
  CHECK(cut.value.bytes == 100);
  REQUIRE(cut.value.warnings.size() == 1);
  CHECK(cut.value.warnings[0] == "model.safetensors ends 30 bytes before its last tensor does: it was not copied whole");
  CHECK(plan::weigh_folder(here.in("none")).value.bytes == 0);
}
