// What the C interface writes of a plan: a table for people, and one JSON object.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <tokenheap/observe/report_text.hpp>
#include <tokenheap/plan/advice.hpp>
#include <tokenheap/plan/deployment.hpp>
#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A question to the planner and its answer.
struct c_planned {
  plan::model of{};
  plan::deployment asked{};
  plan::answer found{};
};

namespace detail {

inline void row(std::string& out, const char* name, const std::string& value) {
  char text[40];
  std::snprintf(text, sizeof text, "%-26s", name);
  out += text + value + "\n";
}
inline void row(std::string& out, const char* name, std::uint64_t value) { row(out, name, std::to_string(value)); }

inline void list(std::string& out, const char* title, const std::vector<std::string>& all) {
  if (all.empty()) return;
  out += std::string("\n") + title + "\n";
  for (const std::string& each : all) out += "  * " + each + "\n";
}

inline void device_rows(std::string& out, const plan::device_need& n) {
  out += "\ndevices of stage " + std::to_string(n.stage) + ", " + plan::in_gib(n.total) + " each\n";
  const struct {
    const char* name;
    std::size_t bytes;
  } parts[] = {{"  weights", n.weights},   {"  LoRA adapters", n.lora}, {"  activations", n.activations},
               {"  reserves", n.reserve}, {"  KV cache", n.kv},        {"  left unused", n.unused},
               {"  missing", n.missing}};
  for (const auto& p : parts)
    if (p.bytes != 0) row(out, p.name, plan::in_gib(p.bytes));
}

}  // namespace detail

/// The answer first, then numbers, each stage's device, and what to do.
[[nodiscard]] inline std::string c_plan_table(const c_planned& p) {
  const plan::answer& a = p.found;
  std::string out;
  detail::row(out, a.fits ? "fits" : "does not fit",
              std::to_string(p.asked.sequences) + " sequences of " + std::to_string(a.tokens) + " tokens");
  detail::row(out, "model", p.of.name + " (" + p.of.type + ")");
  detail::row(out, "parameters", p.of.parameters());
  detail::row(out, "formats", a.weight_dtype + " weights, " + a.kv_dtype + " KV");
  detail::row(out, "devices", a.devices_in_all);
  detail::row(out, "weights per device", plan::in_gib(a.weights_bytes_per_device));
  detail::row(out, "KV bytes per token", a.kv_bytes_per_token);
  detail::row(out, "KV per sequence", plan::in_gib(a.kv_bytes_per_sequence));
  if (a.state_bytes_per_sequence != 0) detail::row(out, "states per sequence", plan::in_gib(a.state_bytes_per_sequence));
  detail::row(out, "pool of each device", std::to_string(a.blocks) + " blocks of " + std::to_string(a.block_tokens) +
                                              " tokens, " + std::to_string(a.block_bytes) + " bytes");
  detail::row(out, "most sequences", a.max_sequences);
  detail::row(out, "longest context", a.max_tokens);
  for (const plan::device_need& n : a.devices) detail::device_rows(out, n);
  if (!a.shortage.empty()) out += "\n" + a.shortage + "\n";
  detail::list(out, "fits with one of", a.advice);
  detail::list(out, "warnings", a.warnings);
  return out;
}

namespace detail {

template <class Sink>
void put_texts(report_text<Sink>& to, const char* key, const std::vector<std::string>& all) {
  to.key(key).list(all, [&](const std::string& each) { to.string(each.c_str()); });
}

template <class Sink>
void put_figures(report_text<Sink>& to, const plan::answer& a) {
  const struct {
    const char* name;
    std::size_t value;
  } all[] = {{"devices_in_all", a.devices_in_all},
             {"tokens", a.tokens},
             {"kv_bytes_per_token", a.kv_bytes_per_token},
             {"kv_bytes_per_token_per_device", a.kv_bytes_per_token_per_device},
             {"kv_bytes_per_token_past_windows", a.kv_bytes_per_token_past_windows},
             {"kv_bytes_per_sequence", a.kv_bytes_per_sequence},
             {"kv_bytes_per_sequence_per_device", a.kv_bytes_per_sequence_per_device},
             {"kv_bytes_per_sequence_unwindowed", a.kv_bytes_per_sequence_unwindowed},
             {"state_bytes_per_sequence", a.state_bytes_per_sequence},
             {"weights_bytes", a.weights_bytes},
             {"weights_bytes_per_device", a.weights_bytes_per_device},
             {"blocks", a.blocks},
             {"block_tokens", a.block_tokens},
             {"block_bytes", a.block_bytes},
             {"max_tokens", a.max_tokens},
             {"max_sequences", a.max_sequences}};
  for (const auto& each : all) to.key(each.name).number(each.value);
  to.key("fits").raw(a.fits ? "true" : "false");
  to.key("waste_percent").number(a.waste_percent);
}

template <class Sink>
void put_groups(report_text<Sink>& to, const plan::answer& a) {
  constexpr const char* kinds[] = {"full", "window", "chunked", "cross", "state"};
  to.key("groups").list(a.groups, [&](const plan::group_need& g) {
    const auto kind = static_cast<std::size_t>(g.kind);
    to.raw("{").key("name", true).string(g.name.c_str()).key("kind").string(kind < 5 ? kinds[kind] : "unknown");
    to.key("layers").number(g.layers).key("block_bytes").number(g.block_bytes).key("token_bytes").number(g.token_bytes);
    to.key("blocks_per_sequence").number(g.blocks_per_sequence).key("peak_blocks").number(g.peak_blocks);
    to.key("sequence_bytes").number(g.sequence_bytes).raw("}");
  });
}

template <class Sink>
void put_devices(report_text<Sink>& to, const plan::answer& a) {
  to.key("devices").list(a.devices, [&](const plan::device_need& n) {
    to.raw("{").key("stage", true).number(n.stage).key("total").number(n.total).key("unused").number(n.unused);
    to.key("weights").number(n.weights).key("lora").number(n.lora).key("activations").number(n.activations);
    to.key("reserve").number(n.reserve).key("kv").number(n.kv).key("kv_slack").number(n.kv_slack);
    to.key("missing").number(n.missing).raw("}");
  });
}

}  // namespace detail

/// Everything that the planner found, as one object.
[[nodiscard]] inline std::string c_plan_json(const c_planned& p) {
  std::string out;
  const auto sink = [&](std::string_view text) { out += text; };
  {
    report_text<const decltype(sink)> to(sink);
    to.raw("{").key("model", true).string(p.of.name.c_str()).key("model_type").string(p.of.type.c_str());
    to.key("parameters").number(std::size_t{p.of.parameters()});
    to.key("weight_dtype").string(p.found.weight_dtype.c_str()).key("kv_dtype").string(p.found.kv_dtype.c_str());
    to.key("sequences").number(p.asked.sequences);
    detail::put_figures(to, p.found);
    detail::put_groups(to, p.found);
    detail::put_devices(to, p.found);
    to.key("shortage").string(p.found.shortage.c_str());
    detail::put_texts(to, "advice", p.found.advice);
    detail::put_texts(to, "warnings", p.found.warnings);
    to.raw("}\n").flush();
  }
  return out;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
