// The kinds of things that access control is made of: where they are asked for, what is filled in for them, and how they are
// written. Secrets are in none of it.

import { h } from "../../lib/dom.js";
import { to } from "../../lib/route.js";
import { pairs } from "../../lib/parts.js";

/// What is built in: the policy that allows everything, and the token of those who show none.
export const MANAGEMENT = "00000000-0000-0000-0000-000000000001", ANONYMOUS = "00000000-0000-0000-0000-000000000002";

export const KINDS = {
  tokens: { title: "Tokens", word: "token", list: "/v1/acl/tokens", one: "/v1/acl/token", id: "AccessorID" },
  policies: { title: "Policies", word: "policy", list: "/v1/acl/policies", one: "/v1/acl/policy", id: "ID" },
  roles: { title: "Roles", word: "role", list: "/v1/acl/roles", one: "/v1/acl/role", id: "ID" },
  "auth-methods": { title: "Auth methods", word: "auth method", list: "/v1/acl/auth-methods", one: "/v1/acl/auth-method", id: "Name" },
  "binding-rules": { title: "Binding rules", word: "binding rule", list: "/v1/acl/binding-rules", one: "/v1/acl/binding-rule", id: "ID" },
};
/// Those that have a list and addresses of their own.
export const LISTED = ["tokens", "policies", "roles", "auth-methods"];

/// What a row is called.
export const called = (kind, row) => (kind === "binding-rules" ? `${row.BindType} ${row.BindName}` : row.Name || row.Description || `Token ${row.AccessorID.slice(0, 8)}`);

export const hint = (...text) => h("p", { class: "hint" }, text);

export const button = (text, onClick, kind = "") => h("button", { type: "button", class: kind, key: text, onClick }, text);

/// Names and values, those that there are.
export const facts = (entries) => pairs(entries.filter(([, value]) => value));

export const some = (count, word, words = `${word}s`) => `${count} ${count === 1 ? word : words}`;

const service = (row) => row.ServiceName + (row.Datacenters?.length ? `:${row.Datacenters.join(",")}` : "");
const node = (row) => `${row.NodeName}:${row.Datacenter}`;
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const names = (text) => text.split(/[\s,]+/).filter(Boolean);

/// What a token or role gives, in short texts.
export const gives = (row) => [...(row.Policies ?? []).map(({ Name }) => Name), ...(row.Roles ?? []).map(({ Name }) => `role ${Name}`),
  ...(row.ServiceIdentities ?? []).map((each) => `service ${service(each)}`), ...(row.NodeIdentities ?? []).map((each) => `node ${node(each)}`)];

/// Links to policies, roles or tokens, some of them.
export const links = (kind, rows, most = 100) => h("span", { class: "tags" },
  rows.slice(0, most).map((row) => h("a", { class: "tag", key: row[KINDS[kind].id], href: to("access", kind, row[KINDS[kind].id]) }, called(kind, row))),
  rows.length > most && h("span", { class: "tag" }, `+${rows.length - most}`));

/// What an identity of a service or node allows.
const allowed = (text) => h("small", { class: "hint" }, ` – to register these, and to see all ${text}`);

/// What it gives, as names and values; links only where they lead somewhere.
export function grants(row, data) {
  const linked = (kind, list) => (data ? links(kind, list) : list.map(({ Name }) => Name).join(", "));
  const roles = (row.Roles ?? []).map((link) => data?.roles?.find(({ ID }) => ID === link.ID)).filter((role) => role && gives(role).length);
  const found = [["Policies", row.Policies && linked("policies", row.Policies)], ["Roles", row.Roles && linked("roles", row.Roles)],
    ...roles.map((role) => [`By role ${role.Name}`, gives(role).join(", ")]),
    ["Services", row.ServiceIdentities && [row.ServiceIdentities.map(service).join(" · "), allowed("services and nodes")]],
    ["Nodes", row.NodeIdentities && [row.NodeIdentities.map(node).join(" · "), allowed("services")]]].filter(([, value]) => value);
  return found.length ? found : [["Rights", "Only what the default policy allows."]];
}

/// What can be filled in, as it is filled in.
export const draft = (row = {}) => ({
  Name: row.Name ?? "", Description: row.Description ?? "", Rules: row.Rules ?? "", Datacenters: (row.Datacenters ?? []).join(", "),
  Policies: new Map(row.Policies?.map(({ ID, Name }) => [ID, Name])), Roles: new Map(row.Roles?.map(({ ID, Name }) => [ID, Name])),
  services: (row.ServiceIdentities ?? []).map(service).join("\n"), nodes: (row.NodeIdentities ?? []).map(node).join("\n"), isLocal: row.Local ?? false, life: "",
});

/// What is sent for it; `row` is what is there already.
export function body(kind, { Name, Description, Rules, Datacenters, Policies, Roles, services, nodes, isLocal, life }, row) {
  if (kind === "policies") return { Name, Description, Rules, Datacenters: names(Datacenters) };
  const ids = (map) => [...map.keys()].map((ID) => ({ ID }));
  const split = (line) => { const [name, ...rest] = line.split(":"); return [name.trim(), rest.join(":").trim()]; };
  const given = { Description, Policies: ids(Policies), ServiceIdentities: lines(services).map(split).map(([ServiceName, dcs]) => ({ ServiceName, Datacenters: names(dcs) })),
    NodeIdentities: lines(nodes).map(split).map(([NodeName, Datacenter]) => ({ NodeName, Datacenter })) };
  if (kind === "roles") return { Name, ...given };
  return { ...given, Roles: ids(Roles), Local: isLocal, ...(row ? { AccessorID: row.AccessorID } : life.trim() && { ExpirationTTL: life.trim() }) };
}

/// It as a text, to be compared by eye.
export function asText(kind, { Name, Description, Rules, Datacenters, Policies, Roles, services, nodes }) {
  const sorted = (map) => [...map.values()].sort().join(", ");
  const all = kind === "policies" ? [["Name", Name], ["Description", Description], ["Datacenters", Datacenters], ["", `\n${Rules}`]]
    : [["Name", Name], ["Description", Description], ["Policies", sorted(Policies)], ["Roles", sorted(Roles)],
      ["Services", lines(services).join(" ")], ["Nodes", lines(nodes).join(" ")]];
  return all.filter(([, value]) => value).map(([name, value]) => (name ? `${name}: ${value}` : value)).join("\n");
}
