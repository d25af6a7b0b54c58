// Keys and values: the folders and keys of one level, and a key. A folder is what keys have in common up to a slash.

import { h, Part } from "../lib/dom.js";
import { ask, datacenter, token } from "../lib/api.js";
import { sleep, watch } from "../lib/live.js";
import { go, look, place } from "../lib/route.js";
import { empty, field, form, head, search, table, tell, trouble, waiting } from "../lib/parts.js";
import { at, crumbs, folder, isUnaskable, path, plain, seen } from "./kv/names.js";
import { button, keyBox } from "./kv/key.js";

/// A level with more than this is filtered when the typing stops, not at each key.
const MANY = 5000;

const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

class Keys extends Part {
  start(signal) {
    place.listen(() => (place.value.names[0] === "kv" ? this.update() : null), signal);
  }

  show() {
    const { names, query } = place.value;
    const key = query.get("key"), prefix = query.get("prefix") ?? names.slice(1).map((name) => `${name}/`).join("");
    if (key || prefix) document.title = `${plain(key || prefix)} · Key/value · Lictor`;
    return key ? h("kv-page", { key: `key ${key}`, class: "view", ".name": key }) : h("kv-level", { key: `level ${prefix}`, class: "view", ".prefix": prefix });
  }
}

/// The level shown last: who comes back from a key finds it at once, and where it was scrolled to.
let kept = null;

class Level extends Part {
  prefix = "";
  #keys = null;
  #names = [];
  #rows = null;
  #filter = "";
  #error = null;
  #jump = "";
  #pause = 0;

  start(signal) {
    const who = `${datacenter()} ${token.value}`;
    if (kept?.prefix === this.prefix && kept.who === who) this.#take(kept.keys);
    if (isUnaskable(this.prefix)) this.#error = new Error("A browser cannot ask for what begins so.");
    else watch(path(this.prefix), {
      query: { keys: true, separator: "/" }, signal,
      take: (keys) => {
        this.#take(keys ?? []);
        kept = { prefix: this.prefix, who: `${datacenter()} ${token.value}`, keys: this.#keys };
        // All of a level is told anew at each change below it: a long one not so often.
        return sleep(this.#keys.length / 50, signal);
      },
      fail: (error) => {
        this.#error = error;
        if (error.status === 403) this.#keys = kept = null;
        this.update();
      },
    });
    place.listen(() => this.update(), signal);
  }

  #take(keys) {
    this.#error = null;
    // Each change of a value below is told too; what is listed is mostly the same.
    if (!this.#keys || keys.length !== this.#keys.length || keys.some((key, index) => key !== this.#keys[index])) {
      const isFolder = (key) => key.endsWith("/") && key !== this.prefix;
      this.#keys = keys;
      this.#names = [...keys.filter(isFolder), ...keys.filter((key) => !isFolder(key))];
      this.#rows = null;
    }
    this.update();
  }

  /// The rows for the filter, the same array until one of both changes.
  #filtered(filter) {
    if (this.#rows && filter === this.#filter) return this.#rows;
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean), start = folder(this.prefix).length;
    this.#filter = filter;
    const isLike = (name) => words.every((word) => name.includes(word));
    this.#rows = words.length ? this.#names.filter((key) => isLike(key.slice(start).toLowerCase())) : this.#names;
    return this.#rows;
  }

  show() {
    const filter = place.value.query.get("filter") ?? "", prefix = this.prefix, rows = this.#filtered(filter), all = this.#names.length;
    const folders = this.#names.findLastIndex((key) => key.endsWith("/") && key !== prefix) + 1;
    return [
      crumbs(prefix, true),
      head(prefix ? seen(prefix.slice(folder(prefix.slice(0, -1)).length)) : "Key/value", {
        sub: this.#keys && [`${count(folders, "folder", "folders")}, ${count(all - folders, "key", "keys")}`, filter && `; ${rows.length.toLocaleString("en")} shown`],
        actions: [prefix && all > 0 && button("Delete all …", () => this.#delete(), { class: "danger" }), button("New key …", () => this.#create(), { class: "primary" })],
      }),
      h("div", { class: "bar", key: "bar" },
        search(filter, (text) => this.#search(text), "Search this level"),
        h("form", { class: "bar jump", onSubmit: (event) => { event.preventDefault(); this.#go(this.#jump.toWellFormed()); } },
          keyBox({ "aria-label": "Go to a key or prefix", placeholder: "Go to a key or prefix" }, (text) => { this.#jump = text; }),
          h("button", { type: "submit" }, "Go"))),
      trouble(this.#error),
      !this.#keys ? !this.#error && waiting()
        : rows.length === 0 ? empty(all ? "No name here is like that." : prefix ? "Nothing begins so, or nothing that this token may see." : "There is no key yet, or none that this token may see.")
        : table("Keys", ["Name", "Kind"], rows, (key) => key, (key) => this.#row(key), "keys"),
    ];
  }

  #row(key) {
    if (key === this.prefix) return [h("a", { href: at({ key }), title: plain(key) }, seen(key)), "Key of this name"];
    const isFolder = key.endsWith("/");
    return [h("a", { href: at(isFolder ? { prefix: key } : { key }), title: plain(key) }, seen(key.slice(folder(this.prefix).length))), isFolder ? "Folder" : "Key"];
  }

  #search(text) {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.isConnected && look({ filter: text }), this.#names.length > MANY ? 150 : 0);
  }

  /// Goes to the key of that name if there is one, else to what begins so.
  async #go(text) {
    let found = [];
    if (text && !isUnaskable(text)) found = await ask(path(text), { query: { keys: true, separator: "/" }, orNothing: true }).then(({ body }) => body ?? [], () => []);
    const isPrefix = !text || text.endsWith("/") || (found.length > 0 && !found.includes(text));
    go(at(isPrefix ? { prefix: found.length === 1 && found[0] === `${text}/` ? found[0] : text } : { key: text }));
  }

  #create() {
    let key = this.prefix;
    form("New key", () => [field("Key", keyBox({ value: key, autofocus: true }, (text) => { key = text; }), "In whole, with its folders. If there is such a key already, it is shown.")], () => {
      if (!key) throw new Error("A key has a name.");
      go(at({ key: key.toWellFormed() }));
    }, { action: "Continue" });
  }

  async #delete() {
    let typed = "", all;
    const { prefix } = this;
    try { all = (await ask(path(prefix), { query: { keys: true }, orNothing: true })).body?.length ?? 0; } catch (error) { this.#error = error; this.update(); return; }
    await form(`Delete ${count(all, "key", "keys")}?`, () => [
      h("p", null, "All keys that begin with ", h("code", null, seen(prefix)), " will be gone, those too that sessions hold locks on. Nothing brings them back."),
      field("Type the prefix to confirm", keyBox({ autofocus: true }, (text) => { typed = text; }), plain(prefix)),
    ], async () => {
      if (typed !== prefix && typed !== plain(prefix)) throw new Error("What you typed is not the prefix.");
      await ask(path(prefix), { method: "DELETE", query: { recurse: true } });
      tell(`Deleted: ${plain(prefix)}`);
      go(at({ prefix: folder(prefix.slice(0, -1)) }));
    }, { action: "Delete all" });
  }
}

customElements.define("kv-level", Level);
customElements.define("view-kv", Keys);
