// What is shown stays current. One stream a tab (`/v1/internal/ui/changes`) tells what was touched, and who shows something of
// it asks again; a hidden tab holds no connection. What the stream does not tell (keys, sessions, another datacenter) is
// held on by a blocking query, or asked for every two seconds.

import { ask, datacenter, freshness, part, Refusal, token } from "./api.js";

/// The most that the feed remembers.
const REMEMBERED = 200;
/// The least time between two answers about the same thing, in ms; a slow one waits longer.
const BREATH_MS = 150;
const POLL_MS = 2000;
/// How long a refusal (403) stands: whoever may change it has to do so first.
const REFUSED_MS = 30000;

/// Told of each line of the stream: `Touched` (tables), `Nodes`, `Services` (names), `Changes` (for the feed).
const listeners = new Set();
/// What has just changed, the latest first: `{ at, Kind, Node, Service, ServiceID, Check, Was, Is }`.
export const feed = { items: [], listeners: new Set() };

let running = null;

function follow() {
  running?.abort();
  running = null;
  if (document.hidden || datacenter()) return;
  running = new AbortController();
  keep(running.signal);
}

async function keep(signal) {
  for (let pauseMs = 500; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 8000)) {
    try {
      const headers = token.value ? { "X-Consul-Token": token.value } : {};
      const answer = await fetch("/v1/internal/ui/changes", { headers, signal, cache: "no-store" });
      if (!answer.ok) throw new Refusal(answer.status, await answer.text());
      // What changed while there was no stream is not known.
      if (pauseMs > 500) tell({ Touched: ["all"] });
      pauseMs = 250;
      await lines(answer.body, (line) => {
        freshness.value = { isReachable: true, knowsLeader: line.KnownLeader, ageMs: line.LastContact };
        if (line.Touched) tell(line);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal)) freshness.value = { ...freshness.value, isReachable: false };
    }
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
addEventListener("lictor-datacenter", () => { feed.items = []; follow(); });
follow();

/// Keeps an answer current until `signal` is aborted: `take(body, answer)` is called with each, `fail(error)` when there is
/// none (404 gives null). A promise that `take` gives is waited for. `tables` are those of the stream that it is made of
/// (`nodes services checks queries access`); none: a blocking query is held on it, or it is asked for every `pollMs` (always so
/// where the answer has no index).
export function watch(path, { query = {}, tables, node, service, pollMs, signal, take, fail }) {
  if (!tables || datacenter()) return hold(path, { query, signal, take, fail, pollMs: pollMs ?? (tables ? POLL_MS : 0) });
  let isAsking = false, isDue = false;
  const again = async () => {
    if (isAsking) { isDue = true; return; }
    isAsking = true;
    do {
      isDue = false;
      const began = performance.now();
      await once(path, query, signal, take, fail);
      await sleep(Math.max(BREATH_MS, 3 * (performance.now() - began)), signal);
    } while (isDue && !signal.aborted);
    isAsking = false;
  };
  const heard = (line) => {
    const isAll = line.Touched.includes("all");
    if (isAll || (node && line.Nodes?.includes(node)) || (service && line.Services?.includes(service))
      || (!node && !service && line.Touched.some((table) => tables.includes(table)))) again();
  };
  listeners.add(heard);
  signal.addEventListener("abort", () => listeners.delete(heard));
  const shown = () => { if (!document.hidden) again(); };
  document.addEventListener("visibilitychange", shown, { signal });
  token.listen(again, signal);
  again();
  return again;
}

async function once(path, query, signal, take, fail) {
  try {
    const answer = await ask(path, { query, signal, orNothing: true });
    await take(answer.body, answer);
    return answer;
  } catch (error) {
    if (!signal.aborted) fail?.(error);
    return null;
  }
}

async function hold(path, { query, signal, take, fail, pollMs }) {
  let index = 0, waiting = null, isRefused = false;
  token.listen(() => { index = 0; waiting?.abort(); }, signal);
  document.addEventListener("visibilitychange", () => waiting?.abort(), { signal });
  while (!signal.aborted) {
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      continue;
    }
    waiting = new AbortController();
    const either = AbortSignal.any([signal, waiting.signal]);
    const blocking = index && !pollMs ? { index, wait: "60s" } : {};
    const began = performance.now();
    const answer = await once(path, { ...query, ...blocking }, either, (body, answer) => {
      if (answer.index !== index || !index || pollMs) return take(body, answer);
    }, (error) => { isRefused = error.status === 403; fail?.(error); });
    if (answer) index = answer.index;
    const pauseMs = !answer && isRefused ? REFUSED_MS : pollMs || !answer?.index ? pollMs || POLL_MS : Math.max(0, BREATH_MS - (performance.now() - began));
    if (!waiting.signal.aborted) await sleep(pauseMs, either);
  }
}

/// Ends after so many milliseconds, or with the signal.
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const end = () => { clearTimeout(timer); signal?.removeEventListener("abort", end); resolve(); };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}

export { part };
