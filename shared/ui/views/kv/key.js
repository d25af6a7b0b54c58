// One key: its value in an editor, who holds its lock, and what to do when others change it meanwhile. What was typed is kept
// until it is saved or given up; a save names the index that the edit began from, so nobody's change is lost unseen.

import { h, Part } from "../../lib/dom.js";
import { ask, part } from "../../lib/api.js";
import { watch } from "../../lib/live.js";
import { go, leaving, to } from "../../lib/route.js";
import { bytes, choice, confirm, copy, field, head, pairs, panel, tell, trouble, waiting } from "../../lib/parts.js";
import { at, crumbs, folder, isUnaskable, path, plain, seen } from "./names.js";
import { bytesOf, difference, fault, hex, kindOf, lineEnd, textOf } from "./text.js";
import "./editor.js";

/// What a value may be long, unless the servers' limit was changed.
const LIMIT = 512 * 1024;
/// What is shown of a binary value.
const DUMPED = 4096;
const KINDS = [["json", "JSON"], ["yaml", "YAML"], ["text", "Text"]];
const NOTHING = { index: 0, value: "", text: "", flags: "0", end: "\n", bytes: new Uint8Array() };

/// A key as it was answered: `value` is its text, null if it is binary; `text` is that as a text area has it, with `end` for line feeds.
function unpack(row) {
  if (!row) return NOTHING;
  const bytes = bytesOf(row.Value), value = textOf(bytes);
  return { row, bytes, value, text: value?.replace(/\r\n?/g, "\n") ?? null, end: lineEnd(value ?? ""), flags: String(row.Flags), index: row.ModifyIndex };
}

export const button = (text, onClick, props = {}) => h("button", { type: "button", ...props, onClick }, text);
/// A box for a key: nothing that is typed is put right.
export const keyBox = (props, onText) => h("input", { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...props, onInput: (event) => onText(event.target.value) });

const mark = (kind, sign, text) => h("span", { class: `badge ${kind} verdict` }, h("span", { class: "mark", "aria-hidden": "true" }, sign), text);

const same = (one, other) => one.value !== null && one.value === other.value && one.flags === other.flags;

class KeyPage extends Part {
  name = "";
  /// The key as it is, as it was when the edit began, and as it is while it is being saved; null: not known, nothing is.
  #now = null;
  #base = null;
  #sent = null;
  #text = "";
  #end = "\n";
  #flags = "0";
  #kind = null;
  #error = null;
  #problem = null;
  /// Whether it was seen that others changed it, and the edit goes on.
  #isAside = false;
  #fault = null;
  #check = 0;

  start(signal) {
    if (isUnaskable(this.name)) return;
    watch(path(this.name), { signal, take: (rows) => this.#take(rows?.[0]), fail: (error) => this.#fail(error) });
    addEventListener("beforeunload", (event) => { if (this.#isEdited) event.preventDefault(); }, { signal });
    signal.addEventListener("abort", () => { leaving.ask = null; });
  }

  get #isEdited() {
    const base = this.#base;
    return Boolean(base) && base.text !== null && (this.#text !== base.text || this.#end !== base.end || this.#flags !== base.flags);
  }
  get #isOvertaken() { return this.#isEdited && !this.#sent && this.#now.index !== this.#base.index; }
  get #kindShown() { return this.#kind ?? kindOf(this.name, this.#text); }

  async #take(row) {
    if (row && !Number.isSafeInteger(row.Flags)) {
      // A number of 64 bits is rounded when it is read as JSON.
      const { body } = await ask(path(this.name), { asText: true, orNothing: true }).catch(() => ({}));
      if (body) row = { ...JSON.parse(body)[0], Flags: /"Flags":\s*(\d+)/.exec(body)[1] };
    }
    this.#error = null;
    const now = unpack(row), sent = this.#sent, wasOvertaken = this.#isOvertaken;
    // From before what is being saved.
    if (sent && now.index === sent.cas) return;
    this.#now = now;
    if (sent && (sent.isDone || same(now, sent))) this.#sent = null;
    if (!this.#isEdited || same(now, { value: this.#value, flags: this.#flags })) this.#adopt(now);
    else if (same(now, sent ?? this.#base)) this.#base = now;
    if (this.#isOvertaken && !wasOvertaken) tell("This key has changed elsewhere. Your edits are kept.", "critical");
    this.update();
  }

  #fail(error) {
    this.#error = error;
    // What this token may not see is not shown; what was typed stays.
    if (error.status === 403 && !this.#isEdited) this.#now = null;
    this.update();
  }

  #adopt(now) {
    this.#base = now;
    this.#flags = now.flags;
    this.#end = now.end;
    this.#isAside = false;
    this.#problem = null;
    this.#text = now.text ?? "";
    this.#examine();
  }

  #edit(text) {
    this.#text = text;
    clearTimeout(this.#check);
    this.#check = setTimeout(() => this.#examine(), 200);
    this.update();
  }

  #examine() {
    this.#fault = fault(this.#kindShown, this.#text);
    this.update();
  }

  show() {
    leaving.ask = this.#isEdited ? () => this.#mayLeave() : null;
    const now = this.#now, own = this.name.slice(folder(this.name).length) || this.name, isNew = now === NOTHING;
    return [
      crumbs(folder(this.name)),
      head(seen(own), {
        sub: this.#base === NOTHING ? "There is no such key. Write a value and create it." : null,
        actions: now && [copy(this.name, "Copy key"), !isNew && button("Download", () => this.#download()), button("Upload …", () => this.#choose()),
          !isNew && button("Delete …", () => this.#delete(), { class: "danger" })],
      }),
      isUnaskable(this.name) && h("p", { class: "notice warning" }, "A browser cannot ask for a key of this name. ", h("code", null, `lictor kv get ${this.name}`), " can."),
      trouble(this.#error),
      !now ? !this.#error && !isUnaskable(this.name) && waiting()
        : h("div", { class: "kv-key", key: "key" }, this.#base.text === null ? this.#binary() : this.#editor(), this.#about(now.row)),
    ];
  }

  #editor() {
    const isNew = this.#now === NOTHING, isLocked = Boolean(this.#now.row?.Session), kind = this.#kindShown;
    const size = new TextEncoder().encode(this.#value).length, isEdited = this.#isEdited;
    return panel("Value",
      isLocked && h("p", { class: "notice warning", key: "locked" }, "A session holds a lock on this key. It can be written all the same, and the holder may not expect that."),
      this.#end === null && h("p", { class: "notice warning", key: "ends" }, "The lines of this value end in different ways. Saving makes them all end in a line feed."),
      h("div", { class: "bar", key: "bar" }, choice("Written in", KINDS, kind, (value) => { this.#kind = value; this.#examine(); }), this.#verdict(kind)),
      h("kv-editor", { key: "editor", ".label": `Value of ${plain(this.name)}`, ".kind": kind, ".text": this.#text, ".onedit": (text) => this.#edit(text), ".onsave": () => this.#save() }),
      h("p", { class: "hint", id: "editor-keys", key: "keys" }, "Tab indents; Escape, then Tab leaves. Ctrl+S saves."),
      this.#isOvertaken && this.#overtaken(),
      trouble(this.#problem),
      (!this.#isOvertaken || this.#isAside) && h("div", { class: "bar", key: "save" },
        button(isNew ? "Create" : isLocked ? "Save although locked" : "Save", () => this.#save(), { class: "primary", disabled: Boolean(this.#sent) || !(isEdited || isNew) }),
        button("Undo edits", () => this.#adopt(this.#now), { disabled: !isEdited }),
        h("span", { role: "status" }, this.#sent ? "Saving …" : isEdited && h("span", { class: "badge warning" }, "Not saved")),
        h("span", { class: size > LIMIT ? "badge critical" : "hint" }, `${bytes(size)} of ${bytes(LIMIT)}${size > LIMIT ? ": too long" : ""}`)));
  }

  #verdict(kind) {
    if (kind === "text" || !this.#text.trim()) return null;
    const found = this.#fault;
    return h("span", { role: "status" }, found ? mark("warning", "!", `Line ${found.line}: ${found.text}`) : mark("passing", "✓", kind === "json" ? "Valid JSON" : "Looks like YAML"));
  }

  #binary() {
    const { bytes: value } = this.#base;
    return panel("Value", h("p", null, `This value is not text, but ${value.length.toLocaleString("en")} bytes. It can be downloaded, and replaced by a file.`),
      trouble(this.#problem),
      h("pre", { class: "dump", tabindex: "0", "aria-label": "Bytes" }, hex(value.subarray(0, DUMPED))),
      value.length > DUMPED && h("p", { class: "hint" }, `The first ${bytes(DUMPED)} are shown.`));
  }

  #about(row) {
    const { end, bytes: value, flags } = this.#now, isText = this.#base.text !== null;
    return panel("About",
      isText && field("Flags", h("input", { type: "text", inputmode: "numeric", value: this.#flags, onInput: (event) => { this.#flags = event.target.value.trim(); this.update(); } }),
        "A number that applications may use as they like."),
      pairs([["Key", seen(this.name)], ...(row ? [["Size", bytes(value.length)], ["Line ends", { "\r\n": "CRLF (kept)", "\r": "CR (kept)" }[end]], ["Flags", isText ? null : flags],
        ["Created", `at index ${row.CreateIndex}`], ["Changed", `at index ${row.ModifyIndex}`], ["Lock index", String(row.LockIndex)],
        ["Locked by", row.Session ? h("kv-holder", { key: row.Session, ".session": row.Session }) : "nobody"]] : [])]));
  }

  /// Others changed it while it is being edited.
  #overtaken() {
    const { row, text, bytes: value, flags } = this.#now;
    const what = !row ? "This key was deleted elsewhere while you edit it." : `This key ${this.#base === NOTHING ? "was created" : "has changed"} elsewhere while you edit it.`;
    if (this.#isAside) return h("p", { class: "notice warning bar", key: "aside" }, what, button("Compare", () => { this.#isAside = false; this.update(); }));
    const [theirs, mine] = difference(text ?? hex(value.subarray(0, DUMPED)), this.#text);
    return h("section", { class: "overtaken", key: "overtaken", "aria-label": "Changed elsewhere" },
      h("p", { class: "notice warning", role: "alert" }, h("strong", null, what), " What you typed is kept.",
        row && (text === null ? " What is there now is not text." : text === this.#text ? " The value is the same." : ` The first line that differs is ${mine.before.length + 1}.`),
        row && flags !== this.#flags && ` Its flags are ${flags} there.`),
      row && h("div", { class: "grid" }, compared("There now", theirs), compared("Yours", mine)),
      h("div", { class: "bar" },
        button(row ? "Take theirs" : "Give mine up", () => this.#adopt(this.#now)),
        button(row ? "Save mine" : "Create it again", () => { this.#base = { ...this.#base, index: this.#now.index }; this.#save(); }, { class: "primary" }),
        button("Go on editing", () => { this.#isAside = true; this.update(); this.querySelector("textarea")?.focus(); })));
  }

  get #value() { return this.#text.replaceAll("\n", this.#end ?? "\n"); }

  async #save() {
    if (this.#sent || !(this.#isEdited || this.#now === NOTHING)) return;
    // As it will be answered.
    this.#end = lineEnd(this.#value);
    if (/^\d*$/.test(this.#flags)) this.#flags = String(BigInt(this.#flags));
    this.#sent = { value: this.#value, text: this.#text, end: this.#end, flags: this.#flags, cas: this.#base.index };
    await this.#write(this.#value, this.#sent);
  }

  /// Writes it if it is still what it was. The watch then brings what is there.
  async #write(body, sent) {
    this.#problem = null;
    this.update();
    try {
      const answer = await ask(path(this.name), { method: "PUT", query: { cas: sent.cas, flags: sent.flags }, body });
      sent.isDone = answer.body === true;
      tell(sent.isDone ? "Saved." : "Not saved: it has changed elsewhere meanwhile.", sent.isDone ? "" : "critical");
      if (sent.isDone && this.#sent) this.#base = { ...this.#base, ...sent, index: sent.cas };
      // What was there already is not told again.
      if (same(this.#now, sent)) this.#sent = null;
    } catch (error) { this.#problem = error; }
    if (!sent.isDone) { this.#sent = null; this.#isAside = false; }
    this.update();
  }

  async #delete() {
    const { index, row } = this.#now;
    const text = `${plain(this.name)} will be gone${row.Session ? ", and with it the lock that a session holds" : ""}${this.#isEdited ? "; so will what you typed" : ""}.`;
    if (!(await confirm("Delete this key?", text))) return;
    try {
      const { body } = await ask(path(this.name), { method: "DELETE", query: { cas: index } });
      if (body !== true) throw new Error("It has changed elsewhere meanwhile, and is still there.");
      tell("Deleted.");
      leaving.ask = null;
      this.#base = null;
      go(at({ prefix: folder(this.name) }));
    } catch (error) { this.#problem = error; this.update(); }
  }

  #mayLeave() {
    return confirm("Leave without saving?", `What you typed in ${plain(this.name)} is not saved.`, "Leave without saving");
  }

  #download() {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([this.#now.bytes], { type: "application/octet-stream" })), download: this.name.split("/").findLast(Boolean) ?? "value" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  #choose() {
    const input = Object.assign(document.createElement("input"), { type: "file" });
    input.addEventListener("change", () => this.#upload(input.files[0]));
    input.click();
  }

  /// A text is put into the editor, to be looked at and saved; another file is written as it is.
  async #upload(file) {
    const value = new Uint8Array(await file.arrayBuffer()), text = textOf(value);
    if (text !== null && this.#base.text !== null) {
      this.#end = lineEnd(text);
      return this.#edit(text.replace(/\r\n?/g, "\n"));
    }
    const question = `The value of ${plain(this.name)} becomes that of ${file.name}, ${bytes(file.size)}${this.#isEdited ? "; what you typed is given up" : ""}.`;
    const { index, flags } = this.#now;
    if (!(await confirm("Replace the value?", question, "Replace"))) return;
    this.#adopt(this.#now);
    await this.#write(new Blob([value]), { flags, cas: index });
  }
}

/// One of two texts: the lines that differ, and some around them.
const compared = (title, { before, differs, after }) => h("div", null, h("h3", null, title), h("pre", { tabindex: "0", "aria-label": title },
  before.length > 3 && h("span", { class: "hint" }, `… ${before.length - 3} more\n`), before.slice(-3).map((line) => `${line}\n`).join(""),
  differs.length > 0 && h("mark", null, differs.join("\n"), "\n"), after.slice(0, 3).join("\n")));

/// The session that holds a lock.
class Holder extends Part {
  session = "";
  #row = null;

  start(signal) {
    watch(`/v1/session/info/${part(this.session)}`, { signal, take: (rows) => { this.#row = rows?.[0]; this.update(); } });
  }

  show() {
    return [h("a", { href: to("sessions", this.session) }, this.#row?.Name || this.session), this.#row && [" on ", h("a", { href: to("nodes", this.#row.Node) }, this.#row.Node)]];
  }
}

customElements.define("kv-holder", Holder);
customElements.define("kv-page", KeyPage);
