#include <tokenheap/plan/gguf_fields.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using files::gguf_writer;
using list = std::vector<std::uint64_t>;

namespace {

plan::gguf header(const gguf_writer& w) {
  const std::string bytes = w.header();
  plan::byte_reader from{std::string_view(bytes)};
  auto got = plan::read_gguf(from, "m.gguf");
  REQUIRE(got.error.empty());
  return std::move(got.value);
}

}  // namespace

TEST_CASE("numbers of an architecture are read with their limits", "[plan][gguf]") {
  const plan::gguf from = header(gguf_writer()
                                     .u32("a.one", 7)
                                     .u32s("a.list", {3, 9, 4})
                                     .raw("a.negative", 5, files::bytes_of<std::int32_t>(-2))
                                     .raw("a.long", 10, files::bytes_of<std::uint64_t>(5))
                                     .u32("a.zero", 0));
  plan::gguf_fields fields(from, "a");
  CHECK(fields.number("one", 1, 7) == 7);
  CHECK(fields.number("none", 11, 7) == 11);
  CHECK(fields.number("list", 0, 9) == 9);
  CHECK(fields.number("long", 0, 9) == 5);
  CHECK(fields.need("one", 100) == 7);
  CHECK(fields.each("one", 2, 0, 9) == list{7, 7});
  CHECK(fields.each("none", 2, 5, 9) == list{5, 5});
  CHECK(fields.each("list", 3, 0, 9) == list{3, 9, 4});
  CHECK(fields.repeated("list", 5, 9) == list{3, 9, 4, 3, 9});
  CHECK(fields.is_list("list"));
  CHECK_FALSE(fields.is_list("one"));
  CHECK(fields.has("one"));
  CHECK_FALSE(fields.has("none"));
  CHECK(fields.error().empty());
}

TEST_CASE("a number that cannot be is named, and the first stays", "[plan][gguf][bad]") {
  const std::string many = files::bytes_of<std::uint32_t>(0) + files::counted(std::string(20'000, 'a'));
  const plan::gguf from = header(gguf_writer()
                                     .u32("a.one", 7)
                                     .u32s("a.list", {3, 9, 4})
                                     .u32s("a.empty", {})
                                     .text("a.text", "x")
                                     .texts("a.texts", 2)
                                     .raw("a.negative", 5, files::bytes_of<std::int32_t>(-2))
                                     .u32("a.zero", 0)
                                     .raw("a.many", 9, many));
  const auto error = [&](auto ask) {
    plan::gguf_fields fields(from, "a");
    ask(fields);
    const std::string text = fields.error();
    fields.refuse("later", "x");
    CHECK(fields.error() == text);
    return text.substr(0, text.find(" (byte"));
  };
  CHECK(error([](auto& f) { CHECK(f.number("one", 1, 6) == 0); }) == "a.one: 7 is not within 0 and 6");
  CHECK(error([](auto& f) { CHECK(f.number("negative", 1, 6) == 0); }) == "a.negative: -2 is not within 0 and 6");
  CHECK(error([](auto& f) { CHECK(f.number("text", 1, 6) == 0); }) == "a.text: is no whole number");
  CHECK(error([](auto& f) { CHECK(f.number("texts", 1, 6) == 0); }) == "a.texts: is no list of whole numbers");
  CHECK(error([](auto& f) { CHECK(f.number("many", 1, 6) == 0); }) == "a.many: has 20000 entries, more than are read");
  CHECK(error([](auto& f) { CHECK(f.need("zero", 6) == 1); }) == "a.zero: is 0");
  CHECK(error([](auto& f) { CHECK(f.need("none", 6) == 1); }).find("a.none: is missing") == 0);
  CHECK(error([](auto& f) { CHECK(f.each("list", 4, 0, 9).size() == 4); }) == "a.list: has 3 entries for 4 layers");
  CHECK(error([](auto& f) { CHECK(f.each("list", 3, 0, 8) == list{3, 0, 4}); }) == "a.list: 9 is not within 0 and 8");
  CHECK(error([](auto& f) { CHECK(f.repeated("empty", 2, 8) == list{0, 0}); }) == "a.empty: is an empty list");
}
