// Where the page is: every view has an address that can be shared. The path says which view and of what, the query
// (`filter`, `dc`, ...) how it is looked at.

import { Cell, datacenter } from "./api.js";

const base = new URL(document.baseURI).pathname;

/// The place shown: `{ names: [..], query: URLSearchParams }`, the path's names decoded.
export const place = new Cell(read());

function read() {
  const rest = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : "";
  const names = rest.split("/").map(decode);
  while (names.length > 1 && names.at(-1) === "") names.pop();
  return { names, query: new URLSearchParams(location.search) };
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/// The address of a place, in the same datacenter; `names` are escaped here.
export function to(...names) {
  const dc = datacenter();
  return base + names.map(encodeURIComponent).join("/") + (dc ? `?dc=${encodeURIComponent(dc)}` : "");
}

/// Asked before another place is gone to; gives (a promise of) whether that may be. Null: nothing stands in the way.
export const leaving = { ask: null };

let isAsking = false;

async function mayLeave() {
  if (isAsking) return false;
  isAsking = true;
  try {
    if (!(await leaving.ask())) return false;
  } finally { isAsking = false; }
  leaving.ask = null;
  return true;
}

/// Goes there.
export async function go(address, { replace = false } = {}) {
  if (leaving.ask && !(await mayLeave())) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  moved(replace);
}

/// Changes how the present view is looked at: null takes a parameter away. The history keeps one entry for a view.
export function look(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) value ? query.set(name, value) : query.delete(name);
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), { replace: true });
}

let shown = location.href, shownDatacenter = datacenter();

function moved(isSameView) {
  shown = location.href;
  place.value = read();
  if (datacenter() !== shownDatacenter) {
    shownDatacenter = datacenter();
    dispatchEvent(new Event("lictor-datacenter"));
  }
  if (!isSameView) {
    scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
}

addEventListener("popstate", async () => {
  if (leaving.ask) {
    // The address is another already: the one of what is shown is put back while the question stands.
    history.pushState(null, "", shown);
    if (await mayLeave()) history.back();
    return;
  }
  moved(true);
});

// Links within the page are followed without loading it anew.
addEventListener("click", (event) => {
  const link = event.composedPath().find((node) => node.localName === "a" && node.href);
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin || !link.pathname.startsWith(base)) return;
  // A place within the view: the address of the page's base is not that of the view.
  if (link.hash) { event.preventDefault(); document.getElementById(link.hash.slice(1))?.focus(); return; }
  event.preventDefault();
  go(link.href);
});
