// The page: what is above and beside every view, and which view is shown.

import { h, Part } from "./lib/dom.js";
import { agent, ask, datacenter, datacenters, freshness, token } from "./lib/api.js";
import { POLL_MS, watch } from "./lib/live.js";
import { go, look, place, to } from "./lib/route.js";
import { duration, field, form } from "./lib/parts.js";

/// Views by the first name of the path: the text of their link, their module, and the key that goes there after `g`.
const VIEWS = {
  __proto__: null,
  "": ["Overview", "overview", "o"],
  services: ["Services", "services", "s"],
  nodes: ["Nodes", "nodes", "n"],
  kv: ["Key/value", "kv", "k"],
  sessions: ["Sessions", "sessions", "l"],
  queries: ["Queries", "queries", "q"],
  access: ["Access", "access", "a"],
  numbers: ["Numbers", "numbers", "m"],
};

class Page extends Part {
  #loaded = new Set();
  /// Whether it was said that what is shown is old.
  #wasOld = false;
  #wasReachable = true;

  start(signal) {
    for (const cell of [place, freshness, token, agent, datacenters]) cell.listen(() => this.update(), signal);
    place.listen(() => this.#load(), signal);
    token.listen(() => this.#introduce(), signal);
    freshness.listen(() => {
      const { isReachable } = freshness.value, isBack = isReachable && !this.#wasReachable;
      this.#wasReachable = isReachable;
      // It may be another version now.
      if (isBack) this.#introduce();
    }, signal);
    watch("/v1/catalog/datacenters", { query: { dc: "" }, pollMs: POLL_MS, signal, take: (names) => { if (names.join() !== datacenters.value.join()) datacenters.value = names; } });
    addEventListener("keydown", keys, { signal });
    this.#load();
    this.#introduce();
    applyTheme(localStorage.getItem("lictor-theme"));
  }

  /// Brings the view's module in, when it is first shown.
  async #load() {
    const view = VIEWS[place.value.names[0]];
    document.title = `${[...place.value.names.slice(1).reverse(), view?.[0] ?? "Nothing here"].join(" · ")} · Lictor`;
    if (!view || this.#loaded.has(view[1])) return;
    await import(`./views/${view[1]}.js`);
    this.#loaded.add(view[1]);
    this.update();
  }

  async #introduce() {
    try {
      agent.value = (await ask("/v1/internal/ui/agent", { query: { dc: "" } })).body;
    } catch { agent.value = null; }
  }

  show() {
    const [name] = place.value.names;
    const view = VIEWS[name];
    return [
      h("header", { class: "top" },
        h("a", { class: "brand", href: to("") }, h("img", { src: "icon.svg", alt: "", width: "28", height: "28" }), "Lictor"),
        this.#where(), this.#freshness(),
        h("button", { type: "button", class: token.value ? "has-token" : "", onClick: askToken }, token.value ? "Token ✓" : "Token"),
        h("button", { type: "button", "aria-label": "Light or dark", title: "Light or dark", onClick: turnTheme }, "◐")),
      h("nav", { "aria-label": "Views" }, Object.entries(VIEWS).map(([path, [text]]) =>
        h("a", { key: path, href: to(path), "aria-current": path === name ? "page" : null }, text))),
      h("main", { id: "main", tabindex: "-1" },
        !view ? h("div", { key: "nothing" }, h("h1", null, "Nothing here"), h("p", { class: "empty" }, "There is nothing at this address. ", h("a", { href: to("") }, "To the overview")))
          : this.#loaded.has(view[1]) && h(`view-${view[1]}`, { key: `${view[1]} ${datacenter()}` })),
      // The name with a dash keeps what is told in it.
      h("told-lines", { id: "told", role: "status", "aria-live": "polite", key: "told" }),
    ];
  }

  #where() {
    const own = agent.value?.Datacenter ?? "", here = datacenter() || own;
    // One that is lost for long is forgotten by its neighbours, and may still be looked at.
    const names = [...new Set([...datacenters.value, here])].filter(Boolean).sort();
    if (names.length < 2) return h("span", { class: "where" }, own);
    return h("select", { class: "where", "aria-label": "Datacenter", value: here, onChange: (event) => look({ dc: event.target.value === own ? null : event.target.value }) },
      names.map((name) => h("option", { key: name, value: name }, name)));
  }

  /// How old what is shown is. What is read out has no numbers: it is said once.
  #freshness() {
    const { isReachable, isAnswering, isTold, knowsLeader, ageMs } = freshness.value;
    const [kind, text, more] = !isReachable ? ["critical", "This agent does not answer; what is shown is from before"]
      : !isAnswering ? ["critical", datacenters.value.includes(datacenter()) ? `${datacenter()} does not answer; what is shown is from before` : `No datacenter is called ${datacenter()}`]
      : !knowsLeader ? ["warning", "No leader", `: as of ${duration(ageMs)} ago`]
      : !isTold ? ["warning", "This agent tells no changes; it is asked now and then"]
      : ageMs > 5000 ? ["warning", "What is shown is old", `: as of ${duration(ageMs)} ago`] : ["passing", "Live"];
    const isOld = kind !== "passing";
    this.#wasOld ||= isOld;
    return [h("span", { class: `freshness ${kind}`, key: "freshness" }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", null, text, more)),
      h("span", { class: "unseen", key: "heard", role: "status" }, isOld ? text : this.#wasOld ? "Live again" : "")];
  }
}

/// Asks for the token to show from now on.
function askToken() {
  let text = "";
  form("Token", () => [
    h("p", null, token.value ? "A token is shown with each request. It is kept for this tab only." : "What you enter is shown with each request to this agent, and kept for this tab only."),
    field("Secret ID", h("input", { type: "password", autocomplete: "off", autofocus: true, onInput: (event) => { text = event.target.value; } }), token.value && "Leave it empty to forget the token."),
  ], () => { token.value = text.trim(); }, { action: token.value ? "Change" : "Use" });
}

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function turnTheme() {
  const isDark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  localStorage.setItem("lictor-theme", isDark ? "light" : "dark");
  applyTheme(isDark ? "light" : "dark");
}

let isAfterG = false;

/// `/` to search, `g` and a letter to go to a view.
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || document.querySelector("dialog[open]")) return;
  if (event.key === "/") {
    const box = document.querySelector("main .search");
    if (box) { event.preventDefault(); box.focus(); }
  } else if (isAfterG) {
    const found = Object.entries(VIEWS).find(([, [, , key]]) => key === event.key);
    if (found) go(to(found[0]));
  }
  isAfterG = event.key === "g" && !isAfterG;
}

customElements.define("lictor-page", Page);
