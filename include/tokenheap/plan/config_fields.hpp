// The fields of somebody's JSON: each is checked for its type and its size, and the first that is wrong is named.
#pragma once

#if !__has_include(<nlohmann/json.hpp>)
#error "tokenheap's planner needs nlohmann-json: install nlohmann-json3-dev"
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What no model comes near; products of two or three of these fit 64 bits.
struct config_limits {
  static constexpr std::size_t layers = 4096;
  static constexpr std::size_t heads = std::size_t{1} << 16;
  static constexpr std::size_t head_size = std::size_t{1} << 16;
  static constexpr std::size_t experts = std::size_t{1} << 16;
  static constexpr std::size_t width = std::size_t{1} << 26;    ///< of hidden states and of MLPs
  static constexpr std::size_t words = std::size_t{1} << 28;
  static constexpr std::size_t tokens = std::size_t{1} << 40;
  static constexpr std::size_t bytes = std::size_t{64} << 20;   ///< of the file
  static constexpr std::size_t nesting = 64;
};

/// The fields of one JSON object; complaints go to one sentence that all objects of a file share: the first one stays.
class config_fields {
 public:
  using names = std::initializer_list<const char*>;

  /// Requires  that `object` and `error` outlive this
  config_fields(const nlohmann::json& object, std::string where, std::string& error)
      : object_(&object), where_(std::move(where)), error_(&error) {}

  /// True if there is something else than null.
  [[nodiscard]] bool has(const char* name) const { return find(name) != nullptr; }

  /// A number from 1 to `most` under the first of the names that is there; 1 and a complaint where none is.
  [[nodiscard]] std::size_t need(names any, std::size_t most) const {
    for (const char* name : any) {
      if (has(name)) return number(name, 1, most);
    }
    complain(*any.begin(), "is missing");
    return 1;
  }
  /// The same, or `otherwise` where none is there.
  [[nodiscard]] std::size_t take(names any, std::size_t otherwise, std::size_t most) const {
    for (const char* name : any) {
      if (has(name)) return number(name, 1, most);
    }
    return otherwise;
  }
  /// The same, and 0 is a number too.
  [[nodiscard]] std::size_t count(names any, std::size_t otherwise, std::size_t most) const {
    for (const char* name : any) {
      if (has(name)) return number(name, 0, most);
    }
    return otherwise;
  }
  [[nodiscard]] bool flag(const char* name, bool otherwise) const {
    const nlohmann::json* found = find(name);
    if (found == nullptr) return otherwise;
    if (!found->is_boolean()) return complain(name, "is " + shown(*found) + ", true or false is needed"), otherwise;
    return found->get<bool>();
  }
  [[nodiscard]] std::string text(names any, std::string otherwise = {}) const {
    for (const char* name : any) {
      const nlohmann::json* found = find(name);
      if (found == nullptr) continue;
      if (found->is_string()) return found->get<std::string>();
      complain(name, "is " + shown(*found) + ", a text is needed");
      break;
    }
    return otherwise;
  }
  /// A list of numbers from `least` to `most`; empty where it is missing.
  [[nodiscard]] std::vector<std::size_t> numbers(const char* name, std::size_t least, std::size_t most) const {
    std::vector<std::size_t> out;
    const nlohmann::json* found = list(name);
    if (found == nullptr) return out;
    for (std::size_t i = 0; i < found->size() && error_->empty(); ++i) {
      out.push_back(checked((*found)[i], std::string(name) + "[" + std::to_string(i) + "]", least, most));
    }
    return out;
  }
  /// A list of texts; empty where it is missing.
  [[nodiscard]] std::vector<std::string> texts(const char* name) const {
    std::vector<std::string> out;
    const nlohmann::json* found = list(name);
    if (found == nullptr) return out;
    for (std::size_t i = 0; i < found->size() && error_->empty(); ++i) {
      const nlohmann::json& each = (*found)[i];
      if (each.is_string()) out.push_back(each.get<std::string>());
      else complain(std::string(name) + "[" + std::to_string(i) + "]", "is " + shown(each) + ", a text is needed");
    }
    return out;
  }
  /// The fields of an object inside; of an empty one where it is missing or no object.
  [[nodiscard]] config_fields inside(const char* name) const {
    static const nlohmann::json nothing = nlohmann::json::object();
    const nlohmann::json* found = find(name);
    if (found != nullptr && !found->is_object()) {
      complain(name, "is " + shown(*found) + ", an object is needed");
      found = nullptr;
    }
    return {found == nullptr ? nothing : *found, where_ + name + ".", *error_};
  }

  /// True if the field is there, and null: an explicit no.
  [[nodiscard]] bool has_null(const char* name) const {
    return object_->is_object() && object_->contains(name) && !has(name);
  }
  /// True if there is a text, where other configs have a number.
  [[nodiscard]] bool is_text(const char* name) const {
    const nlohmann::json* found = find(name);
    return found != nullptr && found->is_string();
  }
  [[nodiscard]] bool is_list(const char* name) const {
    const nlohmann::json* found = find(name);
    return found != nullptr && found->is_array();
  }
  /// True for the -1 by which some say "not limited".
  [[nodiscard]] bool is_minus_one(const char* name) const {
    const nlohmann::json* found = find(name);
    return found != nullptr && found->is_number_integer() && *found == -1;
  }

  /// The fields of the first object inside, whatever its name; of an empty one where there is none.
  [[nodiscard]] config_fields first_inside() const {
    for (auto at = object_->begin(); object_->is_object() && at != object_->end(); ++at) {
      if (at->is_object()) return inside(at.key().c_str());
    }
    return inside("");
  }

  /// Says what is wrong with a field, if nothing was wrong before.
  void complain(const std::string& name, const std::string& what) const {
    if (error_->empty()) *error_ = where_ + name + " " + what;
  }
  [[nodiscard]] bool good() const noexcept { return error_->empty(); }

 private:
  [[nodiscard]] const nlohmann::json* find(const char* name) const {
    if (!object_->is_object()) return nullptr;
    const auto at = object_->find(name);
    return at == object_->end() || at->is_null() ? nullptr : &*at;
  }
  /// A list, or null where it is missing or no list.
  [[nodiscard]] const nlohmann::json* list(const char* name) const {
    const nlohmann::json* found = find(name);
    if (found != nullptr && !found->is_array()) {
      complain(name, "is " + shown(*found) + ", a list is needed");
      return nullptr;
    }
    return found;
  }
  [[nodiscard]] std::size_t number(const char* name, std::size_t least, std::size_t most) const {
    return checked(*find(name), name, least, most);
  }
  [[nodiscard]] std::size_t checked(const nlohmann::json& of, const std::string& name, std::size_t least,
                                    std::size_t most) const {
    std::uint64_t got = ~std::uint64_t{0};
    if (of.is_number_unsigned()) {
      got = of.get<std::uint64_t>();
    } else if (of.is_number_float()) {  // 2.0 is what some exporters make of 2
      const double value = of.get<double>();
      if (value >= 0 && value <= 9007199254740992.0 && std::floor(value) == value) got = static_cast<std::uint64_t>(value);
    }
    if (got >= least && got <= most) return static_cast<std::size_t>(got);
    complain(name, "is " + shown(of) + ", a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
                       " is needed");
    return least == 0 ? 1 : least;
  }
  /// A value as a complaint shows it: short, and plain ASCII.
  [[nodiscard]] static std::string shown(const nlohmann::json& of) {
    if (of.is_array()) return "a list";
    if (of.is_object()) return "an object";
    std::string text = of.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (text.size() > 40) text = text.substr(0, 40) + "...";
    return text;
  }

  const nlohmann::json* object_;
  std::string where_;
  std::string* error_;
};

namespace config_parts {

/// Python writes bare words for what JSON has no numbers for: they become a zero of the same length.
inline void tame_words(std::string& text, std::size_t at) {
  for (const std::string_view word : {std::string_view("-Infinity"), std::string_view("Infinity"), std::string_view("NaN")}) {
    if (text.compare(at, word.size(), word) == 0) {
      text.replace(at, word.size(), word.size(), ' ');
      text[at] = '0';
      return;
    }
  }
}

/// Tames bare words, and counts how deep brackets go outside of strings.
[[nodiscard]] inline std::size_t deepest(std::string& text) {
  std::size_t depth = 0, most = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
      continue;
    }
    quoted = c == '"';
    if (c == '{' || c == '[') most = ++depth > most ? depth : most;
    if ((c == '}' || c == ']') && depth != 0) --depth;
    const bool starts = i == 0 || std::string_view(" \t\r\n:,[").find(text[i - 1]) != std::string_view::npos;
    if (starts && (c == 'N' || c == 'I' || c == '-')) tame_words(text, i);
  }
  return most;
}

}  // namespace config_parts

/// The JSON object that a text is. Fails  on what is no JSON, no object, nested too deep or too long.
[[nodiscard]] inline reading<nlohmann::json> parse_object(std::string text, const std::string& file) {
  reading<nlohmann::json> out;
  if (text.size() > config_limits::bytes) {
    out.error = file + ": " + std::to_string(text.size()) + " bytes, at most " + std::to_string(config_limits::bytes) +
                " are read";
  } else if (config_parts::deepest(text) > config_limits::nesting) {
    out.error = file + ": nested deeper than " + std::to_string(config_limits::nesting) + " levels";
  } else {
    out.value = nlohmann::json::parse(text, nullptr, false);
    if (out.value.is_discarded()) out.error = file + ": is no JSON, or was cut off";
    else if (!out.value.is_object()) out.error = file + ": is JSON, but no object";
  }
  if (!out) out.value = nullptr;
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
