// How far a node is from the others: round-trip times as its network coordinates (Vivaldi) have them.

import { h, Part } from "../../lib/dom.js";
import { watch } from "../../lib/live.js";
import { to } from "../../lib/route.js";
import { duration, empty, trouble, waiting } from "../../lib/parts.js";

/// How often the coordinates are asked for, in ms: they move slowly, and all nodes' are in the answer.
const EVERY_MS = 60000;
const BARS = 40;
const HEIGHT = 48;
/// The others that are listed before all are asked for.
const MOST = 6;
/// Coordinates with an error like that were hardly measured yet; it starts at 1.5.
const ROUGH = 1;

/// The time to the other and back, in ms, as Consul reckons it.
function distance(one, other) {
  const flat = Math.hypot(...one.Vec.map((value, index) => value - other.Vec[index])) + one.Height + other.Height;
  const adjusted = flat + one.Adjustment + other.Adjustment;
  return (adjusted > 0 ? adjusted : flat) * 1000;
}

class Distances extends Part {
  name = "";
  #rows = null;
  #error = null;
  #isWhole = false;

  start(signal) {
    watch("/v1/coordinate/nodes", {
      pollMs: EVERY_MS, signal,
      take: (rows) => { this.#rows = rows ?? []; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
  }

  show() {
    return [h("h2", null, "Round trips"), trouble(this.#error), this.#rows ? this.#trips() : !this.#error && waiting()];
  }

  #trips() {
    const own = this.#rows.find((row) => row.Node === this.name);
    if (!own) return empty("This node has no coordinates: its agent has told none, or it has no agent.");
    const trips = this.#rows.filter((row) => row.Node !== this.name && row.Segment === own.Segment)
      .map((row) => ({ name: row.Node, ms: distance(own.Coord, row.Coord) })).sort((a, b) => a.ms - b.ms);
    if (!trips.length) return empty("No other node has coordinates yet.");
    const longest = trips.at(-1).ms, median = trips[Math.floor(trips.length / 2)].ms;
    return [
      h("p", { class: "hint" }, `Estimated to ${trips.length} other ${trips.length === 1 ? "node" : "nodes"}; half are within ${duration(median)}.`,
        own.Coord.Error >= ROUGH && " This node has hardly measured yet: take it as rough."),
      h("div", null, histogram(trips, longest, median), h("div", { class: "scale hint", "aria-hidden": "true" }, h("span", null, "0"), h("span", null, duration(longest)))),
      h("ol", { class: "trips" }, trips.slice(0, this.#isWhole ? trips.length : MOST).map(({ name, ms }) =>
        h("li", { key: name }, h("a", { href: to("nodes", name) }, name), h("span", null, duration(ms))))),
      trips.length > MOST && h("div", null, h("button", { type: "button", class: "quiet", "aria-expanded": String(this.#isWhole), onClick: () => { this.#isWhole = !this.#isWhole; this.update(); } },
        this.#isWhole ? "Only the nearest" : `All ${trips.length}, the nearest first`)),
    ];
  }
}

/// How many nodes there are at each distance; a line where half of them are nearer.
function histogram(trips, longest, median) {
  const bars = Array(BARS).fill(0);
  const place = (ms) => (longest > 0 ? ms / longest : 0);
  for (const { ms } of trips) bars[Math.min(BARS - 1, Math.floor(place(ms) * BARS))] += 1;
  const most = Math.max(...bars);
  return h("svg", { class: "histogram", viewBox: `0 0 ${BARS * 10} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Round trips from ${duration(trips[0].ms)} to ${duration(longest)}, half of them within ${duration(median)}` },
    bars.map((count, index) => count > 0 && h("rect", { key: index, x: index * 10 + 1, width: 8, y: HEIGHT - Math.max(3, count / most * HEIGHT), height: Math.max(3, count / most * HEIGHT) },
      h("title", null, `${count} within ${duration((index + 1) / BARS * longest)}`))),
    h("line", { x1: place(median) * BARS * 10, x2: place(median) * BARS * 10, y1: 0, y2: HEIGHT }));
}

customElements.define("node-distances", Distances);
