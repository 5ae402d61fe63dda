#include "replay.hpp"

#include <array>

#include <fmt/format.h>

#include "fields.hpp"

namespace program {
namespace {

// the columns of RMM's log, found by their names
class rmm_parser {
 public:
  explicit rmm_parser(replay_recorder& out, replay_trace& trace) : out_(out), trace_(trace) {}

  complaint line(std::string_view text) {
    if (complaint bad = split_fields(text, fields_); !bad.empty()) return bad;
    return columns_ == 0 ? header(text) : row();
  }
  [[nodiscard]] bool saw_header() const { return columns_ != 0; }

 private:
  enum column : std::size_t { action, pointer, size, stream };
  static constexpr std::array<std::string_view, 4> names{"Action", "Pointer", "Size", "Stream"};

  complaint header(std::string_view text) {
    if (text.find('\0') != std::string_view::npos) return "field 'Action': a zero byte stands in the header";
    for (std::size_t n = 0; n < names.size(); ++n) {
      std::size_t found = 0;
      for (std::size_t at = 0; at < fields_.size(); ++at)
        if (trimmed(fields_[at]) == names[n]) at_[n] = at, ++found;
      if (found == 0) return fmt::format("field '{}': the header does not name it", names[n]);
      if (found > 1) return fmt::format("field '{}': the header names it {} times", names[n], found);
    }
    columns_ = fields_.size();
    return {};
  }

  complaint row() {
    for (std::size_t n = 0; n < names.size(); ++n)
      if (at_[n] >= fields_.size()) return fmt::format("field '{}': is missing", names[n]);
    if (fields_.size() != columns_)
      return fmt::format("field 'Stream': {} columns, the header names {}", fields_.size(), columns_);
    const std::string_view what = trimmed(fields_[at_[action]]);
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    std::uint64_t queue = 0;
    // a request that failed has no address
    const std::string_view where = trimmed(fields_[at_[pointer]]);
    if (where != "(nil)" && where != "nullptr") {
      if (complaint bad = number_of("Pointer", where, address); !bad.empty()) return bad;
    }
    if (complaint bad = number_of("Size", fields_[at_[size]], bytes); !bad.empty()) return bad;
    if (complaint bad = number_of("Stream", fields_[at_[stream]], queue); !bad.empty()) return bad;
    if (what == "allocate failure") return ++trace_.failures_in_trace, complaint();
    if (what == "allocate") return out_.come(address, bytes, queue);
    if (what == "free" || what == "deallocate") return out_.go(address, queue);
    return fmt::format("field 'Action': needs allocate, free or allocate failure, found '{}'", shown(what));
  }

  replay_recorder& out_;
  replay_trace& trace_;
  std::vector<std::string> fields_;
  std::array<std::size_t, 4> at_{};
  std::size_t columns_ = 0;
};

// `1 address bytes stream` and `0 address bytes stream`
complaint stalloc_line(std::string_view text, replay_recorder& out) {
  constexpr std::array<std::string_view, 4> names{"1|0", "ptr", "size", "stream"};
  std::array<std::uint64_t, 4> values{};
  for (std::size_t n = 0; n < names.size(); ++n) {
    text = trimmed(text);
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    if (complaint bad = number_of(names[n], text.substr(0, end), values[n]); !bad.empty()) return bad;
    text.remove_prefix(end);
  }
  if (!trimmed(text).empty()) return fmt::format("field 'stream': more follows: '{}'", shown(trimmed(text)));
  if (values[0] > 1) return fmt::format("field '1|0': needs 1 or 0, found {}", values[0]);
  return values[0] == 1 ? out.come(values[1], values[2], values[3]) : out.go(values[1], values[3]);
}

}  // namespace

std::uint32_t replay_recorder::stream_of(std::uint64_t stream) {
  const auto [at, fresh] = streams_.try_emplace(stream, out_.streams);
  if (fresh) ++out_.streams;
  return at->second;
}

complaint replay_recorder::come(std::uint64_t address, std::uint64_t bytes, std::uint64_t stream) {
  if (bytes == 0) return ++out_.empty_requests, complaint();
  if (bytes > largest_piece)
    return fmt::format("field '{}': {} is too large (at most {})", size_field, bytes, largest_piece);
  if (out_.events.size() >= most_events) return fmt::format("more than {} calls", most_events);
  if (!live_.try_emplace(address, out_.pieces).second)
    return fmt::format("field '{}': {:#x} comes twice without a free between", address_field, address);
  out_.events.push_back({bytes, out_.pieces++, stream_of(stream)});
  return {};
}

complaint replay_recorder::go(std::uint64_t address, std::uint64_t stream) {
  if (out_.events.size() >= most_events) return fmt::format("more than {} calls", most_events);
  const auto found = live_.find(address);
  if (found == live_.end()) return out_.unmatched_frees += address != 0 ? 1U : 0U, complaint();
  out_.events.push_back({0, found->second, stream_of(stream)});
  live_.erase(found);
  return {};
}

complaint read_replay(const std::string& path, replay_format format, std::size_t device, replay_trace& out) {
  replay_recorder calls(out);
  complaint bad;
  if (format == replay_format::memory_viz_json) {
    bad = read_snapshot(path, device, calls);
  } else if (format == replay_format::rmm_csv) {
    calls.address_field = "Pointer";
    calls.size_field = "Size";
    rmm_parser lines(calls, out);
    bad = read_lines(path, [&](std::string_view line) { return lines.line(line); },
                     [&] { return complaint(lines.saw_header() ? "" : "field 'Action': the file is empty"); });
  } else {
    calls.address_field = "ptr";
    bad = read_lines(path, [&](std::string_view line) { return stalloc_line(line, calls); }, [] { return complaint(); });
  }
  if (!bad.empty()) return bad;
  calls.finish();
  if (out.events.empty()) return fmt::format("{}: the file holds no allocation", path);
  return {};
}

replay_trace growing_scratch() {
  replay_trace made;
  made.streams = 1;
  for (std::uint32_t n = 0; n < 1000; ++n) {
    made.events.push_back({(std::uint64_t{100} << 20) + n * (std::uint64_t{64} << 10), n, 0});
    made.events.push_back({0, n, 0});
  }
  made.pieces = 1000;
  return made;
}

}  // namespace program
