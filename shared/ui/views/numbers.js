// Numbers: what this agent counts of itself, drawn over the last five minutes. Counters tell sums since the start: rates are
// the differences between two readings. Nothing is kept beyond this tab.

import { h, Part } from "../lib/dom.js";
import { agent } from "../lib/api.js";
import { POLL_MS, watch } from "../lib/live.js";
import { plot } from "../lib/plot.js";
import { bytes, duration, head, trouble, waiting } from "../lib/parts.js";

const WINDOW_MS = 300000;
/// Readings that are further apart say nothing of the present.
const STALE_MS = 10000;

const total = (rows, name, where, field) => rows.reduce((sum, row) => (row.Name === name && (!where || where(row.Labels)) ? sum + row[field] : sum), 0);
const difference = (list, name, where, field) => (now, before) => before && total(now[list], name, where, field) - total(before[list], name, where, field);
/// Of a counter, per second. What has not happened yet is not there, which is 0.
const rate = (name, where) => (now, before) => before && (difference("Counters", name, where, "Sum")(now, before) * 1000) / (now.at - before.at);
const gauge = (name, where) => (now) => total(now.Gauges, name, where, "Value");
/// The mean of what was measured between two readings, in ms; null where nothing was.
const mean = (name) => (now, before) => {
  const measured = before && difference("Samples", name, null, "Count")(now, before);
  return measured > 0 ? (difference("Samples", name, null, "Sum")(now, before) * 1000) / measured : null;
};
const all = (...of) => (now, before) => before && of.reduce((sum, each) => sum + each(now, before), 0);

const few = (value) => (value === 0 ? "0" : value < 10 ? String(+value.toFixed(1)) : value < 10000 ? String(Math.round(value)) : `${(value / 1000).toFixed(value < 100000 ? 1 : 0)} k`);
const perSecond = (value) => `${few(value)}/s`;
const whole = (value) => Math.round(value).toLocaleString("en");
const outcome = (...names) => (labels) => names.includes(labels.outcome);
const status = (name) => (labels) => labels.status === name;
const DNS = "lictor_dns_questions_total", HTTP = "lictor_http_requests_total";

/// What is drawn: title, how a value is said, where the scale ends at least, the lines (name, value, kind), and a remark.
const PLOTS = [
  ["DNS questions", perSecond, 10, [["answered", rate(DNS, outcome("noerror"))], ["no such name", rate(DNS, outcome("nxdomain")), "warning"],
    ["failed", rate(DNS, outcome("formerr", "servfail", "notimp", "refused", "other", "unanswered")), "critical"]]],
  ["DNS: time to answer", duration, 0.5, [["answers", mean("lictor_dns_answer_seconds")]], "Means of a second."],
  ["HTTP requests", perSecond, 10, [["done", rate(HTTP, (labels) => /^[123]/.test(labels.status))], ["refused (4xx)", rate(HTTP, status("4xx")), "warning"], ["failed (5xx)", rate(HTTP, status("5xx")), "critical"]],
    "With those of this page."],
  ["HTTP: time to answer", duration, 50, [["to this page", (now) => now.tookMs]], "Measured by this page, as it asks for these numbers."],
  ["Writes", perSecond, 5, [["done", rate("lictor_writes_total", outcome("done"))], ["failed", rate("lictor_writes_total", outcome("failed")), "critical"]]],
  ["Raft: time to commit", duration, 20, [["writes", mean("lictor_write_seconds")], ["asking the leader", mean("lictor_barrier_seconds"), "other"]], "Means of a second."],
  ["Watches", whole, 10, [["HTTP reads that wait", gauge("lictor_http_blocked_readers")], ["streams of applications", gauge("lictor_application_streams"), "other"], ["streams to agents", gauge("lictor_watch_streams"), "third"]]],
  ["Members by gossip", whole, 4, [["alive", gauge("lictor_gossip_members", status("alive"))], ["failed", gauge("lictor_gossip_members", status("failed")), "critical"],
    ["leaving or left", gauge("lictor_gossip_members", (labels) => /^(leaving|left)$/.test(labels.status)), "other"]]],
  ["Last word from the leader", duration, 1000, [["age", (now) => 1000 * gauge("lictor_leader_last_contact_seconds")(now)]]],
  ["Checks run here", perSecond, 5, [["passing", rate("lictor_check_runs_total", status("passing"))], ["warning", rate("lictor_check_runs_total", status("warning")), "warning"],
    ["critical", rate("lictor_check_runs_total", status("critical")), "critical"]]],
  ["Turned away", perSecond, 5, [["limits reached", rate("lictor_refused_total"), "warning"], ["TLS", rate("lictor_tls_refused_total"), "critical"], ["gossip dropped", rate("lictor_gossip_dropped_total"), "other"]]],
  ["Memory", bytes, 64 * 1048576, [["in RAM", gauge("process_resident_memory_bytes")]]],
  ["Open files", whole, 100, [["descriptors", gauge("process_open_fds")]]],
  ["Processor", (value) => `${few(value)} %`, 20, [["share of one", (now, before) => before && 100 * rate("process_cpu_seconds_total")(now, before)]]],
];

/// What was read, the latest last: `{ at, values }`, a value for each line of each plot. It stays while the tab does.
let history = [];
let last = null;

function note(numbers, tookMs) {
  const at = performance.now(), now = { ...numbers, at, tookMs }, start = gauge("process_start_time_seconds");
  const before = last && at - last.at < STALE_MS && start(last) === start(now) ? last : null;
  last = now;
  const point = { at, values: PLOTS.map(([, , , lines]) => lines.map(([, value]) => value(now, before))) };
  history = [...history.filter((point) => point.at > at - WINDOW_MS - STALE_MS), point];
}

class Numbers extends Part {
  #error = null;
  /// What is drawn while it does not go on.
  #held = null;
  /// How long before the end is looked at, in ms; null: the end.
  #back = null;

  start(signal) {
    // This agent's own numbers, whichever datacenter is looked at.
    watch("/v1/agent/metrics", {
      query: { dc: "" }, pollMs: POLL_MS, signal,
      take: (numbers, { tookMs }) => { note(numbers, tookMs); this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    agent.listen(() => this.update(), signal);
  }

  show() {
    const isDenied = this.#error?.status === 403, shown = isDenied ? [] : this.#held ?? history, self = agent.value;
    return [
      head("Numbers", { sub: `Of this agent${self ? `, ${self.NodeName} in ${self.Datacenter}` : ""}. The last five minutes, read while this view is open.`,
        actions: shown.length > 0 && this.#controls() }),
      isDenied ? h("p", { class: "notice", key: "denied" }, "These numbers are shown to tokens with agent:read for this agent. Another token may be set by “Token” above.") : trouble(this.#error),
      shown.length ? h("div", { class: "grid plots", key: "plots" }, this.#plots(shown)) : !this.#error && waiting(),
    ];
  }

  #controls() {
    const back = this.#back ?? 0, seconds = Math.round(back / 1000), said = seconds ? `${seconds < 60 ? `${seconds} s` : duration(seconds * 1000)} ago` : "now";
    return [h("label", { class: "back-to" }, h("span", null, "Look back"), h("input", { type: "range", min: "0", max: WINDOW_MS / 1000, step: "1", value: String(WINDOW_MS / 1000 - seconds),
      "aria-valuetext": said, onInput: (event) => this.#look(WINDOW_MS - event.target.value * 1000) }), h("output", null, said)),
    h("button", { type: "button", onClick: () => { this.#held = this.#held ? null : history; this.update(); } }, this.#held ? "Go on" : "Pause")];
  }

  #look(back) {
    this.#back = back > 0 ? Math.min(back, WINDOW_MS) : null;
    this.update();
  }

  #plots(shown) {
    const until = shown.at(-1).at, from = until - WINDOW_MS, times = shown.map((point) => point.at), at = this.#back === null ? null : until - this.#back;
    return PLOTS.map(([title, show, floor, lines, note], which) => plot(title, {
      times, show, floor, note, from, until, at, isBinary: show === bytes, isSum: show === perSecond,
      lines: lines.map(([name, , kind], line) => ({ name, kind, values: shown.map((point) => point.values[which][line]) })),
      onLook: (moment) => this.#look(moment === null ? 0 : until - moment),
    }));
  }
}

customElements.define("view-numbers", Numbers);
