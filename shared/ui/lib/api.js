// Requests to the agent that served this page. The token is kept in the session's storage only: it ends with the tab.

const TOKEN = "lictor-token";
/// How long an answer may take, beside the time that it is wanted to wait, in ms.
const LIMIT_MS = 30000;

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

/// How current the answers are: whether this agent answers, the other datacenter does if one is shown, changes are told, and a leader
/// is known; and how old the last word from one is.
export const freshness = new Cell({ isReachable: true, isAnswering: true, isTold: true, knowsLeader: true, ageMs: 0 });

/// Puts down what has changed of it.
export function learn(news) {
  const before = freshness.value;
  if (Object.entries(news).some(([name, value]) => before[name] !== value)) freshness.value = { ...before, ...news };
}

/// The address of the leader in the datacenter shown; empty: none is known; undefined: nothing was heard yet.
export const leader = new Cell(undefined);

/// What the agent says of itself: `NodeName Datacenter Server Version Access`; undefined as long as it was not heard, null where it
/// does not say.
export const agent = new Cell(undefined);

/// The names of the datacenters that this agent knows.
export const datacenters = new Cell([]);

/// The datacenter that this page is about; empty: the agent's own.
export const datacenter = () => new URLSearchParams(location.search).get("dc") ?? "";

/// A path's part, escaped.
export const part = encodeURIComponent;

/// Asks. `query` is an object; `body` is sent as JSON unless it is text or a Blob. Gives `{ body, index, status, headers, tookMs }`; 404
/// is an answer only where `orNothing` says so (`body` is then null).
export async function ask(path, { method = "GET", query = {}, body, signal, orNothing = false, asText = false, limitMs = LIMIT_MS } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries({ dc: datacenter(), ...query })) {
    if (value !== "" && value != null && value !== false) url.searchParams.set(name, value === true ? "" : value);
  }
  const headers = token.value ? { "X-Consul-Token": token.value } : {};
  // What is to be done may take as long as it does: half of it would not be known.
  const until = method === "GET" ? AbortSignal.timeout(limitMs) : null, began = performance.now();
  let answer, text;
  try {
    answer = await fetch(url, { method, headers, signal: AbortSignal.any([signal, until].filter(Boolean)), cache: "no-store", body: body === undefined || typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body) });
    note(answer.headers);
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    // What another datacenter is asked goes by way of the agent, which may wait for it in vain.
    learn(until?.aborted && url.searchParams.has("dc") ? { isAnswering: false } : { isReachable: false });
    throw new Refusal(0, "The agent does not answer.");
  }
  const { status } = answer, index = Number(answer.headers.get("X-Consul-Index") ?? 0), tookMs = performance.now() - began;
  if (status === 404 && orNothing) return { body: null, index, status, headers: answer.headers, tookMs };
  if (!answer.ok) throw new Refusal(status, text.trim());
  return { body: asText ? text : text === "" ? null : JSON.parse(text), index, status, headers: answer.headers, tookMs };
}

function note(headers) {
  const knows = headers.get("X-Consul-KnownLeader");
  learn({ isReachable: true, ...(knows !== null && { knowsLeader: knows === "true", ageMs: Number(headers.get("X-Consul-LastContact") ?? 0) }) });
}
