#include "plan_options.hpp"

#include <algorithm>
#include <cctype>
#include <functional>
#include <iterator>

#include <tokenheap/plan/formats.hpp>

#include "fields.hpp"
#include "options.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;

// as the makers publish them; what is called GB there is GiB of chips, of which a driver shows a little less
constexpr known_device known_devices[] = {
    {"t4", 16},        {"l4", 24},          {"l40", 48},           {"l40s", 48},          {"v100-16gb", 16},
    {"v100", 32},      {"a10", 24},         {"a10g", 24},          {"a30", 24},           {"a40", 48},
    {"a6000", 48},     {"a100-40gb", 40},   {"a100", 80},          {"a100-80gb", 80},     {"h20", 96},
    {"h100", 80},      {"h100-80gb", 80},   {"h100-nvl", 94},    {"gh200", 96},         {"h200", 141},         {"b200", 180},
    {"gb200", 186},    {"rtx3090", 24},     {"rtx4090", 24},       {"rtx5090", 32},       {"rtx6000-ada", 48},
    {"rtxpro6000", 96}, {"mi210", 64},      {"mi300x", 192},       {"mi325x", 256},       {"mi350x", 288},
    {"mi355x", 288},   {"gaudi2", 96},      {"gaudi3", 128},
};

struct unit {
  const char* name;
  std::uint64_t bytes;
};
constexpr unit units[] = {
    {"", 1},      {"b", 1},
    {"kib", 1ULL << 10}, {"mib", 1ULL << 20}, {"gib", 1ULL << 30}, {"tib", 1ULL << 40},
    {"kb", 1'000},       {"mb", 1'000'000},   {"gb", 1'000'000'000}, {"tb", 1'000'000'000'000},
};

constexpr std::size_t most_memory = std::size_t{1} << 46;

std::string lowered(std::string_view text) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return low;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

complaint no_size(std::string_view text) {
  return fmt::format("needs a size such as 80GiB, 80GB, 24576MiB or a number of bytes, at most 64TiB, found '{}'",
                     shown(text));
}

std::string device_names() {
  std::string all;
  for (const known_device& d : known_devices) all += (all.empty() ? "" : " ") + std::string(d.name);
  return all;
}

// "name=size" into the field of that name
complaint reserve_part(std::string_view part, plan::deployment& into) {
  const std::size_t at = part.find('=');
  const std::string_view name = part.substr(0, at);
  std::size_t* const field = name == "graphs"          ? &into.graph_bytes
                             : name == "communication" ? &into.communication_bytes
                             : name == "driver"        ? &into.context_bytes
                                                       : nullptr;
  if (field == nullptr || at == std::string_view::npos)
    return fmt::format("needs one size, or some of graphs=SIZE,communication=SIZE,driver=SIZE, found '{}'", shown(part));
  return memory_size(part.substr(at + 1), *field);
}

using size_reader = std::function<complaint(std::string_view)>;

// an option whose text is read by `read`, which also complains
CLI::Option* read_option(CLI::App& app, const std::string& name, const size_reader& read, const std::string& text) {
  const auto take = [read](const std::string& given) { static_cast<void>(read(given)); };
  const auto check = [read](std::string& given) -> std::string { return read(given); };
  return checked(app.add_option_function<std::string>(name, take, text), check);
}

CLI::Option* decimal_option(CLI::App& app, const std::string& name, double& into, double least, double most,
                            const std::string& text) {
  return checked(app.add_option(name, into, text), decimal(least, most));
}

// a word of a list of formats, or one of the other names that engines have for them
template <class Formats>
void format_option(CLI::App& app, const std::string& name, std::string& into, const Formats& formats,
                   const std::string& text) {
  const auto known = [&formats](std::string& given) -> std::string {
    if (given == "auto" || plan::find_format(formats, given) != nullptr) return {};
    return fmt::format("needs auto or one of {}, found '{}'", plan::names_of(formats), shown(given));
  };
  const auto take = [&into](const std::string& given) { into = given == "auto" ? std::string() : given; };
  checked(app.add_option_function<std::string>(name, take, text + ": " + plan::names_of(formats)), known);
}

void layout_options(CLI::App& app, plan::deployment& d) {
  count_option(app, "--tp", d.tensor, 1, 4096, "ranks of tensor parallelism (default 1)");
  count_option(app, "--pp", d.pipeline, 1, 4096, "stages of the pipeline (default 1)");
  count_option(app, "--ep", d.expert, 1, 1U << 24, "ranks that experts are divided among, out of tp * dp (default 1)");
  count_option(app, "--dp", d.data, 1, 4096, "copies of the model (default 1)");
  format_option(app, "--kv-dtype", d.kv_dtype, plan::kv_formats, "keys and values (default bf16)");
  format_option(app, "--weight-dtype", d.weight_dtype, plan::weight_formats, "weights (default: as the checkpoint)");
  decimal_option(app, "--utilization", d.utilization, 0.01, 1, "share of the memory that the engine takes (default 0.9)");
  count_option(app, "--block-tokens", d.block_tokens, 1, 4096, "tokens in a block (default 16)");
  count_option(app, "--prefill-tokens", d.prefill_tokens, 1, longest_request, "most tokens of one step (default 8192)");
  count_option(app, "--lora", d.lora_adapters, 0, 1U << 16, "LoRA adapters that are resident at once (default 0)");
  count_option(app, "--lora-rank", d.lora_rank, 1, 4096, "their rank (default 16)");
  app.add_flag("--pruned-2-4", d.pruned_2_4, "two of four weights are pruned");
  read_option(app, "--reserve", [&d](std::string_view text) { return reserve_sizes(text, d); },
              "on each device: one size, or graphs=512MiB,communication=1GiB,driver=512MiB (the defaults)");
}

void load_options(CLI::App& app, plan_options& into) {
  decimal_option(app, "--arrival-rate", into.arrival_rate, 1e-6, 1e9, "requests a second: how many machines does it take?");
  decimal_option(app, "--prompt-mean", into.prompt_mean, 1, 1e9, "mean tokens of a prompt");
  decimal_option(app, "--output-mean", into.output_mean, 1, 1e9, "mean tokens of an answer");
  decimal_option(app, "--seconds-per-token", into.seconds_per_token, 1e-9, 1e6,
                 "time between two tokens of one answer (default 0.025, a guess)");
  decimal_option(app, "--prompt-tokens-per-second", into.prompt_tokens_per_second, 1e-3, 1e12,
                 "how fast prompts are computed (default 8000, a guess)");
  decimal_option(app, "--percentile", into.percentile, 1, 99.9999, "how often there is to be room for all (default 99)");
  CLI::Option* const format = trace_options(app, into.trace, into.format);
  format->needs(app.get_option("--trace"));
  app.get_option("--trace")->needs(format);
}

}  // namespace

complaint memory_size(std::string_view text, std::size_t& bytes) {
  const std::size_t whole_end = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
  std::size_t end = whole_end;
  if (end < text.size() && text[end] == '.') {
    end = static_cast<std::size_t>(
        std::find_if_not(std::next(text.begin(), static_cast<std::ptrdiff_t>(end) + 1), text.end(), is_digit) - text.begin());
    if (end == whole_end + 1) return no_size(text);
  }
  const std::string name = lowered(text.substr(end));
  const unit* const of = std::find_if(std::begin(units), std::end(units), [&](const unit& u) { return name == u.name; });
  // fifteen digits before and nine behind the point: more is no size of a device, and these are exact in 128 bits
  if (whole_end == 0 || whole_end > 15 || end - whole_end > 10 || of == std::end(units)) return no_size(text);
  __extension__ using wide = unsigned __int128;
  wide digits = 0, scale = 1;
  for (std::size_t at = 0; at < end; ++at) {
    if (at == whole_end) continue;
    digits = digits * 10 + static_cast<unsigned>(text[at] - '0');
    if (at > whole_end) scale *= 10;
  }
  const wide value = digits * of->bytes / scale;
  if (value > most_memory) return no_size(text);
  bytes = static_cast<std::size_t>(value);
  return {};
}

complaint device_memory(std::string_view text, std::size_t& bytes) {
  const std::string name = lowered(text);
  for (const known_device& d : known_devices) {
    if (name == d.name) return bytes = d.gib * tokenheap::GiB, complaint{};
  }
  if (!text.empty() && is_digit(text[0])) {
    const complaint bad = memory_size(text, bytes);
    return bad.empty() && bytes == 0 ? no_size(text) : bad;
  }
  return fmt::format("needs a size such as 80GiB or one of {}, found '{}'", device_names(), shown(text));
}

complaint reserve_sizes(std::string_view text, plan::deployment& into) {
  if (text.find('=') == std::string_view::npos) {
    std::size_t all = 0;
    if (const complaint bad = memory_size(text, all); !bad.empty()) return bad;
    into.context_bytes = all;
    into.graph_bytes = into.communication_bytes = 0;
    return {};
  }
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    if (const complaint bad = reserve_part(text.substr(from, comma - from), into); !bad.empty()) return bad;
    from = comma + 1;
  }
  return {};
}

void plan_arguments(CLI::App& app, plan_options& into) {
  app.add_option("MODEL_PATH", into.path, "config.json or its folder, a GGUF or a safetensors file")->required();
  read_option(app, "--gpu-memory",
              [&into](std::string_view text) {
                into.gpu = text;
                return device_memory(text, into.asked.device_bytes);
              },
              "memory of one device: 80GiB, 80GB, bytes, or h100, h200, b200, a100, l40s, mi300x ...")
      ->required();
  layout_options(app, into.asked);
  count_option(app, "--tokens", into.asked.tokens, 1, longest_request, "of each sequence (default: the model's longest)");
  checked(app.add_option_function<std::size_t>(
              "--sequences",
              [&into](const std::size_t& n) {
                into.asked.sequences = n;
                into.sequences_given = true;
              },
              "at once, for each copy (default 1)"),
          whole(1, most_requests));
  load_options(app, into);
  app.add_flag("--search", into.search, "try other TP, KV and weight formats, and name the cheapest that fits");
  app.add_flag("--explain", into.explain, "say how each number comes about");
  app.add_flag("--json", into.json, "print one JSON object instead of the table");
  app.add_option("--html", into.html, "write a page of its own to this file");
}

complaint check_together(const plan_options& o) {
  const bool means = o.arrival_rate > 0 || o.prompt_mean > 0 || o.output_mean > 0;
  if (!o.trace.empty() && means)
    return "--trace has its own arrivals and lengths: leave out --arrival-rate, --prompt-mean and --output-mean";
  if (means && !(o.arrival_rate > 0 && o.prompt_mean > 0 && o.output_mean > 0))
    return "--arrival-rate, --prompt-mean and --output-mean belong together: give all three";
  if (!means && o.trace.empty() && o.seconds_per_token > 0)
    return "--seconds-per-token needs a load: --arrival-rate with --prompt-mean and --output-mean, or --trace";
  return {};
}

}  // namespace program
