#include "trace.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include <fmt/format.h>

namespace program {
namespace {

// no request of either format comes near this; without a limit a device file would fill the memory
constexpr std::size_t longest_line = std::size_t{64} << 20;

// lines of a file, without their ends; a last line needs no end
class line_reader {
 public:
  explicit line_reader(std::FILE* from) : from_(from), buffer_(std::size_t{1} << 18, '\0') {}

  enum class outcome { line, end, too_long, failed };

  outcome next(std::string_view& line) {
    long_line_.clear();
    ++number_;
    for (;;) {
      const char* start = buffer_.data() + at_;
      const auto* newline = static_cast<const char*>(std::memchr(start, '\n', filled_ - at_));
      if (newline != nullptr) {
        const auto length = static_cast<std::size_t>(newline - start);
        at_ += length + 1;
        line = joined({start, length});
        return outcome::line;
      }
      if (long_line_.size() + (filled_ - at_) > longest_line) return outcome::too_long;
      long_line_.append(start, filled_ - at_);
      at_ = 0;
      filled_ = std::fread(buffer_.data(), 1, buffer_.size(), from_);
      if (filled_ != 0) continue;
      if (std::ferror(from_) != 0) return outcome::failed;
      if (long_line_.empty()) return outcome::end;
      line = joined({});
      return outcome::line;
    }
  }

  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  std::string_view joined(std::string_view rest) {
    if (!long_line_.empty()) {
      long_line_.append(rest);
      rest = long_line_;
    }
    if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);
    if (number_ == 1 && rest.substr(0, 3) == "\xEF\xBB\xBF") rest.remove_prefix(3);
    return rest;
  }

  std::FILE* from_;
  std::string buffer_;
  std::string long_line_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::uint64_t number_ = 0;
};

bool blank(std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; }

}  // namespace

complaint open_trace(const std::string& path, file_handle& out) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return fmt::format("{}: cannot be read: {}", path, std::strerror(errno));
  if (S_ISDIR(about.st_mode)) return fmt::format("{}: is a directory; a trace is one file", path);
  if (!S_ISREG(about.st_mode) && !S_ISFIFO(about.st_mode)) return fmt::format("{}: is neither a file nor a pipe", path);
  out.reset(std::fopen(path.c_str(), "rb"));
  if (out == nullptr) return fmt::format("{}: cannot be opened: {}", path, std::strerror(errno));
  return {};
}

complaint read_lines(const std::string& path, const line_sink& take, const end_sink& at_end) {
  file_handle opened;
  if (complaint bad = open_trace(path, opened); !bad.empty()) return bad;
  line_reader lines(opened.get());
  for (;;) {
    std::string_view line;
    complaint bad;
    switch (lines.next(line)) {
      case line_reader::outcome::line:
        if (!blank(line)) bad = take(line);
        break;
      case line_reader::outcome::end:
        bad = at_end();
        return bad.empty() ? bad : fmt::format("{}: line {}: {}", path, lines.number(), bad);
      case line_reader::outcome::too_long:
        return fmt::format("{}: line {}: longer than {} bytes", path, lines.number(), longest_line);
      case line_reader::outcome::failed:
        return fmt::format("{}: line {}: reading failed: {}", path, lines.number(), std::strerror(errno));
    }
    if (!bad.empty()) return fmt::format("{}: line {}: {}", path, lines.number(), bad);
  }
}

complaint read_trace(const std::string& path, trace_format format, const trace_sink& sink) {
  azure_parser azure;
  bool wants_header = format == trace_format::azure;
  std::uint64_t requests = 0;
  const auto take = [&](std::string_view line) -> complaint {
    if (wants_header) {
      wants_header = false;
      return azure.header(line);
    }
    trace_request request;
    if (complaint bad = format == trace_format::azure ? azure.row(line, request) : parse_mooncake_line(line, request);
        !bad.empty()) {
      return bad;
    }
    ++requests;
    return sink(std::move(request));
  };
  return read_lines(path, take, [&]() -> complaint {
    if (wants_header) return "field 'TIMESTAMP': the file is empty";
    return requests == 0 ? "the file holds no request" : "";
  });
}

}  // namespace program
