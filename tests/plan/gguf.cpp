#include <tokenheap/plan/gguf.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using files::bytes_of;
using files::counted;
using files::gguf_writer;

namespace {

plan::reading<plan::gguf> read(std::string_view bytes) {
  plan::byte_reader from{bytes};
  return plan::read_gguf(from, "m.gguf");
}

gguf_writer little() {
  gguf_writer w;
  w.text("general.architecture", "llama").u32("llama.block_count", 2).u32s("llama.heads", {4, 8}).bools("b", {true, false});
  w.texts("tokenizer.ggml.tokens", 5);
  w.tensor("token_embd.weight", {64, 10}, 1, 1280).tensor("blk.0.attn_q.weight", {256, 3}, 12, 432);
  w.tensor("output_norm.weight", {64}, 0, 256);
  return w;
}

void check_error(const std::string& bytes, const std::string& text) {
  INFO(text);
  CHECK(read(bytes).error == "m.gguf: " + text);
}

}  // namespace

TEST_CASE("a header says what the file holds", "[plan][gguf]") {
  const gguf_writer w = little();
  const auto got = read(w.whole());
  REQUIRE(got.error.empty());
  const plan::gguf& file = got.value;
  CHECK(file.version == 3);
  CHECK(file.metadata.size() == 5);
  REQUIRE(file.find("general.architecture") != nullptr);
  CHECK(file.find("general.architecture")->text == "llama");
  CHECK(file.find("llama.heads")->items == std::vector<std::int64_t>{4, 8});
  CHECK(file.find("b")->items == std::vector<std::int64_t>{1, 0});
  CHECK(file.find("tokenizer.ggml.tokens")->length == 5);
  CHECK(file.find("tokenizer.ggml.tokens")->items.empty());
  CHECK(file.find("no") == nullptr);
  REQUIRE(file.tensors.size() == 3);
  CHECK(file.tensors[1].name == "blk.0.attn_q.weight");
  CHECK(file.tensors[1].type->name == "Q4_K");
  CHECK(file.tensors[1].numbers == 768);
  CHECK(file.tensors[1].bytes == 432);
  CHECK(file.tensors[1].offset == 1280);
  CHECK(file.weight_bytes == 1280 + 432 + 256);
  CHECK(file.data_bytes == 1280 + 448 + 256);
  CHECK(file.data_at % 32 == 0);
  CHECK(file.data_at - w.header().size() < 32);
  CHECK(file.missing_bytes() == 0);
}

TEST_CASE("a file without its tensors is read, and says what is missing", "[plan][gguf]") {
  const gguf_writer w = little();
  const auto header = read(w.header());
  REQUIRE(header);
  CHECK(header.value.weight_bytes == 1968);
  CHECK(header.value.missing_bytes() == header.value.data_at + 1984 - w.header().size());
  CHECK(read(w.whole().substr(0, w.whole().size() - 7)).value.missing_bytes() == 7);
}

TEST_CASE("a file on disk is read as its bytes are, whatever its size", "[plan][gguf]") {
  const files::folder here;
  gguf_writer w = little();
  w.texts("tokenizer.ggml.merges", 20'000);  // more than a window
  const std::string path = here.write("a.gguf", w.header());
  // 40 GB of tensors that no disk has to hold
  w = little();
  w.tensor("big", {std::uint64_t{1} << 30, 10}, 0, std::uint64_t{40} << 30);
  const std::string sparse = here.write("b.gguf", w.header());
  const std::uint64_t whole = (w.header().size() + 31) / 32 * 32 + w.next;
  REQUIRE(::truncate(sparse.c_str(), static_cast<off_t>(whole)) == 0);
  const auto a = plan::read_gguf(path), b = plan::read_gguf(sparse);
  REQUIRE(a);
  CHECK(a.value.find("tokenizer.ggml.merges")->length == 20'000);
  REQUIRE(b);
  CHECK(b.value.weight_bytes == 1968 + (std::uint64_t{40} << 30));
  CHECK(b.value.missing_bytes() == 0);
  CHECK(plan::read_gguf(here.in("c.gguf")).error == here.in("c.gguf") + ": there is no such file");
}

TEST_CASE("versions and byte orders that are not read say so", "[plan][gguf][bad]") {
  gguf_writer w = little();
  w.version = 2;
  CHECK(read(w.whole()).value.version == 2);
  w.version = 1;
  check_error(w.whole(), "version: 1, but 2 and 3 are read; convert the model again (byte 4)");
  w.version = 4;
  check_error(w.whole(), "version: 4, but 2 and 3 are read (byte 4)");
  w.version = 0;
  check_error(w.whole(), "version: 0, but 2 and 3 are read (byte 4)");
  w.version = 0x03000000;
  check_error(w.whole(), "version: the file is big-endian; give the little-endian one (byte 4)");
  check_error("FUGG", "magic: the file is big-endian; give the little-endian one (byte 0)");
  check_error("GG", "magic: the file is too short for a GGUF file (byte 0)");
  check_error("", "magic: the file is too short for a GGUF file (byte 0)");
  check_error("PK\x03\x04", "magic: no GGUF file: it starts with 'PK?\?' (byte 0)");
}

TEST_CASE("counts that the file cannot hold are refused before anything is taken", "[plan][gguf][bad]") {
  const std::string start = "GGUF" + bytes_of<std::uint32_t>(3);
  const auto most = ~std::uint64_t{0};
  check_error(start + bytes_of(most) + bytes_of<std::uint64_t>(0),
              "tensor count: 18446744073709551615 do not fit the 0 bytes that follow (byte 8)");
  check_error(start + bytes_of<std::uint64_t>(0) + bytes_of(most),
              "metadata count: 18446744073709551615 do not fit the 0 bytes that follow (byte 16)");
  check_error(start + bytes_of<std::uint64_t>(2) + bytes_of<std::uint64_t>(0) + std::string(47, '\0'),
              "tensor count: 2 do not fit the 47 bytes that follow (byte 8)");
  check_error(start + bytes_of<std::uint64_t>(0) + bytes_of<std::uint64_t>(65'537) + std::string(900'000, '\0'),
              "metadata count: 65537, at most 65536 are read (byte 16)");
}

TEST_CASE("fields that make no sense are named with their byte", "[plan][gguf][bad]") {
  const auto error = [](const gguf_writer& w) { return read(w.header()).error; };
  CHECK(error(gguf_writer().u32("general.alignment", 7).u32("x", 1)) ==
        "m.gguf: general.alignment: must be a power of two, at most 2^30 (byte 53)");
  CHECK(error(gguf_writer().u32("general.alignment", 0)).find("general.alignment: must be") != std::string::npos);
  CHECK(error(gguf_writer().text("general.alignment", "32")).find("general.alignment: must be") != std::string::npos);
  CHECK(error(gguf_writer().u32("a", 7).u32("a", 1)) == "m.gguf: a: the key is there twice (byte 41)");
  CHECK(error(gguf_writer().raw("a", 77, "")) == "m.gguf: a: there is no type of values 77; 0 to 12 are known (byte 33)");
  gguf_writer w;
  w.keys = bytes_of<std::uint64_t>(70'000) + std::string(70'000, 'x'), w.key_count = 1;
  CHECK(error(w) == "m.gguf: key 0 of the metadata: a text of 70000 bytes, at most 65535 (byte 24)");
}

TEST_CASE("tensors that make no sense are named with their byte", "[plan][gguf][bad]") {
  const auto error = [](const gguf_writer& w) { return read(w.header()).error; };
  const auto one = [&](const std::vector<std::uint64_t>& dims, std::uint32_t type, std::uint64_t offset = 0) {
    return error(gguf_writer().tensor_at("t", dims, type, offset));
  };
  CHECK(one({32}, 2) == "");
  CHECK(one({}, 0) == "");
  CHECK(one({0}, 0) == "");
  CHECK(one({32}, 4) == "m.gguf: t: the tensor type Q4_2 was retired; convert the model again (byte 45)");
  CHECK(one({32}, 33).find("Q4_0_8_8 was retired") != std::string::npos);
  CHECK(one({32}, 43) == "m.gguf: t: there is no tensor type 43 (byte 45)");
  CHECK(one({1, 1, 1, 1, 1}, 0) == "m.gguf: t: 5 dimensions, at most 4 are read (byte 37)");
  CHECK(one({33}, 2) == "m.gguf: t: rows of 33 are no multiple of the block of 32 of Q4_0 (byte 49)");
  CHECK(one({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0).find("t: its dimensions overflow 64 bits") != std::string::npos);
  CHECK(one({std::uint64_t{1} << 62}, 27).find("t: has more than 2^56 bytes") != std::string::npos);
  CHECK(one({32}, 0, 8).find("t: its offset 8 is no multiple of the alignment") != std::string::npos);
  CHECK(one({32}, 0, ~std::uint64_t{31}).find("t: its offset is beyond 2^56 bytes") != std::string::npos);
  CHECK(error(gguf_writer().tensor("t", {32}, 0, 128).tensor("t", {32}, 0, 128)).find("t: the tensor is there twice") !=
        std::string::npos);
  CHECK(error(gguf_writer().tensor_at("a", {32}, 0, 32).tensor_at("b", {32}, 0, 0)) ==
        "m.gguf: a: starts at offset 32, inside another tensor (byte 24)");
  CHECK(error(gguf_writer().tensor_at("a", {32}, 0, 128).tensor_at("b", {32}, 0, 0)) == "");
  const std::vector<std::uint64_t> half{std::uint64_t{1} << 54};
  CHECK(error(gguf_writer().tensor_at("a", half, 1, 0).tensor_at("b", half, 1, std::uint64_t{1} << 55).tensor_at("c", {1}, 0, 0))
            .find("c: the tensors have more than 2^56 bytes") != std::string::npos);
}

TEST_CASE("a header that is cut anywhere is refused", "[plan][gguf][bad][fuzz]") {
  const files::folder here;
  const std::string all = little().header();
  for (std::size_t n = 0; n < all.size(); ++n) {
    const auto got = read(std::string_view(all).substr(0, n));
    INFO(n);
    REQUIRE(got.error.find("m.gguf: ") == 0);
    REQUIRE(got.error.find("(byte ") != std::string::npos);
    if (n % 16 == 0) REQUIRE_FALSE(plan::read_gguf(here.write("cut.gguf", all.substr(0, n))));
  }
  REQUIRE(read(all));
}

TEST_CASE("no bytes break the reader, and none make it take more than they are", "[plan][gguf][bad][fuzz]") {
  const std::uint64_t seed = 5001;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const std::string all = little().whole();
  std::size_t refused = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string bytes = files::spoiled(all, random);
    const auto got = read(bytes);
    refused += got ? 0 : 1;
    std::size_t kept = got.value.tensors.capacity() * sizeof(plan::gguf_tensor);
    for (const auto& [key, value] : got.value.metadata) {
      kept += sizeof value + key.size() + value.text.size() + value.items.size() * sizeof value.items[0];
    }
    REQUIRE(kept <= 32 * bytes.size());
  }
  CHECK(refused > 1000);
  CHECK(refused < 5000);
  for (int i = 0; i < 3000; ++i) {  // noise behind a good start
    std::string bytes = "GGUF" + bytes_of<std::uint32_t>(3);
    bytes += bytes_of<std::uint64_t>(random() % 3) + bytes_of<std::uint64_t>(random() % 4);
    for (std::uint64_t n = random() % 200; n != 0; --n) bytes += static_cast<char>(random() % 4 == 0 ? random() : random() % 12);
    static_cast<void>(read(bytes));
  }
}
