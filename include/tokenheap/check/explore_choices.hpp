// The decisions of a run: how they are searched depth first, drawn at random, written down and read back.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include <tokenheap/check/explore_options.hpp>
#include <tokenheap/check/verdict.hpp>

namespace tokenheap {
inline namespace v0 {

/// What is decided at a point of a schedule.
enum class choice_kind : std::uint8_t {
  thread,  ///< who goes on; the value is the number of a thread
  answer,  ///< of an open query; 1: done, 0: not ready
  fault,   ///< of a device call; the value is a `device_error`
};

/// The possible outcomes at one point, the default first.
struct choice_point {
  static constexpr unsigned most = 16;
  choice_kind kind = choice_kind::thread;
  unsigned count = 0;
  std::uint8_t values[most] = {};

  void add(unsigned value) noexcept { values[count++] = static_cast<std::uint8_t>(value); }
};

/// One decision that differs from the default, at the point with this number: `12:t1`, `15:busy`, `20:out_of_memory`.
struct deviation {
  std::size_t point = 0;
  choice_kind kind = choice_kind::thread;
  std::uint8_t value = 0;
  friend bool operator==(const deviation&, const deviation&) = default;
};

/// Writes decisions as text that `read_schedule` takes; "-" if there are none.
[[nodiscard]] inline std::string write_schedule(const std::vector<deviation>& decisions) {
  std::string text;
  for (const deviation& d : decisions) {
    if (!text.empty()) text += ' ';
    text += std::to_string(d.point) + ':';
    if (d.kind == choice_kind::thread) {
      text += 't' + std::to_string(d.value);
    } else if (d.kind == choice_kind::answer) {
      text += d.value != 0 ? "done" : "busy";
    } else {
      for (const char* c = to_text(static_cast<device_error>(d.value)); *c != '\0'; ++c) text += *c == ' ' ? '_' : *c;
    }
  }
  return text.empty() ? "-" : text;
}

/// Reads one decision out of `word`; false if it is none.
[[nodiscard]] inline bool read_deviation(const std::string& word, deviation& out) {
  const std::size_t colon = word.find(':');
  if (colon == std::string::npos || colon == 0 || colon > 18) return false;
  deviation d;
  for (std::size_t k = 0; k != colon; ++k) {
    if (word[k] < '0' || word[k] > '9') return false;
    d.point = d.point * 10 + static_cast<std::size_t>(word[k] - '0');
  }
  const std::string what = word.substr(colon + 1);
  if (what == "busy" || what == "done") {
    d.kind = choice_kind::answer;
    d.value = static_cast<std::uint8_t>(what == "done");
    return out = d, true;
  }
  for (unsigned value = 0; value < choice_point::most; ++value) {
    d.value = static_cast<std::uint8_t>(value);
    d.kind = choice_kind::thread;
    if (what == "t" + std::to_string(value)) return out = d, true;
    d.kind = choice_kind::fault;
    if (value <= static_cast<unsigned>(device_error::failed) && word + ' ' == write_schedule({d}) + ' ') return out = d, true;
  }
  return false;
}

/// Reads a schedule; false, with the first word that makes no sense in `wrong`, if there is one.
[[nodiscard]] inline bool read_schedule(const char* text, std::vector<deviation>& out, std::string& wrong) {
  out.clear();
  while (text != nullptr && *text != '\0') {
    std::string word;
    for (; *text != '\0' && *text != ' ' && *text != '\n' && *text != '\t'; ++text) word += *text;
    if (*text != '\0') ++text;
    if (word.empty() || word == "-") continue;
    deviation d;
    if (!read_deviation(word, d) || (!out.empty() && d.point <= out.back().point)) {
      wrong = word;
      return false;
    }
    out.push_back(d);
  }
  return true;
}

/// Says what is chosen at every point of a run, and what is to be tried in the next one.
///
/// Three ways: `search` goes depth first through all choices, each run repeating the one before up to the last choice
/// that has an outcome left; `follow` takes the decisions of a text and the default everywhere else; `walk` draws.
class choice_book {
 public:
  /// How the next choice is made.
  enum class mode : std::uint8_t { search, follow, walk };

  void search() {
    mode_ = mode::search;
    tree_.clear();
  }
  void follow(const std::vector<deviation>& decisions) {
    mode_ = mode::follow;
    wanted_ = decisions;
  }
  /// Odd runs draw every choice alike; even ones give threads random priorities that change `changes` times in a run.
  void walk(std::uint64_t seed, std::size_t run, std::size_t changes, std::size_t length) {
    mode_ = mode::walk;
    random_ = contract_random(seed + 0x632BE59BD9B4E019u * (run + 1));
    by_priority_ = run % 2 == 0;
    for (std::uint32_t& p : priorities_) p = static_cast<std::uint32_t>(random_.next() >> 33) | 0x80000000u;
    changes_.clear();
    for (std::size_t k = 0; by_priority_ && k != changes; ++k) changes_.push_back(1 + random_.below(length + 1));
  }

  void begin() noexcept {
    made_.clear();
    cursor_ = 0;
    point_ = 0;
    fits_ = true;
  }

  /// The outcome at the next point. `current` is the thread that decides, for choices of threads.
  [[nodiscard]] std::uint8_t choose(const choice_point& p, unsigned current) {
    const std::size_t here = point_++;
    if (p.count == 1 && mode_ != mode::follow) return p.values[0];
    const std::uint8_t chosen = mode_ == mode::search   ? p.values[search_at(here, p)]
                                : mode_ == mode::follow ? follow_at(here, p)
                                                        : p.values[draw_at(here, p, current)];
    if (chosen != p.values[0]) made_.push_back({here, p.kind, chosen});
    return chosen;
  }

  /// After a run of a search: false if nothing is left.
  [[nodiscard]] bool next() {
    while (!tree_.empty() && tree_.back().chosen + 1u == tree_.back().count) tree_.pop_back();
    if (tree_.empty()) return false;
    ++tree_.back().chosen;
    return true;
  }

  /// False if the run did not meet the choices that it should repeat.
  [[nodiscard]] bool fits() const noexcept {
    return fits_ && (mode_ == mode::walk || cursor_ == (mode_ == mode::search ? tree_.size() : wanted_.size()));
  }
  [[nodiscard]] bool fits_so_far() const noexcept { return fits_; }
  [[nodiscard]] bool follows() const noexcept { return mode_ == mode::follow; }
  [[nodiscard]] std::size_t points() const noexcept { return point_; }
  [[nodiscard]] const std::vector<deviation>& made() const noexcept { return made_; }

 private:
  struct branch {
    std::size_t point = 0;
    choice_kind kind = choice_kind::thread;
    std::uint8_t count = 0;
    std::uint8_t chosen = 0;
  };

  [[nodiscard]] unsigned search_at(std::size_t here, const choice_point& p) {
    if (cursor_ == tree_.size()) tree_.push_back({here, p.kind, static_cast<std::uint8_t>(p.count), 0});
    const branch& b = tree_[cursor_];
    if (b.point != here || b.kind != p.kind || b.count != p.count) {
      fits_ = false;
      return 0;
    }
    ++cursor_;
    return b.chosen;
  }

  [[nodiscard]] std::uint8_t follow_at(std::size_t here, const choice_point& p) noexcept {
    if (cursor_ == wanted_.size() || wanted_[cursor_].point != here) return p.values[0];
    const deviation& d = wanted_[cursor_++];
    // a call can be made to fail with errors that nobody listed
    if (d.kind == p.kind && d.kind == choice_kind::fault) return d.value;
    for (unsigned k = 0; k != p.count; ++k)
      if (d.kind == p.kind && p.values[k] == d.value) return d.value;
    fits_ = false;
    return p.values[0];
  }

  [[nodiscard]] unsigned draw_at(std::size_t here, const choice_point& p, unsigned current) noexcept {
    // a fault in every eighth call keeps most runs on their way
    if (p.kind == choice_kind::fault) return random_.below(8) != 0 ? 0 : static_cast<unsigned>(random_.below(p.count));
    if (p.kind == choice_kind::answer || !by_priority_) return static_cast<unsigned>(random_.below(p.count));
    for (std::size_t k = 0; k != changes_.size(); ++k)
      if (changes_[k] == here) priorities_[current] = static_cast<std::uint32_t>(k);
    unsigned best = 0;
    for (unsigned k = 1; k != p.count; ++k)
      if (priorities_[p.values[k]] > priorities_[p.values[best]]) best = k;
    return best;
  }

  mode mode_ = mode::search;
  bool fits_ = true;
  bool by_priority_ = false;
  std::size_t point_ = 0;
  std::size_t cursor_ = 0;
  std::vector<branch> tree_;
  std::vector<deviation> wanted_;
  std::vector<deviation> made_;
  contract_random random_{0};
  std::uint32_t priorities_[choice_point::most] = {};
  std::vector<std::size_t> changes_;
};

}  // namespace v0
}  // namespace tokenheap
