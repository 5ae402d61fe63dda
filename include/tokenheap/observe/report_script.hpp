// What a report's page draws with, in the language of browsers: tools, and charts over time.
#pragma once

#include <string_view>

namespace tokenheap {
inline namespace v0 {
namespace detail {

// elements, numbers as people write them, ticks, and the card that each picture stands in
inline constexpr std::string_view report_tools = R"page(
const report = JSON.parse(document.getElementById('numbers').textContent);
const tones = ['blue', 'aqua', 'yellow', 'violet', 'red', 'green', 'magenta', 'orange', 'quiet'];
const color = tone => `var(--${tones[tone] || 'quiet'})`;
const drawn = new Set(['svg', 'g', 'path', 'rect', 'line', 'circle', 'text']);
const vector = 'http://www.w3.org/2000/svg';

function make(tag, attributes = {}, ...inside) {
  const made = drawn.has(tag) ? document.createElementNS(vector, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

function digits(value) {
  const size = Math.abs(value);
  return size === 0 || size >= 100 ? value.toFixed(0) : size >= 10 ? trim(value.toFixed(1)) : trim(value.toPrecision(3));
}
const trim = text => text.includes('.') && !text.includes('e') ? text.replace(/\.?0+$/, '') : text;

function scaled(value, step, names) {
  let k = 0;
  for (let size = Math.abs(value); size >= step && k + 1 < names.length; ++k) { size /= step; value /= step; }
  return digits(value) + ' ' + names[k];
}

// the units of the numbers, in the order of report_unit
const written = [
  n => Number.isInteger(n) ? n.toLocaleString('en-US') : n.toLocaleString('en-US', {maximumFractionDigits: 2}),
  n => scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']),
  n => trim((100 * n).toFixed(1)) + ' %',
  n => n < 1000 ? digits(n) + ' ns' : scaled(n / 1000, 1000, ['µs', 'ms', 's']),
];
const say = (unit, value) => value === null ? 'none' : (written[unit] || written[0])(value);

function sayTime(seconds, longest) {
  if (longest >= 7200) return digits(seconds / 3600) + ' h';
  if (longest >= 300) return digits(seconds / 60) + ' min';
  return longest >= 1 ? digits(seconds) + ' s' : digits(seconds * 1000) + ' ms';
}

function ticks(most, wanted, unit) {
  if (!(most > 0)) return [0];
  let size = 1;
  if (unit === 1) while (most / size >= 1024) size *= 1024;
  const rough = most / size / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map(k => k * power).find(k => k >= rough * 0.999) * size;
  if (unit === 0) step = Math.max(1, Math.round(step));
  const all = [];
  for (let k = 0; k * step <= most * 1.0001; ++k) all.push(k * step);
  return all;
}

const page = document.getElementById('page');
const pictures = [];

function card(width, title, note, level = 'h2') {
  const made = make('section', {class: 'card ' + width}, make(level, {}, title));
  if (note) made.append(make('p', {class: 'note'}, note));
  page.append(made);
  return made;
}

const swatch = tone => make('i', {class: 'swatch', style: 'background:' + color(tone)});

function legend(items) {
  return make('ul', {class: 'legend'}, ...items.map(([tone, name, value]) =>
    make('li', {}, swatch(tone), name + ' ', make('span', {}, value))));
}

// a picture is drawn anew when its width changes
function picture(into, label, draw) {
  const plot = make('div', {class: 'plot', tabindex: '0', role: 'group', 'aria-label': label});
  const tip = make('div', {class: 'tip', role: 'status', hidden: ''});
  into.append(plot);
  const one = {plot, tip, width: 0, draw() {
    const width = Math.floor(plot.clientWidth);
    if (width === one.width || width === 0) return;
    one.width = width;
    plot.replaceChildren(draw(width), tip);
  }};
  pictures.push(one);
  return one;
}

function showTip(one, at, head, rows) {
  one.tip.replaceChildren(make('div', {class: 'head'}, head), ...rows.map(([tone, name, value]) => {
    const left = make('span', {}, ...(tone === null ? [] : [swatch(tone)]), name);
    return make('div', {class: 'row'}, left, make('b', {}, value));
  }));
  one.tip.hidden = false;
  const side = at < one.width / 2;
  one.tip.style.left = side ? Math.min(at + 14, one.width - one.tip.offsetWidth) + 'px' : 'auto';
  one.tip.style.right = side ? 'auto' : Math.min(one.width - at + 14, one.width - one.tip.offsetWidth) + 'px';
}

// pointer, finger and keys choose one of `count` things: `find` says which one a place is, `show` shows it
function choose(one, count, find, show, hide, row = () => 0) {
  let now = -1;
  const to = k => { if (k >= 0 && k < count()) show(now = k); };
  const away = () => { now = -1; one.tip.hidden = true; hide(); };
  const point = event => {
    const k = find(event, one.plot.getBoundingClientRect());
    if (k >= 0) to(k); else away();
  };
  one.plot.addEventListener('pointermove', point);
  one.plot.addEventListener('pointerdown', point);
  one.plot.addEventListener('pointerleave', event => { if (event.pointerType === 'mouse') away(); });
  one.plot.addEventListener('blur', away);
  one.plot.addEventListener('keydown', event => {
    const far = Math.max(1, row() || Math.round(count() / 20));
    const steps = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: far, ArrowUp: -far, PageDown: far, PageUp: -far};
    if (event.key === 'Escape') return away();
    if (event.key === 'Home') to(0);
    else if (event.key === 'End') to(count() - 1);
    else if (event.key in steps) to(Math.min(count() - 1, Math.max(0, now + steps[event.key])));
    else return;
    event.preventDefault();
  });
}
)page";

// pictures over time: a cursor in one of them stands in all
inline constexpr std::string_view report_charts = R"page(
const times = [...report.series.map(s => s.t), ...report.reasons.map(reason => reason.events.map(event => event[0]))];
const span = times.flat().reduce(([from, to], t) => [Math.min(from, t), Math.max(to, t)], [Infinity, -Infinity]);
if (!(span[1] > span[0])) span.splice(0, 2, Math.min(span[0], 0) || 0, (Number.isFinite(span[1]) ? span[1] : 0) + 1);
const cursors = [];

function nearest(times, t) {
  let low = 0, high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle; else high = middle;
  }
  return high < 0 ? -1 : Math.abs(times[low] - t) <= Math.abs(times[high] - t) ? low : high;
}

function axes(into, box, most, unit) {
  const y = value => box.bottom - value / most * (box.bottom - box.top);
  for (const value of ticks(most, box.bottom - box.top > 150 ? 5 : 3, unit)) {
    const at = Math.round(y(value)) + 0.5;
    into.append(make('line', {class: value === 0 ? 'axis' : 'grid', x1: box.left, x2: box.right, y1: at, y2: at}),
                make('text', {x: box.left - 8, y: at + 4, 'text-anchor': 'end'}, say(unit, value)));
  }
  return y;
}

function timeAxis(into, box) {
  const length = span[1] - span[0];
  const scale = length >= 7200 ? 3600 : length >= 300 ? 60 : 1;
  const x = t => box.left + (t - span[0]) / length * (box.right - box.left);
  for (const value of ticks(length / scale, Math.max(2, Math.floor((box.right - box.left) / 90)), 2)) {
    const at = Math.round(x(span[0] + value * scale)) + 0.5;
    const anchor = value === 0 ? 'start' : at > box.right - 20 ? 'end' : 'middle';
    into.append(make('line', {class: 'axis', x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4}),
                make('text', {x: at, y: box.bottom + 17, 'text-anchor': anchor}, sayTime(value * scale, length)));
  }
  return x;
}

// sums from below, so that an area lies between two of them
function stack(s) {
  const sums = [s.t.map(() => 0)];
  for (const line of s.lines) sums.push(line.v.map((value, k) => sums[sums.length - 1][k] + (value || 0)));
  return sums;
}

// a value holds until the next one
function marks(s, sums, x, y) {
  const place = (k, value) => x(s.t[k]).toFixed(1) + ' ' + y(value).toFixed(1);
  if (!s.stacked) return s.lines.map(line => {
    let path = '', last = null;
    line.v.forEach((value, k) => {
      if (last !== null) path += 'L' + place(k, last);
      if (value !== null) path += (last === null ? 'M' : 'L') + place(k, value);
      last = value;
    });
    return make('path', {class: 'path mark', d: path, style: 'stroke:' + color(line.tone)});
  });
  const edge = sum => sum.flatMap((value, k) => k === 0 ? [place(k, value)] : [place(k, sum[k - 1]), place(k, value)]);
  return s.lines.map((line, n) => {
    const over = edge(sums[n + 1]).join('L'), under = edge(sums[n]).reverse().join('L');
    const path = s.t.length ? 'M' + over + 'L' + under + 'Z' : '';
    return make('path', {class: 'area mark', d: path, style: 'fill:' + color(line.tone)});
  });
}

function table(heads, rows, numbers) {
  const kind = k => numbers.includes(k) ? {class: 'number'} : {};
  return make('div', {class: 'scroll', tabindex: '0'}, make('table', {},
    make('thead', {}, make('tr', {}, ...heads.map((head, k) => make('th', kind(k), head)))),
    make('tbody', {}, ...rows.map(row => make('tr', {}, ...row.map((value, k) => make('td', kind(k), value)))))));
}

function numbersOf(s) {
  const rows = s.lines.map(line => {
    const values = line.v.filter(value => value !== null);
    const of = value => values.length === 0 ? 'none' : say(s.unit, value);
    return [line.name, of(values.reduce((a, b) => Math.min(a, b), Infinity)),
            of(values.reduce((a, b) => Math.max(a, b), -Infinity)), of(values[values.length - 1])];
  });
  return make('details', {}, make('summary', {}, 'Numbers'), table(['', 'least', 'greatest', 'at the end'], rows, [1, 2, 3]));
}

function timeChart(s, width, height) {
  const into = card(width, s.title, s.note);
  const greatest = line => line.v.reduce((a, b) => Math.max(a, b === null ? 0 : b), 0);
  into.append(legend(s.lines.map(line => [line.tone, line.name, 'up to ' + say(s.unit, greatest(line))])));
  const sums = stack(s);
  const top = s.stacked ? sums[sums.length - 1].reduce((a, b) => Math.max(a, b), 0) : Math.max(0, ...s.lines.map(greatest));
  const most = (Math.max(top, s.limit) || 1) * 1.04;
  let box, x, y, cursor, dots;
  const one = picture(into, s.title + ': left and right keys show values', w => {
    box = {left: 62, right: w - 6, top: 8, bottom: (w < 520 ? Math.min(height, 200) : height) - 26};
    const svg = make('svg', {height: box.bottom + 26});
    y = axes(svg, box, most, s.unit);
    x = timeAxis(svg, box);
    svg.append(...marks(s, sums, x, y));
    const limit = {class: 'limit', x1: box.left, x2: box.right, y1: y(s.limit), y2: y(s.limit)};
    if (s.limit > 0) svg.append(make('line', limit));
    cursor = make('line', {class: 'cursor', y1: box.top, y2: box.bottom, visibility: 'hidden'});
    dots = s.stacked ? [] : s.lines.map(line =>
      make('circle', {class: 'dot', r: 4.5, visibility: 'hidden', fill: color(line.tone)}));
    svg.append(cursor, ...dots);
    return svg;
  });
  const mark = k => {
    for (const part of [cursor, ...dots]) part.setAttribute('visibility', k < 0 ? 'hidden' : 'visible');
    if (k < 0) return;
    for (const end of ['x1', 'x2']) cursor.setAttribute(end, x(s.t[k]));
    dots.forEach((dot, n) => {
      const value = s.lines[n].v[k];
      if (value === null) return dot.setAttribute('visibility', 'hidden');
      dot.setAttribute('cx', x(s.t[k]));
      dot.setAttribute('cy', y(value));
    });
  };
  watchTime(s, one, mark, sums, at => span[0] + (at - box.left) / (box.right - box.left) * (span[1] - span[0]), t => x(t));
  into.append(numbersOf(s));
}

function watchTime(s, one, mark, sums, timeAt, placeOf) {
  cursors.push(t => { if (one.width !== 0) mark(t === null ? -1 : nearest(s.t, t)); });
  const move = t => cursors.forEach(other => other(t));
  choose(one, () => s.t.length, (event, place) => nearest(s.t, timeAt(event.clientX - place.left)), k => {
    move(s.t[k]);
    const rows = s.lines.map(line => [line.tone, line.name, say(s.unit, line.v[k])]);
    if (s.stacked) rows.reverse().push([null, 'all', say(s.unit, sums[sums.length - 1][k])]);
    if (s.limit > 0 && s.limitName) rows.push([null, s.limitName, say(s.unit, s.limit)]);
    showTip(one, placeOf(s.t[k]), sayTime(s.t[k] - span[0], span[1] - span[0]), rows);
  }, () => move(null));
}
)page";

}  // namespace detail
}  // namespace v0
}  // namespace tokenheap
