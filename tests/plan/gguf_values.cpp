#include <tokenheap/plan/gguf_values.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using files::bytes_of;
using files::counted;
using plan::gguf_kind;

namespace {

struct outcome {
  plan::gguf_value value;
  std::string error;
  std::uint64_t left = 0;
};

outcome read(std::uint32_t kind, const std::string& bytes) {
  const std::string all = bytes_of(kind) + bytes;
  plan::byte_reader from{std::string_view(all)};
  plan::gguf_value_reader reader(from);
  outcome out;
  const bool good = reader.value("k", out.value);
  out.error = reader.error();
  out.left = from.left();
  CHECK(good == out.error.empty());
  return out;
}

std::string list(std::uint32_t of, std::uint64_t n, const std::string& bytes) { return bytes_of(of) + bytes_of(n) + bytes; }

}  // namespace

TEST_CASE("each kind of value is read", "[plan][gguf]") {
  CHECK(read(0, bytes_of<std::uint8_t>(200)).value.whole == 200);
  CHECK(read(1, bytes_of<std::int8_t>(-3)).value.whole == -3);
  CHECK(read(2, bytes_of<std::uint16_t>(60'000)).value.whole == 60'000);
  CHECK(read(3, bytes_of<std::int16_t>(-300)).value.whole == -300);
  CHECK(read(4, bytes_of<std::uint32_t>(4'000'000'000)).value.whole == 4'000'000'000);
  CHECK(read(5, bytes_of<std::int32_t>(-5)).value.whole == -5);
  CHECK(read(6, bytes_of(0.5f)).value.real == 0.5);
  CHECK(read(7, "\1").value.whole == 1);
  CHECK(read(8, counted("hello")).value.text == "hello");
  CHECK(read(10, bytes_of<std::uint64_t>(1) ).value.whole == 1);
  CHECK(read(10, bytes_of(~std::uint64_t{0})).value.whole == std::numeric_limits<std::int64_t>::max());
  CHECK(read(11, bytes_of<std::int64_t>(-7)).value.whole == -7);
  CHECK(read(12, bytes_of(0.25)).value.real == 0.25);
  CHECK(read(8, counted("hello")).value.at == 4);
}

TEST_CASE("arrays of whole numbers are kept, others are skipped", "[plan][gguf]") {
  const outcome kept = read(9, list(2, 3, bytes_of<std::uint16_t>(1) + bytes_of<std::uint16_t>(2) + bytes_of<std::uint16_t>(3)));
  CHECK(kept.value.items == std::vector<std::int64_t>{1, 2, 3});
  CHECK(kept.value.of == gguf_kind::u16);
  CHECK(kept.value.length == 3);
  const outcome reals = read(9, list(6, 2, bytes_of(1.0f) + bytes_of(2.0f)));
  CHECK(reals.value.items.empty());
  CHECK(reals.value.length == 2);
  CHECK(reals.left == 0);
  const outcome texts = read(9, list(8, 2, counted("ab") + counted("")));
  CHECK(texts.value.length == 2);
  CHECK(texts.left == 0);
  // of 16,384 bytes all are kept, of one more none
  CHECK(read(9, list(0, 16'384, std::string(16'384, '\5'))).value.items.size() == 16'384);
  const outcome longer = read(9, list(0, 16'385, std::string(16'385, '\5')));
  CHECK(longer.value.items.empty());
  CHECK(longer.error.empty());
  CHECK(longer.left == 0);
  CHECK(read(8, counted(std::string(4096, 'x'))).value.text.size() == 4096);
  CHECK(read(8, counted(std::string(4097, 'x'))).value.text.empty());
  CHECK(read(8, counted(std::string(4097, 'x'))).left == 0);
}

TEST_CASE("arrays in arrays are skipped down to a depth", "[plan][gguf]") {
  const auto nested = [](int deep) {
    std::string inside = list(0, 2, "ab");
    for (int i = 1; i < deep; ++i) inside = list(9, 1, inside);
    return read(9, inside);
  };
  CHECK(nested(2).error.empty());
  CHECK(nested(8).error.empty());
  CHECK(nested(8).left == 0);
  CHECK(nested(9).error.find("k: arrays in arrays, more than 8 deep (byte ") == 0);
  CHECK(nested(1000).error == nested(9).error);
}

TEST_CASE("values that cannot be are refused with their field and byte", "[plan][gguf][bad]") {
  CHECK(read(13, "").error == "k: there is no type of values 13; 0 to 12 are known (byte 0)");
  CHECK(read(4, "abc").error == "k: the file ends here: it is cut off (byte 4)");
  CHECK(read(7, "\2").error == "k: 2 is neither true (1) nor false (0) (byte 4)");
  CHECK(read(8, bytes_of<std::uint64_t>(4) + "abc").error == "k: the file ends here: it is cut off (byte 12)");
  CHECK(read(8, bytes_of(~std::uint64_t{0})).error ==
        "k: 18446744073709551615 bytes of text, but only 0 bytes follow: the file is cut off or broken (byte 12)");
  CHECK(read(9, list(0, ~std::uint64_t{0}, "abc")).error ==
        "k: 18446744073709551615 entries, but only 3 bytes follow: the file is cut off or broken (byte 16)");
  CHECK(read(9, list(4, 2, "abcdefg")).error.find("k: 2 entries, but only 7 bytes follow") == 0);
  CHECK(read(9, list(8, std::uint64_t{1} << 61, "abcdefgh")).error.find("entries, but only 8 bytes follow") != std::string::npos);
  CHECK(read(9, list(8, 1, bytes_of<std::uint64_t>(9) + "12345678")).error.find("k: 9 bytes of text, but only 8") == 0);
  CHECK(read(9, list(9, 1, list(99, 1, "a"))).error.find("k: there is no type of values 99") == 0);
  CHECK(read(9, list(7, 2, "\1\3")).error == "k: 3 is neither true (1) nor false (0) (byte 17)");
  CHECK(read(9, list(14, 2, "\1\3")).error == "k: there is no type of values 14; 0 to 12 are known (byte 4)");
}
