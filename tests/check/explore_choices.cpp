#include <tokenheap/check/explore_choices.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

using namespace tokenheap;

namespace {

choice_point threads(std::initializer_list<unsigned> values) {
  choice_point p;
  for (const unsigned v : values) p.add(v);
  return p;
}

}  // namespace

TEST_CASE("a schedule is written and read back the same", "[check]") {
  std::vector<deviation> all{{3, choice_kind::thread, 15}, {4, choice_kind::answer, 0}, {7, choice_kind::answer, 1}};
  for (unsigned e = 0; e <= static_cast<unsigned>(device_error::failed); ++e)
    all.push_back({100 + e, choice_kind::fault, static_cast<std::uint8_t>(e)});
  const std::string text = write_schedule(all);
  CHECK(text.rfind("3:t15 4:busy 7:done 100:ok 101:not_ready 102:out_of_memory", 0) == 0);
  std::vector<deviation> back;
  std::string wrong;
  REQUIRE(read_schedule(text.c_str(), back, wrong));
  CHECK(back == all);
  CHECK(write_schedule({}) == "-");
  REQUIRE(read_schedule("-", back, wrong));
  CHECK(back.empty());
  REQUIRE(read_schedule("  5:t1 \n 18446:busy\t", back, wrong));
  CHECK(write_schedule(back) == "5:t1 18446:busy");
}

TEST_CASE("what is no schedule is refused with the word that is wrong", "[check]") {
  std::vector<deviation> back;
  std::string wrong;
  for (const char* text : {"5:t1 nonsense", "5:t1 5:nonsense", "5:t1 99999999999999999999:t1", "5:t1 5:t2", "5:t1 4:t2"}) {
    CHECK_FALSE(read_schedule(text, back, wrong));
    CHECK(wrong == std::string(text).substr(5));
  }
  CHECK_FALSE(read_schedule("5:", back, wrong));
  CHECK_FALSE(read_schedule("5:faile", back, wrong));
  CHECK_FALSE(read_schedule("5:failed_", back, wrong));
  CHECK(read_schedule(nullptr, back, wrong));
}

TEST_CASE("a search visits a tree of choices depth first, each leaf once", "[check]") {
  choice_book book;
  book.search();
  std::string leaves;
  do {
    book.begin();
    // the second question depends on the first answer: 0 leads to two more, 1 to one of three, 2 to none
    const unsigned first = book.choose(threads({0, 1, 2}), 0);
    leaves += static_cast<char>('0' + first);
    if (first == 0) leaves += static_cast<char>('a' + book.choose(threads({0, 1}), 0));
    if (first == 0) leaves += static_cast<char>('a' + book.choose(threads({0}), 0));
    if (first == 1) leaves += static_cast<char>('a' + book.choose(threads({0, 1, 2}), 0));
    leaves += ' ';
    CHECK(book.fits());
    CHECK(book.points() == (first == 0 ? 3u : first == 1 ? 2u : 1u));
  } while (book.next());
  CHECK(leaves == "0aa 0ba 1a 1b 1c 2 ");
}

TEST_CASE("only decisions other than the default are kept", "[check]") {
  choice_book book;
  book.follow({{1, choice_kind::thread, 2}});
  book.begin();
  CHECK(book.choose(threads({4, 2}), 4) == 4);
  CHECK(book.choose(threads({4, 2}), 4) == 2);
  CHECK(book.choose(threads({3}), 3) == 3);
  CHECK(book.made() == std::vector<deviation>{{1, choice_kind::thread, 2}});
  CHECK(book.fits());
}

TEST_CASE("random choices are the same for the same seed and run, and reach every outcome", "[check]") {
  std::string drawn[2];
  for (std::string& text : drawn) {
    choice_book book;
    for (std::size_t run = 0; run != 200; ++run) {
      book.walk(7, run, 3, 20);
      book.begin();
      for (int k = 0; k != 20; ++k) text += static_cast<char>('0' + book.choose(threads({0, 1, 2}), 0));
      text += ' ';
    }
  }
  CHECK(drawn[0] == drawn[1]);
  for (const char outcome : {'0', '1', '2'}) CHECK(drawn[0].find(outcome) != std::string::npos);
  choice_book other;
  other.walk(8, 1, 3, 20);
  other.begin();
  std::string text;
  for (int k = 0; k != 20; ++k) text += static_cast<char>('0' + other.choose(threads({0, 1, 2}), 0));
  CHECK(drawn[0].find(text) == std::string::npos);
}
