// A page about one pool: numbers that a program has noted, drawn into a file that opens anywhere.

#include <cstdio>
#include <string>
#include <vector>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/observe/report.hpp>

namespace kv = tokenheap::kv;

#define EXPECT(condition)                                         \
  do {                                                            \
    if (!(condition)) {                                           \
      std::fprintf(stderr, "report: expected %s\n", #condition);  \
      return 1;                                                   \
    }                                                             \
  } while (false)

namespace {

int run() {
  auto pool = kv::block_pool<>::open({.blocks = 64, .name = "chat"});
  if (!pool) return 1;

  // [note]
  std::vector<double> seconds, live, free;
  const auto note = [&](double now) {
    const kv::pool_stats s = pool->stats();
    seconds.push_back(now);
    live.push_back(static_cast<double>(s.live));
    free.push_back(static_cast<double>(s.free));
  };
  // [note]

  std::vector<kv::block_id> ids(64);
  std::size_t held = 0;
  std::vector<tokenheap::report_event> refused;
  for (int step = 0; step != 100; ++step) {
    const std::size_t wanted = 1 + static_cast<std::size_t>(step) % 3;
    if (pool->allocate(std::span(ids).subspan(held, std::min(wanted, ids.size() - held))) == tokenheap::errc::ok) {
      held = std::min(held + wanted, ids.size());
    }
    if (held == ids.size()) {
      refused.push_back({.seconds = step * 0.1, .who = "step", .detail = "all 64 blocks are out: all come back"});
      EXPECT(pool->deallocate(std::span(ids).first(held)) == tokenheap::errc::ok);
      held = 0;
    }
    note(step * 0.1);
  }
  EXPECT(pool->deallocate(std::span(ids).first(held)) == tokenheap::errc::ok);
  note(10);

  // [page]
  using tokenheap::report_tone;
  const tokenheap::report_line lines[] = {{"in use", report_tone::blue, live}, {"free", report_tone::quiet, free}};
  const tokenheap::report_series series[] = {
      {.title = "Blocks of the pool 'chat'", .stacked = true, .times = seconds, .lines = lines}};
  const tokenheap::report_reason reasons[] = {
      {.kind = "full", .reason = "No block was left.", .fix = "a larger pool", .events = refused}};
  const tokenheap::memory_report page{.title = "One pool", .summary = "64 blocks, and who came too late.",
                                      .series = series, .reasons = reasons};
  std::string html;
  tokenheap::write_report(page, [&](std::string_view text) { html += text; });
  // [page]
  EXPECT(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
  EXPECT(html.find("Blocks of the pool 'chat'") != std::string::npos);
  std::printf("%zu bytes of HTML, %zu points, %zu refusals\n", html.size(), seconds.size(), refused.size());
  return 0;
}

}  // namespace

int main() { return run(); }
