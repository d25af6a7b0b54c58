// Making, changing and deleting: the forms, and the one way by which everything is written. This interface has no
// compare-and-set for access control: what is there is read again right before it is written, and if it is not what the
// form began with, nothing is written and both are shown.

import { h, Part } from "../../lib/dom.js";
import { ask, datacenter, part, Refusal } from "../../lib/api.js";
import { go, place, to } from "../../lib/route.js";
import { confirm, dialog, field, form, matches, tell } from "../../lib/parts.js";
import { asText, body, button, called, draft as drafted, hint, KINDS, MANAGEMENT } from "./kinds.js";
import { spot } from "./rules.js";

/// The most that a list to choose from shows at once.
const MOST = 200;

/// Choosing from a list: `.all` are the rows, `.chosen` a map of names by ID, which it changes.
class Picker extends Part {
  legend = "";
  chosen = new Map();
  #all = [];
  #text = "";

  set all(rows) { this.#all = [...rows].sort((a, b) => a.Name.localeCompare(b.Name)); this.update(); }

  show() {
    const known = new Set(this.#all.map(({ ID }) => ID));
    const gone = [...this.chosen].filter(([ID]) => !known.has(ID)).map(([ID, Name]) => ({ ID, Name, Description: "It is not there any more." }));
    const rows = [...gone, ...this.#all].filter((row) => matches(this.#text, [row.Name, row.Description]));
    return h("fieldset", { class: "picker" },
      h("legend", null, this.legend, h("span", { class: "hint", role: "status" }, this.chosen.size ? `: ${[...this.chosen.values()].join(", ")}` : ": none")),
      this.#all.length > 6 && h("input", { type: "search", "aria-label": `Search ${this.legend.toLowerCase()}`, placeholder: "Search", autocomplete: "off",
        onInput: (event) => { this.#text = event.target.value; this.update(); }, onKeydown: (event) => { if (event.key === "Enter") event.preventDefault(); } }),
      h("div", { class: "options" }, rows.slice(0, MOST).map((row) => h("label", { key: row.ID },
        h("input", { type: "checkbox", checked: this.chosen.has(row.ID), onChange: (event) => this.#choose(row, event.target.checked) }),
        h("span", null, h("span", null, row.Name), h("small", { class: "hint" }, row.Description)))),
      !rows.length && h("span", { class: "hint" }, this.#all.length ? "None is like that." : "There is none.")),
      rows.length > MOST && h("small", { class: "hint" }, `${rows.length - MOST} more: search for them.`));
  }

  #choose({ ID, Name }, isChosen) {
    if (isChosen) this.chosen.set(ID, Name);
    else this.chosen.delete(ID);
    this.update();
  }
}
customElements.define("access-picker", Picker);

function fields(kind, draft, row, data, problem) {
  const bound = (name) => ({ value: draft[name], onInput: (event) => { draft[name] = event.target.value; } });
  const text = (name, label, more, hint) => field(label, h("input", { type: "text", autocomplete: "off", ...bound(name), ...more }), hint);
  const many = (name, label, hint) => field(label, h("textarea", { class: "few", rows: 2, spellcheck: "false", ...bound(name) }), hint);
  const pick = (name, from) => h("access-picker", { key: name, ".legend": name, ".chosen": draft[name], ".all": data[from] ?? [] });
  if (kind === "policies") {
    return [
      h("div", { class: "tiles" }, text("Name", "Name", { autofocus: true, required: true }), text("Description", "Description"),
        row?.ID !== MANAGEMENT && text("Datacenters", "Datacenters", { placeholder: "all, or dc1, dc2" })),
      row?.ID === MANAGEMENT ? hint("Its rules are built in.")
        : h("rules-editor", { ".text": draft.Rules, ".problem": problem, ".onText": (rules) => { draft.Rules = rules; } }),
    ];
  }
  return [
    h("div", { class: "tiles" }, kind === "roles" && text("Name", "Name", { autofocus: true, required: true }), text("Description", "Description", { autofocus: kind === "tokens" })),
    h("div", { class: "grid" }, pick("Policies", "policies"), kind === "tokens" && pick("Roles", "roles")),
    h("div", { class: "grid" }, many("services", "Service identities", "One a line: web, or web:dc1,dc2. It may register that service, and see all services and nodes."),
      many("nodes", "Node identities", "One a line: host-1:dc1. It may register that node, and see all services.")),
    kind === "tokens" && !row && h("div", { class: "grid" }, text("life", "Expires after", { placeholder: "never" }, "A duration such as 8h, at most 24h."),
      h("label", { class: "tick" }, h("input", { type: "checkbox", checked: draft.isLocal, onChange: (event) => { draft.isLocal = event.target.checked; } }),
        "It counts in this datacenter only")),
  ];
}

/// What is there now. Tokens are looked for in their list, which is without secrets; null: it is gone.
async function again(kind, id, query) {
  const { list, one, id: key } = KINDS[kind];
  try {
    const { body } = await ask(kind === "tokens" ? list : `${one}/${part(id)}`, { query: { ...query, consistent: true }, orNothing: true });
    return kind === "tokens" ? body.find((row) => row[key] === id) : body;
  } catch (error) {
    if (error.message === "ACL not found") return null;
    throw error;
  }
}

/// Asks for what it shall be and writes it: a new one without `row`. `data` is the view's.
export async function edit(kind, data, row = null) {
  const { one, word, id: key } = KINDS[kind];
  // The form may stay while the page goes elsewhere: it writes where it began.
  const id = row?.[key], query = { dc: datacenter() }, draft = drafted(row ?? {});
  let seen = row, theirs = null, problem = null;
  const conflict = (draw) => theirs && [
    h("div", { class: "grid", key: "conflict" }, [["What is there now", drafted(theirs)], ["What you have", draft]].map(([title, each]) =>
      h("section", { class: "field", key: title }, h("h3", null, title), h("pre", { tabindex: "0", "aria-label": title }, asText(kind, each))))),
    h("div", { key: "take" }, button("Take what is there now", () => { Object.assign(draft, drafted(theirs)); theirs = null; draw(); })),
  ];
  const answer = await form(row ? `Change the ${word} ${called(kind, row)}` : `New ${word}`,
    (draw) => h("div", { class: "dialog-fields", onInput: guard, onChange: guard }, conflict(draw), fields(kind, draft, row, data, problem)),
    async () => {
      problem = null;
      if (row) {
        const now = await again(kind, id, query);
        if (!now) throw new Refusal(404, "It was deleted meanwhile, or your token was. Nothing was written.");
        // Of the content, not of the index: who has written the same has changed nothing.
        if (now.Hash !== seen.Hash) {
          seen = theirs = now;
          throw new Refusal(409, "Somebody else has changed it since you began. Nothing was written. Both are shown below; to save again replaces what is there now.");
        }
      }
      theirs = null;
      try {
        return (await ask(row ? `${one}/${part(id)}` : one, { method: "PUT", query, body: body(kind, draft, row) })).body;
      } catch (error) {
        problem = kind === "policies" ? spot(error.message) : null;
        throw error;
      }
    }, { isWide: true, action: row ? "Save" : "Create" });
  if (answer) await written(kind, data, answer, !row);
}

/// Asks before the Escape key throws away what was filled in.
function guard(event) {
  const box = event.target.closest("dialog");
  box.oncancel = async (leaving) => {
    if (leaving.target !== box) return;
    leaving.preventDefault();
    if (await confirm("Leave this form?", "What you have filled in is lost.", "Leave")) box.close();
  };
}

async function written(kind, data, answer, isNew) {
  const { SecretID: secret, ...row } = answer, id = row[KINDS[kind].id];
  data.changed(kind, id, row);
  const from = place.value;
  if (isNew && secret) await showOnce(secret);
  else tell(`${called(kind, row)} is ${isNew ? "there" : "changed"}.`);
  if (isNew && place.value === from) go(to("access", kind, id));
}

/// Another token that gives the same.
export async function clone(data, row) {
  let description = row.Description;
  const answer = await form("Clone this token", () => [h("p", null, "Another token that gives the same, with a secret of its own", row.ExpirationTime && "; it expires when this one does", "."),
    field("Description", h("input", { type: "text", autofocus: true, value: description, onInput: (event) => { description = event.target.value; } }))],
  async () => (await ask(`/v1/acl/token/${part(row.AccessorID)}/clone`, { method: "PUT", body: { Description: description } })).body, { action: "Clone" });
  if (answer) await written("tokens", data, answer, true);
}

/// Asks, deletes, and goes to the list.
export async function remove(kind, data, row, text) {
  const { one, word, id: key } = KINDS[kind];
  if (!await confirm(`Delete the ${word} ${called(kind, row)}?`, text)) return;
  try {
    await ask(`${one}/${part(row[key])}`, { method: "DELETE" });
  } catch (error) {
    tell(error.message, "critical");
    return;
  }
  tell(`${called(kind, row)} is deleted.`);
  if (place.value.names[2] === row[key]) go(to("access", kind));
  data.changed(kind, row[key], null);
}

/// A secret and a button that copies it. The secret is the text of the page only: no attribute has it.
export const secretLine = (secret) => h("span", { class: "line" }, h("code", null, secret), button("Copy the secret", async ({ currentTarget: here }) => {
  try { await navigator.clipboard.writeText(secret); here.textContent = "Copied"; } catch { getSelection().selectAllChildren(here.previousElementSibling); }
}, "quiet"));

/// Shows the secret of a new token until the dialog is closed or the page goes elsewhere.
async function showOnce(secret) {
  const leaving = new AbortController();
  await dialog("The secret of the new token", (close) => {
    place.listen(() => close(), leaving.signal);
    return [h("p", null, "Who has it can do what the token allows. Keep it where secrets are kept: this page forgets it now."), secretLine(secret),
      h("div", { class: "actions" }, h("button", { type: "button", class: "primary", autofocus: true, onClick: () => close() }, "Done"))];
  });
  leaving.abort();
}
