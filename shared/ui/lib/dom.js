// What is shown, described and then made so: `h` describes an element, `render` brings what a parent holds in line with a
// description and leaves alone what is the same already, so that focus, selection and scrolling stay where they are.
// Text only ever becomes text: nothing that comes from the registry is read as markup.

const SVG = "http://www.w3.org/2000/svg";
const drawn = new Set(["svg", "path", "g", "line", "rect", "circle", "polyline", "polygon", "text", "title"]);
// What a person changes in place is a property; the attribute of the same name is only what it was at first. Not so of an
// option: without the attribute its value is its text.
const properties = new Set(["value", "checked", "selected", "indeterminate", "open"]);

/// Describes an element. Of `props`: `key` tells siblings apart, `onNAME` is a handler, `.name` a property, `style` an
/// object; all others are attributes, left out where they are null or false. Children that are null or false are left out.
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(Infinity).filter((child) => child != null && typeof child !== "boolean") };
}

/// Makes the children of `parent` what is described.
export function render(parent, ...described) {
  reconcile(parent, described.flat(Infinity).filter((child) => child != null && typeof child !== "boolean"), false);
}

function reconcile(parent, described, isDrawing) {
  const keyed = new Map();
  // What is gone goes first: what comes after it then stays in its place, and keeps the focus.
  const wantedKeys = new Set(described.map((wanted) => wanted.props?.key));
  for (const node of [...parent.childNodes]) {
    if (node.lictorKey == null) continue;
    if (wantedKeys.has(node.lictorKey)) keyed.set(node.lictorKey, node);
    else node.remove();
  }
  let at = parent.firstChild;
  for (const wanted of described) {
    const found = pick(wanted, at, keyed);
    const node = found ?? make(wanted, isDrawing);
    // Before it is put in: a component that is new starts with what it is about.
    if (typeof wanted === "object") patch(node, wanted, isDrawing);
    else if (node.data !== String(wanted)) node.data = String(wanted);
    if (node === at) at = at.nextSibling;
    // Where a browser can, what is moved keeps the focus too.
    else if (found && parent.moveBefore) parent.moveBefore(node, at);
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function pick(wanted, at, keyed) {
  if (typeof wanted !== "object") return at?.nodeType === Node.TEXT_NODE ? at : null;
  const key = wanted.props.key;
  if (key != null) {
    const node = keyed.get(key);
    keyed.delete(key);
    return node?.localName === wanted.tag ? node : null;
  }
  return at?.nodeType === Node.ELEMENT_NODE && at.localName === wanted.tag && at.lictorKey == null ? at : null;
}

function make(wanted, isDrawing) {
  if (typeof wanted !== "object") return document.createTextNode(wanted);
  const node = isDrawing || (drawn.has(wanted.tag) && wanted.tag !== "title" && wanted.tag !== "text")
    ? document.createElementNS(SVG, wanted.tag) : document.createElement(wanted.tag);
  if (wanted.props.key != null) node.lictorKey = wanted.props.key;
  return node;
}

function patch(node, { tag, props, children }, isDrawing) {
  const before = node.lictorProps ?? {};
  for (const name in before) if (!(name in props)) set(node, name, null, before[name]);
  for (const name in props) set(node, name, props[name], before[name]);
  node.lictorProps = props;
  // What a component shows is its own matter.
  if (!tag.includes("-") || children.length) reconcile(node, children, isDrawing || tag === "svg");
  // An option can be chosen only when it is there.
  if (tag === "select" && props.value != null && node.value !== props.value) node.value = props.value;
}

function set(node, name, value, before) {
  if (name === "key") return;
  if (name.startsWith("on")) node[name.toLowerCase()] = value ?? null;
  else if (name.startsWith(".")) { if (value !== before) node[name.slice(1)] = value; }
  else if (name === "style") {
    for (const rule in before ?? {}) if (!(rule in (value ?? {}))) node.style.removeProperty(rule);
    for (const rule in value ?? {}) node.style.setProperty(rule, value[rule]);
  } else if (properties.has(name) && !(name === "value" && node.localName === "option")) { if (value !== before && node[name] !== value) node[name] = value ?? ""; }
  else if (value == null || value === false) node.removeAttribute(name);
  else if (value !== before) node.setAttribute(name, value === true ? "" : value);
}

/// A part of the page that shows something: `show()` describes it, `start(signal)` begins what keeps it current, and
/// ends when `signal` is aborted, as the part is taken away.
export class Part extends HTMLElement {
  #running = null;
  #isDue = false;

  connectedCallback() {
    this.#running = new AbortController();
    this.start?.(this.#running.signal);
    this.update();
  }

  disconnectedCallback() {
    this.#running.abort();
  }

  /// Shows what is now so, once for all that changed in the same moment.
  update() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      if (this.isConnected) render(this, this.show());
    });
  }

  /// Restarts what keeps it current: it is about something else now.
  restart() {
    if (!this.isConnected) return;
    this.#running.abort();
    this.#running = new AbortController();
    this.start?.(this.#running.signal);
    this.update();
  }
}
