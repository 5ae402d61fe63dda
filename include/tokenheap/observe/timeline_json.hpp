// A timeline as the trace events that Perfetto and chrome://tracing open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tokenheap/core/text.hpp>
#include <tokenheap/observe/report_text.hpp>
#include <tokenheap/observe/timeline.hpp>

namespace tokenheap {
inline namespace v0 {

namespace detail {

template <class Sink>
class timeline_text {
 public:
  timeline_text(const timeline& of, Sink& to) noexcept : of_(of), to_(to) {}

  void all() {
    to_.raw(R"({"displayTimeUnit":"ms","otherData":{"lost":)").number(std::size_t{of_.lost()});
    to_.raw(R"(},"traceEvents":[{"name":"process_name","ph":"M","pid":1,"args":{"name":)").string(of_.options().name);
    to_.raw("}}");
    of_.for_each([this](const timeline_event& e) { event(e); });
    to_.raw("]}\n");
  }

 private:
  void event(const timeline_event& e) {
    switch (e.is) {
      case timeline_event::kind::counter:
        // one track for each pair: a viewer takes all series of a counter from its first event
        text_buffer(both_, sizeof both_) << of_.text(e.pool) << ": " << of_.text(e.owner);
        to_.raw(R"(,{"name":)").string(both_);
        head('C', e.begin, e.pool);
        to_.raw(R"(,"args":{"value":)").number(std::size_t{e.value}).raw("}}");
        break;
      case timeline_event::kind::slice:
        ++slices_;
        end(e, 'b', e.begin);
        to_.raw(R"(,"args":{"bytes":)").number(std::size_t{e.value});
        to_.raw(R"(,"address":)").number(std::size_t{e.address}).raw("}}");
        if (e.end == 0) break;
        end(e, 'e', e.end);
        to_.raw("}");
        break;
      case timeline_event::kind::mark:
        to_.raw(R"(,{"name":")").raw(to_text(e.mark)).raw("\"");
        head('i', e.begin, e.pool);
        to_.raw(R"(,"s":"p","args":{"owner":)").string(of_.text(e.owner));
        to_.raw(R"(,"value":)").number(std::size_t{e.value}).raw("}}");
        break;
    }
  }
  void end(const timeline_event& e, char phase, std::uint64_t ns) {
    to_.raw(R"(,{"name":)").string(of_.text(e.owner));
    head(phase, ns, e.pool);
    to_.raw(R"(,"id":)").number(slices_);
  }
  void head(char phase, std::uint64_t ns, timeline_name pool) {
    to_.raw(R"(,"cat":)").string(of_.text(pool)).raw(R"(,"ph":")").raw({&phase, 1});
    to_.raw(R"(","pid":1,"tid":1,"ts":)").number(std::size_t{ns / 1000});
    const auto rest = static_cast<unsigned>(ns % 1000);
    const char digits[] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                           static_cast<char>('0' + rest % 10)};
    to_.raw({digits, sizeof digits});
  }

  const timeline& of_;
  report_text<Sink> to_;
  std::size_t slices_ = 0;
  char both_[160];
};

}  // namespace detail

/// Writes a timeline as JSON into a sink that is called with text, a few kilobytes at a time.
///
/// Counters (`C`) are named after pool and owner; slices (`b`, `e`) after the owner, with the pool as the category, and
/// have an id each; marks (`i`) after what happened. A slice that is still out has no end.
///
/// Requires  a sink that is callable with `std::string_view`
/// Cost      about 120 bytes an event
template <class Sink>
void write_timeline_json(const timeline& of, Sink&& to) {
  detail::timeline_text<std::remove_reference_t<Sink>>(of, to).all();
}

}  // namespace v0
}  // namespace tokenheap
