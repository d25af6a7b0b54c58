// The list of tokens, policies, roles or auth methods.

import { h, Part } from "../../lib/dom.js";
import { look, place, to } from "../../lib/route.js";
import { choice, empty, line, matches, panel, search, table, tags, trouble, waiting } from "../../lib/parts.js";
import { called, gives, hint, KINDS, some } from "./kinds.js";
import { ahead } from "./item.js";

/// What might be a secret, or a part of one: such a text is looked for, but put into no address.
const SECRET = /[0-9a-f]{8}/i;

const COLUMNS = {
  tokens: ["Token", "Accessor", "Gives", "Scope", "Expires"],
  policies: ["Name", "Description", "Used by", "Datacenters"],
  roles: ["Name", "Description", "Gives", "Used by"],
  "auth-methods": ["Name", "Type", "Description", "Binding rules"],
};

const usedBy = ({ tokens, roles }) => [some(tokens.length, "token"), roles.length && some(roles.length, "role")].filter(Boolean).join(", ");

class List extends Part {
  kind = "";
  #data = {};
  #typed = null;

  set data(data) { this.#data = data; this.update(); }

  start(signal) {
    place.listen(() => this.update(), signal);
  }

  show() {
    const { kind } = this, data = this.#data, query = place.value.query, { word, title, id: key } = KINDS[kind];
    const filter = this.#typed ?? query.get("filter") ?? "", sort = query.get("sort") ?? "", all = data[kind];
    if (!all) return [trouble(data.errors[kind]) ?? waiting()];
    const rows = all.filter((row) => !filter || matches(filter, [called(kind, row), row.Description, row[key], row.AuthMethod ?? "", row.Type ?? "", ...gives(row)]));
    const used = (row) => { const { tokens, roles } = data.uses(row, kind); return tokens.length + roles.length; };
    const end = (row) => row.ExpirationTime ?? "~";
    const order = { changed: (a, b) => b.ModifyIndex - a.ModifyIndex, used: (a, b) => used(b) - used(a), end: (a, b) => (end(a) < end(b) ? -1 : end(a) > end(b)) }[sort];
    rows.sort((a, b) => order?.(a, b) || called(kind, a).localeCompare(called(kind, b)));
    const more = kind === "tokens" ? [["end", "Expiring first"]] : kind === "auth-methods" ? [] : [["used", "Most used"]];
    return [
      h("div", { class: "bar" },
        search(filter, (text) => { this.#typed = SECRET.test(text) ? text : null; look({ filter: this.#typed ? null : text }); this.update(); }, "Search"),
        choice("Order", [["", "By name"], ["changed", "Last changed"], ...more], sort, (value) => look({ sort: value })),
        h("span", { class: "hint", role: "status" }, rows.length !== all.length && `${rows.length} of ${all.length}`)),
      trouble(data.errors[kind]),
      rows.length ? table(title, COLUMNS[kind], rows, (row) => row[key], (row) => this.#cells(kind, row), kind)
        : empty(all.length ? `No ${word} is like that.` : `There is no ${word}.`),
      kind === "auth-methods" && panel("Another one", hint("Auth methods and their binding rules are made by the command line."),
        line("lictor acl auth-method create -name=NAME -type=jwt -config=@FILE")),
    ];
  }

  #cells(kind, row) {
    const data = this.#data, link = h("a", { href: to("access", kind, row[KINDS[kind].id]) }, called(kind, row));
    if (kind === "tokens") {
      return [[row.AccessorID === data.own?.AccessorID && [h("span", { class: "tag" }, "yours"), " "], link], h("code", null, row.AccessorID), tags(gives(row)), row.Local ? "local" : "global",
        row.ExpirationTime ? h("span", { class: "badge warning" }, ahead(Date.parse(row.ExpirationTime))) : "no expiry"];
    }
    const users = data.uses(row, kind);
    if (kind === "policies") return [link, row.Description, usedBy(users), row.Datacenters?.join(", ") ?? "all datacenters"];
    if (kind === "roles") return [link, row.Description, tags(gives(row)), usedBy(users)];
    return [link, row.Type, row.Description, some(users.rules.length, "rule")];
  }
}
customElements.define("access-list", List);
