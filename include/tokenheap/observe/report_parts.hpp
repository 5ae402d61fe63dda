// The other pictures of a report's page: maps, histograms, owners, reasons, and the order of all.
#pragma once

#include <string_view>

namespace tokenheap {
inline namespace v0 {
namespace detail {

inline constexpr std::string_view report_parts = R"page(
const [LANE, BEGIN, SIZE, PIECES, FILLED, LABEL, STATES] = [0, 1, 2, 3, 4, 5, 6];

// a place and a size for each cell of a map of blocks: squares in rows
function squares(map, width) {
  const wanted = Math.sqrt(width * (width < 520 ? 320 : 170) / Math.max(1, map.cells.length));
  const columns = Math.ceil(width / Math.max(6, Math.min(26, wanted)));
  const side = width / columns;
  return {row: columns, height: Math.ceil(map.cells.length / columns) * side, gap: side < 9 ? 1 : 2,
          places: map.cells.map((_, k) => [k % columns * side, Math.floor(k / columns) * side, side, side])};
}

// the same for bytes: a strip for each lane, the longest as wide as the picture
function strips(map, width) {
  const ends = new Map();
  for (const cell of map.cells) {
    const known = ends.get(cell[LANE]) || [cell[BEGIN], 0];
    ends.set(cell[LANE], [known[0], cell[BEGIN] + cell[SIZE]]);
  }
  const most = Math.max(1, ...[...ends.values()].map(([from, to]) => to - from));
  const tall = ends.size > 24 ? 9 : 20;
  const order = new Map([...ends.keys()].map((lane, k) => [lane, k]));
  return {row: 0, height: ends.size * (tall + 5), gap: 1, places: map.cells.map(cell => [
    (cell[BEGIN] - ends.get(cell[LANE])[0]) / most * width, order.get(cell[LANE]) * (tall + 5),
    cell[SIZE] / most * width, tall])};
}

// neighbours of different people differ a little
function shade(label) {
  let sum = 0;
  for (const letter of label) sum = (sum * 31 + letter.codePointAt(0)) % 65521;
  return label === '' ? 1 : [1, 0.86, 0.74][sum % 3];
}

// a cell is cut by what its parts are, and shows pale what is empty of it
function cellOf(map, cell, [left, top, wide, tall], gap) {
  const into = make('g', {class: 'cell mark'});
  const width = Math.max(0.5, wide - gap), height = tall - gap;
  let done = 0;
  for (let k = 0; k < map.states.length; ++k) {
    const part = cell[STATES + k] / cell[SIZE] * (map.blocks ? height : width);
    if (!(part > 0)) continue;
    const full = part * cell[FILLED];
    const place = map.blocks ? {x: left, y: top + done, width, height: part}
                             : {x: left + done, y: top, width: part, height};
    const style = `fill:${color(map.states[k].tone)};opacity:${map.blocks ? shade(cell[LABEL]) : 1}`;
    if (map.blocks && cell[FILLED] < 1) {
      into.append(make('rect', {...place, style: style + ';opacity:0.3'}),
                  make('rect', {...place, y: top + done + part - full, height: full, style}));
    } else into.append(make('rect', {...place, rx: width > 8 && map.blocks ? 2 : 0, style}));
    done += part;
  }
  return into;
}

function mapOf(map) {
  const unit = map.blocks ? 0 : 1;
  const into = card('full', map.name, map.note);
  const sums = map.states.map((_, k) => map.cells.reduce((sum, cell) => sum + cell[STATES + k], 0));
  const kinds = map.states.map((state, k) => [state.tone, state.name, say(unit, sums[k])]);
  into.append(legend(kinds.filter((_, k) => sums[k] > 0)));
  let layout, cells, frame;
  const one = picture(into, map.name + ': arrow keys show each piece', width => {
    layout = map.blocks ? squares(map, width) : strips(map, width);
    cells = map.cells.map((cell, k) => cellOf(map, cell, layout.places[k], layout.gap));
    frame = make('rect', {fill: 'none', stroke: 'var(--ink)', 'stroke-width': 2, visibility: 'hidden', rx: 3});
    return make('svg', {height: Math.max(1, layout.height)}, ...cells, frame);
  });
  const find = (event, place) => {
    const px = event.clientX - place.left, py = event.clientY - place.top;
    return layout.places.findIndex(([x, y, w, h]) => px >= x && px < x + w && py >= y && py < y + h);
  };
  const show = k => {
    const cell = map.cells[k], [x, y, w, h] = layout.places[k];
    const around = {x: x - 1, y: y - 1, width: Math.max(1, w - layout.gap) + 2, height: h - layout.gap + 2};
    for (const [name, value] of Object.entries(around)) frame.setAttribute(name, value);
    frame.setAttribute('visibility', 'visible');
    // what belongs to somebody else steps back
    cells.forEach((other, n) => other.classList.toggle('off', cell[LABEL] !== '' && map.cells[n][LABEL] !== cell[LABEL]));
    const blocks = cell[SIZE] === 1 ? 'block ' + cell[BEGIN] : `blocks ${cell[BEGIN]} to ${cell[BEGIN] + cell[SIZE] - 1}`;
    const what = map.blocks ? blocks : say(1, cell[SIZE]) + (cell[PIECES] > 1 ? ` in ${cell[PIECES]} pieces` : '');
    const rows = map.states.map((s, n) => [s.tone, s.name, say(unit, cell[STATES + n])]).filter((_, n) => cell[STATES + n] > 0);
    if (cell[FILLED] < 1) rows.push([null, 'filled', say(2, cell[FILLED])]);
    if (cell[LABEL]) rows.push([null, cell[LABEL], '']);
    showTip(one, Math.min(x + w, one.width), what, rows);
    one.tip.style.top = y + h + 6 + 'px';
  };
  choose(one, () => map.cells.length, find, show, () => {
    frame.setAttribute('visibility', 'hidden');
    cells.forEach(cell => cell.classList.remove('off'));
  }, () => layout.row);
}

function histogram(h, into, low, high, most) {
  const all = h.counts.reduce((a, b) => a + b, 0);
  const block = make('div', {}, make('h3', {}, h.name), make('p', {class: 'note'},
    `${say(0, all)} calls; half within ${say(h.unit, h.p50)}, 99 % within ${say(h.unit, h.p99)}, at most ${say(h.unit, h.max)}`));
  into.append(block);
  const bins = h.counts.map((count, k) => [h.edges[k], h.edges[k + 1], count]).filter(bin => bin[2] > 0);
  let bars, x, box;
  const one = picture(block, h.name + ': left and right keys show each bin', width => {
    box = {left: 46, right: width - 4, top: 16, bottom: 150};
    const svg = make('svg', {height: 172});
    const y = axes(svg, box, most, 2);
    x = value => box.left + Math.log(value / low) / Math.log(high / low) * (box.right - box.left);
    for (let power = Math.ceil(Math.log10(low) - 1e-9); 10 ** power <= high * 1.0001; ++power)
      svg.append(make('text', {x: x(10 ** power), y: 168, 'text-anchor': 'middle'}, say(h.unit, 10 ** power)));
    bars = bins.map(([from, to, count]) => make('rect', {class: 'bar mark', x: x(from) + 0.5, y: y(count / all), rx: 1.5,
      width: Math.max(1, x(to) - x(from) - 1), height: box.bottom - y(count / all), style: 'fill:var(--blue)'}));
    svg.append(...bars);
    const close = x(h.p99) - x(h.p50) < 32;
    for (const [name, value, side] of [['p50', h.p50, 'end'], ['p99', h.p99, 'start']]) if (value > 0)
      svg.append(make('line', {class: 'limit', x1: x(value), x2: x(value), y1: box.top - 2, y2: box.bottom}),
                 make('text', {x: x(value), y: box.top - 6, 'text-anchor': close ? side : 'middle'}, name));
    return svg;
  });
  const calm = () => bars.forEach(bar => bar.classList.remove('on'));
  choose(one, () => bins.length, (event, place) => bins.reduce((best, bin, k) => {
    const off = Math.abs(x(Math.sqrt(bin[0] * bin[1])) - (event.clientX - place.left));
    return off < best[1] ? [k, off] : best;
  }, [-1, Infinity])[0], k => {
    calm();
    bars[k].classList.add('on');
    const [from, to, count] = bins[k];
    showTip(one, x(to), say(h.unit, from) + ' to ' + say(h.unit, to),
            [[null, 'calls', say(0, count)], [null, 'of all', say(2, count / all)]]);
  }, calm);
}

function histograms() {
  const into = card('full', report.histogramsTitle,
                    'Share of the calls by how long they took; the scale below grows by factors of ten.');
  const several = make('div', {class: 'several'});
  into.append(several);
  const used = report.histograms.flatMap(h =>
    h.counts.map((count, k) => [h.edges[k], h.edges[k + 1], count]).filter(bin => bin[2] > 0));
  const low = used.reduce((a, bin) => Math.min(a, bin[0]), Infinity), high = used.reduce((a, bin) => Math.max(a, bin[1]), 0);
  const share = h => Math.max(0, ...h.counts) / Math.max(1, h.counts.reduce((a, b) => a + b, 0));
  const most = Math.max(0.01, ...report.histograms.map(share)) * 1.05;
  for (const h of report.histograms) if (h.counts.some(count => count > 0)) histogram(h, several, low, high, most);
}

function owners() {
  const into = card(report.reasons.length ? 'third' : 'full', 'Top owners',
                    'Pale: the most that they ever held. Full: what they hold at the end.');
  const most = Math.max(1, ...report.owners.map(owner => owner.peak));
  for (const owner of report.owners) {
    const bar = (value, opacity) => make('i', {class: 'mark',
      style: `width:${100 * value / most}%;background:${color(owner.tone)};opacity:${opacity}`});
    const track = make('div', {class: 'track'}, bar(owner.peak, 0.35));
    if (owner.now > 0) track.append(bar(owner.now, 1));
    into.append(make('div', {class: 'owner', title: `${owner.name}: ${say(1, owner.now)} now, ${say(1, owner.peak)} at the most`},
      make('div', {class: 'line'}, make('span', {}, owner.name),
           make('span', {class: 'note'}, make('b', {}, say(1, owner.peak)), ` · ${say(1, owner.now)} now`)), track));
  }
  if (report.allOwners > report.owners.length)
    into.append(make('p', {class: 'note'}, `and ${say(0, report.allOwners - report.owners.length)} smaller ones`));
}

function reasonStrip(into, reason) {
  let box, x, lines;
  const one = picture(into, reason.kind + ': left and right keys show each time', width => {
    box = {left: 2, right: width - 4, top: 2, bottom: 22};
    const svg = make('svg', {height: 44});
    svg.append(make('line', {class: 'axis', x1: box.left, x2: box.right, y1: 22.5, y2: 22.5}));
    x = timeAxis(svg, box);
    lines = reason.events.map(event => make('line', {class: 'mark', x1: x(event[0]), x2: x(event[0]), y1: 4, y2: 22,
      style: 'stroke:var(--orange);stroke-width:2;opacity:0.75'}));
    svg.append(...lines);
    return svg;
  });
  const times = reason.events.map(event => event[0]);
  choose(one, () => times.length, (event, place) => nearest(times, span[0] + (event.clientX - place.left - box.left) /
    (box.right - box.left) * (span[1] - span[0])), k => {
    const [time, who, detail] = reason.events[k];
    cursors.forEach(other => other(time));
    showTip(one, x(time), sayTime(time - span[0], span[1] - span[0]), [[null, who, ''], [null, detail, '']]);
    one.tip.style.top = '48px';
  }, () => cursors.forEach(other => other(null)));
}

function reasons() {
  const into = card(report.owners.length ? 'rest' : 'full', report.reasonsTitle, '');
  for (const reason of report.reasons) {
    const block = make('div', {class: 'reason'}, make('div', {class: 'line'}, make('span', {class: 'count'}, say(0, reason.count)),
      make('h3', {}, reason.kind)), make('p', {class: 'note'}, reason.reason));
    if (reason.fix && reason.count > 0) block.append(make('p', {class: 'note'}, 'What helps: ' + reason.fix));
    into.append(block);
    if (reason.count === 0) continue;
    reasonStrip(block, reason);
    const shown = reason.events.length < reason.count ? `${say(0, reason.events.length)} of them` : 'Each of them';
    block.append(make('details', {}, make('summary', {}, shown), table(['when', 'who', 'what'],
      reason.events.map(([time, who, detail]) => [sayTime(time - span[0], span[1] - span[0]), who, detail]), [0])));
  }
}

if (report.figures.length) page.append(make('div', {class: 'figures'}, ...report.figures.map(figure =>
  make('div', {class: 'card figure'}, make('div', {class: 'name'}, figure.name), make('div', {class: 'value'}, figure.value),
       make('div', {class: 'note'}, figure.note)))));
// the first one alone, the others two in a row
report.series.forEach((s, k) =>
  timeChart(s, k === 0 || (k === report.series.length - 1 && k % 2 === 1) ? 'full' : 'half', k === 0 ? 320 : 240));
report.maps.forEach(mapOf);
if (report.histograms.some(h => h.counts.some(count => count > 0))) histograms();
if (report.owners.length) owners();
if (report.reasons.length) reasons();
if (report.files.length) card('full', 'Beside this page', '').append(make('ul', {class: 'files'}, ...report.files.map(file =>
  make('li', {}, make('a', {href: file.name}, file.name), ' ', make('span', {class: 'note'}, file.what)))));
const drawAll = () => pictures.forEach(one => one.draw());
new ResizeObserver(drawAll).observe(page);
drawAll();
)page";

}  // namespace detail
}  // namespace v0
}  // namespace tokenheap
