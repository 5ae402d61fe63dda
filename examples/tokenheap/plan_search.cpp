// The same question with other layouts and formats, and what a load needs.
#include "plan_search.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include <tokenheap/plan/figures.hpp>
#include <tokenheap/plan/replay.hpp>
#include <tokenheap/plan/search.hpp>

namespace program {
namespace {

namespace plan = tokenheap::plan;

template <class T>
void add_new(std::vector<T>& to, const T& value) {
  if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
}

std::vector<std::size_t> ranks_to_try(const plan::deployment& d) {
  std::vector<std::size_t> all{1, 2, 4, 8};
  add_new(all, d.tensor);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<std::string> caches_to_try(const plan::model& m, const std::string& asked) {
  std::vector<std::string> all{"bf16", "fp8"};
  const bool latent = std::any_of(m.groups.begin(), m.groups.end(), [](const auto& g) { return g.latent; });
  all.push_back(latent ? "fp8_ds_mla" : "nvfp4");
  add_new(all, asked);
  return all;
}

// the asked one, and what is smaller than the checkpoint
std::vector<std::string> weights_to_try(const plan::model& m, const std::string& asked) {
  std::vector<std::string> all{asked};
  add_new(all, std::string(plan::plain_name(m.weight_dtype)));
  const plan::weight_format* const own = plan::find_format(plan::weight_formats, m.weight_dtype);
  for (const char* name : {"fp8", "awq"}) {
    const plan::weight_format* const f = plan::find_format(plan::weight_formats, name);
    if (own != nullptr && own->bits * f->over > f->bits * own->over) add_new(all, std::string(name));
  }
  return all;
}

what_if try_out(const plan::model& m, const plan::deployment& d) {
  what_if w;
  w.tensor = d.tensor;
  w.kv_dtype = d.kv_dtype;
  w.weight_dtype = d.weight_dtype;
  const plan::reading<plan::fitting> f = plan::fitting::open(m, d);
  if (!f) return w.refused = f.error, w;
  const plan::reading<plan::answer> a = plan::figures_of(f.value);
  if (!a) return w.refused = a.error, w;
  w.blocks = a.value.blocks;
  w.max_tokens = a.value.max_tokens;
  w.max_sequences = a.value.max_sequences;
  w.weights_bytes_per_device = a.value.weights_bytes_per_device;
  w.fits = a.value.fits;
  return w;
}

}  // namespace

std::vector<what_if> what_if_table(const plan::model& m, const plan_options& o, const plan::answer& found) {
  std::vector<what_if> all;
  for (const std::size_t tensor : ranks_to_try(o.asked)) {
    for (const std::string& weight : weights_to_try(m, found.weight_dtype)) {
      for (const std::string& cache : caches_to_try(m, found.kv_dtype)) {
        plan::deployment d = o.asked;
        d.tensor = tensor;
        d.weight_dtype = weight;
        d.kv_dtype = cache;
        if (d.expert > 1 && d.expert == o.asked.tensor * d.data) d.expert = tensor * d.data;
        what_if w = try_out(m, d);
        w.asked = tensor == o.asked.tensor && weight == found.weight_dtype && cache == found.kv_dtype;
        w.refused = in_options(w.refused);
        all.push_back(w);
      }
    }
  }
  return all;
}

std::string cheapest_words(const plan::model& m, const plan_options& o) {
  const plan::reading<std::vector<plan::candidate>> all = plan::search(m, o.asked);
  const plan::search_space space;
  if (!all) return fmt::format("Nothing can be planned: {}", in_options(all.error));
  if (all.value.empty())
    return fmt::format("Nothing that was tried fits, up to {} devices: ask for shorter or fewer contexts, or larger devices.",
                       space.most_devices);
  const plan::candidate& c = all.value.front();
  return fmt::format("Cheapest of {} that fit: {} x {}, --tp {} --pp {} --weight-dtype {} --kv-dtype {}: room for {}.",
                     all.value.size(), c.devices, sized(o.asked.device_bytes), c.with.tensor, c.with.pipeline,
                     c.with.weight_dtype, c.with.kv_dtype, users_words(c.max_sequences));
}

namespace {

complaint read_arrivals(const plan_options& o, std::vector<plan::arrival>& into) {
  const complaint bad = read_trace(o.trace, o.format, [&](trace_request&& request) -> complaint {
    if (request.prompt_tokens == 0 && request.output_tokens == 0) return {};
    into.push_back({request.arrival_ms / 1000, request.prompt_tokens, request.output_tokens});
    return into.size() <= most_arrivals ? complaint{} : fmt::format("more than {} requests", most_arrivals);
  });
  std::stable_sort(into.begin(), into.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return bad.empty() && into.empty() ? o.trace + ": no request asks for any token" : bad;
}

void fleet_rows(const plan::fleet& f, const plan::traffic& t, std::vector<load_row>& out) {
  const auto add = [&](const char* key, std::string text, double value) { out.push_back({key, std::move(text), value}); };
  const double percent = 100 * t.percentile;
  add("requests_per_second", "requests a second", t.rate);
  add("mean_prompt", "mean prompt, tokens", t.mean_prompt);
  add("mean_output", "mean answer, tokens", t.mean_output);
  add("planned_tokens", fmt::format("a long request, tokens ({:g} %)", percent), static_cast<double>(f.tokens));
  add("seconds_per_request", "seconds that a mean request runs", f.seconds);
  add("mean_at_once", "requests at once, mean (rate x seconds)", f.mean_at_once);
  add("at_once", fmt::format("requests at once, {:g} % of the time", percent), static_cast<double>(f.at_once));
  add("sequences_per_machine", "room of one machine, long requests", static_cast<double>(f.sequences_a_machine));
  add("machines", "machines", static_cast<double>(f.machines));
  add("devices", "devices of all machines", static_cast<double>(f.devices));
}

complaint replay_rows(const plan::fitting& f, const std::vector<plan::arrival>& trace, const plan::pace& at,
                      std::vector<load_row>& out) {
  plan::reading<plan::replay> one = plan::replay::open(f, at);
  if (!one) return in_options(one.error);
  for (const plan::arrival& a : trace) one.value.arrive(a);
  const plan::replayed r = one.value.finish();
  const auto add = [&](const char* key, std::string text, double value) { out.push_back({key, std::move(text), value}); };
  add("trace_requests", "requests of the trace", static_cast<double>(trace.size()));
  add("replay_refused", "one copy, replayed: do not fit alone", static_cast<double>(r.refused));
  add("replay_waited", "  waited", static_cast<double>(r.waited));
  add("replay_longest_wait", "  longest wait, seconds", r.longest_wait);
  add("replay_mean_wait", "  mean wait, seconds", r.mean_wait);
  add("replay_peak_sequences", "  at once, at the most", static_cast<double>(r.peak_sequences));
  if (r.refused != 0) return {};
  if (r.waited == 0 && f.with().data == 1) return add("replay_machines", "machines with which none waits", 1), complaint{};
  const plan::reading<std::size_t> machines = plan::machines_by_replay(f, trace, at);
  if (!machines) return in_options(machines.error);
  add("replay_machines", "machines with which none waits", static_cast<double>(machines.value));
  return {};
}

}  // namespace

complaint load_rows(const plan::model& m, const plan_options& o, std::vector<load_row>& out) {
  plan::pace at{.prompt_tokens_per_second = o.prompt_tokens_per_second};
  if (o.seconds_per_token > 0) at.token_seconds = o.seconds_per_token;
  plan::traffic t{.rate = o.arrival_rate, .mean_prompt = o.prompt_mean, .mean_output = o.output_mean,
                  .percentile = o.percentile / 100};
  std::vector<plan::arrival> trace;
  if (!o.trace.empty()) {
    if (const complaint bad = read_arrivals(o, trace); !bad.empty()) return bad;
    t = plan::traffic_of(trace, o.percentile / 100);
  }
  const plan::reading<plan::fleet> fleet = plan::machines_for(m, o.asked, t, at);
  // a load that no machine of this kind holds is an answer, not a wrong option
  if (fleet.error.rfind("device_bytes:", 0) == 0) {
    out.push_back({"planned_tokens", "a long request, tokens", static_cast<double>(plan::long_request(t))});
    out.push_back({"machines", "machines: one has no room for that", 0});
    return {};
  }
  if (!fleet) return in_options(fleet.error);
  fleet_rows(fleet.value, t, out);
  if (trace.empty()) return {};
  plan::deployment d = o.asked;
  d.tokens = fleet.value.tokens;
  const plan::reading<plan::fitting> f = plan::fitting::open(m, d);
  return f ? replay_rows(f.value, trace, at, out) : in_options(f.error);
}

}  // namespace program
