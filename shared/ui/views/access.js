// Access control: tokens, the policies and roles that say what they give, and the ways to log in. What there is comes in here
// and goes to the pieces: `access/list.js`, `access/item.js`, `access/edit.js`. Secrets are dropped as they arrive.

import { h, Part } from "../lib/dom.js";
import { agent, token } from "../lib/api.js";
import { watch } from "../lib/live.js";
import { place, to } from "../lib/route.js";
import { empty, head, line, panel, trouble, waiting } from "../lib/parts.js";
import { button, called, facts, grants, KINDS, LISTED, links, some } from "./access/kinds.js";
import { edit } from "./access/edit.js";
import { moment } from "./access/item.js";
import "./access/list.js";

const NOTHING = { tokens: [], roles: [], rules: [] };

class Access extends Part {
  #data = { errors: {} };
  #followed = new Map();

  start(signal) {
    this.#followed = new Map();
    for (const cell of [place, token]) cell.listen(() => place.value.names[0] === "access" && this.update(), signal);
    // Whether there is any access control is known first.
    const begin = () => { if (agent.value !== undefined && agent.value?.Access !== false) this.#follow("policies", signal); this.update(); };
    agent.listen(begin, signal);
    begin();
  }

  /// Keeps what there is of a kind; the others only where this is allowed.
  #follow(kind, signal) {
    if (this.#followed.has(kind)) return;
    this.#followed.set(kind, null);
    this.#followed.set(kind, watch(kind === "own" ? "/v1/acl/token/self" : KINDS[kind].list, {
      tables: ["access"], signal,
      take: (body) => {
        for (const row of [body ?? []].flat()) delete row.SecretID;
        this.#set(kind, kind === "own" ? body : body ?? [], null);
        if (kind === "policies") for (const other of ["own", ...Object.keys(KINDS)]) this.#follow(other, signal);
      },
      fail: (error) => {
        // What one token may see is not shown to another that may not.
        this.#set(kind, error.status === 401 || error.status === 403 ? null : this.#data[kind], error);
        if (error.status === 403) this.#follow("own", signal);
      },
    }));
  }

  #set(kind, rows, error) {
    const data = { ...this.#data, [kind]: rows, errors: { ...this.#data.errors, [kind]: error } };
    data.uses = uses(data);
    // Of an own write, before the stream tells of it.
    data.changed = (changed, id, row) => {
      const now = this.#data[changed] ?? [], key = KINDS[changed].id, isThere = now.some((each) => each[key] === id);
      this.#set(changed, row && !isThere ? [...now, row] : now.flatMap((each) => (each[key] !== id ? each : row ?? [])), null);
      for (const again of this.#followed.values()) if (typeof again === "function") again();
    };
    this.#data = data;
    this.update();
  }

  show() {
    const [, kind = "", id] = place.value.names, data = this.#data, error = data.errors.policies;
    if (agent.value?.Access === false || error?.status === 401) return isOff();
    if (!data.policies) return [head("Access"), error?.status === 403 ? isDenied(error, data.own) : trouble(error) ?? waiting()];
    if (kind && !LISTED.includes(kind)) return [head("Access"), empty("There is nothing at this address. ", h("a", { href: to("access") }, "To access control"))];
    if (id) return h("access-item", { key: `${kind} ${id}`, class: "view", ".kind": kind, ".id": id, ".data": data });
    return [
      head(kind ? KINDS[kind].title : "Access", { actions: kind && kind !== "auth-methods" && button(`New ${KINDS[kind].word} …`, () => edit(kind, data), "primary") }),
      h("div", { class: "tabs", role: "navigation", "aria-label": "Access" }, ["", ...LISTED].map((each) =>
        h("a", { key: each, href: to("access", ...(each ? [each] : [])), "aria-current": each === kind ? "page" : null },
          each ? [KINDS[each].title, h("span", { class: "hint" }, ` ${data[each]?.length ?? ""}`)] : "Overview"))),
      kind ? h("access-list", { key: kind, class: "view", ".kind": kind, ".data": data }) : overview(data),
    ];
  }
}

/// Who has a policy or role, and what belongs to an auth method: found by one walk over all, when it is first asked for.
function uses({ tokens, roles, "binding-rules": rules }) {
  let found = null;
  const walk = () => {
    found = new Map();
    const add = (key, what, row) => {
      if (!found.has(key)) found.set(key, { tokens: [], roles: [], rules: [] });
      found.get(key)[what].push(row);
    };
    for (const row of roles ?? []) for (const { ID } of row.Policies ?? []) add(ID, "roles", row);
    for (const row of tokens ?? []) {
      for (const { ID } of [...(row.Policies ?? []), ...(row.Roles ?? [])]) add(ID, "tokens", row);
      if (row.AuthMethod) add(`method ${row.AuthMethod}`, "tokens", row);
    }
    for (const row of rules ?? []) {
      add(`method ${row.AuthMethod}`, "rules", row);
      const role = row.BindType === "role" && roles?.find(({ Name }) => Name === row.BindName);
      if (role) add(role.ID, "rules", row);
    }
  };
  return (row, kind) => {
    if (!found) walk();
    return found.get(kind === "auth-methods" ? `method ${row.Name}` : row.ID) ?? NOTHING;
  };
}

function overview(data) {
  const idle = (kind) => `${data[kind]?.filter((row) => data.uses(row, kind) === NOTHING).length ?? 0} not used`;
  const said = { tokens: some(data.tokens?.filter((row) => row.ExpirationTime).length ?? 0, "expires", "expire"), policies: idle("policies"), roles: idle("roles"),
    "auth-methods": some(data["binding-rules"]?.length ?? 0, "binding rule") };
  return [
    h("div", { class: "tiles", key: "tiles" }, LISTED.map((kind) => h("a", { class: "tile", key: kind, href: to("access", kind) },
      h("span", null, KINDS[kind].title), h("span", { class: "big" }, data[kind]?.length ?? "–"), h("span", { class: "hint" }, said[kind])))),
    own(data.own, data),
  ];
}

/// The token that this page shows, as far as it may be seen.
const own = (row, data) => row && panel(token.value ? "Your token" : "Without a token, the anonymous one counts",
  facts([["Token", data ? links("tokens", [row]) : called("tokens", row)], ["Accessor", h("code", null, row.AccessorID)], ...grants(row, data),
    ["Expires", moment(row.ExpirationTime)]]));

function isOff() {
  return [head("Access"), panel("Access control is off", h("p", null, "This agent does for everybody whatever is asked of it. No token is needed, and none is looked at."),
    h("h3", null, "To turn it on"), h("p", null, "Put this into the configuration of every agent, restart them one by one, and make the first token:"),
    h("pre", null, "acl {\n  enabled        = true\n  default_policy = \"deny\"\n}"), line("lictor acl bootstrap"))];
}

function isDenied(error, row) {
  const isUnknown = error.message === "ACL not found";
  return [
    h("div", { class: "notice warning", role: "status", key: "denied" }, !token.value ? "This cannot be seen without a token that allows acl = \"read\"."
      : isUnknown ? "No token has the secret that was entered, or not any more." : "Your token does not allow seeing this: that takes acl = \"read\".", " Use “Token” above."),
    own(row, null),
    !token.value && panel("If there is no token yet", h("p", null, "The first one is made once, at a server:"), line("lictor acl bootstrap")),
  ];
}

customElements.define("view-access", Access);
