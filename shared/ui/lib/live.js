// What is shown stays current: none of it is older than a second while the tab can be seen, and a tab that is hidden asks for
// nothing. One stream a tab (`/v1/internal/ui/changes`) tells what was touched and who leads, and who shows something of it
// asks again. What the stream does not tell (keys, sessions, another datacenter) is waited for by a blocking query; what nobody
// can wait for is asked for every `POLL_MS`. Of each kind one request is under way at most. What fails is tried less and less
// often, and at once when the agent answers again.

import { ask, datacenter, freshness, leader, learn, part, Refusal, token } from "./api.js";

/// Between two questions about what cannot be waited for, in ms.
export const POLL_MS = 900;
/// The most that the feed remembers.
const REMEMBERED = 200;
/// The least time between two answers about the same thing, in ms; a slow one waits longer. Another datacenter is far away.
const BREATH_MS = 150, FAR_BREATH_MS = 400;
/// How long a read waits for a change, and until it is given up, in ms.
const WAIT = "60s", WAIT_LIMIT_MS = 75000;
/// How long a refusal (403) stands: whoever may change it has to do so first.
const REFUSED_MS = 30000;
/// The longest time between two tries of what fails, and of what tells whether the agent is there, in ms.
const FAILED_MS = 8000, LOST_MS = 2000;
/// The stream tells something every second; after so much silence nobody is there, in ms.
const SILENCE_MS = 3000;

/// Told of each line of the stream: `Touched` (tables), `Nodes`, `Services` (names), `Changes` (for the feed).
const listeners = new Set();
/// What has just changed, the latest first: `{ at, Kind, Node, Service, ServiceID, Check, Was, Is }`.
export const feed = { items: [], listeners: new Set() };

let running = null;
/// The indexes that the stream began with.
let opened = null;

function follow() {
  running?.abort();
  running = null;
  if (document.hidden) return;
  running = new AbortController();
  if (datacenter()) lookAfter(running.signal);
  else keep(running.signal);
}

/// Follows the stream.
async function keep(signal) {
  let isAgain = false;
  for (let pauseMs = 250, mostMs = LOST_MS; !signal.aborted; pauseMs = Math.min(pauseMs * 2, mostMs)) {
    mostMs = LOST_MS;
    const silence = new AbortController();
    let timer = 0;
    const heard = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), SILENCE_MS); };
    try {
      heard();
      const headers = token.value ? { "X-Consul-Token": token.value } : {};
      const answer = await fetch("/v1/internal/ui/changes", { headers, signal: AbortSignal.any([signal, silence.signal]), cache: "no-store" });
      if (!answer.ok) throw new Refusal(answer.status, await answer.text());
      await lines(answer.body, (line) => {
        heard();
        pauseMs = 125;
        learn({ isReachable: true, isAnswering: true, isTold: true, knowsLeader: line.KnownLeader, ageMs: line.LastContact });
        leader.value = line.Leader;
        // What changed while there was no stream is not known; what was asked for before this one began may be from before.
        if (line.Indexes) tell({ Touched: isAgain ? ["all"] : [], Indexes: opened = line.Indexes });
        else if (line.Touched) tell(line);
        isAgain = true;
      });
    } catch (error) {
      if (signal.aborted) return;
      // Where changes are not told, everything is asked for now and then.
      const isRefused = error instanceof Refusal;
      learn(isRefused ? { isReachable: true, isTold: false } : { isReachable: false });
      if (isRefused) { mostMs = FAILED_MS; tell({ Touched: ["all"] }); }
      isAgain = true;
    } finally { clearTimeout(timer); }
    await sleep(pauseMs, signal);
  }
}

async function lines(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const line of parts) if (line) take(JSON.parse(line));
  }
}

/// Another datacenter's changes are not told here: it is asked who leads there, and so whether it answers.
async function lookAfter(signal) {
  let knownAt = performance.now(), isLost = false;
  learn({ isTold: true });
  while (!signal.aborted) {
    const began = performance.now();
    try {
      const { body } = await ask("/v1/status/leader", { signal, limitMs: SILENCE_MS });
      if (body) knownAt = performance.now();
      learn({ isAnswering: true, knowsLeader: Boolean(body), ...(!body ? { ageMs: performance.now() - knownAt } : !freshness.value.knowsLeader && { ageMs: 0 }) });
      leader.value = body;
      if (isLost) tell({ Touched: ["all"] });
      isLost = false;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      if (error.status >= 500) learn({ isAnswering: false });
      leader.value = undefined;
      isLost = true;
    }
    await sleep(rest(began), signal);
  }
}

/// What is left until it is asked for again; who answers slowly is asked less often.
function rest(began, everyMs = POLL_MS) {
  const tookMs = performance.now() - began;
  return Math.max(everyMs - tookMs, Math.min(tookMs, FAILED_MS));
}

function tell(line) {
  if (line.Changes?.length) {
    const at = Date.now();
    feed.items = [...line.Changes.map((change) => ({ ...change, at })).reverse(), ...feed.items].slice(0, REMEMBERED);
    for (const listener of feed.listeners) listener();
  }
  for (const listener of listeners) listener(line);
}

document.addEventListener("visibilitychange", follow);
token.listen(follow);
addEventListener("lictor-datacenter", () => {
  feed.items = [];
  leader.value = undefined;
  learn({ isAnswering: true, knowsLeader: true, ageMs: 0 });
  follow();
});
follow();

/// The time between two requests of a kind: what failed is tried less and less often until `end` says that there is hope.
class Pause {
  #failures = 0;
  #over = new AbortController();

  /// Waits: for `ms` if `isDone`, else for longer each time.
  async wait(isDone, ms, signal) {
    this.#over = new AbortController();
    if (isDone) this.#failures = 0;
    await sleep(isDone ? ms : Math.max(ms, Math.min(POLL_MS * 2 ** this.#failures++, FAILED_MS)), AbortSignal.any([signal, this.#over.signal]));
  }

  end() { this.#over.abort(); }
  get hasFailed() { return this.#failures > 0; }
}

/// Keeps an answer current until `signal` is aborted: `take(body, answer)` is called with each, `fail(error)` when there is
/// none (404 gives null). A promise that `take` gives is waited for. `tables` are those of the stream that it is made of
/// (`nodes services checks queries access`); none: it is waited for by a blocking query, or asked for every `pollMs` where that
/// is said or nothing waits. Gives what asks at once.
export function watch(path, { query = {}, tables, node, service, pollMs, signal, take, fail }) {
  const question = { path, query, take, fail, isShown: false, isRefused: false };
  if (!tables || datacenter()) return hold(question, pollMs, signal);
  const pause = new Pause(), isOlder = (index, indexes) => index > 0 && tables.some((table) => indexes?.[table] > index);
  let isAsking = false, isDue = false, index = 0;
  const again = async () => {
    isDue = true;
    if (pause.hasFailed) pause.end();
    if (isAsking) return;
    isAsking = true;
    while (isDue && !signal.aborted && !document.hidden) {
      isDue = false;
      const began = performance.now(), openedBefore = opened;
      const answer = await once(question, {}, signal);
      if (answer) index = answer.index;
      const isDone = Boolean(answer) || question.isRefused;
      if (!isDone || (opened !== openedBefore && isOlder(index, opened))) isDue = true;
      await pause.wait(isDone, Math.max(BREATH_MS, 3 * (performance.now() - began)), signal);
    }
    isAsking = false;
  };
  const heard = (line) => {
    const isAll = line.Touched.includes("all") || isOlder(index, line.Indexes);
    if (isAll || (node && line.Nodes?.includes(node)) || (service && line.Services?.includes(service))
      || (!node && !service && line.Touched.some((table) => tables.includes(table)))) again();
  };
  listeners.add(heard);
  signal.addEventListener("abort", () => listeners.delete(heard));
  document.addEventListener("visibilitychange", again, { signal });
  token.listen(again, signal);
  again();
  return again;
}

/// Asks, with `waiting` for a change or not. Where the head of the page says already that nobody answers, what is shown stays.
async function once(question, waiting, signal) {
  const { path, query, take, fail } = question;
  try {
    const answer = await ask(path, { query: { ...query, ...waiting }, signal, orNothing: true, ...(waiting.index && { limitMs: WAIT_LIMIT_MS }) });
    question.isShown = true;
    if (!waiting.index || answer.index !== waiting.index) await take(answer.body, answer);
    return answer;
  } catch (error) {
    question.isRefused = error.status === 403;
    const isSaid = error.status === 0 || (datacenter() && error.status >= 500);
    if (!signal.aborted && !(isSaid && question.isShown)) fail?.(error);
    return null;
  }
}

/// Waits for each next answer, or asks every now and then.
function hold(question, pollMs, signal) {
  const pause = new Pause();
  let running = null, index = 0;
  const restart = () => running?.abort();
  token.listen(() => { index = 0; restart(); }, signal);
  document.addEventListener("visibilitychange", restart, { signal });
  const heard = (line) => { if (pause.hasFailed && line.Touched.includes("all")) pause.end(); };
  listeners.add(heard);
  signal.addEventListener("abort", () => listeners.delete(heard));
  const round = async () => {
    running = new AbortController();
    const own = running.signal, either = AbortSignal.any([signal, own]), before = pollMs ? 0 : index, began = performance.now();
    const answer = await once(question, before ? { index: before, wait: WAIT } : {}, either);
    if (own.aborted) return;
    // What does not say when it changes, or answers at once though nothing has, cannot be waited for.
    const isWaitedFor = !pollMs && answer?.index && (answer.index !== before || performance.now() - began > POLL_MS);
    // After a failure what is said first is taken, whether it is new or not; and a registry may begin anew.
    index = answer && answer.index >= before ? answer.index : 0;
    await pause.wait(Boolean(answer), isWaitedFor ? (datacenter() ? FAR_BREATH_MS : BREATH_MS) : question.isRefused && !answer ? REFUSED_MS : rest(began, pollMs), either);
  };
  (async () => {
    while (!signal.aborted) await (document.hidden ? shown(signal) : round());
  })();
  return () => pause.end();
}

/// Until the tab can be seen.
function shown(signal) {
  const over = new AbortController();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { signal: over.signal });
    signal.addEventListener("abort", resolve, { signal: over.signal });
  }).finally(() => over.abort());
}

/// Ends after so many milliseconds, or with the signal.
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) { resolve(); return; }
    const end = () => { clearTimeout(timer); signal?.removeEventListener("abort", end); resolve(); };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}

export { part };
