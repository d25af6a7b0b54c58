// A text area with line numbers, and its text in colour behind it. Only the lines that can be seen are drawn, so a long value
// is as quick to edit as a short one.

import { h, Part, render } from "../../lib/dom.js";
import { pieces } from "./text.js";

/// The padding of the text area, and the height of a line, as the style has them, in px.
const PADDING = 8, LINE = 20;
/// A line longer than this is not coloured, nor is anything else: it would be drawn twice in whole.
const LONG = 3000;

class Editor extends Part {
  label = "";
  onedit = null;
  onsave = null;
  #kind = "text";
  #text = "";
  #lines = [""];
  #isLong = false;
  #isLeaving = false;

  set kind(kind) { this.#kind = kind; this.#draw(); }
  set text(text) {
    if (text === this.#text) return;
    this.#text = text;
    this.#lines = text.split("\n");
    this.#isLong = this.#lines.some((line) => line.length > LONG);
    this.#draw();
  }

  start(signal) {
    this.#draw();
    // Now it is there.
    queueMicrotask(() => {
      const sizes = new ResizeObserver(() => this.#paint());
      sizes.observe(this.#area);
      signal.addEventListener("abort", () => sizes.disconnect());
    });
  }

  get #area() { return this.querySelector("textarea"); }
  get #isColoured() { return this.#kind !== "text" && !this.#isLong; }

  #draw() {
    this.update();
    queueMicrotask(() => this.#paint());
  }

  show() {
    return [
      // The names with a dash keep what is painted into them.
      h("code-numbers", { "aria-hidden": "true" }),
      h("code-lines", { "aria-hidden": "true" }),
      h("textarea", { class: this.#isColoured ? "coloured" : "", "aria-label": this.label, "aria-describedby": "editor-keys", wrap: "off", spellcheck: "false", autocapitalize: "off", autocomplete: "off",
        value: this.#text, onInput: (event) => { this.text = event.target.value; this.onedit(this.#text); }, onKeydown: (event) => this.#key(event), onBlur: () => { this.#isLeaving = false; }, onScroll: () => this.#paint() }),
    ];
  }

  #key(event) {
    if (event.key === "Tab" && !this.#isLeaving && !event.shiftKey && !event.ctrlKey && !event.altKey) {
      event.preventDefault();
      // The one way that leaves it possible to undo.
      document.execCommand("insertText", false, this.#kind === "text" ? "\t" : "  ");
    } else if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      this.onsave();
    }
    if (event.key !== "Shift") this.#isLeaving = event.key === "Escape";
  }

  #paint() {
    const area = this.#area;
    if (!area) return;
    const count = this.#lines.length;
    // The browser rounds: what it made of so many lines is what counts.
    const height = area.scrollHeight > area.clientHeight ? (area.scrollHeight - 2 * PADDING) / count : LINE;
    const from = Math.max(0, Math.floor((area.scrollTop - PADDING) / height));
    const shown = this.#lines.slice(from, from + Math.ceil(area.clientHeight / height) + 2);
    const [numbers, lines] = this.children;
    const y = PADDING + from * height - area.scrollTop;
    this.style.setProperty("--digits", String(Math.max(2, String(count).length)));
    render(numbers, h("div", { style: { transform: `translateY(${y}px)` } }, shown.map((_, index) => h("div", null, from + index + 1))));
    render(lines, this.#isColoured && h("div", { style: { transform: `translate(${PADDING - area.scrollLeft}px, ${y}px)` } },
      shown.map((line) => h("div", null, pieces(this.#kind, line).map(([kind, text]) => (kind ? h("span", { class: kind }, text) : text))))));
  }
}

customElements.define("kv-editor", Editor);
