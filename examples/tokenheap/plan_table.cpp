// The report of `tokenheap plan` for a terminal: the answer first, then bars and numbers, then what to do.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "plan_report.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;
namespace kv = tokenheap::kv;

double gib(std::uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(tokenheap::GiB); }

// lines of at most `width` characters; those after the first begin with `indent` blanks
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent, std::string line = {}) {
  std::string out;
  bool empty = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!empty && line.size() + 1 + word.size() > width) {
      out += line + "\n";
      line.assign(indent, ' ');
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  return out + line + "\n";
}

void list(std::string& out, const char* title, const std::vector<std::string>& all, std::size_t width) {
  if (all.empty()) return;
  out += fmt::format("\n{}\n", title);
  for (const std::string& each : all) out += wrapped(printable(each), width, 4, "  * ");
}

// each part at least one cell, all of them together `cells`
std::string bar(const plan::device_need& n, std::size_t cells) {
  const std::vector<memory_part> parts = parts_of(n);
  double whole = 0;
  for (const memory_part& p : parts) whole += static_cast<double>(p.bytes);
  std::string text;
  double sum = 0;
  for (const memory_part& p : parts) {
    sum += static_cast<double>(p.bytes);
    const auto end = static_cast<std::size_t>(std::lround(static_cast<double>(cells) * sum / std::max(whole, 1.0)));
    const std::size_t least = p.bytes == 0 ? text.size() : text.size() + 1;
    text.resize(std::min(std::max(end, least), cells), p.letter);
  }
  text.resize(cells, ' ');
  if (n.missing == 0) return "[" + text + "]";
  // what is beyond the budget ends the parts that are needed
  const std::size_t needed = std::min(text.find_last_not_of(". ") + 1, cells);
  const auto over = static_cast<std::size_t>(std::ceil(static_cast<double>(cells) * static_cast<double>(n.missing) / whole));
  const std::size_t marked = std::min(std::max<std::size_t>(over, 1), needed);
  return "[" + text.replace(needed - marked, marked, marked, '!') + "]";
}

void devices(std::string& out, const plan_report& r, std::size_t width) {
  for (const device_class& c : classes_of(r.found.devices, unseen_bytes)) {
    const plan::device_need& n = *c.need;
    out += fmt::format("\n{}, {}\n{}\n", stages_words(c, r.found.devices.size()), sized(n.total), bar(n, width - 2));
    for (const memory_part& p : parts_of(n)) {
      if (p.bytes == 0) continue;
      const double share = 100 * static_cast<double>(p.bytes) / static_cast<double>(n.total);
      out += fmt::format("  {} {:<24}{:>10.2f} GiB{:>8.1f} %\n", p.letter, p.text, gib(p.bytes), share);
    }
    if (n.missing != 0)
      out += fmt::format("  ! {:<24}{:>10.2f} GiB{:>8.1f} %\n", "beyond the budget", gib(n.missing),
                         100 * static_cast<double>(n.missing) / static_cast<double>(n.total));
  }
}

void figures(std::string& out, const plan_report& r) {
  const plan::answer& a = r.found;
  const auto row = [&](const std::string& name, const std::string& value) {
    out += fmt::format("{:<44}{:>24}\n", name, value);
  };
  out += fmt::format("\nread from {}\n", printable(r.from));
  row(fmt::format("weights, {}", a.weight_dtype), sized(a.weights_bytes));
  row("  of it on the fullest device", sized(a.weights_bytes_per_device));
  row(fmt::format("KV of a token, {}, all devices of a copy", a.kv_dtype), grouped(a.kv_bytes_per_token) + " B");
  row("  on the fullest device", grouped(a.kv_bytes_per_token_per_device) + " B");
  if (a.kv_bytes_per_token_past_windows != a.kv_bytes_per_token)
    row("  of it kept behind all windows", grouped(a.kv_bytes_per_token_past_windows) + " B");
  row(fmt::format("KV of a sequence of {} tokens", grouped(a.tokens)), sized(a.kv_bytes_per_sequence));
  if (a.kv_bytes_per_sequence_unwindowed != a.kv_bytes_per_sequence)
    row("  were nothing behind windows let go", sized(a.kv_bytes_per_sequence_unwindowed));
  row("  empty slots, expected", fmt::format("{:.2f} %", a.waste_percent));
  if (a.state_bytes_per_sequence != 0) row("states of a sequence", sized(a.state_bytes_per_sequence));
  row(fmt::format("blocks of {} tokens, each device", a.block_tokens), grouped(a.blocks));
  row("  bytes of one, fullest device", grouped(a.block_bytes));
}

void groups(std::string& out, const plan_report& r) {
  if (r.found.groups.size() < 2) return;
  out += fmt::format("\n{:<20}{:>8}{:>13}{:>13}{:>11}{:>13}\n", "layers of a device", "layers", "B a token", "B a block",
                     "blocks", "a sequence");
  for (const plan::group_need& g : r.found.groups)
    out += fmt::format("  {:<18}{:>8}{:>13}{:>13}{:>11}{:>13}\n", printable(g.name).substr(0, 17), g.layers,
                       g.kind == kv::group_kind::state ? "-" : grouped(g.token_bytes), grouped(g.block_bytes),
                       grouped(g.blocks_per_sequence), sized(g.sequence_bytes));
}

void what_ifs(std::string& out, const plan_report& r) {
  if (r.table.empty()) return;
  out += fmt::format("\n{:>5}  {:<15}{:<9}{:>12}{:>11}{:>13}   {}\n", "TP", "KV", "weights", "blocks", "users",
                     "context", "fits");
  for (const what_if& w : r.table) {
    if (!w.refused.empty()) continue;
    out += fmt::format("{}{:>4}  {:<15}{:<9}{:>12}{:>11}{:>13}   {}\n", w.asked ? '>' : ' ', w.tensor, w.kv_dtype,
                       w.weight_dtype, grouped(w.blocks), grouped(w.max_sequences), grouped(w.max_tokens),
                       w.fits ? "yes" : "no");
  }
}

void load(std::string& out, const plan_report& r) {
  if (r.load.empty()) return;
  out += "\nthe load\n";
  for (const load_row& row : r.load) {
    const bool whole = row.value == std::floor(row.value) && row.value < 1e15;
    out += fmt::format("  {:<42}{:>24}\n", row.text,
                       whole ? grouped(static_cast<std::uint64_t>(row.value)) : fmt::format("{:.3f}", row.value));
  }
}

}  // namespace

std::string plan_table(const plan_report& r, std::size_t width) {
  std::string out = wrapped(verdict(r), width, 0);
  if (const std::string why = shortage_words(r); !why.empty()) out += wrapped(why, width, 0);
  if (!r.cheapest.empty()) out += wrapped(r.cheapest, width, 0);
  list(out, "to make it fit", r.found.advice, width);
  devices(out, r, width);
  figures(out, r);
  groups(out, r);
  what_ifs(out, r);
  load(out, r);
  if (r.options.explain) list(out, "how the numbers come about", explanation(r), width);
  list(out, "assumed", assumptions(r), width);
  list(out, "beware", warnings_of(r), width);
  const bool reduced = !r.found.fits;
  for (const engine_line& e : engine_lines(r))
    out += fmt::format("\n{}{}\n{}\n", e.engine, reduced ? ", for what does fit" : "", e.text);
  return out;
}

}  // namespace program
