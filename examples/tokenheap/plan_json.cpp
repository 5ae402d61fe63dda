// The report of `tokenheap plan` as one JSON object.
#include <iterator>

#include <nlohmann/json.hpp>

#include "plan_report.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;
using json = nlohmann::ordered_json;

const char* kind_name(tokenheap::kv::group_kind kind) {
  constexpr const char* names[] = {"full", "window", "chunked", "cross", "state"};
  const auto at = static_cast<std::size_t>(kind);
  return at < std::size(names) ? names[at] : "unknown";
}

json asked_json(const plan_options& o) {
  const plan::deployment& d = o.asked;
  return {{"gpu_memory", d.device_bytes},
          {"utilization", d.utilization},
          {"tp", d.tensor},
          {"pp", d.pipeline},
          {"ep", d.expert},
          {"dp", d.data},
          {"sequences", d.sequences},
          {"prefill_tokens", d.prefill_tokens},
          {"lora", d.lora_adapters},
          {"lora_rank", d.lora_rank},
          {"pruned_2_4", d.pruned_2_4},
          {"reserve_graphs", d.graph_bytes},
          {"reserve_communication", d.communication_bytes},
          {"reserve_driver", d.context_bytes}};
}

void figures(json& out, const plan::answer& a) {
  out["kv_bytes_per_token"] = a.kv_bytes_per_token;
  out["kv_bytes_per_token_per_device"] = a.kv_bytes_per_token_per_device;
  out["kv_bytes_per_token_past_windows"] = a.kv_bytes_per_token_past_windows;
  out["kv_bytes_per_sequence"] = a.kv_bytes_per_sequence;
  out["kv_bytes_per_sequence_per_device"] = a.kv_bytes_per_sequence_per_device;
  out["kv_bytes_per_sequence_unwindowed"] = a.kv_bytes_per_sequence_unwindowed;
  out["state_bytes_per_sequence"] = a.state_bytes_per_sequence;
  out["weights_bytes"] = a.weights_bytes;
  out["weights_bytes_per_device"] = a.weights_bytes_per_device;
  out["blocks"] = a.blocks;
  out["block_tokens"] = a.block_tokens;
  out["block_bytes"] = a.block_bytes;
  out["max_tokens"] = a.max_tokens;
  out["max_sequences"] = a.max_sequences;
  out["fits"] = a.fits;
  out["waste_percent"] = a.waste_percent;
}

json groups_json(const plan::answer& a) {
  json all = json::array();
  for (const plan::group_need& g : a.groups)
    all.push_back({{"name", g.name},
                   {"kind", kind_name(g.kind)},
                   {"layers", g.layers},
                   {"block_bytes", g.block_bytes},
                   {"token_bytes", g.token_bytes},
                   {"blocks_per_sequence", g.blocks_per_sequence},
                   {"peak_blocks", g.peak_blocks},
                   {"sequence_bytes", g.sequence_bytes}});
  return all;
}

json devices_json(const plan::answer& a) {
  json all = json::array();
  for (const plan::device_need& n : a.devices)
    all.push_back({{"stage", n.stage},
                   {"total", n.total},
                   {"unused", n.unused},
                   {"weights", n.weights},
                   {"lora", n.lora},
                   {"activations", n.activations},
                   {"reserve", n.reserve},
                   {"kv", n.kv},
                   {"kv_slack", n.kv_slack},
                   {"missing", n.missing}});
  return all;
}

json table_json(const plan_report& r) {
  json all = json::array();
  for (const what_if& w : r.table) {
    json row{{"tp", w.tensor}, {"kv_dtype", w.kv_dtype}, {"weight_dtype", w.weight_dtype}};
    if (!w.refused.empty()) {
      row["refused"] = w.refused;
    } else {
      row["blocks"] = w.blocks;
      row["max_tokens"] = w.max_tokens;
      row["max_sequences"] = w.max_sequences;
      row["weights_bytes_per_device"] = w.weights_bytes_per_device;
      row["fits"] = w.fits;
    }
    all.push_back(row);
  }
  return all;
}

}  // namespace

std::string plan_json(const plan_report& r) {
  const plan::answer& a = r.found;
  json out{{"model", short_name(r.of.name)}, {"model_type", r.of.type}, {"read_from", r.from}, {"parameters", r.of.parameters()}};
  out["devices_in_all"] = a.devices_in_all;
  out["weight_dtype"] = a.weight_dtype;
  out["kv_dtype"] = a.kv_dtype;
  out["tokens"] = a.tokens;
  out.update(asked_json(r.options));
  figures(out, a);
  out["groups"] = groups_json(a);
  out["devices"] = devices_json(a);
  out["summary"] = verdict(r);
  out["shortage"] = a.shortage;
  out["advice"] = a.advice;
  out["warnings"] = a.warnings;
  out["assumptions"] = assumptions(r);
  if (r.options.explain) out["explanation"] = explanation(r);
  if (r.options.search) {
    out["what_if"] = table_json(r);
    out["cheapest"] = r.cheapest;
  }
  if (!r.load.empty()) {
    json load;
    for (const load_row& row : r.load) load[row.key] = row.value;
    out["load"] = load;
  }
  json engines = json::object();
  for (const engine_line& e : engine_lines(r)) engines[e.engine] = e.text;
  out["engines"] = engines;
  // names out of a file may be no UTF-8
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace program
