// The look of the page of `tokenheap plan`: no network, light and dark, narrow and wide.
#pragma once

namespace program {

inline constexpr char plan_style[] = R"css(
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #dfe3e8; --panel: #f5f7f9;
  --yes: #1a7f4b; --yes-soft: #e4f5ec; --no: #b42318; --no-soft: #fdecea;
  --weights: #2f6fb5; --lora: #8a5cc2; --activations: #d98a1f; --reserve: #7a838d; --kv: #2f9466; --kv_slack: #a5d6bd;
  --unused: #e3e7ec; --missing: #d13b32; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e7eaee; --soft: #9ba6b2; --line: #2d343c; --panel: #1c2127;
    --yes: #56c98f; --yes-soft: #16301f; --no: #ff8a80; --no-soft: #3a1a18;
    --weights: #5b9be0; --lora: #b08ae6; --activations: #e8a545; --reserve: #8b96a2; --kv: #4bbd88; --kv_slack: #2b6b4d;
    --unused: #2c333b; --missing: #ef6a62; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 56px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 36px 0 10px; }
h3 { font-size: .95rem; margin: 18px 0 6px; color: var(--soft); font-weight: 600; }
.machine { color: var(--soft); margin: 4px 0 18px; }
.verdict { padding: 14px 16px; border-left: 5px solid var(--yes); background: var(--yes-soft); border-radius: 4px;
  margin: 0; overflow-wrap: anywhere; }
.verdict.no { border-color: var(--no); background: var(--no-soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 10px; margin: 16px 0 0; padding: 0; }
.tile { background: var(--panel); border-radius: 6px; padding: 12px 14px; }
.tile dt { color: var(--soft); font-size: .84rem; }
.tile dd { margin: 2px 0 0; font-size: 1.35rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile dd small { font-size: .8rem; font-weight: 400; color: var(--soft); display: block; }
.bar { display: block; width: 100%; height: 46px; border-radius: 5px; }
.bar rect { stroke: var(--paper); stroke-width: 2px; vector-effect: non-scaling-stroke; }
.bar rect:hover { filter: brightness(1.12); }
.bar line { stroke: var(--ink); stroke-width: 2px; stroke-dasharray: 5 3; vector-effect: non-scaling-stroke; }
.weights { fill: var(--weights); background: var(--weights); } .lora { fill: var(--lora); background: var(--lora); }
.activations { fill: var(--activations); background: var(--activations); }
.reserve { fill: var(--reserve); background: var(--reserve); } .kv { fill: var(--kv); background: var(--kv); }
.kv_slack { fill: var(--kv_slack); background: var(--kv_slack); }
.unused { fill: var(--unused); background: var(--unused); } .missing { fill: var(--missing); background: var(--missing); }
.ends { display: flex; justify-content: space-between; color: var(--soft); font-size: .8rem; margin-top: 3px; }
.legend { list-style: none; display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 3px 22px;
  margin: 10px 0 0; padding: 0; }
.legend li { display: flex; align-items: baseline; gap: 8px; font-size: .92rem; }
.legend i { width: 11px; height: 11px; border-radius: 2px; flex: none; align-self: center; }
.legend b { margin-left: auto; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.legend em { color: var(--soft); font-style: normal; width: 4.8em; flex: none; text-align: right;
  font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 2px; }
tbody th { text-align: left; color: var(--ink); }
td small i { font-style: normal; }
td small { display: block; color: var(--soft); }
td.yes { background: var(--yes-soft); } td.no { background: var(--no-soft); } td.none { color: var(--soft); }
td.yes b { color: var(--yes); } td.no b { color: var(--no); }
td.asked { outline: 2px solid var(--ink); outline-offset: -2px; }
pre { background: var(--panel); border-radius: 6px; padding: 12px 14px; overflow-x: auto; margin: 0;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, "Liberation Mono", monospace; }
.words { padding-left: 1.2em; margin: 0; overflow-wrap: anywhere; } .words li { margin: 3px 0; }
details summary { cursor: pointer; color: var(--soft); } details { margin-top: 8px; }
.what-if th:first-child { position: sticky; left: 0; background: var(--paper); }
.note { color: var(--soft); font-size: .88rem; margin: 8px 0 0; }
@media (max-width: 520px) { main { padding: 18px 14px 40px; } h1 { font-size: 1.35rem; } .tile dd { font-size: 1.15rem; }
  .tiles { grid-template-columns: 1fr 1fr; } th, td { padding: 5px 6px; }
  .more { display: block; } .more i { display: none; } .legend { grid-template-columns: 1fr; } }
)css";

}  // namespace program
