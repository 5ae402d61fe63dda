// How the numbers of a plan come about, and which of them are no more than assumed.
#include <algorithm>

#include <fmt/format.h>

#include <tokenheap/kv/head_split.hpp>
#include <tokenheap/plan/formats.hpp>

#include "plan_report.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;
namespace kv = tokenheap::kv;

std::string heads_words(const plan::layer_group& g, std::size_t tensor) {
  if (g.latent) return tensor > 1 ? fmt::format(", whole on each of {} ranks", tensor) : std::string();
  const kv::head_split split{g.kv_heads, tensor};
  if (tensor == 1 || split.why_not().code != tokenheap::errc::ok) return {};
  const std::string here = fmt::format(", {} of {} heads on each of {} ranks", split.heads_per_rank(), g.kv_heads, tensor);
  return split.copies() > 1 ? here + fmt::format(" (each head is kept {} times)", split.copies()) : here;
}

std::string kept_words(const plan::layer_group& g) {
  switch (g.kind) {
    case kv::group_kind::window: return fmt::format("; only the last {} tokens are kept", grouped(g.span));
    case kv::group_kind::chunked: return fmt::format("; only the current chunk of {} tokens is kept", grouped(g.span));
    case kv::group_kind::cross: return fmt::format("; for the {} tokens of the encoder, once", grouped(g.encoder_tokens));
    case kv::group_kind::full:
    case kv::group_kind::state: break;
  }
  return {};
}

std::string group_words(const plan_report& r, const plan::layer_group& g) {
  const std::size_t tensor = r.options.asked.tensor;
  if (g.kind == kv::group_kind::state)
    return fmt::format("'{}': {} layers x ({} numbers of convolution x {} B + {} of state x {} B) for each sequence, "
                       "however long it gets",
                       g.name, g.at.size(), grouped(g.conv_numbers), g.conv_bytes_each, grouped(g.state_numbers),
                       g.state_bytes_each);
  const std::size_t values = g.value_head_size == 0 ? g.head_size : g.value_head_size;
  const std::string numbers =
      g.latent ? fmt::format("({} + {} of positions) numbers, one vector for keys and values", g.head_size, g.rope_size)
               : fmt::format("{} heads x ({} + {}) numbers", g.kv_heads, g.head_size, values);
  std::string text = fmt::format("'{}': {} layers x {} in {} for each token", g.name, g.at.size(), numbers,
                                 r.found.kv_dtype);
  const auto same = [&](const plan::group_need& n) { return n.name == g.name; };
  const auto need = std::find_if(r.found.groups.begin(), r.found.groups.end(), same);
  if (need != r.found.groups.end())
    return text + heads_words(g, tensor) +
           fmt::format(": {} B on the device with most of these layers ({})", grouped(need->token_bytes), need->layers) +
           kept_words(g);
  return text + heads_words(g, tensor) + kept_words(g);
}

std::string device_words(const device_class& c, std::size_t stages, const plan_report& r) {
  const plan::device_need& n = *c.need;
  std::string text = fmt::format("{}: {} B - {} left to others - {} weights", stages_words(c, stages), grouped(n.total),
                                 grouped(n.unused), grouped(n.weights));
  if (n.lora != 0) text += fmt::format(" - {} adapters", grouped(n.lora));
  text += fmt::format(" - {} activations - {} reserve", grouped(n.activations), grouped(n.reserve));
  if (n.missing != 0) return text + fmt::format(" is {} below 0", grouped(n.missing));
  text += fmt::format(" = {} for KV", grouped(n.kv));
  return r.found.groups.size() == 1 ? text + fmt::format(", {} of them no whole block", grouped(n.kv_slack)) : text;
}

}  // namespace

std::vector<std::string> explanation(const plan_report& r) {
  std::vector<std::string> out;
  const plan::deployment& d = r.options.asked;
  const plan::answer& a = r.found;
  const bool exact = r.of.exact_weight_bytes != 0 && (d.weight_dtype.empty() || d.weight_dtype == r.of.weight_dtype);
  out.push_back(exact ? fmt::format("weights: {} B, summed from the headers of {}", grouped(a.weights_bytes), printable(r.from))
                      : fmt::format("weights: {} numbers out of the dimensions of the model, {}; norms and what is not "
                                    "quantised in the type of the model: {} B",
                                    grouped(r.of.parameters()), a.weight_dtype, grouped(a.weights_bytes)));
  for (const plan::layer_group& g : r.of.groups)
    if (!g.at.empty()) out.push_back(group_words(r, g));
  for (const device_class& c : classes_of(a.devices)) out.push_back(device_words(c, a.devices.size(), r));
  if (a.groups.size() == 1 && a.groups[0].kind == kv::group_kind::state) {
    out.push_back("users: KV of the tightest device / bytes of a sequence's states");
  } else if (a.groups.size() == 1) {
    out.push_back(fmt::format("blocks: KV of the tightest device / bytes of its block = {}; a user of {} tokens takes {} of "
                              "them at the most",
                              grouped(a.blocks), grouped(a.tokens), grouped(a.groups[0].peak_blocks)));
  } else if (a.groups.size() > 1) {
    out.push_back("users: the room is cut into chunks that go to one group of layers at a time, as kv::page_space does; "
                  "counted is the most that each group needs on the way");
  }
  return out;
}

std::vector<std::string> assumptions(const plan_report& r) {
  std::vector<std::string> out;
  const plan::deployment& d = r.options.asked;
  out.push_back(fmt::format("activations: estimated for {} tokens in one step; engines measure them (--prefill-tokens)",
                            grouped(d.prefill_tokens)));
  std::string reserve = fmt::format("reserve: graphs {}, driver {}", sized(d.graph_bytes), sized(d.context_bytes));
  if (d.tensor * d.pipeline > 1 || d.expert > 1) reserve += fmt::format(", communication {}", sized(d.communication_bytes));
  out.push_back(reserve + ", for each device (--reserve)");
  if (!r.options.gpu.empty() && (r.options.gpu[0] < '0' || r.options.gpu[0] > '9'))
    out.push_back(fmt::format("memory: {} as published for {}; nvidia-smi shows a little less (--gpu-memory with its number)",
                              sized(d.device_bytes), printable(r.options.gpu)));
  return out;
}

}  // namespace program
