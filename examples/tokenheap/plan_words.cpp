// The words and numbers that the reports of `tokenheap plan` share.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "plan_report.hpp"

namespace program {

namespace plan = tokenheap::plan;
namespace kv = tokenheap::kv;

std::string grouped(std::uint64_t n) {
  const std::string digits = fmt::to_string(n);
  std::string out;
  for (std::size_t at = 0; at != digits.size(); ++at) {
    if (at != 0 && (digits.size() - at) % 3 == 0) out += ',';
    out += digits[at];
  }
  return out;
}

std::string sized(std::uint64_t bytes) {
  constexpr const char* names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t at = 0;
  for (; at + 1 < std::size(names) && value >= 1024; ++at) value /= 1024;
  return at == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, names[at]);
}

namespace {

// bytes of the UTF-8 character at the front, 0 if there is none
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t at = 1; at < length; ++at)
    if ((byte(at) & 0xC0U) != 0x80) return 0;
  // too long forms, surrogates, and what is past the last character
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  // C1 controls move a terminal's cursor as C0 do
  return length == 2 && first == 0xC2 && byte(1) < 0xA0 ? 0 : length;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character(text);
    const bool control = length == 1 && (static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7F);
    if (length == 0 || control) {
      out += '?';
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

std::string in_options(std::string text) {
  constexpr const char* names[][2] = {
      {"device_bytes", "--gpu-memory"},     {"tensor", "--tp"},
      {"pipeline", "--pp"},                 {"expert", "--ep"},
      {"data", "--dp"},                     {"kv_dtype", "--kv-dtype"},
      {"weight_dtype", "--weight-dtype"},   {"block_tokens", "--block-tokens"},
      {"tokens", "--tokens"},               {"sequences", "--sequences"},
      {"prefill_tokens", "--prefill-tokens"}, {"utilization", "--utilization"},
      {"graph_bytes", "--reserve graphs"},  {"communication_bytes", "--reserve communication"},
      {"context_bytes", "--reserve driver"}, {"lora_adapters", "--lora"},
      {"lora_rank", "--lora-rank"},         {"pruned_2_4", "--pruned-2-4"},
      {"rate", "--arrival-rate"},           {"mean_prompt, mean_output", "--prompt-mean, --output-mean"},
      {"percentile", "--percentile"},       {"token_seconds", "--seconds-per-token"},
  };
  const auto ends = [&](std::size_t at) {
    return at == text.size() || std::string_view(" :,;").find(text[at]) != std::string_view::npos;
  };
  // names of two words are fields wherever they stand; the others where a field begins a sentence or its part
  for (const auto& [field, option] : names) {
    const std::string name = field;
    const bool two = name.find('_') != std::string::npos;
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      const bool starts = at == 0 || (at >= 2 && (text.compare(at - 2, 2, ": ") == 0 || text.compare(at - 2, 2, "d ") == 0));
      if (!ends(at + name.size()) || !(starts || (two && text[at - 1] == ' '))) continue;
      text.replace(at, name.size(), option);
    }
  }
  return text;
}

std::string short_name(std::string_view path) {
  const auto cut = [&path] {
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    return path.substr(path.rfind('/') + 1);
  };
  std::string_view name = cut();
  if (name == "config.json" || name == "model.safetensors" || name == "model.safetensors.index.json") {
    std::string_view folder = path.substr(0, path.size() - name.size());
    if (!folder.empty() && folder != "/") {
      path = folder;
      name = cut();
    }
  }
  return printable(name);
}

std::string machine_words(const plan_options& o) {
  const plan::deployment& d = o.asked;
  const std::size_t devices = d.tensor * d.pipeline * d.data;
  std::string text = fmt::format("{} x {}", grouped(devices), sized(d.device_bytes));
  const auto add = [&](const char* name, std::size_t n) {
    if (n > 1) text += fmt::format(", {} {}", name, n);
  };
  add("TP", d.tensor);
  add("PP", d.pipeline);
  add("EP", d.expert);
  add("DP", d.data);
  return text;
}

std::vector<memory_part> parts_of(const plan::device_need& n) {
  return {{"weights", '#', "weights", n.weights},
          {"lora", 'l', "LoRA adapters", n.lora},
          {"activations", 'a', "activations, logits", n.activations},
          {"reserve", 'r', "reserve", n.reserve},
          {"kv", '=', "KV blocks", n.kv - std::min(n.kv, n.kv_slack)},
          {"kv_slack", '-', "no whole block", std::min(n.kv, n.kv_slack)},
          {"unused", '.', "left to others", n.unused}};
}

std::vector<device_class> classes_of(const std::vector<plan::device_need>& devices, std::size_t tolerance) {
  const auto near = [&](std::size_t a, std::size_t b) { return (a > b ? a - b : b - a) <= tolerance; };
  const auto same = [&](const plan::device_need& a, const plan::device_need& b) {
    return near(a.total, b.total) && near(a.unused, b.unused) && near(a.weights, b.weights) && near(a.lora, b.lora) &&
           near(a.activations, b.activations) && near(a.reserve, b.reserve) && near(a.kv, b.kv) &&
           near(a.kv_slack, b.kv_slack) && near(a.missing, b.missing);
  };
  std::vector<device_class> out;
  for (std::size_t at = 0; at < devices.size(); ++at) {
    if (out.empty() || !same(devices[out.back().first], devices[at])) {
      out.push_back({at, at, &devices[at]});
      continue;
    }
    out.back().last = at;
    if (devices[at].kv < out.back().need->kv) out.back().need = &devices[at];
  }
  return out;
}

std::string stages_words(const device_class& of, std::size_t stages) {
  if (stages <= 1) return "each device";
  if (of.first == of.last) return fmt::format("each device of stage {} of {}", of.first + 1, stages);
  return fmt::format("each device of stages {} to {} of {}", of.first + 1, of.last + 1, stages);
}

std::vector<std::string> warnings_of(const plan_report& r) {
  std::vector<std::string> out;
  for (const std::string& each : r.found.warnings)
    if (each.rfind("assumed, not measured", 0) != 0) out.push_back(each);
  return out;
}

std::string shortage_words(const plan_report& r) {
  const auto lacks = [](const plan::device_need& n) { return n.missing != 0; };
  if (std::any_of(r.found.devices.begin(), r.found.devices.end(), lacks) || r.found.shortage.empty()) return {};
  std::string text = printable(r.found.shortage) + ".";
  text[0] = text[0] == 'a' ? 'A' : text[0];
  // people count stages from 1, and not at all where there is one
  const std::string start = "A device of stage ";
  const std::size_t end = text.find_first_not_of("0123456789", start.size());
  if (text.rfind(start, 0) != 0 || end == start.size() || end > start.size() + 9) return text;
  const std::string next = fmt::to_string(std::stoul(text.substr(start.size(), end)) + 1);
  return (r.found.devices.size() == 1 ? "A device" : start + next) + text.substr(end);
}

std::string users_words(std::size_t n) { return grouped(n) + (n == 1 ? " user" : " users"); }

std::string verdict(const plan_report& r) {
  const plan::answer& a = r.found;
  const plan::deployment& d = r.options.asked;
  const std::string who = fmt::format("{} on {}", short_name(r.of.name), machine_words(r.options));
  const std::string copies = d.data > 1 ? " for each copy" : "";
  std::string longest = fmt::format("with {} at once a context may be {} tokens long", grouped(d.sequences),
                                    grouped(a.max_tokens));
  if (r.of.longest != 0 && a.max_tokens > r.of.longest)
    longest += fmt::format(" (the model was trained for {})", grouped(r.of.longest));
  if (a.kv_bytes_per_token == 0 && a.kv_bytes_per_sequence == 0) longest = "a context costs the same however long it is";
  const std::string users = fmt::format("{} of {} tokens{}", users_words(a.max_sequences), grouped(a.tokens), copies);
  if (a.fits) return fmt::format("Fits: {}: {}; {}.", who, users, longest);
  const auto worst = std::max_element(a.devices.begin(), a.devices.end(),
                                      [](const auto& x, const auto& y) { return x.missing < y.missing; });
  if (worst != a.devices.end() && worst->missing != 0)
    return fmt::format("Does not fit: {}: {} missing on {} before the first KV block.", who, sized(worst->missing),
                       a.devices.size() > 1 ? fmt::format("a device of stage {}", worst->stage + 1) : "each device");
  const std::string wanted = fmt::format("{} of {} tokens", users_words(d.sequences), grouped(a.tokens));
  if (a.max_tokens == 0) return fmt::format("Does not fit: {}: wanted {}, room for {}.", who, wanted, users);
  return fmt::format("Does not fit: {}: wanted {}, room for {}; {}.", who, wanted, users, longest);
}

}  // namespace program
