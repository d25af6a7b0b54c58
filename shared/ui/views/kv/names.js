// Keys as names: where they are on the page and at the agent, and how they are written.

import { h } from "../../lib/dom.js";
import { part } from "../../lib/api.js";
import { to } from "../../lib/route.js";

/// The address of a folder (`{ prefix }`) or a key (`{ key }`). It is in the query, where a browser leaves `//`, `..` and `%` alone.
export function at(what) {
  const [path, query] = to("kv").split("?"), all = new URLSearchParams(query);
  for (const name in what) all.set(name, what[name]);
  return `${path}?${all}`;
}

/// The path of a key at the agent.
export const path = (key) => `/v1/kv/${part(key)}`;

/// Whether no browser can ask for it: it takes a path's `.` and `..` away, escaped or not.
export const isUnaskable = (key) => key === "." || key === "..";

/// What cannot be seen, or would turn the text around it, is written out.
export const plain = (text) => text.replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length))
  .replace(/[\0-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (char) => `‹U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
export const seen = (text) => h("bdi", { class: "key" }, plain(text));

/// The folder that a key is in, with its slash.
export const folder = (key) => key.slice(0, key.lastIndexOf("/") + 1);

/// The folders on the way to a prefix, as links; the last is where one is if `isHere`.
export function crumbs(prefix, isHere) {
  const parts = prefix.match(/[^/]*\/|[^/]+$/g) ?? [];
  let way = "";
  const links = [["", "All keys"], ...parts.map((name) => [way += name, name])];
  return h("div", { class: "crumbs", role: "navigation", "aria-label": "Folders", key: "crumbs" }, links.map(([to, name], index) =>
    h("a", { key: to, href: at({ prefix: to }), "aria-current": isHere && index === links.length - 1 ? "page" : null }, index ? seen(name) : name)));
}
