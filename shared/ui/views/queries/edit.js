// A prepared query as a form or as text. What the form has no field for stays as it was read, and a token that was not
// shown is never written back as what stands for it.

import { h } from "../../lib/dom.js";
import { ask, part } from "../../lib/api.js";
import { choice, field, form, tell } from "../../lib/parts.js";

/// What the servers show instead of a token.
const HIDDEN = "<hidden>";

export const hasHiddenToken = (query) => query?.Token === HIDDEN;

/// One of its parts, made where there is none.
const within = (object, name) => (object[name] ??= {});
const rows = (list) => (list ?? []).join("\n");
const list = (text) => text.split("\n").map((each) => each.trim()).filter(Boolean);

/// Edits a query, or makes one where there is none; gives its ID, null where it was left.
export async function edit(query) {
  const { CreateIndex, ModifyIndex, ...given } = structuredClone(query ?? { Name: "", Service: { Service: "", OnlyPassing: true } });
  let draft = given, seen = ModifyIndex, face = "form", text = "", problem = null, token = "", isWithout = false;
  const wasHidden = hasHiddenToken(query);

  function turn(to, draw) {
    problem = null;
    try {
      if (to === "json" && face === "form") text = JSON.stringify(draft, null, 2);
      if (to === "form" && face === "json") draft = parse(text);
      face = to;
    } catch (error) { problem = error.message; }
    draw();
  }

  /// What is written: with the token that was given, or that the text has.
  function body() {
    const wanted = face === "json" ? parse(text) : structuredClone(draft);
    if (token) wanted.Token = token.trim();
    else if (isWithout) wanted.Token = "";
    if (hasHiddenToken(wanted)) throw new Error("The token of this query is not shown, so it cannot be written back: enter it again, or choose to do without.");
    return wanted;
  }

  async function save() {
    const wanted = body();
    if (!query) {
      delete wanted.ID;
      return (await ask("/v1/query", { method: "POST", body: wanted })).body.ID;
    }
    const path = `/v1/query/${part(query.ID)}`;
    const now = (await ask(path, { orNothing: true })).body?.[0];
    if (!now) throw new Error("This query was deleted meanwhile.");
    if (now.ModifyIndex !== seen) {
      seen = now.ModifyIndex;
      throw new Error("Somebody changed this query since you began. Save again to replace what they wrote, or cancel to see it.");
    }
    await ask(path, { method: "PUT", body: wanted });
    tell("The query is saved.");
    return query.ID;
  }

  return form(query ? "Edit query" : "New query", (draw) => [
    h("div", { key: "face" }, choice("How", [["form", "Form"], ["json", "JSON"]], face, (to) => turn(to, draw))),
    problem && h("p", { class: "notice critical", role: "alert", key: "problem" }, problem),
    face === "form" ? h("div", { class: "grid", key: "form" }, fields(draft, draw))
      : h("div", { key: "json" }, field("The whole query", h("textarea", { value: text, spellcheck: "false", onInput: (event) => { text = event.target.value; } }))),
    h("div", { class: "grid", key: "token" },
      field("Token", h("input", { type: "password", autocomplete: "off", onInput: (event) => { token = event.target.value; } }),
        wasHidden ? "It has one, which is not shown. Enter its secret ID again to keep it." : "The secret ID by whose rights it answers. Empty: by those of who asks."),
      wasHidden && check("Without a token from now on", isWithout, (value) => { isWithout = value; })),
  ], save, { action: query ? "Save" : "Create", isWide: true });
}

function parse(text) {
  const value = JSON.parse(text);
  if (typeof value !== "object" || !value || Array.isArray(value)) throw new Error("A query is an object: { \"Name\": …, \"Service\": { … } }.");
  return value;
}

const check = (label, value, onChange) => h("label", { class: "bar" }, h("input", { type: "checkbox", checked: value, onChange: (event) => onChange(event.target.checked) }), label);

function fields(draft, draw) {
  const service = draft.Service ?? {}, failover = service.Failover ?? {}, template = draft.Template ?? {};
  const input = (value, take, props) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", value: value ?? "", onInput: (event) => take(event.target.value), ...props });
  const lines = (value, take) => h("textarea", { rows: "3", class: "few", spellcheck: "false", value: rows(value), onInput: (event) => take(list(event.target.value)) });
  const isTemplate = Boolean(template.Type);
  return [
    field("Name", input(draft.Name, (value) => { draft.Name = value; }, { autofocus: true }), isTemplate ? "What the names begin with; empty: all names." : "It is asked for by this name."),
    field("Service", input(service.Service, (value) => { within(draft, "Service").Service = value; }, { required: true }), isTemplate && "May have ${name.full}, ${name.prefix}, ${name.suffix} and ${match(1)}."),
    field("Tags", lines(service.Tags, (value) => { within(draft, "Service").Tags = value; }), "One on each line; one that begins with ! must not be there."),
    field("Datacenters to fail over to", lines(failover.Datacenters, (value) => { within(within(draft, "Service"), "Failover").Datacenters = value; }),
      failover.Targets?.length ? "One on each line. It also has Targets, which stay; they can be changed as JSON." : "One on each line, in the order to ask them."),
    field("Nearest datacenters to fail over to", input(failover.NearestN || "", (value) => { within(within(draft, "Service"), "Failover").NearestN = Number(value); },
      { type: "number", min: "0", step: "1", placeholder: "none" }), "How many of them, before those that are named."),
    field("Nearest to", input(service.Near, (value) => { within(draft, "Service").Near = value; }), "_agent, _ip or a node: its instances are sorted by distance from there."),
    field("DNS TTL", input(draft.DNS?.TTL, (value) => { within(draft, "DNS").TTL = value; }, { placeholder: "10s" })),
    field("Kind", h("select", { value: template.Type ?? "", onChange: (event) => { within(draft, "Template").Type = event.target.value; draw(); } },
      h("option", { value: "" }, "One name"), h("option", { value: "name_prefix_match" }, "Template for names that begin so"))),
    isTemplate && field("Regular expression", input(template.Regexp, (value) => { within(draft, "Template").Regexp = value; }), "What it finds in the name is ${match(N)}."),
    h("div", { key: "checks" }, check("Only instances whose checks all pass", Boolean(service.OnlyPassing), (value) => { within(draft, "Service").OnlyPassing = value; }),
      isTemplate && check("Take empty tags away", Boolean(template.RemoveEmptyTags), (value) => { within(draft, "Template").RemoveEmptyTags = value; })),
  ];
}
