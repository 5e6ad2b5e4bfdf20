"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { tokens, heads, kinds, text } = data;
const remembers = data.memory > 0;
const $ = (id) => document.getElementById(id);
const reader = $("reader"), panel = $("panel"), strip = $("strip"), view = $("view");
const count = tokens.start.length, BINS = 160;
const BLOCK = 40; // lines filled with tokens at once
const marks = new Map(); // token -> class of a token that stands out
let selected = -1, colours = remembers ? "none" : "loss";

function make(tag, name, ...children) {
  const part = document.createElement(tag);
  if (name) part.className = name;
  part.append(...children);
  return part;
}
function barOf(width) {
  const bar = make("i", "bar");
  bar.style.setProperty("--w", `${width}%`);
  return bar;
}
const word = (i) => text.slice(tokens.start[i], tokens.end[i]);
const shown = (s) => (s.trim() ? s.trim() : s.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/ /g, "␣"));
const number = (n) => n.toLocaleString("en");
const bits = (nats) => nats / Math.LN2;
const percent = (p) => (p >= 0.9995 ? "99.9 %" : p >= 0.1 ? `${Math.round(100 * p)} %` : p >= 0.001 ? `${(100 * p).toPrecision(2)} %` : "under 0.1 %");

// The value a token is coloured by, in bits: what memory gained against a reading, or the loss itself.
function value(i) {
  const of = tokens.nats[colours === "loss" ? (remembers ? "memory" : "none") : colours][i];
  if (of === null) return null;
  return bits(colours === "loss" ? of : of - tokens.nats.memory[i]);
}
function colour(i) {
  const x = value(i);
  if (x === null) return "";
  if (colours === "loss") return `s${Math.min(5, Math.floor(x / 2))}`;
  const step = [0.25, 0.75, 1.5, 3, 5].filter((edge) => Math.abs(x) >= edge).length;
  return step ? (x > 0 ? "g" : "b") + step : "";
}

const styleOf = (i) => `t ${word(i).trim() ? "" : "w"} ${colour(i)} ${marks.get(i) || ""}`;
const partOf = (i, more, shown_) => {
  const part = make("span", styleOf(i) + more, shown_);
  part.dataset.t = i;
  return part;
};
// Tokens that are bytes of one character: the first stands for all.
const chief = [];
for (let i = 0; i < count; i++) chief.push(i && tokens.start[i] < tokens.end[i - 1] ? chief[i - 1] : i);

// Lines of the text, each with its number in its file, and the tokens that begin in it.
const lines = [];
{
  let at = 0, token = 0, file = -1, line = 0;
  while (at <= text.length) {
    const end = text.indexOf("\n", at) < 0 ? text.length : text.indexOf("\n", at);
    while (token < count && tokens.end[token] <= at) token++;
    let first = token;
    while (first < count && tokens.start[first] < at) first++; // one that reaches in from the line before
    line++;
    let head = null;
    const own = first < count && tokens.start[first] <= end ? first : -1;
    if (own >= 0 && !/^\s/.test(word(own))) {
      if (tokens.file[own] !== file) head = data.files[(file = tokens.file[own])];
      line = tokens.line[own];
    }
    lines.push({ at, end, token, line, head });
    at = end + 1;
  }
}
const lineOf = (i) => {
  let line = 0;
  for (let step = 1 << 20; step; step >>= 1) if (line + step < lines.length && lines[line + step].at <= tokens.start[i]) line += step;
  return line;
};

// Blocks of lines hold plain text until they come near; then every token becomes a part of its own.
const blocks = [];
for (let first = 0; first < lines.length; first += BLOCK) {
  const block = make("div", "block");
  for (const { at, end, line, head } of lines.slice(first, first + BLOCK)) {
    if (head !== null && data.files.length > 1) block.append(make("div", "file", head));
    const row = make("div", "line", text.slice(at, end) || "\u200b");
    row.dataset.line = line;
    block.append(row);
  }
  block.first = first;
  blocks.push(block);
}
reader.append(...blocks);
function fill(block) {
  if (block.filled) return;
  block.filled = true;
  block.querySelectorAll(".line").forEach((row, k) => {
    const { at, end, token } = lines[block.first + k];
    const parts = [];
    let from = at;
    for (let i = token; i < count && tokens.start[i] <= end; i++) {
      const a = Math.max(tokens.start[i], from), b = Math.min(tokens.end[i], end);
      if (chief[i] !== i) continue;
      if (a > from) parts.push(text.slice(from, a));
      if (b > a) parts.push(partOf(i, "", text.slice(a, b)));
      if (tokens.end[i] > end && end < text.length) parts.push(partOf(i, " nl", "")); // shown as a line end
      from = Math.max(from, b);
    }
    if (from < end) parts.push(text.slice(from, end));
    if (parts.length) row.replaceChildren(...parts);
  });
}
const near = new IntersectionObserver((seen) => seen.forEach((one) => one.isIntersecting && fill(one.target)), { root: reader, rootMargin: "600px" });
blocks.forEach((block) => near.observe(block));
const spansOf = (i) => reader.querySelectorAll(`[data-t="${i}"]`);
const paint = (i) => spansOf(i).forEach((part) => (part.className = styleOf(i) + (part.firstChild ? "" : " nl")));

function jump(token) {
  const i = chief[token];
  fill(blocks[Math.floor(lineOf(i) / BLOCK)]);
  const part = spansOf(i)[0] || reader.querySelectorAll(".line")[lineOf(i)];
  const box = part.getBoundingClientRect(), frame = reader.getBoundingClientRect();
  if (box.top < frame.top + 40 || box.bottom > frame.bottom - 40) reader.scrollTop += box.top - frame.top - frame.height / 2.4;
  spansOf(i).forEach((one) => one.animate([{ outlineOffset: "9px" }, { outlineOffset: "1px" }], 500));
}
function select(i) {
  if (i < 0 || i >= count) return;
  const old = [...marks.keys()];
  marks.clear();
  selected = i;
  (tokens.found[i] || []).forEach(([token], rank) => marks.set(chief[token], rank ? "n" : "n top"));
  marks.set(chief[i], "sel");
  [...old, ...marks.keys()].forEach(paint);
  jump(i);
  tell(i);
  overview();
  try { history.replaceState(null, "", `#t${i}`); } catch { /* a page in a frame keeps its address */ }
}

// The side panel: how likely the token was in each reading, and what was looked at.
const READINGS = { memory: "with its memory", none: "without memory", shuffled: "memory shuffled", other: "another document’s memory" };
function tell(i) {
  const piece = shown(word(i)), from = tokens.end[i] - piece.length, inside = /^\w+$/.test(piece);
  const before = inside ? /\w{0,60}$/.exec(text.slice(Math.max(0, from - 60), from))[0] : "";
  const after = inside ? /^\w{0,60}/.exec(text.slice(tokens.end[i], tokens.end[i] + 60))[0] : "";
  const title = make("h2", "", make("code", "", before, make("b", "", piece), after));
  title.tabIndex = -1;
  const where = `line ${number(tokens.line[i])} · token ${number(i)} · ${$("kinds").dataset[`k${tokens.kind[i]}`]}`;
  panel.replaceChildren(title, make("p", "quiet", where), ...chances(i), ...(remembers ? remembered(i) : []));
  panel.scrollTop = 0;
}
function chances(i) {
  const list = make("dl", "chances");
  for (const name of Object.keys(READINGS).filter((name) => tokens.nats[name])) {
    const nats = tokens.nats[name][i];
    if (nats === null) return [make("p", "", "The first token is context only: it was not predicted.")];
    const bar = barOf(Math.max(0, 100 * (1 - bits(nats) / 12))), p = Math.exp(-nats); // each bit a twelfth
    list.append(make("div", name, make("dt", "", remembers ? READINGS[name] : "chance"), make("dd", "", bar, make("b", "", percent(p)), make("span", "quiet", `${bits(nats).toFixed(1)} bits`))));
  }
  list.title = "A full bar is certain; each twelfth less halves the chance.";
  if (!remembers) return [list];
  const times = Math.exp(tokens.nats.none[i] - tokens.nats.memory[i]);
  const said = times > 1.05 ? `Memory made it ${times < 10 ? times.toFixed(1) : number(Math.round(times))} times as likely.`
    : times < 0.95 ? `Memory made it ${times > 0.1 ? (1 / times).toFixed(1) : number(Math.round(1 / times))} times less likely.` : "Memory made no difference.";
  return [make("p", `said ${times > 1.05 ? "good" : times < 0.95 ? "bad" : ""}`, said), list];
}
function remembered(i) {
  const found = tokens.found[i], title = make("h3", "", "What it looked at in memory");
  if (!found.length) return [title, make("p", "quiet", i < data.segment ? "Nothing: the memory was still empty." : "Nothing.")];
  const list = make("ol", "found");
  for (const [token, head, weight, distance] of found) {
    const start = tokens.start[token], end = tokens.end[token];
    const clean = (s) => s.replace(/\s*\n\s*/g, " ↵ ");
    const snippet = make("span", "snippet", clean(text.slice(Math.max(0, start - 56), start)), make("mark", "", shown(word(token))), clean(text.slice(end, end + 40)));
    const bar = barOf((100 * weight) / found[0][2]);
    const { layer, head: number_ } = heads[head];
    const facts = `line ${number(tokens.line[token])} · ${number(i - token)} tokens before · layer ${layer} head ${number_} · distance ${distance.toFixed(2)}`;
    const same = word(token).trim() === word(i).trim() ? [make("em", "", "same token")] : [];
    const entry = make("button", "", make("span", "row", bar, make("b", "", percent(weight)), ...same), snippet, make("span", "quiet", facts));
    entry.type = "button";
    entry.dataset.to = token;
    entry.addEventListener("click", () => jump(token));
    list.append(make("li", "", entry));
  }
  return [title, make("p", "quiet", $("kinds").dataset.hint), list];
}

// The whole document at a glance: mean gain of its parts, the part in view, and the marked tokens.
const bars = Array.from({ length: BINS }, (_, bin) => [Math.floor((bin * count) / BINS), Math.floor(((bin + 1) * count) / BINS)]);
function overview() {
  const means = bars.map(([from, to]) => {
    let sum = 0, n = 0;
    for (let i = from; i < to; i++) { const x = value(i); if (x !== null) { sum += x; n++; } }
    return n ? sum / n : 0;
  });
  const signed = colours !== "loss", high = Math.max(0.01, ...means), low = Math.min(0, ...means), tall = 64 / (high - low);
  const part = (name, x, y, width, height) => {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, what] of Object.entries({ class: name, x, y, width, height })) box.setAttribute(key, what);
    return box;
  };
  const middle = 4 + high * tall;
  const drawn = means.map((x, bin) => {
    const height = Math.abs(x) * tall;
    return part(signed ? (x >= 0 ? "up" : "down") : "flat", (bin * 1000) / BINS, x >= 0 ? middle - height : middle, 1000 / BINS - 1.2, height);
  });
  const ticks = [...marks].map(([i, name]) => part(name === "sel" ? "here" : "tick", (1000 * i) / count - 1.5, 0, name === "sel" ? 4 : 3, 72));
  strip.replaceChildren(part("axis", 0, middle, 1000, 0.75), ...drawn, ...ticks);
}
function look() {
  const all = reader.scrollHeight || 1;
  view.style.left = `${(100 * reader.scrollTop) / all}%`;
  view.style.width = `${(100 * reader.clientHeight) / all}%`;
}

reader.addEventListener("keydown", (event) => {
  const { key } = event, step = { ArrowRight: 1, ArrowLeft: -1 };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key in step) {
    let i = selected + step[key];
    while (i > 0 && i < count - 1 && !word(i).trim()) i += step[key]; // white space can be clicked
    select(Math.min(Math.max(i, 0), count - 1));
  } else if (key === "ArrowDown" || key === "ArrowUp") {
    const line = lineOf(Math.max(selected, 0)), column = tokens.start[Math.max(selected, 0)] - lines[line].at;
    const to = lines[line + (key === "ArrowDown" ? 1 : -1)];
    if (!to) return;
    let i = Math.min(to.token, count - 1);
    while (i + 1 < count && tokens.start[i] < Math.min(to.at + column, to.end - 1)) i++;
    select(i);
  } else if (key === "Enter") (panel.querySelector("button") || panel.querySelector("h2")).focus();
  else return;
  event.preventDefault();
});
panel.addEventListener("keydown", (event) => { if (event.key === "Escape") reader.focus(); });
reader.addEventListener("click", (event) => { const part = event.target.closest(".t"); if (part && !String(getSelection())) select(Number(part.dataset.t)); });
reader.addEventListener("scroll", look, { passive: true });
addEventListener("resize", look);
strip.addEventListener("click", (event) => {
  const box = strip.getBoundingClientRect();
  jump(Math.min(count - 1, Math.floor((count * (event.clientX - box.left)) / box.width)));
});
document.querySelectorAll("[data-goto]").forEach((one) => one.addEventListener("click", () => { select(Number(one.dataset.goto)); reader.focus({ preventScroll: true }); }));
document.querySelectorAll("input[name=colours]").forEach((one) => one.addEventListener("change", () => {
  colours = one.value;
  document.body.dataset.colours = colours === "loss" ? "loss" : "gain";
  reader.querySelectorAll(".t").forEach((part) => paint(Number(part.dataset.t)));
  overview();
}));
const asked = /^#t(\d+)$/.exec(location.hash);
select(asked && Number(asked[1]) < count ? Number(asked[1]) : Number(reader.dataset.first));
look();
