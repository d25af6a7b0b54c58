// What several views are made of.

import { h, Part, render } from "./dom.js";
import { datacenter, freshness, Refusal } from "./api.js";

export const MARKS = { passing: "✓", warning: "!", critical: "✕" };

/// A status in a word, with a mark: never by colour alone.
export const badge = (status, text = status) => h("span", { class: `badge ${status}` }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[status] ?? "–"), text);

/// How many checks are in each state, those that are there.
export const counts = (passing, warning, critical) => h("span", { class: "counts" },
  [["critical", critical], ["warning", warning], ["passing", passing]].filter(([, count]) => count).map(([status, count]) =>
    h("span", { class: `badge ${status}`, key: status, title: `${count} ${status}` }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[status]), count, h("span", { class: "unseen" }, ` ${status}`))));

/// Tags or other short texts, a few of them.
export const tags = (list, most = 8) => h("span", { class: "tags" }, (list ?? []).slice(0, most).map((tag) => h("span", { class: "tag" }, tag)), list?.length > most && h("span", { class: "tag more" }, `+${list.length - most}`));

/// Names and values.
export const pairs = (entries) => h("dl", { class: "pairs" }, entries.filter(([, value]) => value != null && value !== "").map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))));

/// The head of a view: its title, what it says of itself, and what can be done.
export const head = (title, { sub, actions, back } = {}) => h("header", { class: "head" },
  h("div", null, back && h("a", { class: "back", href: back[0] }, "← ", back[1]), h("h1", null, title), sub && h("p", { class: "sub" }, sub)), actions && h("div", { class: "actions" }, actions));

/// A box with a heading.
export const panel = (title, ...children) => h("section", { class: "panel", "aria-label": title, key: `panel ${title}` }, title && h("h2", null, title), children);

/// Shown where there is nothing, and why.
export const empty = (text, ...more) => h("p", { class: "empty" }, text, more);

/// Shown while nothing was answered yet.
export const waiting = () => h("p", { class: "empty", role: "status" }, "Asking …");

/// What went wrong, in words; 403 says what to do. That a datacenter is lost is told by the head of the page.
export function trouble(error) {
  if (!error) return null;
  if (error.status === 503 && datacenter() && !freshness.value.isAnswering) return h("p", { class: "empty", key: "trouble" }, `Nothing was heard of ${datacenter()} yet.`);
  const denied = error instanceof Refusal && error.status === 403;
  return h("div", { class: "notice critical", role: "alert", key: "trouble" }, h("strong", null, denied ? "Not allowed. " : "That did not work. "),
    error.message, denied && " Another token may be: use “Token” above.");
}

/// A box to search with; its text is the place's `filter`, or that of another `name`.
export const search = (value, onInput, label = "Search") => h("input", { class: "search", type: "search", "aria-label": label, placeholder: label, value: value ?? "", autocomplete: "off", spellcheck: "false", onInput: (event) => onInput(event.target.value) });

/// A row of buttons of which one is chosen: `options` are `[value, text]`.
export const choice = (label, options, value, onChoose) => h("div", { class: "choice", role: "group", "aria-label": label },
  options.map(([each, text]) => h("button", { type: "button", key: each, "aria-pressed": String(each === value), onClick: () => onChoose(each) }, text)));

/// A button that copies a text and says so.
export const copy = (text, label = "Copy") => h("button", { type: "button", class: "quiet", "aria-label": `${label}: ${text}`, onClick: async (event) => {
  const button = event.currentTarget;
  try { await navigator.clipboard.writeText(text); tell("Copied."); } catch { select(button.previousElementSibling ?? button); }
} }, label);

function select(node) {
  getSelection().selectAllChildren(node);
}

/// A word of a command line, whatever is in it.
export const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/// A command line or name to copy.
export const line = (text) => h("span", { class: "line" }, h("code", null, text), copy(text));

/// How long ago a moment (ms since 1970) was, in words.
export function ago(at, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

/// When something became what it is (RFC 3339), in words, and exactly to who points at it.
export const since = (moment) => h("time", { class: "hint", datetime: moment, title: new Date(moment).toLocaleString() }, `changed ${ago(Date.parse(moment))}`);

/// Calls `update` every now and then, as words like “2 min ago” grow old.
export function aging(update, signal, everyMs = 5000) {
  const ticking = setInterval(() => { if (!document.hidden) update(); }, everyMs);
  signal.addEventListener("abort", () => clearInterval(ticking));
}

/// A duration in ms, in few characters.
export function duration(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/// A number of bytes, in few characters.
export function bytes(count) {
  if (count < 1024) return `${count} B`;
  if (count < 1048576) return `${(count / 1024).toFixed(1)} KiB`;
  return count < 1073741824 ? `${(count / 1048576).toFixed(1)} MiB` : `${(count / 1073741824).toFixed(2)} GiB`;
}

/// Whether every word of `text` is in one of `where`, in any letter case.
export function matches(text, where) {
  const all = where.join("\n").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

/// Says something for a moment, also to who listens.
export function tell(text, kind = "") {
  const place = document.getElementById("told");
  const item = document.createElement("p");
  item.className = kind;
  item.textContent = text;
  place.append(item);
  setTimeout(() => item.remove(), 6000);
}

/// Asks in a dialog: `show(close, refuse)` describes what is in it; gives what `close` was called with, null if it was left.
/// `refuse(error)` shows why something did not work and keeps it open.
export function dialog(title, show, { isWide = false } = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const box = document.createElement("dialog");
    box.className = isWide ? "wide" : "";
    box.setAttribute("aria-label", title);
    let result = null, error = null;
    const close = (value = null) => { result = value; box.close(); };
    const refuse = (why) => { error = why; draw(); box.scrollTo(0, 0); };
    const draw = () => render(box, h("div", { class: "dialog" }, h("h2", null, title), trouble(error), show(close, refuse, draw)));
    box.addEventListener("close", () => { box.remove(); (before?.isConnected ? before : document.getElementById("main"))?.focus({ preventScroll: true }); resolve(result); });
    draw();
    document.body.append(box);
    box.showModal();
  });
}

/// A question before something that cannot be taken back; gives whether it shall be done.
export async function confirm(title, text, action = "Delete") {
  return await dialog(title, (close) => [h("p", null, text), h("div", { class: "actions" },
    h("button", { type: "button", autofocus: true, onClick: () => close(false) }, "Cancel"), h("button", { type: "button", class: "danger", onClick: () => close(true) }, action))]) === true;
}

/// A form in a dialog: `fields(draw)` describes it, `act()` does it and may throw; the dialog stays while it does not work.
export function form(title, fields, act, { action = "Save", isWide = false } = {}) {
  let isBusy = false;
  return dialog(title, (close, refuse, draw) => h("form", { onSubmit: async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    try { close(await act() ?? true); } catch (error) { refuse(error); } finally { isBusy = false; }
  } }, fields(draw), h("div", { class: "actions" }, h("button", { type: "button", onClick: () => close(null) }, "Cancel"), h("button", { type: "submit", class: "primary" }, action))), { isWide });
}

/// A labelled field: `input` is the description of what is filled in.
export const field = (label, input, hint) => h("label", { class: "field" }, h("span", null, label), input, hint && h("small", null, hint));

/// A list of any length of which only what can be seen is there. `.rows` are what there is, `.row(item, index)` describes one, with
/// a `key`; all are of the height that the style gives as `--row`.
class VirtualRows extends Part {
  rows = [];
  #top = 0;
  #end = 40;

  start(signal) {
    const look = () => this.#look();
    addEventListener("scroll", look, { signal, passive: true });
    addEventListener("resize", look, { signal, passive: true });
    requestAnimationFrame(look);
  }

  set items(rows) {
    this.rows = rows;
    this.update();
    requestAnimationFrame(() => this.#look());
  }

  get #height() {
    return parseFloat(getComputedStyle(this).getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize) || 44;
  }

  #look() {
    if (!this.isConnected) return;
    const height = this.#height, box = this.getBoundingClientRect();
    const top = Math.max(0, Math.floor(-box.top / height) - 8), end = Math.ceil((innerHeight - box.top) / height) + 8;
    if (top === this.#top && end === this.#end) return;
    this.#top = top;
    this.#end = end;
    this.update();
  }

  show() {
    const height = this.#height;
    const top = Math.min(this.#top, this.rows.length), end = Math.min(this.#end, this.rows.length);
    this.style.setProperty("height", `${this.rows.length * height}px`);
    return h("div", { class: "window", role: "presentation", style: { transform: `translateY(${top * height}px)` } }, this.rows.slice(top, end).map((item, index) => this.row(item, top + index)));
  }
}
customElements.define("virtual-rows", VirtualRows);

/// A table of any length: `columns` are the heads, `rows` what there is, `cells(row)` describes those of one; `key(row)` tells rows apart.
export function table(label, columns, rows, key, cells, kind = "") {
  return h("div", { class: `table ${kind}`, role: "table", "aria-label": label, "aria-rowcount": rows.length + 1 },
    h("div", { class: "row heads", role: "row", "aria-rowindex": 1 }, columns.map((column) => h("span", { role: "columnheader" }, column))),
    h("virtual-rows", { role: "rowgroup", ".row": (row, index) => h("div", { class: "row", role: "row", key: key(row), "aria-rowindex": index + 2 }, cells(row).map((cell) => h("span", { role: "cell" }, cell))), ".items": rows }));
}
