#include <cerrno>
#include <cstring>
#include <iterator>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "fields.hpp"
#include "replay.hpp"

namespace program {
namespace {

using json = nlohmann::json;

// the bytes of a file, read in pieces; it knows the line that it stands in
class byte_stream {
 public:
  explicit byte_stream(std::FILE* from) : from_(from), buffer_(std::size_t{1} << 18) { fill(); }

  [[nodiscard]] char byte() const { return buffer_[at_]; }
  void advance() {
    if (buffer_[at_] == '\n') ++line_;
    if (buffer_[at_] == '\0') zero_ = true;
    if (++at_ == filled_) fill();
  }
  [[nodiscard]] bool ended() const { return filled_ == 0; }
  [[nodiscard]] bool failed() const { return std::ferror(from_) != 0; }
  [[nodiscard]] std::uint64_t line() const { return line_; }
  /// The parser takes a zero byte for the end of its input.
  [[nodiscard]] bool saw_zero() const { return zero_; }

 private:
  void fill() {
    at_ = 0;
    filled_ = std::fread(buffer_.data(), 1, buffer_.size(), from_);
  }

  std::FILE* from_;
  std::vector<char> buffer_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::uint64_t line_ = 1;
  bool zero_ = false;
};

// what the parser reads through; equal to the end when the file has ended
struct byte_iterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  char operator*() const { return of->byte(); }
  byte_iterator& operator++() { return of->advance(), *this; }
  void operator++(int) { of->advance(); }
  friend bool operator==(const byte_iterator& a, const byte_iterator& b) { return a.ends() == b.ends(); }
  friend bool operator!=(const byte_iterator& a, const byte_iterator& b) { return !(a == b); }

  [[nodiscard]] bool ends() const { return of == nullptr || of->ended(); }
  byte_stream* of = nullptr;
};

// the entries of one device's trace, taken out of the parser's events: no tree is built
class snapshot_events {
 public:
  snapshot_events(std::size_t device, replay_recorder& out) : out_(out), device_(device) {}

  bool null() { return scalar("null"); }
  bool boolean(bool) { return scalar("true or false"); }
  bool binary(json::binary_t&) { return scalar("binary"); }
  bool number_integer(std::int64_t v) {
    if (v >= 0) return number_unsigned(static_cast<std::uint64_t>(v));
    return wanted() && field_ != action ? refuse(fmt::format("{} is negative", v)) : scalar("a number");
  }
  bool number_unsigned(std::uint64_t v) {
    if (!wanted() || field_ == action) return scalar("a number");
    values_[field_] = v;
    seen_[field_] = true;
    return true;
  }
  bool number_float(double, const std::string& text) {
    return wanted() && field_ != action ? refuse(fmt::format("needs a whole number of 64 bits, found {}", shown(text)))
                                        : scalar("a number");
  }
  bool string(std::string& text) {
    if (!wanted() || field_ != action) return scalar("a text");
    seen_[action] = true;
    comes_ = text == "alloc";
    goes_ = text == "free_requested" || text == "free";
    return true;
  }

  bool start_object(std::size_t) {
    const bool begins = in_list() && depth_ == 3;
    if (begins) {
      seen_ = {};
      comes_ = goes_ = false;
      field_ = other;
    } else if ((depth_ == 1 && is_traces_) || at_list() || wanted()) {
      return scalar("an object");
    }
    return ++depth_, true;
  }
  bool end_object() {
    --depth_;
    return !in_list() || depth_ != 3 || entry();
  }
  bool start_array(std::size_t) {
    if (depth_ == 0) return refuse_outside("a snapshot is a JSON object, found a list");
    if (wanted() || (in_list() && depth_ == 3)) return scalar("a list");
    if (depth_ == 1 && is_traces_) seen_traces_ = true;
    if (at_list()) ++lists_;
    return ++depth_, true;
  }
  bool end_array() { return --depth_, true; }
  bool key(std::string& name) {
    if (depth_ == 1) {
      if (name == "device_traces" && seen_traces_) return refuse_outside("stands there twice");
      is_traces_ = name == "device_traces";
    }
    if (depth_ != 4 || !in_list()) return true;
    field_ = other;
    for (std::size_t n = 0; n < other; ++n)
      if (name == names[n]) field_ = n;
    if (field_ != other && seen_[field_]) return refuse("stands there twice");
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception& e) {
    const std::string_view what = e.what();
    const bool cut = what.find("unexpected end of input") != what.npos || what.find("missing closing quote") != what.npos;
    const std::string why = cut ? std::string("the file is cut off") : fmt::format("no valid JSON at byte {}", position);
    return is_traces_ && depth_ == 4 && field_ != other ? refuse(why) : refuse_outside(why);
  }

  complaint finish() {
    if (reason_.empty() && !seen_traces_) refuse_outside("is missing");
    if (reason_.empty() && device_ >= lists_)
      refuse_outside(fmt::format("has {} devices, there is no device {}", lists_, device_));
    return reason_;
  }

 private:
  enum field : std::size_t { action, address, size, stream, other };
  static constexpr std::array<const char*, 4> names{"action", "addr", "size", "stream"};

  // depth 1: the snapshot; 2: the list of devices; 3: one device's list; 4: one of its entries
  [[nodiscard]] bool at_list() const { return is_traces_ && depth_ == 2; }
  [[nodiscard]] bool in_list() const { return is_traces_ && depth_ >= 3 && lists_ == device_ + 1; }
  [[nodiscard]] bool wanted() const { return in_list() && depth_ == 4 && field_ != other; }

  bool scalar(const char* found) {
    if (depth_ == 0) return refuse_outside(fmt::format("a snapshot is a JSON object, found {}", found));
    if (depth_ == 1 && is_traces_) return refuse_outside(fmt::format("needs a list, found {}", found));
    if (at_list()) return refuse_outside(fmt::format("needs a list for each device, found {}", found));
    if (in_list() && depth_ == 3) return refuse_outside(fmt::format("needs objects, found {}", found));
    if (!wanted()) return true;
    return refuse(fmt::format("needs {}, found {}", field_ == action ? "a text" : "a whole number", found));
  }

  bool entry() {
    if (!seen_[action]) return field_ = action, refuse("is missing");
    if (!comes_ && !goes_) return true;
    for (const std::size_t n : {address, size, stream})
      if (!seen_[n]) return field_ = n, refuse("is missing");
    reason_ = comes_ ? out_.come(values_[address], values_[size], values_[stream])
                     : out_.go(values_[address], values_[stream]);
    return reason_.empty();
  }

  bool refuse(const std::string& why) {
    if (reason_.empty()) reason_ = fmt::format("field '{}': {}", names[field_], why);
    return false;
  }
  bool refuse_outside(const std::string& why) {
    if (reason_.empty()) reason_ = fmt::format("field 'device_traces': {}", why);
    return false;
  }

  replay_recorder& out_;
  std::size_t device_;
  complaint reason_;
  std::array<std::uint64_t, 5> values_{};
  std::array<bool, 5> seen_{};
  std::size_t field_ = other;
  std::size_t lists_ = 0;
  std::size_t depth_ = 0;
  bool is_traces_ = false;
  bool seen_traces_ = false;
  bool comes_ = false;
  bool goes_ = false;
};

}  // namespace

complaint read_snapshot(const std::string& path, std::size_t device, replay_recorder& out) {
  file_handle opened;
  if (complaint bad = open_trace(path, opened); !bad.empty()) return bad;
  byte_stream bytes(opened.get());
  snapshot_events events(device, out);
  json::sax_parse(byte_iterator{&bytes}, byte_iterator{}, &events);
  if (bytes.failed()) return fmt::format("{}: line {}: reading failed: {}", path, bytes.line(), std::strerror(errno));
  const complaint bad = bytes.saw_zero() ? complaint("field 'device_traces': a zero byte stands there") : events.finish();
  return bad.empty() ? bad : fmt::format("{}: line {}: {}", path, bytes.line(), bad);
}

}  // namespace program
