// One token, policy, role or auth method: what it gives, who has it, and what can be done with it. A token's secret is asked
// for only when somebody wants to see it, and forgotten after a minute or when the page goes elsewhere.

import { h, Part } from "../../lib/dom.js";
import { ask, part, token } from "../../lib/api.js";
import { watch } from "../../lib/live.js";
import { to } from "../../lib/route.js";
import { ago, copy, empty, head, line, panel, tell, trouble, waiting } from "../../lib/parts.js";
import { ANONYMOUS, button, called, facts, grants, hint, KINDS, links, MANAGEMENT, some } from "./kinds.js";
import { clone, edit, remove, secretLine } from "./edit.js";
import { paint } from "./rules.js";

const SHOWN_MS = 60000;

export const moment = (text) => (text ? `${new Date(text).toLocaleString()} (${ahead(Date.parse(text))})` : null);

/// How long until or since a moment, in words.
export const ahead = (at, now = Date.now()) => (at > now ? `in ${ago(2 * now - at, now).replace(" ago", "")}` : ago(at, now));

class Item extends Part {
  kind = "";
  id = "";
  #data = {};
  #detail = null;
  #error = null;
  #secret = "";
  #timer = 0;

  set data(data) { this.#data = data; this.update(); }

  start(signal) {
    const forget = () => this.#forget();
    token.listen(forget, signal);
    addEventListener("pagehide", forget, { signal });
    signal.addEventListener("abort", () => { this.#forget(); this.replaceChildren(); });
    // Their rows in a list lack the rules, or the configuration.
    if (this.kind === "policies" || this.kind === "auth-methods") {
      watch(`${KINDS[this.kind].one}/${part(this.id)}`, {
        tables: ["access"], signal,
        take: (row) => { this.#detail = row; this.#error = null; this.update(); },
        fail: (error) => { this.#error = error; this.update(); },
      });
    }
  }

  show() {
    const { kind, id } = this, data = this.#data, { title, word, id: key } = KINDS[kind];
    const back = [to("access", kind), title], listed = data[kind]?.find((row) => row[key] === id);
    if (!listed) return [head(id, { back }), data[kind] ? empty(`There is no such ${word}, or not any more.`) : waiting()];
    const row = kind === "policies" || kind === "auth-methods" ? this.#detail ?? listed : listed;
    const users = data.uses(row, kind);
    return [
      head(called(kind, row), { back, sub: row.Name ? row.Description : this.#isOwn && "It is the token that this page uses.", actions: this.#actions(row, users) }),
      trouble(this.#error),
      kind === "tokens" ? this.#token(row) : kind === "policies" ? this.#policy(row) : kind === "roles" ? panel("What it gives", facts(grants(row, data))) : this.#method(row),
      kind !== "tokens" && this.#users(users),
      panel("About it", facts([["ID", key !== "Name" && [h("code", null, id), copy(id)]], ["Created", moment(row.CreateTime)], ["Last changed", `at index ${row.ModifyIndex}`]])),
    ];
  }

  get #isOwn() { return this.id === this.#data.own?.AccessorID; }

  #actions(row, { tokens, roles, rules }) {
    const { kind } = this, data = this.#data;
    const lose = tokens.length + roles.length ? `${some(tokens.length, "token")} and ${some(roles.length, "role")} lose what it gives.` : "Nobody has it.";
    const question = {
      tokens: [this.#isOwn && "It is the token that this page uses, which can do nothing more then. ", "Whoever uses it is refused from then on."],
      policies: lose, roles: lose,
      "auth-methods": `${some(rules.length, "binding rule")} and ${some(tokens.length, "token")} of those who logged in by it go with it.`,
    }[kind];
    return [
      row.AccessorID === ANONYMOUS ? hint("Built in: it stands for all who show no token, and cannot be deleted or cloned.")
        : row.ID === MANAGEMENT && hint("Built in: it cannot be deleted."),
      kind !== "auth-methods" && (kind !== "policies" || this.#detail) && button("Change …", () => edit(kind, data, row)),
      kind === "tokens" && row.AccessorID !== ANONYMOUS && !row.AuthMethod && button("Clone …", () => clone(data, row)),
      row.AccessorID !== ANONYMOUS && row.ID !== MANAGEMENT && button("Delete …", () => remove(kind, data, row, question), "danger"),
    ];
  }

  #token(row) {
    return h("div", { class: "grid", key: "token" },
      panel("What it gives", facts([...grants(row, this.#data), ["Scope", row.Local ? "local: this datacenter only" : "global: all datacenters"],
        ["Made by a login", row.AuthMethod && links("auth-methods", [{ Name: row.AuthMethod }])], ["Expires", moment(row.ExpirationTime) ?? "never"]])),
      row.AccessorID !== ANONYMOUS && panel("Secret", this.#secret ? secretLine(this.#secret) : hint("Who has the secret can do what the token allows."),
        // One button, which keeps the focus.
        h("div", { class: "bar", key: "act" },
          h("button", { type: "button", onClick: () => (this.#secret ? this.#forget() : this.#reveal()) }, this.#secret ? "Hide the secret" : "Show the secret"),
          this.#secret && h("span", { class: "hint" }, "It is hidden again after a minute."))));
  }

  async #reveal() {
    try {
      const { SecretID: secret } = (await ask(`/v1/acl/token/${part(this.id)}`)).body;
      if (!this.isConnected) return;
      if (secret === "<hidden>") { tell("Your token does not allow seeing secrets: that takes acl = \"write\".", "critical"); return; }
      this.#secret = secret;
      this.#timer = setTimeout(() => this.#forget(), SHOWN_MS);
      this.update();
    } catch (error) { tell(error.message, "critical"); }
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#secret = "";
    this.update();
  }

  #policy(row) {
    return panel("Rules", row.Rules == null ? !this.#error && waiting() : row.Rules ? h("pre", { tabindex: "0", "aria-label": "Rules" }, paint(row.Rules)) : hint("There are none."),
      row.Datacenters?.length && h("p", null, `It counts in: ${row.Datacenters.join(", ")}.`));
  }

  #method(row) {
    const rules = this.#data.uses(row, this.kind).rules;
    return [
      panel("How it knows somebody", facts([["Type", row.Type], ["Shown as", row.DisplayName], ["Its tokens", `are ${row.TokenLocality}`],
        ["They expire", row.MaxTokenTTL ? `after ${row.MaxTokenTTL}` : "never"]]),
        row.Config && h("pre", { tabindex: "0", "aria-label": "Configuration" }, JSON.stringify(row.Config, null, 2))),
      panel("Binding rules", rules.map((rule) => h("div", { class: "check", key: rule.ID },
        facts([["Gives", called("binding-rules", rule)], ["To whom", rule.Selector ? h("code", null, rule.Selector) : "everybody who logs in"],
          ["Description", rule.Description], ["ID", h("code", null, rule.ID)]]),
        h("div", null, button("Delete this rule …", () => remove("binding-rules", this.#data, rule, "It counts for no login from then on. Tokens that are there stay as they are."))))),
      !rules.length && hint("There is none: nobody can log in by it."), line(`lictor acl binding-rule create -method=${row.Name} -bind-type=service -bind-name=NAME`)),
    ];
  }

  #users({ tokens, roles, rules }) {
    const { kind } = this, byRole = kind === "policies" ? [...new Set(roles.flatMap((role) => this.#data.uses(role, "roles").tokens))] : [];
    return panel(kind === "auth-methods" ? "Who is logged in" : "Who has it", facts([["Roles", roles.length && links("roles", roles)], ["Tokens", tokens.length && links("tokens", tokens)],
      ["Tokens by a role", byRole.length && links("tokens", byRole)],
      ["Logins", kind === "roles" && rules.length && links("auth-methods", [...new Set(rules.map((rule) => rule.AuthMethod))].map((Name) => ({ Name })))]]),
    !tokens.length && !roles.length && hint("Nobody."));
  }
}
customElements.define("access-item", Item);
