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

struct file_closer {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using file = std::unique_ptr<std::FILE, file_closer>;

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

complaint open_trace(const std::string& path, file& out) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return fmt::format("{}: cannot be read: {}", path, std::strerror(errno));
  if (S_ISDIR(about.st_mode)) return fmt::format("{}: is a directory; a trace is one file", path);
  if (!S_ISREG(about.st_mode) && !S_ISFIFO(about.st_mode)) return fmt::format("{}: is neither a file nor a pipe", path);
  out.reset(std::fopen(path.c_str(), "rb"));
  if (out == nullptr) return fmt::format("{}: cannot be opened: {}", path, std::strerror(errno));
  return {};
}

bool blank(std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; }

}  // namespace

complaint read_trace(const std::string& path, trace_format format, const trace_sink& sink) {
  file opened;
  if (complaint bad = open_trace(path, opened); !bad.empty()) return bad;
  line_reader lines(opened.get());
  azure_parser azure;
  bool wants_header = format == trace_format::azure;
  std::uint64_t requests = 0;
  for (;;) {
    std::string_view line;
    switch (lines.next(line)) {
      case line_reader::outcome::line:
        break;
      case line_reader::outcome::end:
        if (wants_header) return fmt::format("{}: line 1: field 'TIMESTAMP': the file is empty", path);
        if (requests == 0) return fmt::format("{}: line {}: the file holds no request", path, lines.number());
        return {};
      case line_reader::outcome::too_long:
        return fmt::format("{}: line {}: longer than {} bytes", path, lines.number(), longest_line);
      case line_reader::outcome::failed:
        return fmt::format("{}: line {}: reading failed: {}", path, lines.number(), std::strerror(errno));
    }
    if (blank(line)) continue;
    trace_request request;
    complaint bad;
    if (wants_header) {
      bad = azure.header(line);
    } else {
      bad = format == trace_format::azure ? azure.row(line, request) : parse_mooncake_line(line, request);
    }
    if (!bad.empty()) return fmt::format("{}: line {}: {}", path, lines.number(), bad);
    if (!wants_header) {
      if (bad = sink(std::move(request)); !bad.empty())
        return fmt::format("{}: line {}: {}", path, lines.number(), bad);
      ++requests;
    }
    wants_header = false;
  }
}

}  // namespace program
