// A page that shows where memory went: pictures over time, maps, latencies, owners, refusals, in one file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <tokenheap/observe/report_map.hpp>
#include <tokenheap/observe/report_page.hpp>
#include <tokenheap/observe/report_parts.hpp>
#include <tokenheap/observe/report_script.hpp>
#include <tokenheap/observe/report_series.hpp>
#include <tokenheap/observe/report_text.hpp>

namespace tokenheap {
inline namespace v0 {

/// A number that stands at the top of the page.
struct report_figure {
  const char* name = "";
  const char* value = "";
  const char* note = "";
};

/// How long calls took, or how large requests were: `edges` are the limits of the bins, one more than there are counts.
struct report_histogram {
  const char* name = "";
  report_unit unit = report_unit::nanoseconds;
  std::span<const double> edges = {};  ///< ascending, above 0
  std::span<const std::uint64_t> counts = {};
  double p50 = 0;
  double p99 = 0;
  double most = 0;
};

/// Who holds memory, in bytes.
struct report_owner {
  const char* name = "";
  report_tone tone = report_tone::blue;
  double current = 0;
  double peak = 0;
};

/// Something that happened once, to somebody.
struct report_event {
  double seconds = 0;
  const char* who = "";
  const char* detail = "";
};

/// All that was refused or taken away for one reason.
struct report_reason {
  const char* kind = "";    ///< such as "preempted"
  const char* reason = "";
  const char* fix = "";     ///< what would prevent it
  std::span<const report_event> events = {};
};

/// A file that belongs to the page, beside it.
struct report_file {
  const char* name = "";
  const char* what = "";
};

/// All that a page shows. Texts are UTF-8 and may be anybody's: the page escapes them. What is empty is left out.
struct memory_report {
  const char* title = "tokenheap";
  const char* summary = "";  ///< one sentence with the numbers that matter
  std::span<const report_figure> figures = {};
  std::span<const report_series> series = {};
  std::span<const report_map> maps = {};
  const char* histograms_title = "Latency";
  std::span<const report_histogram> histograms = {};
  std::span<const report_owner> owners = {};  ///< the largest are shown
  const char* reasons_title = "Refusals and preemptions";
  std::span<const report_reason> reasons = {};
  std::span<const report_file> files = {};
};

/// How much a page holds at most, so that it opens at once whatever was measured.
struct report_limits {
  std::size_t rows = 2000;    ///< points of each series
  std::size_t cells = 2000;   ///< of each map
  std::size_t lanes = 64;     ///< of each map; the first ones
  std::size_t owners = 24;
  std::size_t events = 400;   ///< of each reason
};

namespace detail {

template <class Sink>
void put_series(report_text<Sink>& to, const report_series& s, const report_limits& limits) {
  const auto lines = s.lines.first(std::min(s.lines.size(), most_report_lines));
  to.raw("{").key("title", true).string(s.title).key("note").string(s.note);
  to.key("unit").number(static_cast<std::size_t>(s.unit)).key("stacked").raw(s.stacked ? "true" : "false");
  to.key("limit").number(s.limit).key("limitName").string(s.limit_name).key("rows").number(s.times.size());
  const auto column = [&](std::span<const double> values) {
    to.raw("[");
    bool first = true;
    thin_rows(s.times.size(), lines, limits.rows, [&](std::size_t row) {
      if (!first) to.raw(",");
      first = false;
      to.number(values[row]);
    });
    to.raw("]");
  };
  to.key("t");
  column(s.times);
  to.key("lines").list(lines, [&](const report_line& line) {
    to.raw("{").key("name", true).string(line.name).key("tone").number(static_cast<std::size_t>(line.tone)).key("v");
    column(line.values);
    to.raw("}");
  });
  to.raw("}");
}

template <class Sink>
void put_map(report_text<Sink>& to, const report_map& map, const report_limits& limits) {
  to.raw("{").key("name", true).string(map.name).key("note").string(map.note);
  to.key("blocks").raw(map.blocks ? "true" : "false").key("pieces").number(map.pieces.size());
  const auto states = map.states.first(std::min(map.states.size(), most_report_states));
  to.key("states").list(states, [&](const report_state& s) {
    to.raw("{").key("name", true).string(s.name).key("tone").number(static_cast<std::size_t>(s.tone)).raw("}");
  });
  // lane, begin, size, pieces, share that is filled, label, and the sizes by state
  to.key("cells").raw("[");
  const auto beyond = std::find_if(map.pieces.begin(), map.pieces.end(),
                                   [&](const report_piece& p) { return p.lane >= limits.lanes; });
  const auto shown = map.pieces.first(static_cast<std::size_t>(beyond - map.pieces.begin()));
  bool first = true;
  merge_pieces(shown, limits.cells, [&](const report_cell& c) {
    if (!first) to.raw(",");
    first = false;
    to.raw("[").number(std::size_t{c.first.lane}).raw(",").number(c.first.begin).raw(",").number(c.first.size).raw(",");
    to.number(c.pieces).raw(",").number(c.first.size == 0 ? 0 : c.filled / static_cast<double>(c.first.size)).raw(",");
    to.string(c.pieces == 1 ? c.first.label : "");
    for (std::size_t k = 0; k != states.size(); ++k) to.raw(",").number(c.of[k]);
    to.raw("]");
  });
  to.raw("]}");
}

template <class Sink>
void put_histogram(report_text<Sink>& to, const report_histogram& h) {
  to.raw("{").key("name", true).string(h.name).key("unit").number(static_cast<std::size_t>(h.unit));
  to.key("p50").number(h.p50).key("p99").number(h.p99).key("max").number(h.most);
  to.key("edges").list(h.edges, [&](double edge) { to.number(edge); });
  to.key("counts").list(h.counts, [&](std::uint64_t count) { to.number(std::size_t{count}); }).raw("}");
}

template <class Sink>
void put_owners(report_text<Sink>& to, std::span<const report_owner> owners, const report_limits& limits) {
  // the largest, found one after the other; equal ones in their order
  to.key("owners").raw("[");
  const report_owner* last = nullptr;
  for (std::size_t shown = 0; shown != std::min(owners.size(), limits.owners); ++shown) {
    const report_owner* next = nullptr;
    for (const report_owner& o : owners) {
      const bool behind = last == nullptr || o.peak < last->peak || (o.peak == last->peak && &o > last);
      if (behind && (next == nullptr || o.peak > next->peak)) next = &o;
    }
    if (next == nullptr) break;
    last = next;
    to.raw(shown == 0 ? "{" : ",{").key("name", true).string(last->name).key("tone");
    to.number(static_cast<std::size_t>(last->tone)).key("now").number(last->current).key("peak").number(last->peak).raw("}");
  }
  to.raw("]").key("allOwners").number(owners.size());
}

template <class Sink>
void put_reason(report_text<Sink>& to, const report_reason& r, const report_limits& limits) {
  to.raw("{").key("kind", true).string(r.kind).key("reason").string(r.reason).key("fix").string(r.fix);
  to.key("count").number(r.events.size()).key("events").raw("[");
  const std::size_t shown = std::min(r.events.size(), limits.events);
  for (std::size_t k = 0; k != shown; ++k) {
    // spread evenly, the first and the last among them
    const std::size_t at = shown < 2 ? 0 : k * (r.events.size() - 1) / (shown - 1);
    const report_event& e = r.events[at];
    to.raw(k == 0 ? "[" : ",[").number(e.seconds).raw(",").string(e.who).raw(",").string(e.detail).raw("]");
  }
  to.raw("]}");
}

template <class Sink>
void put_report(report_text<Sink>& to, const memory_report& r, const report_limits& limits) {
  to.raw("{").key("figures", true).list(r.figures, [&](const report_figure& f) {
    to.raw("{").key("name", true).string(f.name).key("value").string(f.value).key("note").string(f.note).raw("}");
  });
  to.key("series").list(r.series, [&](const report_series& s) { put_series(to, s, limits); });
  to.key("maps").list(r.maps, [&](const report_map& m) { put_map(to, m, limits); });
  to.key("histogramsTitle").string(r.histograms_title);
  to.key("histograms").list(r.histograms, [&](const report_histogram& h) { put_histogram(to, h); });
  put_owners(to, r.owners, limits);
  to.key("reasonsTitle").string(r.reasons_title);
  to.key("reasons").list(r.reasons, [&](const report_reason& why) { put_reason(to, why, limits); });
  to.key("files").list(r.files, [&](const report_file& f) {
    to.raw("{").key("name", true).string(f.name).key("what").string(f.what).raw("}");
  });
  to.raw("}");
}

}  // namespace detail

/// Writes one self-contained page of HTML: it asks for nothing over the network, and opens from a file.
///
/// `sink` is called with pieces of text, in order. Light or dark as the reader's system is; for screens from 360 pixels
/// on; values show under the pointer, under a finger, and with the arrow keys.
/// Requires  series whose lines have a value for each time
/// Cost      one pass over the numbers for each line of a series; what is written is bounded by `limits`
/// Example   examples/report.cpp
template <class Sink>
void write_report(const memory_report& r, Sink&& sink, const report_limits& limits = {}) {
  report_text to(sink);
  to.raw(detail::report_head).html(r.title).raw("</title>\n<style>").raw(detail::report_style).raw("</style>\n");
  to.raw("</head>\n<body>\n<main>\n<h1>").html(r.title).raw("</h1>\n<p id=\"summary\">").html(r.summary);
  to.raw("</p>\n<noscript><p>The pictures need JavaScript; nothing is loaded from anywhere.</p></noscript>\n");
  to.raw("<div id=\"page\"></div>\n</main>\n<script type=\"application/json\" id=\"numbers\">");
  detail::put_report(to, r, limits);
  to.raw("</script>\n<script>\n'use strict';\n").raw(detail::report_tools).raw(detail::report_charts);
  to.raw(detail::report_parts).raw("</script>\n</body>\n</html>\n");
}

}  // namespace v0
}  // namespace tokenheap
