// The functions of c_plan.h. Define TOKENHEAP_C_PLAN as 1 where nlohmann-json is, for plans; it reads the files of models.
#pragma once

#include <tokenheap/adapt/c_handles.hpp>
#include <tokenheap/adapt/c_plan.h>

#ifndef TOKENHEAP_C_PLAN
#define TOKENHEAP_C_PLAN 0
#endif
#if TOKENHEAP_C_PLAN
#include <string>
#include <utility>

#include <tokenheap/plan/model_path.hpp>

#include <tokenheap/adapt/c_plan_text.hpp>
#include <tokenheap/adapt/c_sources.hpp>
#include <tokenheap/plan/make_plan.hpp>
#endif

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A plan for C.
///
/// Threads   safe: nothing changes it
class c_plan : public c_object {
 public:
  static constexpr c_kind kind = c_kind::plan;
  static constexpr const char* what = "a plan";
#if TOKENHEAP_C_PLAN
  c_planned all;
#endif
};

#if TOKENHEAP_C_PLAN

[[nodiscard]] inline plan::deployment c_deployment_of(const th_plan_options& with) {
  plan::deployment d;
  const auto take = [](std::size_t& to, std::uint64_t given) {
    if (given != 0) to = given;
  };
  d.device_bytes = with.device_bytes;
  if (with.utilization != 0) d.utilization = with.utilization;
  take(d.tensor, with.tensor), take(d.pipeline, with.pipeline), take(d.expert, with.expert), take(d.data, with.data);
  if (with.weight_dtype != nullptr) d.weight_dtype = with.weight_dtype;
  if (with.kv_dtype != nullptr) d.kv_dtype = with.kv_dtype;
  take(d.block_tokens, with.block_tokens), take(d.tokens, with.tokens), take(d.sequences, with.sequences);
  take(d.prefill_tokens, with.prefill_tokens);
  if (with.exact_reserves != 0) d.graph_bytes = d.communication_bytes = d.context_bytes = 0;
  take(d.graph_bytes, with.graph_bytes), take(d.communication_bytes, with.communication_bytes);
  take(d.context_bytes, with.context_bytes);
  d.lora_adapters = with.lora_adapters;
  take(d.lora_rank, with.lora_rank);
  d.pruned_2_4 = with.pruned_2_4 != 0;
  return d;
}

/// Reads and plans; the planner's own sentence where that makes no sense, else an empty one.
[[nodiscard]] inline std::string c_plan_into(const th_plan_options& with, c_planned& out) {
  if (with.path != nullptr) {
    plan::reading<plan::found_model> read = plan::read_model_path(with.path);
    if (!read) return read.error;
    out.of = std::move(read.value.what);
  } else {
    const std::size_t bytes = with.config_bytes != 0 ? with.config_bytes : std::strlen(with.config);
    plan::reading<plan::model> read = plan::read_config(std::string(with.config, bytes), "config.json");
    if (!read) return read.error;
    out.of = std::move(read.value);
  }
  out.asked = c_deployment_of(with);
  plan::reading<plan::answer> answer = plan::make_plan(out.of, out.asked);
  out.found = std::move(answer.value);
  return answer.error;
}

[[nodiscard]] inline th_status c_refuse_plan(const std::string& why) noexcept {
  char line[sizeof(c_reason::line)];
  text_buffer(line, sizeof line) << "pool 'plan': invalid argument: " << why.c_str();
  return c_refuse({.code = errc::invalid_argument, .pool = "plan", .what = why.c_str(),
                   .fix = "mend the field or file that is named"}, line);
}

TOKENHEAP_C_SYMBOL th_plan* th_plan_open(const th_plan_options* options) noexcept {
  th_plan_options with;
  if (c_read(options, with, "th_plan_options") != th_ok) return nullptr;
  failure wrong{.code = errc::invalid_argument, .pool = "plan", .what = "path or config of a model",
                .fix = "give one of both"};
  if ((with.path == nullptr) == (with.config == nullptr)) return static_cast<void>(c_refuse(wrong)), nullptr;
  auto* const made = new (std::nothrow) c_plan;
  if (made == nullptr) return c_hand_out<th_plan>(made);
  const bool tried = c_call(
      [&] {
        const std::string why = c_plan_into(with, made->all);
        wrong.code = why.empty() ? errc::ok : static_cast<errc>(c_refuse_plan(why));
        return true;
      },
      false);
  if (tried && wrong.code == errc::ok) return c_hand_out<th_plan>(made);
  if (!tried) {
    static_cast<void>(c_refuse({.code = errc::out_of_memory, .pool = "plan", .what = "a plan", .fix = "free some memory"}));
  }
  delete made;
  return nullptr;
}
TOKENHEAP_C_SYMBOL th_status th_plan_numbers_of(th_plan* plan, th_plan_numbers* out) noexcept {
  const c_plan* const p = c_find<c_plan>(plan);
  if (p == nullptr) return c_last_reason().status;
  const auto& a = p->all.found;
  th_plan_numbers n{};
  n.fits = a.fits;
  n.stages = static_cast<std::uint32_t>(a.devices.size());
  n.parameters = p->all.of.parameters();
  n.devices_in_all = a.devices_in_all;
  n.weights_bytes = a.weights_bytes;
  n.weights_bytes_per_device = a.weights_bytes_per_device;
  n.tokens = a.tokens;
  n.kv_bytes_per_token = a.kv_bytes_per_token;
  n.kv_bytes_per_token_per_device = a.kv_bytes_per_token_per_device;
  n.kv_bytes_per_token_past_windows = a.kv_bytes_per_token_past_windows;
  n.kv_bytes_per_sequence = a.kv_bytes_per_sequence;
  n.kv_bytes_per_sequence_per_device = a.kv_bytes_per_sequence_per_device;
  n.state_bytes_per_sequence = a.state_bytes_per_sequence;
  n.block_tokens = a.block_tokens;
  n.block_bytes = a.block_bytes;
  n.blocks = a.blocks;
  n.max_tokens = a.max_tokens;
  n.max_sequences = a.max_sequences;
  n.waste_percent = a.waste_percent;
  return c_write(n, out, "th_plan_numbers");
}
TOKENHEAP_C_SYMBOL th_status th_plan_device_of(th_plan* plan, uint32_t stage, th_plan_device* out) noexcept {
  const c_plan* const p = c_find<c_plan>(plan);
  if (p == nullptr) return c_last_reason().status;
  const auto& devices = p->all.found.devices;
  if (stage >= devices.size()) {
    return c_refuse({.code = errc::invalid_argument, .pool = "plan", .what = "stage of a pipeline", .need = stage,
                     .limit = devices.size(), .fix = "give a number below the limit"});
  }
  const auto& d = devices[stage];
  th_plan_device n{};
  n.total = d.total, n.unused = d.unused, n.weights = d.weights, n.lora = d.lora, n.activations = d.activations;
  n.reserve = d.reserve, n.kv = d.kv, n.kv_slack = d.kv_slack, n.missing = d.missing;
  return c_write(n, out, "th_plan_device");
}

/// Writes what `make` makes of a plan.
template <class Make>
[[nodiscard]] th_status c_write_plan(const th_plan* plan, char* out, std::size_t room, std::size_t* length, Make&& make) noexcept {
  const c_plan* const p = c_find<c_plan>(plan);
  if (p == nullptr) return c_last_reason().status;
  th_status status = th_ok;
  const auto write = [&] {
    const std::string text = make(p->all);
    return status = c_write_text(text.data(), text.size(), out, room, length), true;
  };
  if (c_call(write, false)) return status;
  return c_refuse({.code = errc::out_of_memory, .pool = "plan", .what = "a text about a plan", .fix = "free some memory"});
}
TOKENHEAP_C_SYMBOL th_status th_plan_table(th_plan* plan, char* out, size_t room, size_t* length) noexcept {
  return c_write_plan(plan, out, room, length, [](const c_planned& p) { return c_plan_table(p); });
}
TOKENHEAP_C_SYMBOL th_status th_plan_json(th_plan* plan, char* out, size_t room, size_t* length) noexcept {
  return c_write_plan(plan, out, room, length, [](const c_planned& p) { return c_plan_json(p); });
}
TOKENHEAP_C_SYMBOL th_status th_plan_close(th_plan* plan) noexcept { return c_close<c_plan>(plan, "plan"); }

#else

TOKENHEAP_COLD inline th_status c_refuse_planner() noexcept {
  return c_refuse({.code = errc::unsupported, .pool = "plan", .what = "the planner",
                   .fix = "build the library with TOKENHEAP_C_PLAN=1 and nlohmann-json"});
}
TOKENHEAP_C_SYMBOL th_plan* th_plan_open(const th_plan_options*) noexcept {
  return static_cast<void>(c_refuse_planner()), nullptr;
}
TOKENHEAP_C_SYMBOL th_status th_plan_numbers_of(th_plan*, th_plan_numbers*) noexcept { return c_refuse_planner(); }
TOKENHEAP_C_SYMBOL th_status th_plan_device_of(th_plan*, uint32_t, th_plan_device*) noexcept { return c_refuse_planner(); }
TOKENHEAP_C_SYMBOL th_status th_plan_table(th_plan*, char*, size_t, size_t*) noexcept { return c_refuse_planner(); }
TOKENHEAP_C_SYMBOL th_status th_plan_json(th_plan*, char*, size_t, size_t*) noexcept { return c_refuse_planner(); }
TOKENHEAP_C_SYMBOL th_status th_plan_close(th_plan*) noexcept { return c_refuse_planner(); }

#endif

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
