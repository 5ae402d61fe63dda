#include <tokenheap/observe/report_text.hpp>

#include <support/catch.hpp>

#include <cmath>
#include <string>

namespace {

using tokenheap::report_text;

struct collected {
  std::string all;
  std::size_t calls = 0;
  void operator()(std::string_view piece) {
    all += piece;
    ++calls;
  }
};

template <class Write>
std::string written(Write&& write) {
  collected to;
  {
    report_text text(to);
    write(text);
  }
  return to.all;
}

TEST_CASE("what would be markup is written as text") {
  CHECK(written([](auto& to) { to.html("<b title=\"x\" id='y'>a & b</b>"); }) ==
        "&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;a &amp; b&lt;/b&gt;");
  CHECK(written([](auto& to) { to.html(nullptr).html(""); }).empty());
}

TEST_CASE("a string of JSON ends neither itself nor its script") {
  CHECK(written([](auto& to) { to.string("</script><!--\"\\\n\x01&"); }) ==
        "\"\\u003c/script\\u003e\\u003c!--\\u0022\\u005c\\u000a\\u0001\\u0026\"");
  CHECK(written([](auto& to) { to.string(nullptr); }) == "\"\"");
  // letters beyond ASCII stay, and what is no UTF-8 is replaced, byte by byte
  CHECK(written([](auto& to) { to.string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98"); }) ==
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98\"");
  CHECK(written([](auto& to) { to.string("a\xff\xc3"); }) == "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK(written([](auto& to) { to.html("a\xff<"); }) == "a\xef\xbf\xbd&lt;");
}

TEST_CASE("numbers are short, and what is no number is null") {
  const auto number = [](double value) { return written([&](auto& to) { to.number(value); }); };
  CHECK(number(0) == "0");
  CHECK(number(-3) == "-3");
  CHECK(number(123456789012) == "123456789012");
  CHECK(number(0.1) == "0.1");
  CHECK(number(1.0 / 3) == "0.3333333");
  CHECK(number(1e300) == "1e+300");
  CHECK(number(std::nan("")) == "null");
  CHECK(number(INFINITY) == "null");
  CHECK(written([](auto& to) { to.number(~std::size_t{0}); }) == "18446744073709551615");
}

TEST_CASE("keys and lists have their commas") {
  const int items[] = {1, 2, 3};
  CHECK(written([&](auto& to) {
          to.raw("{").key("a", true).list(items, [&](int n) { to.number(static_cast<double>(n)); });
          to.key("b").list(std::string_view(), [](char) {}).raw("}");
        }) == "{\"a\":[1,2,3],\"b\":[]}");
}

TEST_CASE("text of any length arrives whole and in order") {
  collected to;
  std::string expected;
  {
    report_text text(to);
    for (int n = 0; n != 3000; ++n) {
      text.raw("0123456");
      expected += "0123456";
    }
    const std::string large(10000, 'x');
    text.raw(large).raw("end");
    expected += large + "end";
  }
  CHECK(to.all == expected);
  CHECK(to.calls < 10);
}

}  // namespace
