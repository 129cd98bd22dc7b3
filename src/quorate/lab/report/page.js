"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
// Rows: [start µs, end µs (0: never), worker, process, key, function, outcome (0 ok, 1 fail, 2 info), argument, result, error]
const START = 0, END = 1, WORKER = 2, PROCESS = 3, KEY = 4, F = 5, OUTCOME = 6, VALUE = 7, RESULT = 8, ERROR = 9;
const GUTTER = 122, LANE = 20, LANES_HEIGHT = 430;
const FAULT_H = 20, LEADER_H = 20, RATE_H = 64, LATENCY_H = 74, AXIS_H = 22, GAP = 8;
const FULL = [0, Math.max(D.end_us, 1)];
const witness = new Map();
let view = FULL.slice(), laneKind = "worker", lanes = [], laneTop = 0, hover = null, colours = {}, filter = "";

const span = (us) => us < 1000 ? `${Math.round(us)} µs` : us < 1e6 ? `${(us / 1000).toFixed(us < 10000 ? 2 : 1)} ms` : `${(us / 1e6).toFixed(2)} s`;
const ms = (ns) => (ns / 1e6).toLocaleString("en", { maximumFractionDigits: ns < 1e8 ? 1 : 0 });
const count = (n) => (n || 0).toLocaleString("en");
const make = (tag, text, cls) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; return e; };
const isUpdate = (c) => c[F] !== "read";

function words(c) {
  const out = c[OUTCOME] === 2 ? " ?" : c[OUTCOME] === 1 ? " ✗" : "";
  if (c[F] === "read") return c[OUTCOME] === 0 ? `read → ${c[RESULT] === null ? "nothing" : c[RESULT]}` : `read${out}`;
  if (c[F] === "write") return `write ${c[VALUE]}${out}`;
  if (c[F] === "cas") return `cas ${c[VALUE][0]} → ${c[VALUE][1]}${c[OUTCOME] === 0 ? (c[RESULT] ? " ✓" : " refused") : out}`;
  return c[OUTCOME] === 0 ? `increment → ${c[RESULT]}` : `increment${out}`;
}

function colourOf(c) {
  if (c[OUTCOME] === 1) return colours.fail;
  if (c[OUTCOME] === 2) return colours.info;
  if (c[F] === "cas" && c[RESULT] === false) return colours.refused;
  return isUpdate(c) ? colours.update : colours.read;
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["panel", "ink", "soft", "line", "lane", "read", "update", "refused", "fail", "info", "fault", "band", "mark"])
    colours[name] = style.getPropertyValue(`--${name}`).trim();
}

function buildLanes() {
  const groups = new Map();
  D.calls.forEach((c, i) => {
    if (filter && !D.keys[c[KEY]].includes(filter) && String(c[PROCESS]) !== filter) return;
    const id = laneKind === "worker" ? c[WORKER] : c[KEY];
    if (!groups.has(id)) groups.set(id, []);
    groups.get(id).push(i);
  });
  lanes = [...groups.entries()].sort((a, b) => a[0] - b[0]).map(([id, calls]) => ({
    name: laneKind === "worker" ? `client ${id}` : D.keys[id],
    note: laneKind === "worker" ? (D.where[id] || "") : "",
    rows: laneKind === "worker" ? [calls] : stack(calls), calls,
    failing: calls.some((i) => witness.has(i)),
  }));
  let y = 0;
  for (const lane of lanes) { lane.y = y; lane.h = laneKind === "worker" ? LANE : Math.max(LANE, lane.rows.length * 7 + 6); y += lane.h; }
  lanes.height = y;
  laneTop = Math.min(laneTop, Math.max(0, y - LANES_HEIGHT));
}

// Calls on one key overlap: each takes the first row that is free.
function stack(calls) {
  const ends = [], rows = [];
  for (const i of calls) {
    const c = D.calls[i];
    let row = ends.findIndex((end) => end <= c[START]);
    if (row < 0) { row = ends.length; rows.push([]); }
    ends[row] = Math.max(c[END] || c[START], c[START] + 1);
    rows[row].push(i);
  }
  return rows;
}

function fit(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); canvas.style.height = `${height}px`;
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.font = "11.5px system-ui, sans-serif"; g.textBaseline = "middle";
  return [g, width];
}

const toX = (us, width) => GUTTER + (us - view[0]) / (view[1] - view[0]) * (width - GUTTER);
const toUs = (x, width) => view[0] + (x - GUTTER) / (width - GUTTER) * (view[1] - view[0]);

function label(g, text, y, note) {
  g.fillStyle = colours.ink; g.textAlign = "left"; g.fillText(text, 0, y);
  if (note) { g.fillStyle = colours.soft; g.textAlign = "right"; g.fillText(note, GUTTER - 10, y); g.textAlign = "left"; }
}

function clipped(g, text, x, y, room) {
  if (room < 14) return;
  let shown = text;
  while (shown.length > 1 && g.measureText(shown).width > room) shown = shown.slice(0, -1);
  g.fillText(shown === text ? text : `${shown.slice(0, -1)}…`, x, y);
}

function ticks(width) {
  const wanted = (view[1] - view[0]) / Math.max(4, (width - GUTTER) / 110);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= wanted);
  const found = [];
  for (let at = Math.ceil(view[0] / step) * step; at <= view[1]; at += step) found.push(at);
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step / 1e6) + 1e-9)));
  return found.map((at) => [at, `${(at / 1e6).toFixed(digits)} s`]);
}

function bands(g, width, top, height) {
  g.fillStyle = colours.band;
  for (const o of D.outages) {
    const a = Math.max(GUTTER, toX(o.start_us, width)), b = toX(o.end_us, width);
    if (b > GUTTER && a < width) g.fillRect(a, top, b - a, height);
  }
}

function drawStrips() {
  const height = AXIS_H + FAULT_H + LEADER_H + RATE_H + LATENCY_H + 4 * GAP;
  const [g, width] = fit($("strips"), height);
  let y = 0;
  g.fillStyle = colours.soft;
  for (const [at, text] of ticks(width)) {
    const x = toX(at, width);
    g.fillStyle = colours.line; g.fillRect(x, AXIS_H - 5, 1, height);
    g.fillStyle = colours.soft; g.fillText(text, x + 3, AXIS_H / 2 - 2);
  }
  y = AXIS_H; bands(g, width, y, height);
  label(g, "faults", y + FAULT_H / 2);
  for (const o of D.outages) {
    const a = Math.max(GUTTER, toX(o.start_us, width)), b = Math.min(width, toX(o.end_us, width));
    if (b <= a) continue;
    g.fillStyle = colours.fault; g.globalAlpha = .9; g.beginPath(); g.roundRect(a, y + 2, b - a, FAULT_H - 4, 4); g.fill(); g.globalAlpha = 1;
    g.fillStyle = "#fff"; clipped(g, `${o.fault}: ${o.detail}`, a + 5, y + FAULT_H / 2 + .5, b - a - 9);
  }
  y += FAULT_H + GAP; drawLeaders(g, width, y);
  y += LEADER_H + GAP; drawRate(g, width, y);
  y += RATE_H + GAP; drawLatency(g, width, y);
}

const HUES = [212, 28, 150, 282, 340, 60, 190, 100, 0];
function drawLeaders(g, width, y) {
  label(g, "leader", y + LEADER_H / 2);
  D.leaders.forEach((l, i) => {
    const end = i + 1 < D.leaders.length ? D.leaders[i + 1].at_us : FULL[1];
    const a = Math.max(GUTTER, toX(i ? l.at_us : 0, width)), b = Math.min(width, toX(end, width));
    if (b <= a || l.node === null) return;
    g.fillStyle = `hsl(${HUES[(l.node - 1) % HUES.length]} 45% 50% / .85)`;
    g.beginPath(); g.roundRect(a + .5, y + 2, Math.max(1, b - a - 1), LEADER_H - 4, 4); g.fill();
    g.fillStyle = "#fff"; clipped(g, `node ${l.node}, term ${l.term}`, a + 5, y + LEADER_H / 2 + .5, b - a - 9);
  });
}

function drawRate(g, width, y) {
  const pixels = 4, bins = Math.max(1, Math.floor((width - GUTTER) / pixels)), per = (view[1] - view[0]) / bins;
  const sums = [new Array(bins).fill(0), new Array(bins).fill(0), new Array(bins).fill(0)];
  for (const c of D.calls) {
    const at = Math.floor(((c[END] || FULL[1]) - view[0]) / per);
    if (at >= 0 && at < bins) sums[c[OUTCOME]][at]++;
  }
  const most = Math.max(1, ...sums[0].map((n, i) => n + sums[1][i] + sums[2][i]));
  label(g, "answers", y + 10); g.fillStyle = colours.soft; g.fillText(`${count(Math.round(most / per * 1e6))}/s`, 0, y + 26);
  for (let i = 0; i < bins; i++) {
    let base = y + RATE_H;
    [[0, colours.update], [1, colours.fail], [2, colours.info]].forEach(([kind, colour]) => {
      const h = sums[kind][i] / most * RATE_H;
      g.fillStyle = colour; g.fillRect(GUTTER + i * pixels, base - h, pixels - 1, h); base -= h;
    });
  }
}

function drawLatency(g, width, y) {
  const low = Math.log10(100), high = Math.log10(4e6);
  label(g, "latency", y + 10); g.fillStyle = colours.soft;
  const at = (us) => y + LATENCY_H - Math.max(0, Math.min(1, (Math.log10(Math.max(us, 1)) - low) / (high - low))) * LATENCY_H;
  for (const us of [1000, 10000, 100000, 1e6]) {
    g.fillStyle = colours.line; g.fillRect(GUTTER, at(us), width - GUTTER, 1);
    g.fillStyle = colours.soft; g.textAlign = "right"; g.fillText(us < 1e6 ? `${us / 1000} ms` : "1 s", GUTTER - 8, at(us)); g.textAlign = "left";
  }
  g.globalAlpha = .55;
  for (const c of D.calls) {
    if (!c[END] || c[END] < view[0] || c[START] > view[1]) continue;
    const x = toX(c[END], width);
    if (x < GUTTER) continue;
    g.fillStyle = colourOf(c); g.fillRect(x - 1, at(c[END] - c[START]) - 1, 2, 2);
  }
  g.globalAlpha = 1;
}

function endOf(c) { return c[END] || FULL[1]; }

function drawLanes() {
  const [g, width] = fit($("lanes"), Math.min(LANES_HEIGHT, Math.max(LANE, lanes.height)));
  const height = Math.min(LANES_HEIGHT, lanes.height);
  lanes.forEach((lane, n) => {
    const y = lane.y - laneTop;
    if (y + lane.h < 0 || y > height) return;
    if (n % 2 === 0) { g.fillStyle = colours.lane; g.fillRect(0, y, width, lane.h); }
  });
  bands(g, width, 0, height);
  for (const [at] of ticks(width)) { g.fillStyle = colours.line; g.fillRect(toX(at, width), 0, 1, height); }
  const marked = [];
  for (const lane of lanes) {
    const y = lane.y - laneTop;
    if (y + lane.h < 0 || y > height) continue;
    const each = (lane.h - 4) / lane.rows.length;
    lane.rows.forEach((row, r) => { for (const i of row) drawCall(g, i, width, y + 2 + r * each, Math.max(3, each - 1), marked); });
    g.fillStyle = lane.failing ? colours.mark : colours.ink;
    g.fillText(lane.name, 4, y + lane.h / 2); g.fillStyle = colours.soft;
    if (lane.note) { g.textAlign = "right"; g.fillText(lane.note, GUTTER - 8, y + lane.h / 2); g.textAlign = "left"; }
  }
  for (const [a, y, w, h, blame] of marked) {
    g.strokeStyle = colours.mark; g.lineWidth = blame ? 2.5 : 1.5; g.strokeRect(a - 1.5, y - 1.5, w + 3, h + 3);
  }
}

function drawCall(g, i, width, y, h, marked) {
  const c = D.calls[i], end = endOf(c);
  if (end < view[0] || c[START] > view[1]) return;
  const a = Math.max(GUTTER, toX(c[START], width)), b = Math.min(width, toX(end, width)), w = Math.max(1.5, b - a);
  g.fillStyle = colourOf(c);
  g.globalAlpha = witness.size && !witness.has(i) ? .38 : 1;
  g.fillRect(a, y, w, h);
  g.globalAlpha = 1;
  if (w > 34 && h > 9) { g.fillStyle = "#fff"; clipped(g, words(c), a + 4, y + h / 2 + .5, w - 6); }
  if (witness.has(i)) marked.push([a, y, w, h, witness.get(i)]);
  if (hover === i) { g.strokeStyle = colours.ink; g.lineWidth = 1.5; g.strokeRect(a - .5, y - .5, w + 1, h + 1); }
}

let asked = false;
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; readColours(); drawStrips(); drawLanes(); });
}

function setView(a, b) {
  const length = Math.max(20, Math.min(b - a, FULL[1] - FULL[0]));
  const start = Math.max(FULL[0], Math.min(a, FULL[1] - length));
  view = [start, start + length];
  draw();
}

function zoomAt(event) {
  event.preventDefault();
  const box = event.currentTarget.getBoundingClientRect(), x = event.clientX - box.left;
  if (event.shiftKey) { const by = (event.deltaY || event.deltaX) / box.width * (view[1] - view[0]); setView(view[0] + by, view[1] + by); return; }
  const at = toUs(Math.max(GUTTER, x), box.width), k = Math.exp(Math.max(-120, Math.min(120, event.deltaY)) * .0022);
  setView(at - (at - view[0]) * k, at + (view[1] - at) * k);
}

function pick(event) {
  const box = $("lanes").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top + laneTop;
  const lane = lanes.find((l) => y >= l.y && y < l.y + l.h);
  if (!lane || x < GUTTER) return null;
  const each = (lane.h - 4) / lane.rows.length;
  const row = lane.rows[Math.max(0, Math.min(lane.rows.length - 1, Math.floor((y - lane.y - 2) / each)))];
  const slack = 3 * (view[1] - view[0]) / box.width;
  let best = null, near = slack;
  const at = toUs(x, box.width);
  for (const i of row) {
    const c = D.calls[i];
    if (c[START] > at + slack) break;
    const off = Math.max(c[START] - at, at - endOf(c), 0);
    if (off <= near) { near = off; best = i; }
  }
  return best;
}

function showTip(event, i) {
  const tip = $("tip");
  tip.hidden = i === null;
  if (i === null) return;
  const c = D.calls[i], outcomes = ["ok", "fail: did not happen", "info: nobody knows whether it happened"];
  tip.replaceChildren(make("b", words(c)), make("div", `${D.keys[c[KEY]]} · client ${c[WORKER]} as process ${c[PROCESS]}${D.where[c[WORKER]] ? `, ${D.where[c[WORKER]]}` : ""}`),
    make("div", `${(c[START] / 1e6).toFixed(6)} s${c[END] ? ` to ${(c[END] / 1e6).toFixed(6)} s, ${span(c[END] - c[START])}` : ", never answered"}`),
    make("div", outcomes[c[OUTCOME]]));
  if (c[ERROR]) tip.append(make("div", c[ERROR]));
  if (witness.has(i)) tip.append(make("div", witness.get(i) ? "no order explains this answer" : "part of what cannot be explained"));
  const stage = document.querySelector(".stage").getBoundingClientRect();
  const left = event.clientX - stage.left + 14;
  tip.style.left = `${Math.min(left, stage.width - tip.offsetWidth - 4)}px`;
  tip.style.top = `${event.clientY - stage.top + 16}px`;
}

function listen() {
  const canvas = $("lanes");
  let from = null;
  for (const each of [canvas, $("strips")]) {
    each.addEventListener("wheel", zoomAt, { passive: false });
    each.addEventListener("dblclick", () => setView(...FULL));
    each.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY, view.slice(), laneTop]; each.setPointerCapture(e.pointerId); canvas.classList.add("moving"); });
    each.addEventListener("pointerup", () => { from = null; canvas.classList.remove("moving"); });
    each.addEventListener("pointermove", (e) => {
      if (!from) return;
      const by = (from[0] - e.clientX) / (each.clientWidth - GUTTER) * (from[2][1] - from[2][0]);
      laneTop = Math.max(0, Math.min(from[3] + from[1] - e.clientY, lanes.height - LANES_HEIGHT));
      setView(from[2][0] + by, from[2][1] + by);
    });
  }
  canvas.addEventListener("pointermove", (e) => { if (from) return; const i = pick(e); if (i !== hover) { hover = i; draw(); } showTip(e, i); });
  canvas.addEventListener("pointerleave", () => { hover = null; $("tip").hidden = true; draw(); });
  canvas.addEventListener("keydown", (e) => {
    const by = (view[1] - view[0]) * .2;
    if (e.key === "ArrowLeft") setView(view[0] - by, view[1] - by);
    else if (e.key === "ArrowRight") setView(view[0] + by, view[1] + by);
    else if (e.key === "+") setView(view[0] + by, view[1] - by);
    else if (e.key === "-") setView(view[0] - by, view[1] + by);
    else return;
    e.preventDefault();
  });
  for (const button of document.querySelectorAll("[data-lanes]")) button.addEventListener("click", () => { chooseLanes(button.dataset.lanes); draw(); });
  $("all").addEventListener("click", () => setView(...FULL));
  $("failing").addEventListener("click", showFailing);
  $("filter").addEventListener("input", (e) => { filter = e.target.value.trim(); laneTop = 0; buildLanes(); draw(); });
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--bg").trim() === "#0f141b";
    document.documentElement.className = dark ? "light" : "dark"; draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("resize", draw);
}

function chooseLanes(kind) {
  laneKind = kind;
  document.querySelectorAll("[data-lanes]").forEach((b) => b.classList.toggle("on", b.dataset.lanes === kind));
  laneTop = 0; buildLanes();
}

function showFailing() {
  const calls = [...witness.keys()].map((i) => D.calls[i]);
  const from = Math.min(...calls.map((c) => c[START])), to = Math.max(...calls.map((c) => c[END] || c[START]));
  chooseLanes("key");
  const lane = lanes.find((l) => l.failing);
  if (lane) laneTop = Math.max(0, Math.min(lane.y - LANES_HEIGHT / 3, lanes.height - LANES_HEIGHT));
  const pad = Math.max(200, (to - from) * .15);
  setView(from - pad, to + pad);
}

function fillTexts() {
  $("title").textContent = `Trial of ${D.system}`;
  $("subtitle").textContent = `${D.nodes} node${D.nodes > 1 ? "s" : ""} · ${D.workers} clients · ${count(D.rate)} operations/s at most · ${D.duration_us / 1e6} s of load · seed ${D.seed}`;
  $("verdict").textContent = D.verdict; $("verdict").classList.add(D.verdict);
  $("reason").textContent = D.finding ? "" : D.reason;
  const served = D.availability.filter((a) => a !== null), worst = Math.max(0, ...D.outages.map((o) => o.gap_ms));
  const tiles = [
    [count(D.calls.length), `operations on ${count(D.keys.length)} keys`],
    [`${count(D.outcomes.ok)} · ${count(D.outcomes.fail)} · ${count(D.outcomes.info)}`, "ok · fail · info"],
    [served.length ? `${(served.reduce((a, b) => a + b, 0) / served.length * 100).toFixed(1)} %` : "none", "availability, mean of seconds"],
    [D.outages.length ? `${count(worst)} ms` : "no fault", "longest time without service"],
    [`${ms(D.updates.p50_ns)} · ${ms(D.updates.p99_ns)} ms`, `updates p50 · p99 (max ${ms(D.updates.max_ns)} ms)`],
    [`${ms(D.reads.p50_ns)} · ${ms(D.reads.p99_ns)} ms`, `reads p50 · p99 (max ${ms(D.reads.max_ns)} ms)`],
    [`${D.server_cpu} · ${D.generator_cpu}`, "processors: servers · clients and proxies"],
  ];
  for (const [big, small] of tiles) { const t = make("div", undefined, "tile"); t.append(make("b", big), make("span", small)); $("tiles").append(t); }
  const legend = [["read", "read"], ["update", "write, cas or increment"], ["refused", "cas refused: another value"], ["fail", "fail: did not happen"], ["info", "info: nobody knows"], ["fault", "fault"]];
  for (const [name, text] of legend) { const s = make("span"), i = make("i"); i.style.background = `var(--${name})`; s.append(i, text); $("legend").append(s); }
}

function table(id, heads, rows) {
  const head = make("tr");
  heads.forEach(([text, n]) => head.append(make("th", text, n)));
  const body = make("tbody");
  for (const [cells, onclick] of rows) {
    const row = make("tr", undefined, onclick ? "go" : "");
    cells.forEach((text, i) => row.append(make("td", text, heads[i][1])));
    if (onclick) row.addEventListener("click", onclick);
    body.append(row);
  }
  if (!rows.length) { const row = make("tr"); row.append(make("td", "none")); body.append(row); }
  const top = make("thead"); top.append(head); $(id).append(top, body);
}

function fillTables() {
  table("faults", [["at", "n"], ["fault"], ["who"], ["lasted", "n"], ["without service", "n"]], D.outages.map((o) => [
    [`${(o.start_us / 1e6).toFixed(1)} s`, o.fault, o.detail, `${((o.end_us - o.start_us) / 1e6).toFixed(1)} s`, `${count(o.gap_ms)} ms${o.recovered ? "" : " to the end"}`],
    () => setView(o.start_us - 300000, o.end_us + 700000)]));
  table("leaders", [["at", "n"], ["leader"], ["term", "n"]], D.leaders.map((l) => [
    [`${(l.at_us / 1e6).toFixed(1)} s`, l.node === null ? "nobody" : `node ${l.node}`, String(l.term)], () => setView(l.at_us - 500000, l.at_us + 500000)]));
  table("errors", [["code"], ["count", "n"]], Object.entries(D.errors).map(([code, n]) => [[code, count(n)], null]));
}

function fillFinding() {
  if (!D.finding) return;
  const box = $("finding"), list = make("ol");
  box.hidden = false; $("failing").hidden = false;
  for (const row of D.finding.rows) {
    if (row.call !== null) witness.set(row.call, row.blame);
    const item = make("li", row.text, row.blame ? "blame" : "");
    item.append(make("small", `  ${row.start_s.toFixed(4)} s to ${row.end_s === null ? "never" : `${row.end_s.toFixed(4)} s`}`));
    item.addEventListener("click", showFailing);
    list.append(item);
  }
  box.append(make("h2", `What cannot be explained: key ${D.finding.key}`), make("p", D.finding.explanation), list);
  if (D.finding.states.length) box.append(make("p", `Just before the answer to blame, the value could only have been: ${D.finding.states.join(", ")}`));
}

function fillAct() {
  const act = D.act;
  if (!act) return;
  $("act").hidden = false;
  $("act-verdict").textContent = act.verdict; $("act-verdict").classList.add(act.verdict);
  $("act-reason").textContent = act.reason;
  const share = (s) => s === null ? "-" : s === 0 ? "refused" : `${Math.round(s * 100)} %`;
  const p50 = (us) => us ? `${(us / 1000).toFixed(1)} ms` : "";
  table("sides", [["keyspace"], ["side, while cut"], ["writes answered", "n"], ["p50", "n"], ["reads answered", "n"], ["p50", "n"]], act.sides.map((s) => [
    [`${s.keyspace} (${s.design})`, `${s.side}: nodes ${s.nodes.join(", ")}`, share(s.writes), p50(s.writes_p50_us), share(s.reads), p50(s.reads_p50_us)], null]));
  const facts = [`${count(act.kept)} items were put into carts on the minority side while it was cut off`,
    act.convergence_ms === null ? "carts never became equal" : `all carts were equal on all nodes ${count(act.convergence_ms)} ms after the healing`, `ledger: ${act.ledger}`, `carts: ${act.carts}`];
  for (const text of facts) $("act-facts").append(make("li", text));
}

fillTexts(); fillTables(); fillFinding(); fillAct(); readColours(); buildLanes(); listen(); draw();
if (witness.size) showFailing();
