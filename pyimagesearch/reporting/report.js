"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
const scores = decodeScores(report.scores);  // highest first
const CARDS = 24, ROWS = 50, STEPS = 1000;
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
    setThreshold(scoreAt((x - plot.left) / (plot.right - plot.left)));
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

let announcementTimer;
function update() {
  const count = countAbove(threshold);
  const text = `of ${formatCount(report.n)} images flagged (${percent(count / report.n)})`;
  $("count").textContent = formatCount(count);
  $("of").textContent = text;
  $("slider").value = Math.round(STEPS * axisShare(threshold));
  $("slider").setAttribute("aria-valuetext", `${formatNumber(threshold)}: ${formatCount(count)} ${text}`);
  $("threshold-value").value = shortestDecimal(threshold);
  $("n-flagged").value = count;
  $("reset").disabled = threshold === report.threshold;
  $("hint").hidden = threshold === report.threshold;
  $("command").textContent = `find_anomalies.py … --threshold ${shortestDecimal(threshold)}`;
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
  if ($("large").open) showFacts();
  // Announced to screen readers once the slider rests, not at every step.
  clearTimeout(announcementTimer);
  announcementTimer = setTimeout(() => { $("announcement").textContent = `${formatCount(count)} ${text}`; }, 400);
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

// ---- Pages of cards and of rows -------------------------------------------------------------

const collator = new Intl.Collator("en", { numeric: true });
const SORTS = {
  rank: (a, b) => a - b,
  name: (a, b) => collator.compare(report.names[a], report.names[b]) || a - b,
  label: (a, b) => (report.labels[b] === "1") - (report.labels[a] === "1") || (report.labels[a] === "?") - (report.labels[b] === "?") || a - b,
};

// A list of which only one page is in the document at a time.
function paged(ranks, size, nav, show) {
  let page = 0;
  const range = element("span"), back = element("button", { type: "button", text: "Previous" }), on = element("button", { type: "button", text: "Next" });
  range.setAttribute("aria-live", "polite");
  nav.append(back, on, range);
  const turn = to => {
    page = to;
    const from = page * size, to_ = Math.min(ranks.length, from + size);
    show(ranks.slice(from, to_));
    range.textContent = `${formatCount(from + 1)}–${formatCount(to_)} of ${formatCount(ranks.length)}`;
    back.disabled = page === 0;
    on.disabled = to_ === ranks.length;
  };
  nav.hidden = ranks.length <= size;
  back.addEventListener("click", () => turn(page - 1));
  on.addEventListener("click", () => turn(page + 1));
  return { first: () => turn(0) };
}

function markFlagged(holder) {
  const flagged = scores[holder.dataset.rank] > threshold;
  holder.classList.toggle("flagged", flagged);
  holder.querySelector(".tag").hidden = !flagged;
}

function picture(rank, column) {
  const image = element("img", { alt: report.columns[column], src: report.pictures[rank][column], loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("exact", image.naturalWidth < 100));
  return image;
}

function labelSpan(rank) {
  const label = labelText(rank);
  return element("span", { class: `label ${label}`, text: label });
}

function card(rank) {
  const node = element("button", { type: "button", class: "card", "data-rank": rank, "aria-haspopup": "dialog" },
    element("span", { class: "parts" }, ...report.columns.map((_, i) => picture(rank, i))),
    element("span", { class: "line" },
      element("b", { text: `#${rank + 1}` }), element("span", { text: formatNumber(scores[rank]) }), element("span", { class: "tag", text: "flagged" })),
    element("span", { class: "name", title: report.names[rank] },
      element("bdi", { text: shortName(rank) }), labelSpan(rank)));
  node.addEventListener("click", () => enlarge(rank));
  markFlagged(node);
  return element("li", {}, node);
}

const gallery = report.pictures.map((_, rank) => rank);
function showGallery() {
  $("gallery-title").textContent = gallery.length < report.n ? `The ${formatCount(gallery.length)} highest of ${formatCount(report.n)} scores` : "All images";
  $("gallery").hidden = !gallery.length;
  $("key").textContent = `Each image: ${report.columns.join(" | ").toLowerCase()}. Click to enlarge.` + (folder ? ` All are in ${folder}` : "");
  $("cards").style.setProperty("--card", `${76 * report.columns.length}px`);
  if (!report.known) $("order").querySelector("[value=label]").remove();
  const pages = paged(gallery, CARDS, $("cards-pager"), ranks => $("cards").replaceChildren(...ranks.map(card)));
  $("order").addEventListener("change", () => {
    const key = $("order").value;
    gallery.sort(SORTS[key] || SORTS.rank);
    if (key === "last") gallery.reverse();
    pages.first();
  });
  pages.first();
}

function row(rank) {
  const node = element("tr", { "data-rank": rank },
    element("td", { class: "number", text: formatCount(rank + 1) }),
    element("td", { class: "name-cell", title: report.names[rank] }, element("bdi", { text: shortName(rank) })),
    element("td", { class: "number", text: formatNumber(scores[rank], 6) }),
    element("td", {}, element("span", { class: "tag", text: "flagged" })));
  if (report.known) node.append(element("td", {}, labelSpan(rank)));
  markFlagged(node);
  return node;
}

function showTable() {
  const ranks = Array.from({ length: Math.min(report.names.length, scores.length) }, (_, rank) => rank);
  if (ranks.length < report.n) {
    $("left-out").textContent = `The ${formatCount(ranks.length)} highest; all ${formatCount(report.n)} are in anomalies.csv.`;
  }
  const pages = paged(ranks, ROWS, $("rows-pager"), some => $("rows").replaceChildren(...some.map(row)));
  const columns = [["Rank", "rank", "number"], ["Name", "name"], ["Score", "rank", "number"], ["Flag", null]];
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
      const turned = head.getAttribute("aria-sort") === (falls ? "descending" : "ascending");
      for (const other of $("columns").children) other.removeAttribute("aria-sort");
      ranks.sort(SORTS[key]);
      if (turned) ranks.reverse();
      head.setAttribute("aria-sort", turned !== falls ? "descending" : "ascending");
      pages.first();
    });
  }
  $("columns").firstChild.setAttribute("aria-sort", "ascending");
  pages.first();
}

// ---- One image, large -----------------------------------------------------------------------

let enlarged;
function showFacts() {
  const facts = [`score ${formatNumber(scores[enlarged], 6)}`, scores[enlarged] > threshold ? "flagged" : "not flagged"];
  if (labelText(enlarged)) facts.push(labelText(enlarged));
  $("large-facts").textContent = facts.join(" · ");
}

function enlarge(rank) {
  enlarged = rank;
  $("large-title").replaceChildren(`#${rank + 1} `, element("bdi", { text: report.names[rank] }));
  $("large-parts").replaceChildren(...report.columns.map((column, i) =>
    element("figure", {}, element("figcaption", { text: column }), picture(rank, i))));
  const place = gallery.indexOf(rank);
  $("previous").disabled = place === 0;
  $("next").disabled = place === gallery.length - 1;
  showFacts();
  if (!$("large").open) $("large").showModal(); document.getElementById("large-title").focus();
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
  for (const value of logTicks(10 ** low, 10 ** high)) {
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

const SCORES = {
  mse: "the mean squared error of the reconstruction",
  local: "the largest PaDiM-style distance of a pixel",
  code: "the Mahalanobis distance of the latent code",
  neighbours: "the k-NN distance to the training images, times the mean squared error",
};
const flaggedAtFirst = countAbove(report.threshold);
$("lead").textContent = `${formatCount(flaggedAtFirst)} of ${formatCount(report.n)} images are flagged: their score is above ${formatNumber(report.threshold)} (${report.rule}). The score (${report.score}) is ${SCORES[report.score] || "a measure of anomaly"}; a higher score is more anomalous.`;
document.title = `${formatCount(flaggedAtFirst)} of ${formatCount(report.n)} images flagged – anomaly report`;
document.querySelector("main").hidden = false;
drawHistogram();
showMetrics();
showGallery();
showTable();
if (report.training) showLosses();
showSettings();
$("n-flagged").max = scores.length;
$("slider").addEventListener("input", () => setThreshold(scoreAt($("slider").value / STEPS)));
$("threshold-value").addEventListener("change", () => {
  const value = $("threshold-value").valueAsNumber;
  setThreshold(Number.isFinite(value) ? value : threshold);
});
$("n-flagged").addEventListener("change", () => {
  const value = $("n-flagged").valueAsNumber;
  const count = Math.min(scores.length, Math.max(0, Math.round(value)));
  // The highest score that is not to be flagged. Equal scores are flagged together or not at all.
  setThreshold(Number.isFinite(value) ? scores[count] ?? lowest : threshold);
});
$("reset").addEventListener("click", () => setThreshold(report.threshold));
update();
