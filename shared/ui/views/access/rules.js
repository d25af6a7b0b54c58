// The rules of a policy: with some colour, and where they are edited. The text under the colours is a plain `textarea`.

import { h, Part } from "../../lib/dom.js";

const NAMED = ["agent", "event", "key", "node", "query", "service", "session"];
const RESOURCES = new Set([...NAMED, ...NAMED.map((name) => `${name}_prefix`), "acl", "keyring", "operator", "mesh", "peering"]);
const LEVELS = new Set(["deny", "read", "list", "write"]);
const WORD = /(#.*|\/\/.*|\/\*[^]*?(?:\*\/|$))|("(?:[^"\\\n]|\\.)*"?)|[A-Za-z_][\w-]*/g;

const rule = (resource, name, level) => `${resource} "${name}" {\n  policy = "${level}"\n}\n`;
const COMMON = [
  ["See services", rule("node_prefix", "", "read") + rule("service_prefix", "", "read")],
  ["Register a service", rule("service", "NAME", "write") + rule("node_prefix", "", "read")],
  ["An agent", rule("agent", "NODE", "write") + rule("node", "NODE", "write") + rule("service_prefix", "", "read")],
  ["Read keys", rule("key_prefix", "app/", "read")],
  ["Write keys", rule("key_prefix", "app/", "write")],
  ["Lock", rule("key_prefix", "app/lock/", "write") + rule("session_prefix", "", "write")],
  ["Hide a key", rule("key", "app/secret", "deny")],
  ["Run queries", rule("query_prefix", "", "read")],
  ["Send events", rule("event_prefix", "", "write")],
  ["See servers", `operator = "read"\n`],
  ["See tokens", `acl = "read"\n`],
];

/// The text in pieces: what it is about, and how much is allowed, stand out.
export function paint(text) {
  const pieces = [];
  let at = 0;
  for (const { 0: word, 1: comment, 2: quoted, index } of text.matchAll(WORD)) {
    const end = index + word.length, bare = quoted ? word.slice(1, -1) : word;
    // In JSON a key is quoted, too, and a name may be any word: only the place tells.
    const isKey = !quoted || /^\s*:/.test(text.slice(end, end + 20));
    const isValue = /[=:]\s*$/.test(text.slice(Math.max(0, index - 20), index));
    const kind = comment ? "comment" : isValue && LEVELS.has(bare) ? bare : isKey && RESOURCES.has(bare) ? "resource" : null;
    if (!kind) continue;
    pieces.push(text.slice(at, index), h("span", { class: `rule-${kind}` }, word));
    at = end;
  }
  return [...pieces, text.slice(at)];
}

/// Where in the text the server's error is, where it says it: `{ line, column }`.
export function spot(message) {
  const found = /(?:^|\s)(\d+):(\d+): /.exec(message);
  return found && { line: Number(found[1]), column: Number(found[2]), message };
}

/// `.text` is what is in it, `.onText` is told of each change, `.problem` is a `spot`.
class RulesEditor extends Part {
  #text = "";
  #problem = null;

  set text(text) { this.#text = text; this.update(); }
  set problem(problem) {
    this.#problem = problem;
    this.update();
    if (problem) requestAnimationFrame(() => this.#reveal(problem));
  }

  show() {
    const problem = this.#problem;
    return [
      !this.#text.trimStart().startsWith("{") && h("div", { class: "inserts", role: "group", "aria-label": "Insert common rules" }, h("span", { class: "hint" }, "Insert:"),
        COMMON.map(([name, rules]) => h("button", { type: "button", class: "quiet", key: name, onClick: () => this.#insert(rules) }, name))),
      h("div", { class: "rules-box" },
        h("textarea", { "aria-label": "Rules", rows: 16, spellcheck: "false", autocapitalize: "off", value: this.#text, "aria-invalid": problem ? "true" : null, "aria-describedby": problem && "rules-problem",
          onInput: (event) => this.#set(event.target.value), onScroll: (event) => { event.target.nextSibling.scrollTop = event.target.scrollTop; } }),
        // A last line that is empty has a height only before another.
        h("pre", { "aria-hidden": "true" }, paint(this.#text), "\n")),
      problem && h("p", { class: "notice critical", id: "rules-problem" }, h("strong", null, `Line ${problem.line}: `), problem.message),
    ];
  }

  #set(text) {
    this.#text = text;
    this.#problem = null;
    this.onText(text);
    this.update();
  }

  #insert(rules) {
    const box = this.querySelector("textarea"), start = box.selectionStart;
    box.focus();
    const text = start && box.value[start - 1] !== "\n" ? `\n${rules}` : rules;
    // The only way that can be undone by the keyboard.
    if (!document.execCommand("insertText", false, text)) { box.setRangeText(text, start, box.selectionEnd, "end"); this.#set(box.value); }
  }

  #reveal({ line, column }) {
    const box = this.querySelector("textarea"), all = this.#text.split("\n");
    const start = all.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    box.focus();
    box.setSelectionRange(start + Math.max(0, column - 1), start + (all[line - 1] ?? "").length);
  }
}
customElements.define("rules-editor", RulesEditor);
