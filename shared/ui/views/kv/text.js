// Values as text: what they are written in, what is wrong with them, and how they are coloured. Nothing here touches the page.

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/// The bytes of Base64 (null: none).
export const bytesOf = (base64) => Uint8Array.from(atob(base64 ?? ""), (char) => char.charCodeAt(0));

/// The text that the bytes are; null where they are none that can be edited.
export function textOf(bytes) {
  try {
    const text = UTF8.decode(bytes);
    return /[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]/.test(text) ? null : text;
  } catch { return null; }
}

/// How the lines end; null: in more than one way. A text area knows line feeds only.
export function lineEnd(text) {
  const found = new Set(text.match(/\r\n?|\n/g));
  return found.size > 1 ? null : [...found][0] ?? "\n";
}

/// The bytes as a dump.
export function hex(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    lines.push(`${at.toString(16).padStart(6, "0")}  ${row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47)}  ${row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("")}`);
  }
  return lines.join("\n");
}

/// What a value is most likely written in: `json`, `yaml` or `text`.
export function kindOf(key, text) {
  const ending = /\.(json|ya?ml)$/i.exec(key)?.[1].toLowerCase();
  if (ending) return ending === "json" ? "json" : "yaml";
  if (/^\s*(?:\{\s*(?:["}]|$)|\[\s*(?:["[{\]\d-]|true\b|false\b|null\b|$))/.test(text)) return "json";
  return /^(?:\s*#.*\n|\s*\n)*(?:---\s|- |[\w./"'-]+:(?:\s|$))/.test(text) ? "yaml" : "text";
}

const TOKENS = {
  json: /(?<name>"(?:[^"\\]|\\.)*"(?=\s*:))|(?<string>"(?:[^"\\]|\\.)*"?)|(?<word>\b(?:true|false|null)\b|-?\b\d[\d.eE+-]*)/g,
  yaml: /(?<note>(?<=^|\s)#.*)|(?<name>(?<=^\s*(?:- +)*)[^\s#"'[{-][^:#]*(?=:(?:\s|$)))|(?<string>"(?:[^"\\]|\\.)*"?|(?<!\w)'(?:[^']|'')*'?)|(?<word>(?<=[\s,[{]|^)(?:true|false|null|~|-?\d[\d.]*)(?=[\s,\]}]|$))/g,
};

/// A line's pieces: `[kind, text]`, the kind empty where it has none.
export function pieces(kind, line) {
  const found = [];
  let at = 0;
  for (const match of line.matchAll(TOKENS[kind])) {
    if (match.index > at) found.push(["", line.slice(at, match.index)]);
    found.push([Object.entries(match.groups).find(([, text]) => text != null)[0], match[0]]);
    at = match.index + match[0].length;
  }
  if (at < line.length) found.push(["", line.slice(at)]);
  return found;
}

/// What is wrong with a value: `{ line, text }`; null: nothing that was seen.
export const fault = (kind, text) => (kind === "json" ? jsonFault(text) : kind === "yaml" ? yamlFault(text) : null);

const TOKEN = /[{}[\],:]|"[^"\\\0-\x1f]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[^"\\\0-\x1f]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y;
const SPACE = /[ \t\r\n]*/y;
const PAIRS = { "}": "{", "]": "[" };

function jsonFault(text) {
  // The browser's own reader is quick but does not always say where.
  try { JSON.parse(text); return null; } catch { /* Where it is wrong is found below. */ }
  const open = [];
  let at = 0, wanted = "value", isFresh = false;
  const wrong = (why, where = at) => ({ line: text.slice(0, where).split("\n").length, text: why });
  for (;;) {
    SPACE.lastIndex = at;
    at += SPACE.exec(text)[0].length;
    if (at === text.length) return open.length ? wrong(`“${text[open.at(-1)]}” is not closed`, open.at(-1)) : wrong("a value is missing");
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0], first = token?.[0];
    if (!token) return wrong(text[at] === '"' ? "a string is not closed, or something in it must be escaped" : `“${/^[^\s,:[\]{}"]{1,20}/.exec(text.slice(at, at + 20))?.[0] ?? text[at]}” is not JSON`);
    const found = `“${token.slice(0, 20)}”`, inObject = text[open.at(-1)] === "{";
    if (PAIRS[first]) {
      if ((wanted !== "more" && !isFresh) || text[open.pop()] !== PAIRS[first]) return wrong(`${found} is not expected`);
      wanted = "more";
    } else if (wanted === "more") {
      if (first !== "," || !open.length) return wrong(open.length ? `a comma is missing before ${found}` : `${found} is too much`);
      wanted = inObject ? "name" : "value";
    } else if (wanted === "name") {
      if (first !== '"') return wrong(`a name in double quotes is expected, not ${found}`);
      wanted = "colon";
    } else if (wanted === "colon") {
      if (first !== ":") return wrong(`a colon is missing before ${found}`);
      wanted = "value";
    } else if (first === "{" || first === "[") {
      open.push(at++);
      wanted = first === "{" ? "name" : "value";
      isFresh = true;
      continue;
    } else if (",:".includes(first)) return wrong(`a value is missing before ${found}`);
    else wanted = "more";
    isFresh = false;
    at += token.length;
  }
}

/// Sees what goes wrong most often, and takes a text for right otherwise.
function yamlFault(text) {
  const open = [];
  let quote = "", since = 0, block = -1;
  for (const [index, line] of text.split("\n").entries()) {
    const wrong = (why) => ({ line: index + 1, text: why });
    const indent = line.search(/\S/);
    if (indent < 0) continue;
    if (block >= 0 && indent > block) continue;
    block = -1;
    if (!quote && !open.length && line.slice(0, indent).includes("\t")) return wrong("a tab is in the indentation");
    let isStart = true;
    for (let at = indent; at < line.length; at++) {
      const char = line[at];
      if (quote) {
        if (quote === '"' && char === "\\") at++;
        else if (quote === "'" && line.startsWith("''", at)) at++;
        else if (char === quote) quote = "";
      } else if (char === "#" && (at === 0 || /\s/.test(line[at - 1]))) break;
      else if (isStart && (char === '"' || char === "'")) { quote = char; since = index + 1; isStart = false; }
      else if ((char === "[" || char === "{") && (isStart || open.length)) open.push([char, index + 1]);
      else if (PAIRS[char] && open.length) { if (open.pop()[0] !== PAIRS[char]) return wrong(`“${char}” is not expected`); isStart = false; }
      else if (char !== " ") isStart = char === "," ? open.length > 0 : /[:?-]/.test(char) && /^(\s|$)/.test(line.slice(at + 1, at + 2));
    }
    if (!quote && /(?:^|[:-]\s+)(?:[!&]\S+\s+)*[|>][\d+-]*\s*(?:#.*)?$/.test(line)) block = indent;
  }
  if (quote) return { line: since, text: "a quote is not closed" };
  return open.length ? { line: open.at(-1)[1], text: `“${open.at(-1)[0]}” is not closed` } : null;
}

/// The lines in which two texts differ: the first, and how many at the end are the same again.
export function difference(one, other) {
  const [a, b] = [one.split("\n"), other.split("\n")], most = Math.min(a.length, b.length);
  let from = 0, end = 0;
  while (from < most && a[from] === b[from]) from++;
  while (end < most - from && a.at(-1 - end) === b.at(-1 - end)) end++;
  return [a, b].map((lines) => ({ before: lines.slice(0, from), differs: lines.slice(from, lines.length - end), after: lines.slice(lines.length - end) }));
}
