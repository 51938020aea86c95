"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
const scores = decodeScores(report.scores);  // highest first
const CARDS = 24, ROWS = 50, STEPS = 1000;
const nNamed = Math.min(report.names.length, scores.length);  // those that can be listed
let threshold = report.threshold;

// Names and settings are only ever set as text, never parsed as HTML.
function $(id) { return document.getElementById(id); }

function decodeScores(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

function element(tag, { text, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function svgElement(parent, tag, { text, ...attributes }) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}

function formatCount(n) { return n.toLocaleString("en"); }
function formatNumber(x, digits = 4) { return x === 0 ? "0" : x.toPrecision(digits); }
function formatTick(x) { return String(Number(x.toPrecision(3))); }
function percent(share) { return `${(100 * share).toFixed(share < 0.1 ? 2 : 1)}%`; }

// Names are shown without the folder that all images are in, and in one line.
const folder = report.names.length > 1 ? report.names.reduce(commonPrefix).replace(/[^/\\]*$/, "") : "";
function commonPrefix(a, b) {
  let n = 0;
  while (n < a.length && a[n] === b[n]) n++;
  return a.slice(0, n);
}
function shortName(rank) { return report.names[rank].slice(folder.length).replace(/\s+/g, " "); }

// The number of scores above a threshold, by bisection.
function countAbove(value) {
  let low = 0, high = scores.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] > value) low = middle + 1; else high = middle;
  }
  return low;
}

// A threshold in the fewest digits that flag the same images.
function shortestDecimal(value) {
  for (let n = 4; n < 17; n++) {
    const text = String(Number(value.toPrecision(n)));
    if (countAbove(Number(text)) === countAbove(value)) return text;
  }
  return String(value);
}

const LABELS = { 0: "normal", 1: "anomaly" };
function labelText(rank) { return LABELS[report.labels[rank]] || ""; }

// ---- The histogram ------------------------------------------------------------------------

const plot = { left: 36, right: 376, top: 12, bottom: 160 };
const { edges, images, anomalies, logarithmic } = report.bars;
const lowest = edges[0], highest = edges[edges.length - 1];
const onAxis = logarithmic ? Math.log : x => x, offAxis = logarithmic ? Math.exp : x => x;
function axisShare(score) {
  const part = (onAxis(score) - onAxis(lowest)) / (onAxis(highest) - onAxis(lowest));
  return Math.min(1, Math.max(0, part));
}
function scoreAt(share) { return offAxis(onAxis(lowest) + share * (onAxis(highest) - onAxis(lowest))); }
function xOf(score) { return plot.left + (plot.right - plot.left) * axisShare(score); }

// Round numbers between two others.
function linearTicks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(factor => factor * power).find(width => width >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
}

// Round numbers on a logarithmic scale: as many as there is room for.
function logTicks(low, high, most = 2.5) {
  const decades = Math.log10(high / low), found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += Math.ceil(decades / 8)) {
    for (const first of decades < most ? [1, 2, 5] : [1]) found.push(first * 10 ** power);
  }
  return found.filter(value => value >= low && value <= high);
}

function drawLegend(parent, entries) {
  for (const [text, swatch, edge] of entries) {
    const entry = element("span", { text });
    entry.style.setProperty("--swatch", swatch);
    if (edge) entry.style.setProperty("--edge", edge);
    parent.append(entry);
  }
}

function drawHistogram() {
  const svg = $("histogram"), most = Math.max(...images);
  // On a logarithmic scale, so that a few outliers beside thousands of inliers are visible.
  const tallest = Math.log1p(most);
  const up = count => plot.bottom - (plot.bottom - plot.top) * Math.log1p(count) / tallest;
  for (const count of most > 20 ? logTicks(1, most, 0) : [1, 2, 5, 10, 20].filter(count => count <= most)) {
    svgElement(svg, "line", { x1: plot.left, x2: plot.right, y1: up(count), y2: up(count), class: "grid" });
    svgElement(svg, "text", { x: plot.left - 6, y: up(count) + 4, "text-anchor": "end", text: formatCount(count) });
  }
  // All bars are drawn in both colors, each clipped at the threshold.
  for (const name of ["unflagged", "flagged"]) {
    const cut = svgElement(svg, "clipPath", { id: `cut-${name}` });
    svgElement(cut, "rect", { id: `side-${name}`, y: 0, height: plot.bottom });
    const group = svgElement(svg, "g", { class: `bars-${name}`, "clip-path": `url(#cut-${name})` });
    images.forEach((count, i) => {
      if (!count) return;
      const from = xOf(edges[i]), to = xOf(edges[i + 1]);
      svgElement(group, "rect", { x: from, width: Math.max(1, to - from - 0.75), y: up(count), height: plot.bottom - up(count) });
    });
  }
  anomalies.forEach((count, i) => {
    if (!count) return;
    const from = xOf(edges[i]), to = xOf(edges[i + 1]);
    svgElement(svg, "rect", { x: from + 0.6, width: Math.max(1, to - from - 2), y: up(count), height: plot.bottom - up(count), class: "bars-known" });
  });
  svgElement(svg, "line", { x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom, class: "grid" });
  for (const value of logarithmic ? logTicks(lowest, highest) : linearTicks(lowest, highest, 7)) {
    svgElement(svg, "text", { x: xOf(value), y: plot.bottom + 15, "text-anchor": "middle", text: formatTick(value) });
  }
  svgElement(svg, "text", { x: (plot.left + plot.right) / 2, y: plot.bottom + 29, "text-anchor": "middle", text: `anomaly score (${report.score})` });
  svgElement(svg, "line", { id: "mark", class: "mark", y1: 4, y2: plot.bottom });
  svgElement(svg, "circle", { id: "handle", class: "handle", cy: 6, r: 5.5 });
  const entries = [["not flagged", "var(--unflagged)"], ["flagged", "var(--flagged)"]];
  if (report.anomalies) entries.push(["known anomalies", "transparent", "var(--ink)"]);
  drawLegend($("histogram-legend"), entries);

  const drag = event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * 384;
    setThreshold(middleOfGap(countAbove(scoreAt((x - plot.left) / (plot.right - plot.left)))));
  };
  svg.addEventListener("pointerdown", event => { svg.setPointerCapture(event.pointerId); drag(event); });
  svg.addEventListener("pointermove", event => { if (svg.hasPointerCapture(event.pointerId)) drag(event); });
}

// ---- The threshold, and all that depends on it -----------------------------------------------

function setThreshold(value) {
  // Below the lowest score in the page, the number of flagged images is unknown.
  const floor = scores.length < report.n ? scores[scores.length - 1] : lowest;
  threshold = Math.min(highest, Math.max(floor, value));
  update();
}

// The threshold that flags so many images and is farthest from all scores: new images that score
// like these fall on the same side. Equal scores are flagged together or not at all.
function middleOfGap(count) {
  const above = count ? scores[count - 1] : highest, below = scores[count] ?? lowest;
  return above > below ? below + (above - below) / 2 : below;
}

// The slider stays where it is dragged to, or its keys could not leave a wide gap.
let announcementTimer, sliding = false;
function update() {
  const count = countAbove(threshold);
  const text = `of ${formatCount(report.n)} images flagged (${percent(count / report.n)})`;
  $("count").textContent = formatCount(count);
  $("of").textContent = text;
  showLead(count);
  if (!sliding) $("slider").value = Math.round(STEPS * axisShare(threshold));
  $("slider").setAttribute("aria-valuetext", `${formatNumber(threshold)}: ${formatCount(count)} ${text}`);
  $("threshold-value").value = shortestDecimal(threshold);
  $("n-flagged").value = count;
  $("reset").disabled = threshold === report.threshold;
  $("hint").hidden = threshold === report.threshold;
  const table = report.table ? `--scores ${report.table}` : "…";
  $("command").textContent = `python find_anomalies.py ${table} --threshold ${shortestDecimal(threshold)}`;
  const x = xOf(threshold);
  for (const name of ["x1", "x2"]) $("mark").setAttribute(name, x);
  $("handle").setAttribute("cx", x);
  $("side-unflagged").setAttribute("x", 0);
  $("side-unflagged").setAttribute("width", x);
  $("side-flagged").setAttribute("x", x);
  $("side-flagged").setAttribute("width", 384 - x);
  $("histogram").setAttribute("aria-label", `Histogram of the scores of ${formatCount(report.n)} images, up to ${formatNumber(scores[0])}; ${formatCount(count)} lie above the threshold`);
  if (report.known) showEvaluation(count);
  for (const card of document.querySelectorAll("[data-rank]")) markFlagged(card);
  if ($("show").value !== "all") list();
  showWithoutPicture(count);
  $("jump").disabled = count >= nNamed;
  if ($("large").open) showFacts();
  announce(`${formatCount(count)} ${text}`);
}

// Said to screen readers once the slider rests, not at every step.
function announce(text) {
  clearTimeout(announcementTimer);
  announcementTimer = setTimeout(() => { $("announcement").textContent = text; }, 400);
}

function listFigures(parent, entries) {
  parent.replaceChildren(...entries.flatMap(([name, value, meaning]) => [
    element("dt", { text: name, title: meaning || "" }), element("dd", { text: value })]));
}

function showEvaluation(count) {
  let hits = 0, known = 0;
  for (let i = 0; i < count; i++) { hits += report.labels[i] === "1"; known += report.labels[i] !== "?"; }
  const precision = known ? hits / known : null, recall = report.anomalies ? hits / report.anomalies : null;
  const format = share => share === null ? "–" : share.toFixed(3);
  listFigures($("at-threshold"), [
    ["Precision", format(precision), "share of anomalies among the flagged images of known label"],
    ["Recall", format(recall), "share of the anomalies that are flagged"],
    ["Anomalies flagged", `${formatCount(hits)} of ${formatCount(report.anomalies)}`],
    ["False positives", formatCount(known - hits), "normal images that are flagged"],
  ]);
}

const MEASURES = {
  auroc: ["AUROC", "the chance that an anomaly scores above a normal image"],
  average_precision: ["Average precision", "mean of the precisions at the ranks of the anomalies"],
  precision_at_k: ["Precision at k", "share of anomalies among as many highest scores as there are anomalies"],
  pixel_auroc: ["Pixel AUROC", "the chance that an anomalous pixel has a higher value than a normal one"],
  aupro: ["AUPRO", "how well the maps cover each anomalous region"],
};

function showMetrics() {
  if (!report.known) return;
  $("evaluation").hidden = false;
  const measured = Object.entries(MEASURES).filter(([name]) => typeof (report.metrics || {})[name] === "number");
  $("metrics").hidden = !measured.length;
  listFigures($("over-thresholds"), measured.map(([name, [title, meaning]]) => [title, report.metrics[name].toFixed(4), meaning]));
}

// ---- Pages of a list -------------------------------------------------------------

const collator = new Intl.Collator("en", { numeric: true });
const SORTS = {
  rank: (a, b) => a - b,
  name: (a, b) => collator.compare(report.names[a], report.names[b]) || a - b,
  label: (a, b) => (report.labels[b] === "1") - (report.labels[a] === "1") || (report.labels[a] === "?") - (report.labels[b] === "?") || a - b,
};

// A list of which only one page is in the document at a time.
function paged(size, nav, show) {
  let ranks = [], page = 0;
  const range = element("span"), back = element("button", { type: "button", text: "Previous" }), on = element("button", { type: "button", text: "Next" });
  range.setAttribute("aria-live", "polite");
  nav.append(back, on, range);
  const turn = to => {
    page = Math.max(0, Math.min(to, Math.ceil(ranks.length / size) - 1));
    const from = page * size, to_ = Math.min(ranks.length, from + size);
    show(ranks.slice(from, to_));
    range.textContent = `${formatCount(from + 1)}–${formatCount(to_)} of ${formatCount(ranks.length)}`;
    back.disabled = page === 0;
    on.disabled = to_ === ranks.length;
    nav.hidden = ranks.length <= size;
  };
  back.addEventListener("click", () => turn(page - 1));
  on.addEventListener("click", () => turn(page + 1));
  return {
    set: (list, to = 0) => { ranks = list; turn(to); },
    // The rank that stands so many places after another, whose page is turned to.
    go: (rank, by = 0) => {
      const place = ranks.indexOf(rank) + by;
      if (!(place in ranks)) return undefined;
      if (Math.floor(place / size) !== page) turn(Math.floor(place / size));
      return ranks[place];
    },
  };
}

// ---- Decisions ------------------------------------------------------------------------------

// Rank -> "kept" or "confirmed". They are stored under the scores and names that they belong to.
const DECISIONS = { kept: ["✓", "Keep", "v", "it belongs to the others"], confirmed: ["✗", "Confirm", "x", "it is an outlier"] };
const decisions = new Map(), storeName = `anomaly report ${report.fingerprint}`;

function loadDecisions() {
  try {
    for (const [rank, decision] of JSON.parse(localStorage.getItem(storeName) || "[]")) {
      if (Number.isInteger(rank) && rank >= 0 && rank < nNamed && decision in DECISIONS) decisions.set(rank, decision);
    }
  } catch { $("unsaved").hidden = false; }
}

function decide(rank, decision) {
  if (decisions.get(rank) === decision) decisions.delete(rank); else decisions.set(rank, decision);
  try {
    if (decisions.size) localStorage.setItem(storeName, JSON.stringify([...decisions])); else localStorage.removeItem(storeName);
  } catch { $("unsaved").hidden = false; }
  for (const holder of document.querySelectorAll(`[data-rank="${rank}"]`)) markDecided(holder);
  showDecided();
}

function decideButtons(rank, words = true) {
  return Object.entries(DECISIONS).map(([decision, [sign, word, key, meaning]]) => {
    const text = words ? `${sign}\u00a0${word}` : sign;
    const button = element("button", { type: "button", class: `decision ${decision}`, text, title: `${word}: ${meaning} (key ${key})`, "data-decision": decision });
    if (!words) button.setAttribute("aria-label", word);
    button.addEventListener("click", () => decide(rank, decision));
    return button;
  });
}

function markDecided(holder) {
  const decision = decisions.get(Number(holder.dataset.rank));
  for (const button of holder.querySelectorAll("[data-decision]")) button.setAttribute("aria-pressed", button.dataset.decision === decision);
}

function showDecided() {
  const all = [...decisions.values()];
  const confirmed = all.filter(decision => decision === "confirmed").length;
  $("decided").textContent = all.length ? `${formatCount(confirmed)} confirmed, ${formatCount(all.length - confirmed)} kept` : "No image decided on yet: keep or confirm each.";
  $("download-decisions").disabled = !all.length;
}

// ---- The list: what is shown, copied and downloaded --------------------------------------------

const FILTERS = {
  all: () => true,
  flagged: rank => scores[rank] > threshold,
  open: rank => scores[rank] > threshold && !decisions.has(rank),
  confirmed: rank => decisions.get(rank) === "confirmed",
  kept: rank => decisions.get(rank) === "kept",
  outliers: rank => decisions.get(rank) === "confirmed" || scores[rank] > threshold && !decisions.has(rank),
};
let listed = [], galleryPages, tablePages, gallery = [], sortRows = SORTS.rank, rowsTurned = false;

// List the images anew that are asked for, on the same pages where they are the same images.
function list() {
  const isShown = FILTERS[$("show").value], words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const before = listed;
  listed = [];
  for (let rank = 0; rank < nNamed; rank++) {
    if (!isShown(rank)) continue;
    const name = words.length ? report.names[rank].toLowerCase() : "";
    if (words.every(word => name.includes(word))) listed.push(rank);
  }
  if (before.length === listed.length && before.every((rank, i) => rank === listed[i])) return;
  showLists();
}

function showLists() {
  const order = $("order").value;
  gallery = listed.filter(rank => rank < report.pictures.length).sort(SORTS[order] || SORTS.rank);
  if (order === "last") gallery.reverse();
  galleryPages.set(gallery);
  showRows();
  const all = listed.length === nNamed, some = formatCount(gallery.length);
  $("gallery-title").textContent = !all ? `${some} of ${formatCount(report.pictures.length)} pictures`
    : gallery.length < report.n ? `The ${some} highest of ${formatCount(report.n)} scores` : "All images";
  $("copy").textContent = `Copy ${formatCount(listed.length)} name${listed.length === 1 ? "" : "s"}`;
  $("copy").disabled = $("download-list").disabled = !listed.length;
}

function showRows() {
  const ranks = [...listed].sort(sortRows);
  if (rowsTurned) ranks.reverse();
  tablePages.set(ranks);
}

function showWithoutPicture(count) {
  const missing = count - Math.min(count, report.pictures.length);
  $("without-picture").hidden = !missing || !report.pictures.length;
  $("without-picture").textContent = `${formatCount(missing)} flagged image${missing === 1 ? " has" : "s have"} no picture here: a page has room for about ${report.picture_mib} MiB of them. The ranking below has their names.`;
}

async function copyNames() {
  const text = listed.map(rank => report.names[rank]).join("\n") + "\n";
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // where a page may not write to the clipboard by itself
    const area = element("textarea", { class: "visually-hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  announce(`${formatCount(listed.length)} name${listed.length === 1 ? "" : "s"} copied`);
  $("copy").textContent = "Copied";
}

function csvField(value) { return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : String(value); }

// Bytes of a name that are not UTF-8 come as lone surrogates, and go as the bytes they were.
function asBytes(text) {
  return text.split(/([\udc80-\udcff])/u).map((part, i) => i % 2 ? Uint8Array.of(part.charCodeAt(0) - 0xdc00) : part);
}

function download(name, ranks) {
  const lines = [["rank", "name", "score", "flagged", "label", "decision"], ...ranks.map(rank => [
    rank + 1, report.names[rank], Number(scores[rank].toPrecision(9)), Number(scores[rank] > threshold),
    { 0: 0, 1: 1 }[report.labels[rank]] ?? -1, decisions.get(rank) || ""])];
  const text = lines.map(line => line.map(value => csvField(String(value))).join(",") + "\r\n").join("");
  const address = URL.createObjectURL(new Blob(asBytes(text), { type: "text/csv" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

// The first image that is not flagged, in the ranking of all.
function jump() {
  const rank = countAbove(threshold);
  $("show").value = "all";
  $("search").value = "";
  $("order").value = "rank";
  list();
  showLists();
  if (rank < gallery.length) { galleryPages.go(rank); focusCard(rank); return; }
  sortRows = SORTS.rank;
  rowsTurned = false;
  showRows();
  tablePages.go(rank);
  const row = document.querySelector(`#rows [data-rank="${rank}"]`);
  row.scrollIntoView({ block: "center" });
  row.querySelector("button").focus();
}

// ---- Cards and rows ---------------------------------------------------------------------------

function markFlagged(holder) {
  const flagged = scores[holder.dataset.rank] > threshold;
  holder.classList.toggle("flagged", flagged);
  const tag = holder.querySelector(".tag");
  if (tag) tag.hidden = !flagged;
}

function image(rank, column, alt = report.columns[column]) {
  const node = element("img", { alt, src: report.pictures[rank][column], loading: "lazy", decoding: "async" });
  node.addEventListener("load", () => node.classList.toggle("exact", node.naturalWidth < 100));
  return node;
}

// A map lies over its image, and hides it unless it is made to glow.
function picture(rank, column) {
  if (column !== report.map) return image(rank, column);
  const map = image(rank, column);
  map.classList.add("map");
  map.style.setProperty("--own", report.peaks[rank] ? 1 / report.peaks[rank] : 1 / report.map_style.brightest);
  return element("span", { class: "laid" }, image(rank, 0, ""), map);
}

function labelSpan(rank) {
  const label = labelText(rank);
  return element("span", { class: `label ${label}`, text: label });
}

// The name of an image, as a link to its file where there is one.
function nameNode(rank, text) {
  const address = addressOf(rank), name = element("bdi", { text });
  return address ? element("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, name) : name;
}

// Only ever a relative address that begins with a dot: no name can make it one of another kind.
function addressOf(rank) {
  const { folder: base, href, separator } = report.link || {}, name = report.names[rank];
  if (!/^\.\.?\//.test(href || "") || !name.startsWith(base)) return null;
  const parts = name.slice(base.length).split(separator).join("/").split(/([\udc80-\udcff])/u);
  try {
    return href + parts.map((part, i) => i % 2 ? `%${(part.charCodeAt(0) - 0xdc00).toString(16)}` : encodeURIComponent(part)).join("").replaceAll("%2F", "/");
  } catch { return null; }  // another lone surrogate
}

function badges(rank) {
  const found = (report.quality[rank] || "").split(" ").filter(Boolean).map(text => element("span", { class: "badge", text: text.replaceAll("_", " ") }));
  const other = report.duplicates[rank];
  if (other) found.push(element("span", { class: "badge", text: "duplicate", title: `of ${other}` }));
  return found;
}

function card(rank) {
  const open = element("button", { type: "button", class: "open parts", "aria-haspopup": "dialog", "aria-label": `Enlarge #${rank + 1}, ${shortName(rank)}` },
    ...report.columns.map((_, i) => picture(rank, i)));
  open.addEventListener("click", () => enlarge(rank));
  const node = element("li", { class: "card", "data-rank": rank }, open,
    element("div", { class: "line" },
      element("b", { text: `#${rank + 1}` }), element("span", { text: formatNumber(scores[rank]) }), element("span", { class: "tag", text: "flagged" })),
    element("div", { class: "name", title: report.names[rank] }, nameNode(rank, shortName(rank)), labelSpan(rank)),
    element("div", { class: "line decide" }, ...decideButtons(rank), ...badges(rank)));
  markFlagged(node);
  markDecided(node);
  return node;
}

function showGallery() {
  $("gallery").hidden = !report.pictures.length;
  const parts = report.columns.map((column, i) => column.toLowerCase() + (i === report.map ? " (how odd each place is, on a logarithmic scale)" : ""));
  $("key").textContent = `Each image: ${parts.join(" | ")}. Click to enlarge.` + (folder ? ` All are in ${folder}` : "");
  $("cards").style.setProperty("--card", `${76 * report.columns.length}px`);
  if (!report.known) $("order").querySelector("[value=label]").remove();
  galleryPages = paged(CARDS, $("cards-pager"), ranks => $("cards").replaceChildren(...ranks.map(card)));
  for (const [name, parts] of [["map-colors", "RGB"], ["glow-colors", "RGBA"]]) {
    const transfer = svgElement($(name), "feComponentTransfer", {});
    report.map_style[name.slice(0, -7)].forEach((values, i) => svgElement(transfer, `feFunc${parts[i]}`, { type: "table", tableValues: values.join(" ") }));
  }
  document.body.style.setProperty("--brightness", 1 / report.map_style.brightest);
  document.body.style.setProperty("--ratio", report.ratio);
  $("switches").hidden = report.map === null;
  $("over").checked = report.overlay;
  for (const name of ["over", "own"]) {
    const turn = () => document.body.classList.toggle(name, $(name).checked);
    $(name).addEventListener("change", turn);
    turn();
  }
}

function row(rank) {
  const node = element("tr", { "data-rank": rank },
    element("td", { class: "number", text: formatCount(rank + 1) }),
    element("td", { class: "name-cell", title: report.names[rank] }, nameNode(rank, shortName(rank)), ...badges(rank)),
    element("td", { class: "number", text: formatNumber(scores[rank], 6) }),
    element("td", {}, element("span", { class: "tag", text: "flagged" })),
    element("td", { class: "decide" }, ...decideButtons(rank, false)));
  if (report.known) node.append(element("td", {}, labelSpan(rank)));
  markFlagged(node);
  markDecided(node);
  return node;
}

function showTable() {
  if (nNamed < report.n) {
    $("left-out").textContent = `The ${formatCount(nNamed)} highest; all ${formatCount(report.n)} are in anomalies.csv.`;
  }
  tablePages = paged(ROWS, $("rows-pager"), some => $("rows").replaceChildren(...some.map(row)));
  const columns = [["Rank", "rank", "number"], ["Name", "name"], ["Score", "rank", "number"], ["Flag", null], ["Decision", null]];
  if (report.known) columns.push(["Label", "label"]);
  for (const [title, key, kind] of columns) {
    const head = element("th", { scope: "col", class: kind || "" });
    $("columns").append(head);
    if (!key) { head.append(element("b", { text: title })); continue; }
    const button = element("button", { type: "button", text: title });
    head.append(button);
    button.addEventListener("click", () => {
      // Rank 1 is the highest score.
      const falls = title === "Score";
      rowsTurned = head.getAttribute("aria-sort") === (falls ? "descending" : "ascending");
      for (const other of $("columns").children) other.removeAttribute("aria-sort");
      sortRows = SORTS[key];
      head.setAttribute("aria-sort", rowsTurned !== falls ? "descending" : "ascending");
      showRows();
    });
  }
  $("columns").firstChild.setAttribute("aria-sort", "ascending");
}

function showUnread() {
  const n = report.n_skipped, files = `${formatCount(n)} file${n === 1 ? "" : "s"}`;
  $("unread").hidden = $("unread-note").hidden = !n;
  if (!n) return;
  $("unread-note").append(element("a", { href: "#unread", text: `${files} could not be read` }), ` and ${n === 1 ? "has" : "have"} no score.`);
  $("unread-files").append(...report.skipped.map(([name, why]) => element("li", {}, element("bdi", { text: name }), element("span", { class: "soft", text: ` ${why}` }))));
  if (report.skipped.length < n) $("unread-files").append(element("li", { class: "soft", text: `and ${formatCount(n - report.skipped.length)} more, in report.json` }));
}

// ---- One image, large -----------------------------------------------------------------------

let enlarged;
function showFacts() {
  const facts = [`score ${formatNumber(scores[enlarged], 6)}`, scores[enlarged] > threshold ? "flagged" : "not flagged"];
  if (labelText(enlarged)) facts.push(labelText(enlarged));
  if (report.quality[enlarged]) facts.push(report.quality[enlarged].split(" ").join(", "));
  if (report.duplicates[enlarged]) facts.push(`duplicate of ${report.duplicates[enlarged]}`);
  $("large-facts").textContent = facts.join(" · ");
}

function enlarge(rank) {
  enlarged = rank;
  $("large-title").replaceChildren(`#${rank + 1} `, nameNode(rank, report.names[rank]));
  $("large-parts").replaceChildren(...report.columns.map((column, i) =>
    element("figure", {}, element("figcaption", { text: i === report.map ? `${column}: how odd each place is` : column }), picture(rank, i))));
  $("large-decide").replaceChildren(...decideButtons(rank));
  $("large-decide").dataset.rank = rank;
  markDecided($("large-decide"));
  const place = gallery.indexOf(rank);
  $("previous").disabled = place === 0;
  $("next").disabled = place === gallery.length - 1;
  showFacts();
  if (!$("large").open) $("large").showModal();
  $("large-title").focus();
}

function step(by) {
  const rank = gallery[gallery.indexOf(enlarged) + by];
  if (rank !== undefined) enlarge(rank);
}

$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => $("large").close());
$("large").addEventListener("click", event => { if (event.target === $("large")) $("large").close(); });
$("large").addEventListener("keydown", event => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
$("large").addEventListener("close", () => {
  galleryPages.go(enlarged);
  // The browser has put the focus back to where the dialog was opened, unless a key was faster.
  if (document.activeElement !== $("search")) focusCard(enlarged);
});

// ---- Keys ---------------------------------------------------------------------------------------

let current;  // the rank of the card that had the focus last
$("cards").addEventListener("focusin", event => { current = Number(event.target.closest("[data-rank]").dataset.rank); });

function focusCard(rank) {
  const open = document.querySelector(`#cards [data-rank="${rank}"] .open`);
  if (!open) return;
  open.focus({ preventScroll: true });
  open.closest(".card").scrollIntoView({ block: "nearest" });
}

function walk(by) {
  if ($("large").open) { step(by); return; }
  const next = gallery.includes(current) ? galleryPages.go(current, by) : gallery[0];
  if (next !== undefined) focusCard(next);
}

function decideCurrent(decision) {
  const held = document.activeElement.closest("[data-rank]");
  const rank = $("large").open ? enlarged : held ? Number(held.dataset.rank) : current;
  if (rank !== undefined) decide(rank, decision);
}

const KEYS = { j: () => walk(1), k: () => walk(-1), x: () => decideCurrent("confirmed"), v: () => decideCurrent("kept"), "/": () => { if (!$("large").open) $("search").focus(); } };
document.addEventListener("keydown", event => {
  // Where a person types, the keys are letters.
  const typing = event.target.matches("select, input:not([type=checkbox], [type=range])");
  if (event.key === "Escape" && event.target === $("search")) { $("search").value = ""; list(); $("search").blur(); }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// ---- Training and settings --------------------------------------------------------------------

function showLosses() {
  const { epochs, loss, val_loss, trim, name } = report.training;
  const values = [...loss, ...val_loss].filter(value => value > 0);
  if (!values.length) return;
  $("training").hidden = false;
  const svg = $("losses"), area = { left: 56, right: 548, top: 10, bottom: 216 };
  const low = Math.log10(Math.min(...values)), high = Math.max(Math.log10(Math.max(...values)), low + 0.1);
  const right = epoch => area.left + (area.right - area.left) * (epoch - 1) / Math.max(1, epochs[epochs.length - 1] - 1);
  const up = value => area.bottom - (area.bottom - area.top) * (Math.log10(value) - low) / (high - low);
  const ticks = logTicks(10 ** low, 10 ** high);
  for (const value of ticks.length > 1 ? ticks : linearTicks(10 ** low, 10 ** high, 5)) {
    svgElement(svg, "line", { x1: area.left, x2: area.right, y1: up(value), y2: up(value), class: "grid" });
    svgElement(svg, "text", { x: area.left - 8, y: up(value) + 4, "text-anchor": "end", text: formatTick(value) });
  }
  for (const epoch of new Set([1, ...linearTicks(1, epochs[epochs.length - 1], 8).filter(Number.isInteger)])) {
    svgElement(svg, "text", { x: right(epoch), y: area.bottom + 18, "text-anchor": "middle", text: formatCount(epoch) });
  }
  svgElement(svg, "line", { x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom, class: "grid" });
  svgElement(svg, "text", { x: (area.left + area.right) / 2, y: area.bottom + 36, "text-anchor": "middle", text: "epoch" });
  for (const [curve, color, dashes] of [[loss, "var(--unflagged)", ""], [val_loss, "var(--flagged)", "6 3"]]) {
    const points = curve.map((value, i) => value > 0 ? `${right(epochs[i])},${up(value)}` : "").join(" ");
    const node = svgElement(svg, "polyline", { points, fill: "none", "stroke-width": 2, "stroke-dasharray": dashes });
    node.style.stroke = color;
  }
  const entries = [["training", "var(--unflagged)"]];
  if (val_loss.length) entries.push(["validation, held out (dashed)", "var(--flagged)"]);
  drawLegend($("losses-legend"), entries);
  const last = curve => formatNumber(curve[curve.length - 1]);
  listFigures($("trained"), [
    ["Loss", name],
    ["Images left out as outliers", trim ? `the worst ${formatTick(100 * trim)}%` : "none"],
    ["Epochs", formatCount(epochs[epochs.length - 1])],
    ["Final training loss", last(loss)],
    ...(val_loss.length ? [["Final validation loss", last(val_loss)]] : []),
  ]);
  svg.setAttribute("aria-label", `Loss by epoch on a logarithmic scale: training from ${formatNumber(loss[0])} to ${last(loss)}` + (val_loss.length ? `, validation from ${formatNumber(val_loss[0])} to ${last(val_loss)}` : ""));
}

function showSettings() {
  $("settings").hidden = !report.settings.length;
  let heading, list;
  for (const [title, name, value] of report.settings) {
    if (title !== heading) {
      heading = title;
      list = element("dl");
      $("facts").append(element("div", {}, element("h3", { text: title }), list));
    }
    list.append(element("dt", { text: name }), element("dd", {}, element("bdi", { text: value })));
  }
}

// ---- Start ----------------------------------------------------------------------------------------

// What a score is, of a network of features and of one of pixels.
const SCORES = report.columns.includes("Features") ? {
  combined: "all evidence together: of single places, of the whole image, of its nearest neighbors and of its quality",
  local: "how far the features of the oddest places are from what is expected there",
  global: "how far the image as a whole is from the usual",
  neighbours: "how far the nearest of the training images are",
  quality: "how unusual sharpness and exposure are",
  mse: "the mean squared error of the features",
} : {
  mse: "the mean squared error of the reconstruction",
  local: "the largest PaDiM-style distance of a pixel",
  code: "the Mahalanobis distance of the latent code",
  neighbours: "the k-NN distance to the training images, times the mean squared error",
};
function showLead(count) {
  const rule = threshold === report.threshold ? ` (${report.rule})` : "";
  const said = count === 1 ? "is flagged: its score is" : `are flagged: ${count ? "their score is" : "no score is"}`;
  $("lead").textContent = `${formatCount(count)} of ${formatCount(report.n)} images ${said} above ${formatNumber(threshold)}${rule}. The score (${report.score}) is ${SCORES[report.score] || "a measure of anomaly"}; a higher score is more anomalous.`;
  document.title = `${formatCount(count)} of ${formatCount(report.n)} images flagged – anomaly report`;
}
document.querySelector("main").hidden = false;
drawHistogram();
showMetrics();
loadDecisions();
showGallery();
showTable();
list();
showDecided();
showUnread();
if (report.training) showLosses();
showSettings();
$("n-flagged").max = scores.length;
$("slider").addEventListener("input", () => {
  sliding = true;
  setThreshold(middleOfGap(countAbove(scoreAt($("slider").value / STEPS))));
  sliding = false;
});
$("slider").addEventListener("pointerup", update);
$("threshold-value").addEventListener("change", () => {
  const value = $("threshold-value").valueAsNumber;
  setThreshold(Number.isFinite(value) ? value : threshold);
});
$("n-flagged").addEventListener("change", () => {
  const value = $("n-flagged").valueAsNumber;
  const count = Math.min(scores.length, Math.max(0, Math.round(value)));
  setThreshold(Number.isFinite(value) ? middleOfGap(count) : threshold);
});
for (const [name, type] of [["show", "change"], ["search", "input"]]) $(name).addEventListener(type, list);
$("order").addEventListener("change", showLists);
$("jump").addEventListener("click", jump);
$("copy").addEventListener("click", copyNames);
$("download-list").addEventListener("click", () => download("list.csv", listed));
$("download-decisions").addEventListener("click", () => download("decisions.csv", [...decisions.keys()].sort((a, b) => a - b)));
$("reset").addEventListener("click", () => setThreshold(report.threshold));
update();
