// The overview: how much there is and in which state, what is critical now, what just changed, who leads, and how far the
// other datacenters are.

import { h, Part } from "../lib/dom.js";
import { agent, Cell, datacenter, datacenters, freshness, leader } from "../lib/api.js";
import { feed, POLL_MS, watch } from "../lib/live.js";
import { to } from "../lib/route.js";
import { aging, ago, badge, duration, empty, head, MARKS, pairs, panel, since, table, trouble, waiting } from "../lib/parts.js";

/// What is counted: its title, its name in the answer, and the list that shows it.
const COUNTED = [["Services", "Services", "services"], ["Instances", "Instances", "services"], ["Nodes", "Nodes", "nodes"], ["Checks", "Checks", "nodes"]];
const STATES = ["critical", "warning", "passing"];
/// Critical checks and changes that are shown at once.
const SHOWN = 10;
/// The least time between two summaries that are read out, in ms.
const SUMMARY_MS = 8000;
/// The error of a coordinate that nothing was measured for.
const ERROR_MAX = 1.5;

/// The index of the registry that the numbers above are of; 0: not known.
const shownIndex = new Cell(0);

const listed = (list, state) => { const address = to(list); return `${address}${address.includes("?") ? "&" : "?"}state=${state}`; };
const node = (name) => h("a", { href: to("nodes", name) }, name);
const service = (name) => h("a", { href: to("services", name) }, name);
const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

class Overview extends Part {
  start(signal) { agent.listen(() => this.update(), signal); }

  show() {
    return [
      head("Overview", { sub: datacenter() || agent.value?.Datacenter }),
      h("overview-tiles", { class: "view" }),
      h("div", { class: "grid halves" }, h("overview-critical", { class: "view" }), h("overview-feed", { class: "view" })),
      h("overview-servers", { class: "view" }),
      h("div", { class: "grid halves" }, h("overview-agent", { class: "view" }), h("overview-datacenters", { class: "view" })),
    ];
  }
}

/// How many there are in each state.
class Tiles extends Part {
  #counts = null;
  #error = null;

  start(signal) {
    watch("/v1/internal/ui/overview", {
      tables: ["services", "checks", "nodes"], signal,
      take: (counts, { index }) => { this.#counts = counts; this.#error = null; shownIndex.value = index; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
  }

  show() {
    return [trouble(this.#error), h("div", { class: "tiles", key: "tiles" }, COUNTED.map(([title, name, list]) => {
      const of = this.#counts?.[name], inState = (state) => of?.[state[0].toUpperCase() + state.slice(1)] ?? 0;
      return h("section", { class: "tile", key: name, "aria-label": title }, h("h2", null, h("a", { href: to(list) }, title)),
        h("span", { class: "big" }, of ? STATES.reduce((all, state) => all + inState(state), 0).toLocaleString("en") : "–"),
        h("span", { class: "counts" }, of && STATES.map((state) => this.#state(state, inState(state), title.toLowerCase(), list))));
    }))];
  }

  #state(state, number, what, list) {
    const text = [h("span", { class: "mark", "aria-hidden": "true" }, MARKS[state]), number.toLocaleString("en"), h("span", { class: "unseen" }, ` ${what} ${state}`)];
    return number ? h("a", { key: state, class: `badge ${state}`, href: listed(list, state), title: `${state}: show` }, text) : h("span", { key: `no ${state}`, class: "badge", title: `none ${state}` }, text);
  }
}

/// The checks that are critical now, those that changed last first.
class Critical extends Part {
  #checks = null;
  #error = null;

  start(signal) {
    aging(() => this.#checks?.length && this.update(), signal);
    watch("/v1/health/state/critical", {
      query: { since: "1" },
      tables: ["checks", "services", "nodes"], signal,
      take: (checks) => { this.#checks = (checks ?? []).sort((a, b) => b.ModifyIndex - a.ModifyIndex); this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
  }

  show() {
    const checks = this.#checks ?? [], more = checks.length - SHOWN;
    return h("section", { class: "panel", "aria-label": "Critical now" },
      h("div", { class: "head" }, h("h2", null, "Critical now"), checks.length > 0 && badge("critical", count(checks.length, "check"))), trouble(this.#error),
      !this.#checks ? !this.#error && waiting() : checks.length === 0 ? empty("No check is critical.")
        : h("ul", { class: "lines" }, checks.slice(0, SHOWN).map((check) => h("li", { key: `${check.Node}/${check.CheckID}` },
          h("p", { class: "what" }, h("span", { class: "badge critical", title: "critical" }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS.critical)), h("strong", null, check.Name || check.CheckID),
            check.ServiceName && ["of ", service(check.ServiceName)], "on ", node(check.Node), check.Since && since(check.Since)),
          h("p", { class: "hint one-line", title: check.Output }, check.Output.trim().split("\n", 1)[0] || "no output")))),
      more > 0 && h("p", { class: "hint" }, `${more} more: `, h("a", { href: listed("nodes", "critical") }, "nodes"), " and ", h("a", { href: listed("services", "critical") }, "services"), " that are critical."));
  }
}

/// What just changed. It can be paused to be read; a screen reader is told sums only, and rarely.
class Feed extends Part {
  #began = Date.now();
  #held = null;
  #isLong = false;
  #seen = feed.items[0];
  #summary = "";
  #due = null;

  start(signal) {
    const heard = () => {
      this.#due ??= setTimeout(() => { this.#due = null; this.#sum(); }, SUMMARY_MS);
      this.update();
    };
    feed.listeners.add(heard);
    signal.addEventListener("abort", () => { feed.listeners.delete(heard); clearTimeout(this.#due); this.#due = null; });
    aging(() => feed.items.length && this.update(), signal, 1000);
  }

  #sum() {
    const fresh = this.#after(this.#seen);
    this.#seen = feed.items[0];
    const critical = fresh.filter((change) => change.Is === "critical").length;
    if (!this.#held) this.#summary = `${count(fresh.length, "change")}${critical ? `, ${critical} to critical` : ""}.`;
    this.update();
  }

  /// What came after that change.
  #after(change) {
    const at = feed.items.indexOf(change);
    return at < 0 ? feed.items : feed.items.slice(0, at);
  }

  show() {
    const all = this.#held ?? feed.items, shown = this.#isLong ? all : all.slice(0, SHOWN);
    const waits = this.#held ? this.#after(this.#held[0]).length : 0;
    return h("section", { class: "panel", "aria-label": "Just changed" },
      h("div", { class: "head" }, h("h2", null, "Just changed"), !datacenter() && h("div", { class: "actions" },
        h("button", { type: "button", class: "quiet", onClick: () => { this.#held = this.#held ? null : feed.items; this.update(); } },
          this.#held ? `Go on${waits ? ` (${waits} new)` : ""}` : "Pause"))),
      h("p", { class: "unseen", role: "status", "aria-live": "polite" }, this.#summary),
      datacenter() ? empty(`What changes in ${datacenter()} is told by its own agents only.`)
        : all.length === 0 ? empty("Nothing has changed since this page was opened.")
        : h("ul", { class: "lines" }, shown.map((change) => this.#change(change))),
      all.length > SHOWN && h("p", null, h("button", { type: "button", class: "quiet", "aria-expanded": String(this.#isLong), onClick: () => { this.#isLong = !this.#isLong; this.update(); } },
        this.#isLong ? "Show fewer" : `Show all ${all.length}`)));
  }

  #change(change) {
    // What changes often is told apart by when it came to this page.
    change.key ??= ++Feed.told;
    const isCheck = change.Kind === "check", end = change.Is && MARKS[change.Is] ? badge(change.Is) : h("span", { class: "badge" }, change.Is ?? "gone");
    return h("li", { key: change.key, class: change.at > this.#began ? "fresh" : "" },
      h("p", { class: "what" }, isCheck && change.Was && [badge(change.Was), h("span", { "aria-hidden": "true" }, "→"), h("span", { class: "unseen" }, "to")], isCheck && !change.Was && "new", end,
        isCheck ? [h("strong", null, change.Check || "check"), change.Service && ["of ", service(change.Service)], "on ", node(change.Node)]
          : change.Kind === "service" ? ["service ", service(change.Service), change.ServiceID && change.ServiceID !== change.Service && h("code", null, change.ServiceID), "on ", node(change.Node)] : ["node ", node(change.Node)]),
      h("span", { class: "hint when", title: new Date(change.at).toLocaleTimeString() }, ago(change.at)));
  }
}
Feed.told = 0;

/// The servers. Who may not read the operators' answers is told the leader. Without one nobody answers for all of them, and what
/// was said last stays.
class Servers extends Part {
  #state = null;
  #error = null;

  start(signal) {
    const again = watch("/v1/operator/autopilot/state", {
      pollMs: POLL_MS, signal,
      take: (state) => { this.#state = state; this.#error = null; this.update(); },
      fail: (error) => {
        if (error.status === 403) this.#state = null;
        this.#error = error;
        this.update();
      },
    });
    leader.listen(() => { again(); this.update(); }, signal);
  }

  show() {
    const leading = leader.value;
    if (!this.#state) return panel("Servers", !this.#error ? waiting() : [
      pairs([["Leader", leading === undefined ? null : leading ? h("code", null, leading) : badge("critical", "no leader")]]),
      this.#error.status === 403 ? h("p", { class: "hint" }, "The other servers are shown to tokens with operator:read.") : trouble(this.#error)]);
    const servers = Object.values(this.#state.Servers ?? {}).sort((a, b) => a.Name.localeCompare(b.Name)), may = this.#state.FailureTolerance;
    const leads = (server) => server.Address === (leading ?? this.#state.Servers[this.#state.Leader]?.Address);
    const few = (text) => h("span", { class: "narrow-only" }, `${text} `);
    return h("section", { class: "view", "aria-label": "Servers" },
      h("div", { class: "head" }, h("h2", null, "Servers"), h("p", { class: "sub" }, !this.#state.Healthy && [badge("critical", "not healthy"), " "],
        leading === "" ? "There is no leader now: this is what was said last." : may ? `${count(may, "server")} may fail, and writes go on.` : "No server may fail: writes would stop.")),
      table("Servers", ["Name", "State", "Role", "Address", "Term", "Last index", "Last contact", "Consul version"], servers, (server) => server.ID, (server) => [
        node(server.Name), server.Healthy ? badge("passing", "healthy") : badge("critical", server.NodeStatus === "alive" ? "behind" : server.NodeStatus),
        leads(server) ? h("strong", null, "leader") : server.Status === "leader" ? "voter" : server.Status, h("code", null, server.Address), [few("Term"), server.LastTerm], [few("Index"), server.LastIndex],
        [few("Heard"), !milliseconds(server.LastContact) ? "–" : `${duration(milliseconds(server.LastContact))} ago`], [few("Consul"), server.Version]], "servers"));
  }
}

/// Of a duration as Go writes it: `1m2.5s`, `87ms`.
function milliseconds(text) {
  const units = { h: 3600000, m: 60000, s: 1000, ms: 1, "µs": 0.001, ns: 0.000001 };
  return [...text.matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)].reduce((sum, [, number, unit]) => sum + number * units[unit], 0);
}

/// This agent, and how old its copy of the registry is.
class Agent extends Part {
  start(signal) {
    for (const cell of [agent, freshness, shownIndex]) cell.listen(() => this.update(), signal);
  }

  show() {
    const self = agent.value, isOwn = !datacenter(), { isReachable, knowsLeader, ageMs } = freshness.value;
    return panel("This agent", pairs([
      ["Name", self && (isOwn ? node(self.NodeName) : self.NodeName)], ["Role", self && (self.Server ? "server" : "sidecar")], ["Version", self?.Version], ["Datacenter", self?.Datacenter],
      ["Access control", self && (self.Access ? "on" : "off")],
      ["Its copy", !isOwn ? null : !isReachable ? badge("critical", "it does not answer") : !knowsLeader ? badge("warning", `no leader is known; as of ${duration(ageMs)} ago`)
        : ageMs < 1 ? "as of now" : `as of ${duration(ageMs)} ago`],
      ["At index", isOwn && shownIndex.value ? shownIndex.value : null]]),
    !self && h("p", { class: "hint" }, "It tells this token no more of itself."));
  }
}

/// The datacenters and how far their servers are from those of the one shown, as coordinates tell. One that is known and has no
/// server that answers is lost.
class Datacenters extends Part {
  #list = null;
  #error = null;

  start(signal) {
    watch("/v1/coordinate/datacenters", {
      query: { dc: "" }, pollMs: POLL_MS, signal,
      take: (list) => { this.#list = list ?? []; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    for (const cell of [agent, datacenters, freshness]) cell.listen(() => this.update(), signal);
  }

  show() {
    const own = agent.value?.Datacenter, here = datacenter() || own, servers = (name) => this.#list.find((row) => row.Datacenter === name)?.Coordinates ?? [];
    const isLost = (name) => !servers(name).length || (name === datacenter() && !freshness.value.isAnswering);
    const names = [...new Set([...datacenters.value, ...(this.#list ?? []).map((row) => row.Datacenter)])];
    return panel("Datacenters", trouble(this.#error), !this.#list ? !this.#error && waiting() : h("ul", { class: "lines" }, names.map((name) => {
      const there = servers(name), trip = !here || name === here ? null : roundTripMs(servers(here), there);
      const where = name === here ? h("strong", null, name) : h("a", { href: name === own ? "./" : `./?dc=${encodeURIComponent(name)}` }, name);
      return h("li", { key: name }, h("p", { class: "what" }, where, isLost(name) ? badge("critical", "does not answer") : h("span", { class: "hint" }, count(there.length, "server"))),
        h("span", { class: "hint" }, !here || !there.length ? null : name === here ? "shown here" : trip === null ? "not measured yet" : `${duration(trip)} away`));
    })), names.length > 1 && here && this.#list && h("p", { class: "hint" }, `The median of the round trips between the servers there and those of ${here}, as estimated from their coordinates.`));
  }
}

/// The median of the estimated round trips between two lists of servers; null where nothing was measured.
function roundTripMs(some, others) {
  const measured = (list) => list.filter(({ Coord: coord }) => coord.Error < ERROR_MAX);
  const trips = measured(some).flatMap((one) => measured(others).filter((other) => one.Segment === other.Segment && one.Coord.Vec.length === other.Coord.Vec.length)
    .map((other) => distanceMs(one.Coord, other.Coord))).sort((a, b) => a - b);
  return trips[trips.length >> 1] ?? null;
}

/// Vivaldi: how far the places are from each other, both heights, and both adjustments unless less than nothing would remain.
function distanceMs(a, b) {
  const raw = Math.hypot(...a.Vec.map((place, axis) => place - b.Vec[axis])) + a.Height + b.Height, adjusted = raw + a.Adjustment + b.Adjustment;
  return 1000 * (adjusted > 0 ? adjusted : raw);
}

customElements.define("overview-tiles", Tiles);
customElements.define("overview-critical", Critical);
customElements.define("overview-feed", Feed);
customElements.define("overview-servers", Servers);
customElements.define("overview-agent", Agent);
customElements.define("overview-datacenters", Datacenters);
customElements.define("view-overview", Overview);
