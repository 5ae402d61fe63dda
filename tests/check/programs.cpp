#include <tokenheap/check/programs.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

using namespace tokenheap;

namespace {

/// All words over the letters of some options, by counting; those that no rule forbids are the programs.
class by_counting {
 public:
  explicit by_counting(const program_options& with) : with_(with) {
    for (unsigned size = 0; size != with.sizes; ++size)
      for (unsigned stream = 0; stream != with.streams; ++stream)
        letters_.push_back({program_verb::allocate, static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(stream)});
    for (const program_verb verb : {program_verb::free_first, program_verb::free_last}) {
      letters_.push_back({verb, 0, program_step::own});
      for (unsigned stream = 0; with.foreign_frees && stream != with.streams; ++stream)
        letters_.push_back({verb, 0, static_cast<std::uint8_t>(stream)});
    }
  }

  std::set<std::string> all() const {
    std::set<std::string> found;
    std::size_t words = 1;
    for (std::size_t k = 0; k != with_.length; ++k) words *= letters_.size();
    for (std::size_t word = 0; word != words; ++word) {
      program p;
      p.length = with_.length;
      std::size_t rest = word;
      for (std::size_t k = 0; k != with_.length; ++k, rest /= letters_.size()) p.steps[k] = letters_[rest % letters_.size()];
      if (makes_sense(p)) found.insert(write_program(p));
    }
    return found;
  }

 private:
  bool makes_sense(const program& p) const {
    std::vector<unsigned> live;
    unsigned used = 0;
    for (const program_step& s : p) {
      if (s.verb == program_verb::allocate) {
        live.push_back(s.stream);
      } else {
        if (live.empty() || (live.size() == 1 && s.verb == program_verb::free_last)) return false;
        const auto which = s.verb == program_verb::free_first ? live.begin() : live.end() - 1;
        if (s.stream == *which) return false;  // is the same as freeing from its own
        live.erase(which);
      }
      if (s.stream == program_step::own) continue;
      if (with_.renamed && s.stream > used) return false;
      used = std::max(used, s.stream + 1u);
    }
    return true;
  }

  program_options with_;
  std::vector<program_step> letters_;
};

std::set<std::string> walked(const program_options& with) {
  std::set<std::string> found;
  const std::uint64_t shown = for_each_program(with, [&](const program& p) {
    CHECK(p.length == with.length);
    CHECK(found.insert(write_program(p)).second);
  });
  CHECK(shown == found.size());
  return found;
}

}  // namespace

TEST_CASE("the walk shows exactly the programs that counting finds", "[check]") {
  for (const bool renamed : {false, true}) {
    for (const bool foreign : {false, true}) {
      for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{4}}) {
        const program_options with{
            .length = length, .streams = 3, .sizes = 2, .foreign_frees = foreign, .renamed = renamed};
        CHECK(walked(with) == by_counting(with).all());
      }
    }
  }
  const program_options one{.length = 6, .streams = 1, .sizes = 1};
  CHECK(walked(one) == by_counting(one).all());
}

TEST_CASE("the parts of a walk are all of it, once, and about as large", "[check]") {
  for (const std::size_t length : {std::size_t{2}, std::size_t{5}}) {
    const std::set<std::string> whole = walked({.length = length});
    std::set<std::string> together;
    std::size_t sum = 0;
    for (unsigned part = 0; part != 4; ++part) {
      const std::set<std::string> some = walked({.length = length, .part = part, .parts = 4});
      sum += some.size();
      together.insert(some.begin(), some.end());
      if (length == 5) CHECK(some.size() * 4 > whole.size() / 2);
      if (length == 5) CHECK(some.size() * 4 < whole.size() * 2);
    }
    CHECK(together == whole);
    CHECK(sum == whole.size());
  }
}

TEST_CASE("how many programs there are", "[check]") {
  // seen is not the call's own, so the compiler gives up at once to walk them all itself, which takes it a minute
  std::size_t seen = 0;
  const auto count = [&seen](const program_options& with) {
    return for_each_program(with, [&seen](const program&) { ++seen; });
  };
  CHECK(count({.length = 6, .renamed = false}) == 154'440);
  CHECK(count({.length = 6}) == 26'184);
  CHECK(count({.length = 7}) == 206'656);
  CHECK(seen == 154'440 + 26'184 + 206'656);
  static_assert(for_each_program({.length = 3, .streams = 1, .sizes = 1}, [](const program&) {}) == 4);
}

TEST_CASE("a program says how much of the one before it repeats", "[check]") {
  std::vector<program> all;
  for_each_program({.length = 5}, [&](const program& p) { all.push_back(p); });
  REQUIRE(all.front().kept == 0);
  bool right = true;
  for (std::size_t k = 1; k < all.size(); ++k) {
    std::size_t same = 0;
    while (all[k].steps[same] == all[k - 1].steps[same]) ++same;
    right = right && all[k].kept <= same && all[k].kept + 1 >= same;
  }
  CHECK(right);
}

TEST_CASE("a visitor can end the walk", "[check]") {
  int seen = 0;
  CHECK(for_each_program({.length = 5}, [&](const program&) { return ++seen != 10; }) == 10);
  CHECK(seen == 10);
}

TEST_CASE("a program is read back as it was written", "[check]") {
  std::size_t wrong = 0;
  for_each_program({.length = 4, .foreign_frees = true}, [&](const program& p) {
    program back;
    wrong += static_cast<std::size_t>(!read_program(write_program(p).c_str(), back) || !(back == p));
  });
  CHECK(wrong == 0);
  program p;
  REQUIRE(read_program("a1@2  first last@0 ", p));
  CHECK(p.length == 3);
  CHECK(p.steps[0] == program_step{program_verb::allocate, 1, 2});
  CHECK(p.steps[1] == program_step{program_verb::free_first, 0, program_step::own});
  CHECK(p.steps[2] == program_step{program_verb::free_last, 0, 0});
  CHECK((read_program("", p) && p.length == 0));
  for (const char* text : {"a", "a1", "a@1", "a1@", "a1@255", "a1@2x", "first@", "firs", "lastly", "b", "a1@2,last", "a-1@2"}) {
    INFO(text);
    CHECK_FALSE(read_program(text, p));
  }
  std::string long_one;
  for (int k = 0; k != 17; ++k) long_one += "a0@0 ";
  CHECK_FALSE(read_program(long_one.c_str(), p));
}
