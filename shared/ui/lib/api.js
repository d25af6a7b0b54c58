// Requests to the agent that served this page. The token is kept in the session's storage only: it ends with the tab.

const TOKEN = "lictor-token";

/// What the agent answered when it did not do what was asked.
export class Refusal extends Error {
  constructor(status, text) {
    super(text || `The agent answered ${status}.`);
    this.status = status;
  }
}

/// Something about this page that others look at: `value`, and who wants to know of it.
export class Cell extends EventTarget {
  #value;
  constructor(value) { super(); this.#value = value; }
  get value() { return this.#value; }
  set value(value) {
    if (value === this.#value) return;
    this.#value = value;
    this.dispatchEvent(new Event("change"));
  }
  /// Calls `listener` at each change until `signal` is aborted.
  listen(listener, signal) { this.addEventListener("change", listener, { signal }); }
}

/// The token shown with each request; empty: none.
export const token = new Cell(sessionStorage.getItem(TOKEN) ?? "");
token.listen(() => token.value ? sessionStorage.setItem(TOKEN, token.value) : sessionStorage.removeItem(TOKEN));

/// How current the answers are: `{ isReachable, knowsLeader, ageMs }`.
export const freshness = new Cell({ isReachable: true, knowsLeader: true, ageMs: 0 });

/// What the agent says of itself: `NodeName Datacenter Server Version Access`; undefined as long as it was not heard, null where it
/// does not say.
export const agent = new Cell(undefined);

/// The datacenter that this page is about; empty: the agent's own.
export const datacenter = () => new URLSearchParams(location.search).get("dc") ?? "";

/// A path's part, escaped.
export const part = encodeURIComponent;

/// Asks. `query` is an object; `body` is sent as JSON unless it is text or a Blob. Gives `{ body, index, status, headers }`; 404 is an
/// answer only where `orNothing` says so (`body` is then null).
export async function ask(path, { method = "GET", query = {}, body, signal, orNothing = false, asText = false } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries({ dc: datacenter(), ...query })) {
    if (value !== "" && value != null && value !== false) url.searchParams.set(name, value === true ? "" : value);
  }
  const headers = token.value ? { "X-Consul-Token": token.value } : {};
  let answer;
  try {
    answer = await fetch(url, { method, headers, signal, cache: "no-store", body: body === undefined || typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    freshness.value = { ...freshness.value, isReachable: false };
    throw new Refusal(0, "The agent does not answer.");
  }
  note(answer.headers);
  const index = Number(answer.headers.get("X-Consul-Index") ?? 0);
  const text = await answer.text();
  if (answer.status === 404 && orNothing) return { body: null, index, status: 404, headers: answer.headers };
  if (!answer.ok) throw new Refusal(answer.status, text.trim());
  return { body: asText ? text : text === "" ? null : JSON.parse(text), index, status: answer.status, headers: answer.headers };
}

function note(headers) {
  const knows = headers.get("X-Consul-KnownLeader");
  const ageMs = knows === null ? freshness.value.ageMs : Number(headers.get("X-Consul-LastContact") ?? 0);
  const knowsLeader = knows === null ? freshness.value.knowsLeader : knows === "true";
  const { isReachable, ...before } = freshness.value;
  if (!isReachable || before.ageMs !== ageMs || before.knowsLeader !== knowsLeader) freshness.value = { isReachable: true, knowsLeader, ageMs };
}
