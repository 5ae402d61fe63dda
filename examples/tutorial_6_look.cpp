// Tutorial, step 6: what happened? Numbers for a dashboard, a page to look at, and a misuse that is told.

#include <cstdio>
#include <string>

#include <tokenheap/observe/openmetrics.hpp>
#include <tokenheap/observe/reading_of_kv.hpp>
#include <tokenheap/observe/refusal_counts.hpp>
#include <tokenheap/observe/registry.hpp>
#include <tokenheap/observe/report.hpp>

#include "tutorial_blocks.hpp"
using tokenheap::errc;

tokenheap::errc told = errc::ok;

int main() {
  tokenheap::host_source heap;
  auto pool = pool_type::open({.blocks = 16, .block_tokens = block, .name = "tutorial"}, shape, heap);
  if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 1;

  // [register]
  tokenheap::no_lock alone;             // one thread does everything; else the lock that guards the pool
  tokenheap::refusal_counts refused;
  const tokenheap::registration seen(*pool, alone, {.owner = "tutorial", .refusals = &refused});
  // [register]

  std::vector<double> times, live, cached;
  std::vector<sequence> running;
  for (token n = 0; n != 12; ++n) {
    const std::vector<token> prompt(20, n % 4);
    auto opened = sequence::open(*pool, prompt);
    refused.count(opened.error());
    if (opened && opened->publish(20) == errc::ok) running.push_back(std::move(*opened));
    if (running.size() > 3) running.erase(running.begin());
    const kv::pool_stats s = pool->stats();
    times.push_back(n), live.push_back(static_cast<double>(s.live)), cached.push_back(static_cast<double>(s.cached));
  }

  // [metrics]
  const std::string metrics = tokenheap::to_metrics(tokenheap::registry().snapshot());
  if (metrics.find("tokenheap_prefix_hit_tokens_total") == std::string::npos) return 2;
  std::fputs(metrics.c_str(), stdout);  // serve it at /metrics; docs/grafana.json draws it
  // [metrics]

  // [page]
  using tokenheap::report_tone;
  const tokenheap::report_line lines[] = {{"in use", report_tone::blue, live}, {"cached", report_tone::aqua, cached}};
  const tokenheap::report_series series[] = {{.title = "Blocks", .stacked = true, .times = times, .lines = lines}};
  std::string html;
  tokenheap::write_report({.title = "Step 6", .series = series}, [&](std::string_view part) { html += part; });
  // [page]

  // [misuse]
  tokenheap::set_failure_handler([](const tokenheap::failure& why) noexcept { told = why.code; });
  kv::block_id id = kv::no_block;
  if (pool->allocate({&id, 1}) != errc::ok || pool->deallocate({&id, 1}) != errc::ok) return 3;
  if (pool->deallocate({&id, 1}) != errc::double_free || told != errc::double_free) return 4;
  tokenheap::set_failure_handler(nullptr);
  if (!pool->is_valid()) return 5;      // the second call changed nothing
  // [misuse]
  return html.ends_with("</html>\n") && times.size() == 12 ? 0 : 6;
}
