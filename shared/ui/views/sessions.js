// Sessions, the holders of locks: the list, and one of them with the keys that it holds.

import { h, Part } from "../lib/dom.js";
import { ask, part } from "../lib/api.js";
import { watch } from "../lib/live.js";
import { go, look, place, to } from "../lib/route.js";
import { choice, confirm, duration, empty, field, form, head, matches, pairs, panel, search, table, tags, tell, trouble, waiting } from "../lib/parts.js";
import { at, seen } from "./kv/names.js";

const ORDERS = [["newest", "Newest"], ["name", "By name"], ["node", "By node"]];

/// What becomes of its keys as it ends.
export const ending = (session) => (session.Behavior === "delete" ? "deletes its keys" : "releases its keys");
const delay = (session) => (session.LockDelay ? duration(session.LockDelay / 1e6) : "none");
const checks = (session) => [...(session.NodeChecks ?? []), ...(session.ServiceChecks ?? []).map((check) => check.ID)];

/// Ends a session, if that is meant; gives whether it is ended.
export async function endSession(session) {
  const text = `${session.Name || session.ID} ends at once and ${ending(session)}.${session.LockDelay ? ` Nobody can lock those again for ${delay(session)}.` : ""} Its holder is not asked.`;
  if (!await confirm("End this session?", text, "End session")) return false;
  try {
    await ask(`/v1/session/destroy/${part(session.ID)}`, { method: "PUT" });
    tell("The session is ended.");
    return true;
  } catch (error) {
    tell(error.message, "critical");
    return false;
  }
}

/// Asks what a new one is to be, and goes to it.
async function create() {
  const session = { Name: "", Node: "", TTL: "", Behavior: "release", LockDelay: "15s" };
  const input = (name, props) => h("input", { type: "text", autocomplete: "off", value: session[name], onInput: (event) => { session[name] = event.target.value; }, ...props });
  const id = await form("New session", () => [
    field("Name", input("Name", { autofocus: true })),
    field("TTL", input("TTL", { placeholder: "30s" }), "From 10s to 24h; it ends unless somebody renews it in time. Empty: it lasts until it is ended or a check of its node fails."),
    field("When it ends, its keys are", h("select", { value: session.Behavior, onChange: (event) => { session.Behavior = event.target.value; } },
      h("option", { value: "release" }, "released"), h("option", { value: "delete" }, "deleted"))),
    field("Lock delay", input("LockDelay"), "How long nobody can lock its keys after it was ended by force; at most 60s, 0s for none."),
    field("Node", input("Node"), "Empty: the node of this agent."),
  ], async () => {
    // What is left empty is for the agent to choose.
    const body = Object.fromEntries(Object.entries(session).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));
    return (await ask("/v1/session/create", { method: "PUT", body })).body.ID;
  }, { action: "Create" });
  if (id) go(to("sessions", id));
}

class Sessions extends Part {
  start(signal) {
    place.listen(() => (place.value.names[0] === "sessions" ? this.update() : null), signal);
  }

  show() {
    const id = place.value.names[1];
    return id ? h("session-page", { key: id, class: "view", ".session": id }) : h("session-list", { key: "", class: "view" });
  }
}

class SessionList extends Part {
  #rows = null;
  #error = null;

  start(signal) {
    watch("/v1/session/list", {
      signal,
      take: (rows) => { this.#rows = rows ?? []; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    place.listen(() => this.update(), signal);
  }

  show() {
    const query = place.value.query;
    const filter = query.get("filter") ?? "", sort = query.get("sort") ?? "newest";
    const all = this.#rows ?? [];
    const rows = all.filter((row) => !filter || matches(filter, [row.Name, row.ID, row.Node, row.Behavior]));
    rows.sort((a, b) => (sort === "name" && a.Name.localeCompare(b.Name)) || (sort === "node" && a.Node.localeCompare(b.Node)) || b.CreateIndex - a.CreateIndex || a.ID.localeCompare(b.ID));
    return [
      head("Sessions and locks", {
        sub: this.#rows && (rows.length === all.length ? `${all.length} ${all.length === 1 ? "session" : "sessions"}` : `${rows.length} of ${all.length} sessions`),
        actions: h("button", { type: "button", class: "primary", onClick: create }, "New session …"),
      }),
      h("div", { class: "bar" }, search(filter, (text) => look({ filter: text }), "Name, ID or node"), choice("Order", ORDERS, sort, (value) => look({ sort: value === "newest" ? null : value }))),
      trouble(this.#error),
      !this.#rows ? !this.#error && waiting()
        : rows.length === 0 ? empty(all.length ? "No session is like that." : "There is no session now, or none that this token may see.")
        : table("Sessions", ["Session", "Node", "TTL", "At its end", "ID", "Checks", "Lock delay", "Since"], rows, (row) => row.ID, (row) => [
          h("a", { href: to("sessions", row.ID) }, row.Name || "(no name)"), h("a", { href: to("nodes", row.Node) }, row.Node), row.TTL || "no TTL", ending(row),
          h("code", { title: row.ID }, row.ID), tags(checks(row)), delay(row), `index ${row.CreateIndex}`,
        ], "sessions"),
    ];
  }
}

class SessionPage extends Part {
  session = "";
  #row;
  #error = null;
  #below = "";
  /// What it was found to hold: `{ keys, below }`; not yet asked for: null.
  #held = null;
  #heldError = null;
  #isAsking = false;

  start(signal) {
    watch(`/v1/session/info/${part(this.session)}`, {
      signal,
      take: (rows) => { this.#row = rows?.[0] ?? null; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
  }

  show() {
    const row = this.#row, back = [to("sessions"), "Sessions"];
    if (!row) return [head(this.session, { back }), trouble(this.#error) ?? (row === undefined ? waiting() : empty("This session has ended, or this token may not see it."))];
    return [
      head(row.Name || "A session without a name", { back, sub: h("code", null, row.ID), actions: h("button", { type: "button", class: "danger", onClick: () => endSession(row) }, "End session …") }),
      trouble(this.#error),
      panel("About", pairs([["Node", h("a", { href: to("nodes", row.Node) }, row.Node)], ["At its end", `it ${ending(row)}`],
        ["TTL", row.TTL ? `${row.TTL}: it ends between once and twice that after it was last renewed` : "none: it lasts until it is ended or a check fails"],
        ["Lock delay", delay(row)], ["Ends if one fails", checks(row).length ? tags(checks(row), 50) : "no check"], ["Created", `at index ${row.CreateIndex}`]])),
      this.#keys(),
    ];
  }

  #keys() {
    const held = this.#held;
    return h("section", { class: "panel", key: "keys", "aria-label": "Keys" }, h("h2", null, "Keys"),
      h("p", { class: "hint" }, "The registry keeps no list of them by session: to find them, all keys are read, or those below a prefix."),
      h("form", { class: "bar", onSubmit: (event) => { event.preventDefault(); this.#find(); } },
        h("input", { class: "search", type: "text", "aria-label": "Below this prefix", placeholder: "Below this prefix (empty: all)",
          spellcheck: "false", autocomplete: "off", onInput: (event) => { this.#below = event.target.value; } }),
        h("button", { type: "submit", disabled: this.#isAsking }, "Which keys does it hold?")),
      trouble(this.#heldError),
      h("div", { role: "status", key: "held" }, this.#isAsking ? "Asking …" : held && h("p", null,
        `${held.keys.length || "No"} ${held.keys.length === 1 ? "key" : "keys"}${held.below && ` below ${held.below}`} when this was asked${held.keys.length ? ":" : "."}`)),
      held?.keys.length > 0 && h("ul", { class: "held", key: "list" }, held.keys.map((key) => h("li", { key }, h("a", { href: at({ key }) }, seen(key))))));
  }

  async #find() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.update();
    try {
      const below = this.#below;
      const { body } = await ask(`/v1/kv/${part(below)}`, { query: { recurse: true }, orNothing: true });
      this.#held = { below, keys: (body ?? []).filter((row) => row.Session === this.session).map((row) => row.Key) };
      this.#heldError = null;
    } catch (error) { this.#heldError = error; this.#held = null; }
    this.#isAsking = false;
    this.update();
  }
}

customElements.define("session-list", SessionList);
customElements.define("session-page", SessionPage);
customElements.define("view-sessions", Sessions);
