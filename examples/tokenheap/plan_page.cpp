// The report of `tokenheap plan` as a page of its own.
#include "plan_page.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "plan_report.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;
namespace kv = tokenheap::kv;

// text that a page shows as it is, whatever a file name or a config holds
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

void words(std::string& out, const char* title, const std::vector<std::string>& all) {
  if (all.empty()) return;
  out += fmt::format("<h2>{}</h2>\n<ul class=\"words\">\n", title);
  for (const std::string& each : all) out += fmt::format("<li>{}</li>\n", escaped(each));
  out += "</ul>\n";
}

void tiles(std::string& out, const plan_report& r) {
  const plan::answer& a = r.found;
  const auto tile = [&](const std::string& name, const std::string& value, const std::string& more) {
    out += fmt::format("<div class=\"tile\"><dt>{}</dt><dd>{}<small>{}</small></dd></div>\n", name, value, more);
  };
  out += "<dl class=\"tiles\">\n";
  tile("users at once", grouped(a.max_sequences), fmt::format("of {} tokens each", grouped(a.tokens)));
  tile("longest context", grouped(a.max_tokens), fmt::format("tokens, with {} at once", grouped(r.options.asked.sequences)));
  tile("KV of a token", sized(a.kv_bytes_per_token),
       fmt::format("{} B, {} on each device", grouped(a.kv_bytes_per_token), grouped(a.kv_bytes_per_token_per_device)));
  tile("KV of a user", sized(a.kv_bytes_per_sequence + a.state_bytes_per_sequence),
       a.state_bytes_per_sequence == 0 ? escaped(a.kv_dtype)
                                       : fmt::format("{} of it states", sized(a.state_bytes_per_sequence)));
  tile("weights of a device", sized(a.weights_bytes_per_device),
       fmt::format("of {} in {}", sized(a.weights_bytes), escaped(a.weight_dtype)));
  tile("blocks of a device", grouped(a.blocks), fmt::format("{} tokens, {} each", a.block_tokens, sized(a.block_bytes)));
  out += "</dl>\n";
}

// what is beyond the budget ends the parts that are needed, so it is drawn over them
void bar(std::string& out, const plan::device_need& n) {
  const std::vector<memory_part> parts = parts_of(n);
  double whole = 0, needed = 0;
  for (const memory_part& p : parts) whole += static_cast<double>(p.bytes);
  needed = whole - static_cast<double>(n.unused);
  const auto wide = [&](double bytes) { return 1000 * bytes / std::max(whole, 1.0); };
  const auto rect = [&](const char* name, const char* text, double from, double bytes) {
    out += fmt::format("<rect class=\"{}\" x=\"{:.3f}\" y=\"0\" width=\"{:.3f}\" height=\"46\"><title>{}: {}</title></rect>\n",
                       name, wide(from), wide(bytes), text, sized(static_cast<std::uint64_t>(bytes)));
  };
  out += "<svg class=\"bar\" viewBox=\"0 0 1000 46\" preserveAspectRatio=\"none\" role=\"img\" "
         "aria-label=\"memory of a device\">\n";
  double from = 0;
  for (const memory_part& p : parts) {
    if (p.bytes != 0) rect(p.key, p.text, from, static_cast<double>(p.bytes));
    from += static_cast<double>(p.bytes);
  }
  if (n.missing != 0) rect("missing", "beyond the budget", needed - static_cast<double>(n.missing), static_cast<double>(n.missing));
  out += "</svg>\n";
}

void devices(std::string& out, const plan_report& r) {
  out += "<h2>Where the memory goes</h2>\n";
  for (const device_class& c : classes_of(r.found.devices, unseen_bytes)) {
    const plan::device_need& n = *c.need;
    out += fmt::format("<h3>{}</h3>\n", stages_words(c, r.found.devices.size()));
    bar(out, n);
    out += fmt::format("<div class=\"ends\"><span>0</span><span>{}</span></div>\n<ul class=\"legend\">\n",
                       n.missing == 0 ? sized(n.total) : sized(n.total) + " and " + sized(n.missing) + " more");
    const auto row = [&](const char* key, const char* text, std::size_t bytes) {
      out += fmt::format("<li><i class=\"{}\"></i>{}<b>{}</b><em>{:.1f} %</em></li>\n", key, text, sized(bytes),
                         100 * static_cast<double>(bytes) / static_cast<double>(n.total));
    };
    for (const memory_part& p : parts_of(n))
      if (p.bytes != 0) row(p.key, p.text, p.bytes);
    if (n.missing != 0) row("missing", "beyond the budget", n.missing);
    out += "</ul>\n";
  }
}

void groups(std::string& out, const plan_report& r) {
  out += "<h2>Layers of a device</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>group</th><th>layers</th>"
         "<th>B a token</th><th>B a block</th><th>blocks</th><th>a user</th></tr></thead>\n<tbody>\n";
  for (const plan::group_need& g : r.found.groups)
    out += fmt::format("<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", escaped(g.name),
                       g.layers, g.kind == kv::group_kind::state ? "-" : grouped(g.token_bytes), grouped(g.block_bytes),
                       grouped(g.blocks_per_sequence), sized(g.sequence_bytes));
  out += "</tbody></table></div>\n";
}

std::string cell(const what_if* w) {
  if (w == nullptr || !w->refused.empty())
    return fmt::format("<td class=\"none\" title=\"{}\">none</td>", w == nullptr ? "" : escaped(w->refused));
  const char* kind = w->fits ? "yes" : "no";
  return fmt::format("<td class=\"{}{}\"><b>{}</b> {}<small><span class=\"more\">{}<i> blocks, </i></span>{}</small></td>", kind,
                     w->asked ? " asked" : "", grouped(w->max_sequences), w->max_sequences == 1 ? "user" : "users",
                     grouped(w->blocks), w->fits ? "fits" : "does not fit");
}

// a line for each TP and weight format, a column for each KV format
void what_ifs(std::string& out, const plan_report& r) {
  if (r.table.empty()) return;
  std::vector<std::string> columns;
  std::vector<std::pair<std::size_t, std::string>> lines;
  for (const what_if& w : r.table) {
    if (std::find(columns.begin(), columns.end(), w.kv_dtype) == columns.end()) columns.push_back(w.kv_dtype);
    const std::pair<std::size_t, std::string> line{w.tensor, w.weight_dtype};
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  out += "<h2>What if</h2>\n<div class=\"scroll\"><table class=\"what-if\">\n<thead><tr><th>TP, weights</th>";
  for (const std::string& c : columns) out += fmt::format("<th>KV {}</th>", escaped(c));
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& [tensor, weights] : lines) {
    out += fmt::format("<tr><th>TP {}, {}</th>", tensor, escaped(weights));
    for (const std::string& c : columns) {
      const auto at = std::find_if(r.table.begin(), r.table.end(), [&, t = tensor, w = weights](const what_if& each) {
        return each.tensor == t && each.weight_dtype == w && each.kv_dtype == c;
      });
      out += cell(at == r.table.end() ? nullptr : &*at);
    }
    out += "</tr>\n";
  }
  out += fmt::format("</tbody></table></div>\n<p class=\"note\">Users of {} tokens at once, blocks of a device, and whether "
                     "what was asked fits. Framed: what was asked. Everything else stays as asked.</p>\n",
                     grouped(r.found.tokens));
  if (!r.cheapest.empty()) out += fmt::format("<p class=\"note\">{}</p>\n", escaped(r.cheapest));
}

void load(std::string& out, const plan_report& r) {
  if (r.load.empty()) return;
  out += "<h2>The load</h2>\n<div class=\"scroll\"><table><tbody>\n";
  for (const load_row& row : r.load) {
    const bool whole = row.value == std::floor(row.value) && row.value < 1e15;
    out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(row.text),
                       whole ? grouped(static_cast<std::uint64_t>(row.value)) : fmt::format("{:.3f}", row.value));
  }
  out += "</tbody></table></div>\n";
}

void engines(std::string& out, const plan_report& r) {
  const std::vector<engine_line> lines = engine_lines(r);
  if (lines.empty()) return;
  out += fmt::format("<h2>{}</h2>\n", r.found.fits ? "Start it" : "Start what does fit");
  for (const engine_line& e : lines)
    out += fmt::format("<h3>{}</h3>\n<pre>", escaped(e.engine)) + [&] {
      std::string text;
      for (std::size_t from = 0; from <= e.text.size();) {
        const std::size_t end = std::min(e.text.find('\n', from), e.text.size());
        text += escaped(std::string_view(e.text).substr(from, end - from)) + "\n";
        from = end + 1;
      }
      return text;
    }() + "</pre>\n";
}

}  // namespace

std::string plan_page(const plan_report& r) {
  const std::string name = escaped(short_name(r.of.name));
  std::string out = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  out += fmt::format("<title>{}: memory plan</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n", name, plan_style);
  out += fmt::format("<h1>{}</h1>\n<p class=\"machine\">{}, {:g} % of each for the engine; read from {}</p>\n", name,
                     escaped(machine_words(r.options)), 100 * r.options.asked.utilization, escaped(r.from));
  out += fmt::format("<p class=\"verdict {}\">{}</p>\n", r.found.fits ? "yes" : "no", escaped(verdict(r)));
  if (const std::string why = shortage_words(r); !why.empty())
    out += fmt::format("<p class=\"note\">{}</p>\n", escaped(why));
  tiles(out, r);
  words(out, "To make it fit", r.found.advice);
  devices(out, r);
  what_ifs(out, r);
  groups(out, r);
  load(out, r);
  engines(out, r);
  words(out, "How the numbers come about", explanation(r));
  words(out, "Assumed", assumptions(r));
  words(out, "Beware", warnings_of(r));
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace program
