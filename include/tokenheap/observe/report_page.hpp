// The head and the style of a report's page.
#pragma once

#include <string_view>

namespace tokenheap {
inline namespace v0 {
namespace detail {

// nothing may be loaded: the browser itself refuses it
inline constexpr std::string_view report_head = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>)page";

inline constexpr std::string_view report_style = R"page(
:root {
  --ground: #f5f5f2; --card: #fdfdfc; --ink: #191918; --soft: #5d5c57; --grid: #e7e6e1; --axis: #b9b8b1;
  --blue: #2a78d6; --aqua: #1baf7a; --yellow: #eda100; --violet: #4a3aa7; --red: #e34948; --green: #008300;
  --magenta: #e87ba4; --orange: #eb6834; --quiet: #d3d2ca;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #111110; --card: #1a1a19; --ink: #f4f3ee; --soft: #b3b2a9; --grid: #2b2b29; --axis: #55544f;
    --blue: #3987e5; --aqua: #199e70; --yellow: #c98500; --violet: #9085e9; --red: #e66767; --green: #2d9b2d;
    --magenta: #d55181; --orange: #d95926; --quiet: #3f3f3b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 40px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 16px; line-height: 1.3; margin: 0; }
h3 { font-size: 14px; line-height: 1.3; margin: 0; font-weight: 600; }
#summary { font-size: 16px; margin: 0 0 20px; max-width: 78ch; color: var(--soft); overflow-wrap: anywhere; }
.note { color: var(--soft); margin: 2px 0 0; font-size: 13px; overflow-wrap: anywhere; }
#page { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 16px; }
.card { background: var(--card); border: 1px solid var(--grid); border-radius: 10px; padding: 16px 18px; min-width: 0; }
.full { grid-column: 1 / -1; }
.half { grid-column: span 3; }
.third { grid-column: span 2; }
.rest { grid-column: span 4; }
.figures { grid-column: 1 / -1; display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 16px; }
.figure { padding: 12px 16px; }
.figure .value { font-size: 26px; line-height: 1.2; font-weight: 600; overflow-wrap: anywhere; }
.figure .name { color: var(--soft); font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 10px 0 4px; padding: 0; list-style: none; font-size: 13px; }
.legend b, .tip b { font-weight: 600; font-variant-numeric: tabular-nums; }
.legend span { color: var(--soft); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 6px; flex: none; }
.plot { position: relative; margin-top: 8px; touch-action: pan-y; border-radius: 4px; }
.plot:focus-visible { outline: 2px solid var(--blue); outline-offset: 3px; }
svg { display: block; width: 100%; overflow: visible; }
svg text { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); stroke-width: 1; shape-rendering: crispEdges; }
.axis { stroke: var(--axis); stroke-width: 1; shape-rendering: crispEdges; }
.limit { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; }
.area { stroke: var(--card); stroke-width: 0.6; stroke-linejoin: round; }
.path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.cursor { stroke: var(--ink); stroke-width: 1; opacity: 0.55; pointer-events: none; }
.dot { stroke: var(--card); stroke-width: 2; pointer-events: none; }
.cell { transition: opacity 0.12s; }
.cell.off { opacity: 0.25; }
.bar.on { stroke: var(--ink); stroke-width: 2; }
.tip {
  position: absolute; top: 4px; z-index: 2; pointer-events: none; max-width: min(300px, 92%); padding: 8px 11px;
  border: 1px solid var(--axis); border-radius: 8px; background: var(--card); font-size: 12.5px; line-height: 1.45;
  box-shadow: 0 4px 16px rgb(0 0 0 / 0.16);
}
.tip .head { color: var(--soft); }
.tip .row { display: flex; align-items: baseline; gap: 14px; justify-content: space-between; }
.tip .row span:first-child { overflow-wrap: anywhere; }
.several { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(260px, 100%), 1fr)); gap: 8px 28px; }
.several > * { min-width: 0; margin-top: 12px; }
.owner { margin-top: 12px; }
.owner .line { display: flex; justify-content: space-between; gap: 12px; flex-wrap: wrap; }
.track { position: relative; height: 12px; margin-top: 3px; border-radius: 4px; overflow: hidden; }
.track i { position: absolute; inset: 0 auto 0 0; border-radius: 0 4px 4px 0; min-width: 2px; }
.reason { margin-top: 14px; padding-top: 12px; border-top: 1px solid var(--grid); }
.reason:first-of-type { border-top: 0; padding-top: 0; }
.reason .line { display: flex; align-items: baseline; gap: 10px; flex-wrap: wrap; }
.reason .count { font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
details { margin-top: 8px; font-size: 13px; }
summary { cursor: pointer; color: var(--soft); width: fit-content; }
.scroll { overflow: auto; max-height: 300px; margin-top: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; }
th { text-align: left; color: var(--soft); font-weight: 500; position: sticky; top: 0; background: var(--card); }
th, td { padding: 3px 14px 3px 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.files { margin: 8px 0 0; padding: 0; list-style: none; display: grid; gap: 6px 28px;
  grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
a { color: var(--blue); }
@media (max-width: 760px) {
  main { padding: 18px 12px 28px; }
  h1 { font-size: 22px; }
  #summary { font-size: 15px; }
  #page { gap: 12px; }
  .half, .third, .rest { grid-column: 1 / -1; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; }
  .figure .value { font-size: 21px; }
  .card { padding: 13px 13px; }
}
)page";

}  // namespace detail
}  // namespace v0
}  // namespace tokenheap
