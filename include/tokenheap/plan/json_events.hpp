// JSON read as a stream of events, so that a large file costs no tree in memory.
#pragma once

#if !__has_include(<nlohmann/json.hpp>)
#error "tokenheap's planner needs nlohmann-json: install nlohmann-json3-dev"
#endif

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A value that is neither an object nor an array.
struct json_scalar {
  /// Which kind of value it is.
  enum class kind : std::uint8_t { whole, real, text, other };
  kind is = kind::other;
  std::uint64_t whole = 0;
  double real = 0;
  std::string_view text;
};

/// What a reader of JSON events derives from: it keeps count of the depth and the first complaint.
///
/// `Reader` has `bool scalar(const json_scalar&)`, `bool opened(bool object)`, `bool closed()` and
/// `bool named(std::string&)`, which return false to stop. `depth()` counts what is open: `opened` sees it with its own
/// object or array, `closed` without.
template <class Reader>
class json_events {
 public:
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

  /// Reads all of `text`, of which a file has `before` bytes in front. False where something was wrong.
  [[nodiscard]] bool read(std::string_view text, std::size_t before) {
    before_ = before;
    return nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &self()) && error_.empty();
  }

  bool null() { return self().scalar(json_scalar{}); }
  bool boolean(bool) { return self().scalar(json_scalar{}); }
  bool number_integer(std::int64_t value) { return self().scalar({json_scalar::kind::real, 0, static_cast<double>(value), {}}); }
  bool number_unsigned(std::uint64_t value) { return self().scalar({json_scalar::kind::whole, value, 0, {}}); }
  bool number_float(double value, const std::string&) { return self().scalar({json_scalar::kind::real, 0, value, {}}); }
  bool string(std::string& value) { return self().scalar({json_scalar::kind::text, 0, 0, value}); }
  template <class Bytes>
  bool binary(Bytes&) { return self().scalar(json_scalar{}); }
  bool start_object(std::size_t) { return ++depth_, self().opened(true); }
  bool start_array(std::size_t) { return ++depth_, self().opened(false); }
  bool end_object() { return --depth_, self().closed(); }
  bool end_array() { return --depth_, self().closed(); }
  bool key(std::string& name) { return self().named(name); }
  template <class Error>
  bool parse_error(std::size_t at, const std::string&, const Error&) {
    return refuse("no JSON, or cut off (byte " + std::to_string(before_ + at) + ")");
  }

 protected:
  json_events() = default;
  ~json_events() = default;

  [[nodiscard]] std::size_t depth() const noexcept { return depth_; }
  /// Keeps the first complaint. Returns false.
  bool refuse(const std::string& what) {
    if (error_.empty()) error_ = what;
    return false;
  }

 private:
  [[nodiscard]] Reader& self() noexcept { return static_cast<Reader&>(*this); }

  std::string error_;
  std::size_t depth_ = 0, before_ = 0;
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
