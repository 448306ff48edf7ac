#include "cli/kernel_page.h"

#include <fmt/format.h>

#include "train/report/html.h"
#include "train/report/report_style.h"

namespace fovea {
namespace {

constexpr const char* style = R"css(
:root{--read:#2563c9;--write:#d9730d;--atomic:#8b5cf6;--fault:#d92d20;--quiet:#eceef1;--before:#c9d7ee}
@media (prefers-color-scheme:dark){:root{--read:#6ea8fe;--write:#ff922b;--atomic:#b79cff;--fault:#ff5c50;--quiet:#2a2f36;
--before:#35496a}}
main{max-width:900px}
.bar{position:sticky;top:0;background:var(--page);padding:10px 0;z-index:1}
.bar input{width:100%;margin:4px 0;accent-color:var(--accent)}
.buttons{display:flex;gap:8px;flex-wrap:wrap;align-items:center}
button,select{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--grid);border-radius:8px;
padding:4px 12px;max-width:100%}
#step{min-height:4.6em;margin:6px 0 0;color:var(--ink)}
code{font:.88em ui-monospace,monospace;overflow-wrap:anywhere}
canvas{display:block;width:100%}
.card{margin-bottom:12px}
.card h2{font-size:1rem;margin:0 0 8px}
.card h2 span{font-weight:400;color:var(--muted)}
#fault{color:var(--fault);font-weight:600;overflow-wrap:anywhere}
.key{display:inline-block;width:.9em;height:.9em;border-radius:3px;margin:0 .3em 0 .9em;vertical-align:-1px}
)css";

constexpr const char* body = R"html(
<p id="what"></p><p id="fault"></p>
<div class="bar"><div class="buttons"><select id="launch" aria-label="launch"></select>
<button id="back" aria-label="one step back">&#9664;</button><button id="on" aria-label="one step on">&#9654;</button>
<button id="play">Play</button></div>
<input id="at" type="range" min="0" value="0" aria-label="step"><canvas id="track" height="14" aria-hidden="true"></canvas>
<p id="step" aria-live="polite"></p></div>
<p><span class="key" style="background:var(--read);margin-left:0"></span>reads
<span class="key" style="background:var(--write)"></span>writes<span class="key" style="background:var(--atomic)"></span>atomic
<span class="key" style="background:var(--before)"></span>touched since the last barrier
<span class="key" style="background:var(--fault)"></span>stopped here, or in conflict with it
<span class="key" style="background:var(--ink);width:3px"></span>barrier</p>
<div class="card"><h2>Blocks</h2><canvas id="blocks"></canvas></div>
<div class="card"><h2>Threads of the block <span>a row is a warp</span></h2><canvas id="threads"></canvas></div>
<div id="regions"></div>
<footer>A step is one request of a warp. The simulator runs blocks one after another, and the warps between two barriers one
after another; a GPU promises no order there.</footer>
)html";

constexpr const char* script = R"js(
const launches = JSON.parse(document.getElementById('film').textContent);
const $ = id => document.getElementById(id), kinds = ['reads', 'writes', 'does an atomic operation on'];
const colour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const kindColour = kind => colour(['read', 'write', 'atomic'][kind]);
let launch, place = 0, timer = null;

// Calls f(thread, cell) for each cell that a step touches.
function touches(step, f) {
  for (let i = 5; i < step.length; i += 3)
    for (let k = 0; k < step[i + 2]; ++k) f(step[i], step[i + 1] + k);
}
// Draws `count` squares in rows of `columns`; paint(i) is a colour, mark(i) that of a frame.
function squares(canvas, count, columns, paint, mark) {
  const width = canvas.clientWidth, scale = devicePixelRatio || 1, size = Math.min(26, Math.floor(width / columns));
  const rows = Math.ceil(count / columns);
  canvas.width = width * scale;
  canvas.height = rows * size * scale;
  canvas.style.height = rows * size + 'px';
  const g = canvas.getContext('2d');
  g.scale(scale, scale);
  for (let i = 0; i < count; ++i) {
    const x = i % columns * size, y = Math.floor(i / columns) * size, gap = size > 5 ? 1 : 0;
    g.fillStyle = paint(i);
    g.fillRect(x, y, size - gap, size - gap);
    const frame = mark && mark(i);
    if (!frame) continue;
    g.strokeStyle = frame;
    g.lineWidth = Math.max(1, size / 8);
    g.strokeRect(x + g.lineWidth / 2, y + g.lineWidth / 2, size - gap - g.lineWidth, size - gap - g.lineWidth);
  }
}
// Where in `steps` the block's time since its last barrier begins.
function sinceBarrier(at) {
  const block = launch.steps[at][0];
  while (at > 0 && launch.steps[at - 1][0] === block && launch.steps[at - 1].length > 1) --at;
  return at;
}

function text(step) {
  if (!step) return 'Every access of this launch is to registers: there is nothing to see.';
  const block = `Block ${step[0]}`;
  if (step.length === 1) return `${block}: all threads have come to a barrier.`;
  const [, warp, site, kind, region] = step, cells = new Set(), threads = [];
  touches(step, (thread, cell) => cells.add(cell));
  for (let i = 5; i < step.length; i += 3) threads.push(step[i]);
  const sorted = [...cells].sort((a, b) => a - b), last = sorted.length - 1;
  const range = last === 0 ? `[${sorted[0]}]` : sorted[last] - sorted[0] === last ? `[${sorted[0]} to ${sorted[last]}]`
      : `[${sorted.slice(0, 4).join(', ')}${last > 3 ? ', ... ' + sorted[last] : ''}]`;
  return `${block}, warp ${warp}, ${threads.length} lane${threads.length > 1 ? 's' : ''}: ${kinds[kind]} ` +
      `${launch.regions[region].name} ${range}`;
}

function draw() {
  const steps = launch.steps, step = steps[place], from = step ? sinceBarrier(place) : 0, now = new Map(), before = new Map();
  const failed = launch.failed && launch.failed[0] === place ? launch.failed.slice(1) : null, active = new Map();
  const key = (region, cell) => region * 65536 * 16 + cell;
  for (let i = from; i <= place && step; ++i)
    if (steps[i].length > 1)
      touches(steps[i], (thread, cell) => {
        const k = key(steps[i][4], cell);
        if (failed && k === key(failed[1], failed[2])) active.set(thread, colour('fault'));
        else if (i === place) active.set(thread, kindColour(steps[i][3]));
        (i === place ? now : before).set(k, kindColour(steps[i][3]));
      });
  if (failed) active.set(failed[0], colour('fault'));
  $('at').value = place;
  $('step').replaceChildren(document.createTextNode(`${steps.length ? place + 1 : 0} of ${steps.length}. ${text(step)}`));
  if (step && step.length > 1) {
    const code = document.createElement('code');
    code.textContent = launch.sites[step[2]] + '  ' + ((launch.code || [])[step[2]] || '');
    $('step').append(document.createElement('br'), code);
  }
  const blocks = launch.grid[0] * launch.grid[1] * launch.grid[2], threads = launch.block[0] * launch.block[1] * launch.block[2];
  squares($('blocks'), blocks, 32, i => step && i === step[0] ? colour('accent') : colour('quiet'));
  squares($('threads'), threads, 32, i => active.get(i) || colour('quiet'));
  launch.regions.forEach((region, r) => squares(document.querySelector(`#region${r}`), region.count, 32, i => {
    const k = key(r, region.first + i);
    if (failed && failed[1] === r && failed[2] === region.first + i) return colour('fault');
    return now.get(k) || (before.has(k) ? colour('before') : colour('quiet'));
  }, i => before.get(key(r, region.first + i))));
  drawTrack();
}
// All steps as a strip: colours are kinds, gaps barriers.
function drawTrack() {
  const canvas = $('track'), steps = launch.steps, width = canvas.clientWidth, g = canvas.getContext('2d');
  canvas.width = width;
  steps.forEach((step, i) => {
    const x = i / steps.length * width, w = Math.max(1, width / steps.length);
    if (step.length === 1) {
      g.fillStyle = colour('ink');
      g.fillRect(x, 0, Math.max(1, Math.min(w, 3)), 14);
    } else {
      g.fillStyle = launch.failed && i === launch.failed[0] ? colour('fault') : kindColour(step[3]);
      g.fillRect(x, i === place ? 0 : 4, w, i === place ? 14 : 6);
    }
  });
}
function stop() {
  clearInterval(timer);
  timer = null;
  $('play').textContent = 'Play';
}
function go(to) {
  place = Math.max(0, Math.min(launch.steps.length - 1, to));
  draw();
}
function choose(index) {
  stop();
  launch = launches[index];
  $('what').textContent = `${launch.kernel}: a grid of ${launch.grid.join(' x ')} blocks of ${launch.block.join(' x ')} threads, ` +
      `launched at ${launch.launched}` +
      (launch.fault ? `. The simulator stopped it${launch.failed ? ` at step ${launch.failed[0] + 1}` : ''}:` : '.');
  $('fault').textContent = launch.fault;
  $('at').max = Math.max(0, launch.steps.length - 1);
  $('regions').replaceChildren(...launch.regions.map((region, r) => {
    const card = document.createElement('div'), title = document.createElement('h2'), note = document.createElement('span');
    const canvas = document.createElement('canvas');
    card.className = 'card';
    title.textContent = region.name + ' ';
    note.textContent = `${region.cell} bytes a cell, ${region.first} to ${region.first + region.count - 1}`;
    canvas.id = `region${r}`;
    title.append(note);
    card.append(title, canvas);
    return card;
  }));
  go(0);
}
launches.forEach((l, i) => $('launch').add(new Option(`${i + 1}: ${l.kernel}${l.fault ? ' (stopped)' : ''}`, i)));
$('launch').onchange = event => choose(+event.target.value);
$('at').oninput = event => { stop(); go(+event.target.value); };
$('back').onclick = () => { stop(); go(place - 1); };
$('on').onclick = () => { stop(); go(place + 1); };
$('play').onclick = () => {
  if (timer) return stop();
  if (place === launch.steps.length - 1) go(0);
  $('play').textContent = 'Pause';
  timer = setInterval(() => { go(place + 1); if (place === launch.steps.length - 1) stop(); }, 400);
};
addEventListener('resize', draw);
matchMedia('(prefers-color-scheme:dark)').addEventListener('change', draw);
const [first, step] = location.hash.slice(1).split(',').map(Number);  // page.html#2,15: step 15 of launch 2
const chosen = Math.min(launches.length, Math.max(1, first || 1)) - 1;
$('launch').value = chosen;
choose(chosen);
if (step) go(step - 1);
)js";

}  // namespace

std::string kernel_page(const std::string& title, const std::string& launches) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{0}</title>"
      "<style>{1}{2}</style></head><body><main><h1>{0}</h1>{3}</main>\n"
      "<script type=\"application/json\" id=\"film\">{4}</script>\n<script>{5}</script></body></html>\n",
      escape_html(title), report_style, style, body, launches, script);
}

}  // namespace fovea
