// A check, as the services and the nodes show it.

import { h, Part } from "./dom.js";
import { aging, badge, since } from "./parts.js";

/// A check with its output.
class CheckRow extends Part {
  #check = null;

  set check(check) { this.#check = check; this.update(); }

  start(signal) { aging(() => this.update(), signal); }

  show() {
    const check = this.#check;
    return h("div", { class: "check" }, h("div", { class: "bar" }, badge(check.Status), h("strong", null, check.Name || check.CheckID), h("code", { class: "hint" }, check.CheckID),
      check.Type && h("span", { class: "tag" }, check.Type), check.Since ? since(check.Since) : h("span", { class: "hint" }, `changed at index ${check.ModifyIndex}`)),
    check.Notes && h("p", { class: "hint" }, check.Notes), check.Output && h("pre", { tabindex: "0", "aria-label": "Output" }, check.Output));
  }
}

customElements.define("check-row", CheckRow);
