#include <chrono>
#include <filesystem>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "engine.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "run_report.hpp"

namespace program {
namespace {

constexpr std::uint32_t default_blocks = 384;
constexpr std::size_t default_device_mib = 8192;
constexpr std::uint32_t everyone = ~std::uint32_t{0};

struct serve_options {
  workload_options work{.trace = {}, .format = trace_format::mooncake, .requests = 256, .scale = 32, .seed = 1};
  engine_options engine;
  std::uint32_t verify = everyone;
  std::int64_t corrupt_block = -1;
  std::string device = "host";
  std::string kv_dtype = cache_formats[0].name;
  std::string policy = "lru";
  std::string tiers;
  std::size_t device_mib = 0;
  std::string out;
  bool json = false;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// job n of `total` is one of `wanted` that are spread evenly over the run
bool chosen(std::size_t n, std::size_t total, std::size_t wanted) {
  return wanted >= total || (n + 1) * wanted / total != n * wanted / total;
}

int fail(const complaint& why) {
  std::fprintf(stderr, "tokenheap: %s\n", why.c_str());
  return went_wrong;
}

// an exit code: what was found on the device is told in full
int judge(const device_outcome& d) {
  for (const std::string& finding : d.findings) static_cast<void>(fail("device sim: " + finding));
  if (!d.books_hold) static_cast<void>(fail("device sim: the books of the allocator do not add up"));
  if (!d.is_clean) static_cast<void>(fail("device sim: something was left on the device"));
  return d.is_well() ? all_well : went_wrong;
}

complaint make_folder(const std::string& path) {
  if (path.empty()) return {};
  std::error_code why;
  std::filesystem::create_directories(path, why);
  if (std::filesystem::is_directory(path)) return {};
  return fmt::format("--out: no folder {} can be made: {}", path, why.message());
}

int run_serve(const serve_options& options) {
  workload work;
  workload_options wanted = options.work;
  // nobody wants longer requests than a trace has: 1/32 means what 32 means
  if (wanted.scale < 1) wanted.scale = 1 / wanted.scale;
  if (const complaint bad = work.open(wanted); !bad.empty()) return refuse(bad);
  engine_options amounts = options.engine;
  amounts.seed = options.work.seed;
  for (const cache_format& format : cache_formats)
    if (options.kv_dtype == format.name) amounts.kv_type = format.type;
  if (!options.tiers.empty()) {
    if (const complaint bad = read_tiers(options.tiers, amounts.tiers); !bad.empty()) return refuse(bad);
    if (amounts.tiers.device_blocks != 0) amounts.blocks = amounts.tiers.device_blocks;
    if (!amounts.tiers.empty() && options.device == "sim")
      return refuse("--tiers: blocks on the simulated device stay there; leave out --device sim");
  }
  amounts.hints = options.policy == "hinted";
  const bool on_device = options.device == "sim";
  if (!on_device && options.device_mib != 0) return refuse("--device-memory: there is no device; add --device sim");
  if (on_device) amounts.device_bytes = (options.device_mib != 0 ? options.device_mib : default_device_mib) * tokenheap::MiB;
  if (amounts.blocks == 0)
    amounts.blocks = std::max<std::uint32_t>(default_blocks, work.longest() / amounts.block_tokens + 1);
  if (options.corrupt_block >= 0) {
    if (options.corrupt_block >= amounts.blocks)
      return refuse(fmt::format("--corrupt-block: the pool has blocks 0 to {}", amounts.blocks - 1));
    amounts.corrupt = static_cast<kv::block_id>(options.corrupt_block);
  }
  // before the run: it would be a pity to find out afterwards
  if (const complaint bad = make_folder(options.out); !bad.empty()) return fail(bad);
  const auto server = std::make_unique<engine>(work, amounts);
  if (const complaint bad = server->open(); !bad.empty()) return fail(bad);
  run_record record;
  if (!options.out.empty()) server->watch(record);
  const std::size_t total = work.jobs().size();
  const auto serving = std::chrono::steady_clock::now();
  {
    progress_bar bar("serving", total);
    const complaint bad = server->run([&](std::size_t n) { return chosen(n, total, options.verify); },
                                      [&](std::size_t done) { bar.at(done); });
    if (!bad.empty()) return fail(bad);
  }
  const double serve_seconds = seconds_since(serving);
  const auto verifying = std::chrono::steady_clock::now();
  const verification check = verify(server->model(), amounts.kv_type, work, server->recorded());
  serve_report report{work, *server, amounts, check, serve_seconds, seconds_since(verifying)};
  if (!options.out.empty()) {
    report.page = options.out + "/report.html";
    if (const complaint bad = write_run(report, record, options.out); !bad.empty()) return fail(bad);
  }
  const int printed = print(options.json ? to_json(report) : to_table(report));
  for (const complaint& difference : check.differences) static_cast<void>(fail(difference));
  const int found = server->device() != nullptr ? judge(*server->device()) : all_well;
  if (check.out_of_memory) return fail("no memory to decode every request again");
  if (amounts.corrupt && !server->outcome().corrupted)
    return fail("--corrupt-block: nobody ever read that block again");
  return check.mismatches == 0 && found == all_well ? printed : went_wrong;
}

}  // namespace

command declare_serve(CLI::App& app) {
  const auto chosen = std::make_shared<serve_options>();
  workload_options& work = chosen->work;
  engine_options& amounts = chosen->engine;
  CLI::Option* format = trace_options(app, work.trace, work.format);
  format->needs(app.get_option("--trace"));
  app.get_option("--trace")->needs(format);
  count_option(app, "--requests", work.requests, 1, most_requests, "how many requests are served (default 256)");
  checked(
      app.add_option("--scale", work.scale, "lengths are divided by this, or multiplied if it is below 1 (default 32)"),
      decimal(1e-6, 1e6));
  count_option(app, "--blocks", amounts.blocks, 1, most_blocks,
               "blocks in the pool (default 384, or what the longest request needs)");
  count_option(app, "--block-tokens", amounts.block_tokens, 1, 4096, "tokens in a block (default 16)");
  std::vector<std::string> formats;
  for (const cache_format& one : cache_formats) formats.emplace_back(one.name);
  word_option(app, "--kv-dtype", chosen->kv_dtype, formats, "number format of keys and values in the blocks (default float32)");
  count_option(app, "--max-batch", amounts.max_batch, 1, 65536, "requests that run at once (default 32)");
  count_option(app, "--step-tokens", amounts.step_tokens, 1, 65536, "tokens computed in one step (default 256)");
  checked(app.add_option("--watermark", amounts.watermark, "share of the blocks that admission leaves (default 0.005)"),
          decimal(0, 1));
  checked(app.add_option("--load", amounts.load, "tokens that arrive while one is computed (default 2)"),
          decimal(0.001, 1e6));
  count_option(app, "--fork", work.forks, 1, 64, "answers to each request, which share its prompt (default 1)");
  app.add_option("--tiers", chosen->tiers,
                 "where blocks go that leave the pool: device:N,host:N,file:PATH:BYTES,redis:HOST:PORT, each optional, in this "
                 "order");
  word_option(app, "--policy", chosen->policy, {"lru", "hinted"},
              "who is evicted: lru (default), or hinted, where each request says whether its blocks are used again");
  count_option(app, "--tenants", amounts.tenants, 0, 1 << 20,
               "whose the requests are, in turn: nobody finds the blocks of another one (default 0: all share)");
  count_option(app, "--seed", work.seed, 0, any_seed, "of weights, requests and sampling (default 1)");
  count_or_word(app, "--verify", chosen->verify, "all", everyone, 0, most_requests,
                "how many requests are decoded again (default all)");
  checked(app.add_option("--corrupt-block", chosen->corrupt_block,
                         "self-test: flip one byte of this block while it is in use, so that the check must fail"),
          whole(0, most_blocks));
  word_option(app, "--device", chosen->device, {"host", "sim"},
              "where weights, keys and values and scratch live: host (default), or sim, a simulated device "
              "whose race check is on");
  count_option(app, "--device-memory", chosen->device_mib, 1, 1 << 20, "MiB of the simulated device (default 8192)");
  app.add_option("--out", chosen->out,
                 "folder for report.html, where memory went in pictures, and the same for tools; made if it is not there");
  app.add_flag("--json", chosen->json, "print one JSON object instead of the table");
  return [chosen] { return run_serve(*chosen); };
}

}  // namespace program
