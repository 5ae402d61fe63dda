#include <tokenheap/observe/refusal_counts.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <string>

using namespace tokenheap;

TEST_CASE("refusals are counted by code, and passed on", "[refusal_counts]") {
  refusal_counts counts;
  CHECK(counts.count(errc::ok) == errc::ok);
  CHECK(counts.count(errc::out_of_memory) == errc::out_of_memory);
  CHECK(counts.count(errc::out_of_memory) == errc::out_of_memory);
  CHECK(counts.count(errc::forked) == errc::forked);
  CHECK(counts.count(static_cast<errc>(200)) == static_cast<errc>(200));
  CHECK(counts.of(errc::ok) == 0);
  CHECK(counts.of(errc::out_of_memory) == 2);
  CHECK(counts.of(errc::forked) == 1);
  CHECK(counts.of(errc::too_large) == 0);
  CHECK(counts.of(static_cast<errc>(200)) == 0);
}

TEST_CASE("every code is a label of its own, without blanks", "[refusal_counts]") {
  std::string all;
  for (std::size_t k = 0; k != refusal_counts::codes; ++k) {
    const std::string label = to_label(static_cast<errc>(k));
    CHECK(label != "unknown");
    CHECK(label.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos);
    CHECK(all.find(" " + label + " ") == std::string::npos);
    all += " " + label + " ";
  }
  CHECK(std::string(to_label(static_cast<errc>(refusal_counts::codes))) == "unknown");
  // where the two texts say the same word they say it alike
  std::string text = to_text(errc::out_of_memory);
  std::replace(text.begin(), text.end(), ' ', '_');
  CHECK(text == to_label(errc::out_of_memory));
}
