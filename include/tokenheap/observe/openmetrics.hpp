// A page of metrics out of a snapshot: what Prometheus scrapes and `promtool check metrics` accepts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <tokenheap/observe/metric_families.hpp>
#include <tokenheap/observe/pool_reading.hpp>

namespace tokenheap {
inline namespace v0 {

namespace detail {

/// The labels of each pool as text. Equal ones get one more, `number`, from the second on: a scraper refuses twins.
[[nodiscard]] inline std::vector<pool_label_text> label_texts(const std::vector<pool_reading>& pools) {
  std::vector<pool_label_text> all(pools.size());
  std::vector<std::size_t> order(pools.size());
  for (std::size_t k = 0; k != pools.size(); ++k) {
    const pool_reading& p = pools[k];
    order[k] = k;
    append_label(all[k].plain, "pool", p.pool.empty() ? "unnamed" : std::string_view(p.pool));
    append_label(all[k].plain, "space", p.space);
    append_label(all[k].plain, "device", p.device);
    all[k].whole = all[k].plain;
    append_label(all[k].whole, "owner", p.owner);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return all[a].whole < all[b].whole; });
  std::size_t twins = 1;
  for (std::size_t k = 1; k < order.size(); ++k) {
    // the sorted neighbour may have got its number already
    const std::string_view before(all[order[k - 1]].whole);
    const std::string_view mine(all[order[k]].whole);
    twins = before.substr(0, before.size() - all[order[k - 1]].added) == mine ? twins + 1 : 1;
    if (twins == 1) continue;
    all[order[k]].number = std::to_string(twins);
    append_label(all[order[k]].whole, "number", all[order[k]].number);
    all[order[k]].added = all[order[k]].whole.size() - mine.size();
  }
  return all;
}

}  // namespace detail

/// Gives the page of a snapshot to `sink(const char*, std::size_t)`, one family at a time; `docs/stats.md` lists them.
///
/// A number that a pool does not count is left out, and so is a family that no pool counts. Serve it as
/// `text/plain; version=0.0.4; charset=utf-8`, or in the other format as
/// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
///
/// Threads   safe
/// Cost      about 5 us a pool; the text of one family in memory
/// Example   examples/metrics.cpp
template <class Sink>
void write_metrics(const std::vector<pool_reading>& pools, Sink&& sink, metric_format format = metric_format::prometheus) {
  const std::vector<pool_label_text> labels = detail::label_texts(pools);
  metric_text page(format);
  const auto flush = [&] {
    if (!page.text().empty()) sink(static_cast<const char*>(page.text().data()), page.text().size());
    page.text().clear();
  };
  page.family("tokenheap_registered_pools", "pools", metric_kind::gauge, "Pools in the registry.");
  page.sample({}, std::uint64_t{pools.size()});
  for (const metric_family& of : metric_families) {
    flush();
    page.family(of.name, of.unit, of.kind, of.help);
    const std::size_t empty = page.text().size();
    for (std::size_t k = 0; k != pools.size(); ++k) of.write(page, labels[k], pools[k]);
    if (page.text().size() == empty) page.text().clear();
  }
  page.finish();
  flush();
}

/// The page of a snapshot as one text.
///
/// Example   examples/metrics.cpp
[[nodiscard]] inline std::string to_metrics(const std::vector<pool_reading>& pools,
                                            metric_format format = metric_format::prometheus) {
  std::string page;
  write_metrics(pools, [&](const char* text, std::size_t size) { page.append(text, size); }, format);
  return page;
}

}  // namespace v0
}  // namespace tokenheap
