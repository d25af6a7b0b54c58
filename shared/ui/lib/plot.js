// A small plot of numbers over time: lines, and beside them in words what they are at, and between what they were.

import { h } from "./dom.js";

const WIDTH = 300, HEIGHT = 64;
/// Two points that are further apart are not joined: nothing was read in between, in ms.
const GAP_MS = 7000;

/// The least of 1, 2, 5, 10, 20, ... that is not less; of 1, 2, 4, ... if it counts bytes.
function round(value, isBinary) {
  if (isBinary) return 2 ** Math.ceil(Math.log2(value));
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9), times = value / power;
  return power * (times <= 1.000001 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

/// Describes a plot. `lines` are `{ name, kind, values }`, a value (null: none) for each of `times`; `show` puts a value in
/// words; the scale ends at `floor` or above, so that what rests looks so; `isSum`: it is about the lines together. What is `from` to
/// `until` is drawn; `at`, a moment, is marked and told instead of the latest one; `onLook(moment)` is told where the pointer is, null
/// when it leaves.
export function plot(title, { lines, times, show, floor, isBinary, isSum, note, from, until, at, onLook }) {
  const first = Math.max(0, times.findIndex((time) => time >= from));
  const told = at == null ? times.length - 1 : nearest(times, at);
  const inSight = lines.map(({ values }) => values.slice(first).filter((value) => value != null));
  const top = round(Math.max(floor, ...inSight.map((values) => values.reduce((most, value) => Math.max(most, value), 0))), isBinary);
  const x = (time) => (((time - from) / (until - from)) * WIDTH).toFixed(1), y = (value) => (HEIGHT - 1.5 - (value / top) * (HEIGHT - 4)).toFixed(1);
  const word = (value) => (value == null ? "–" : show(value));
  const range = (values) => (values.length ? [...new Set([Math.min(...values), Math.max(...values)].map(show))].join(" to ") : "nothing yet");
  const now = lines.map(({ values }) => word(values[told]));
  const whole = isSum ? word(lines.reduce((sum, { values }) => (sum == null || values[told] == null ? null : sum + values[told]), 0)) : now[0];
  const look = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    onLook(from + ((event.clientX - box.left) / box.width) * (until - from));
  };
  return h("section", { class: "panel plot", key: title, "aria-label": title },
    h("div", { class: "head" }, h("h2", null, title), h("span", { class: "big" }, whole)),
    h("div", { class: "drawing" }, h("span", { class: "scale", "aria-hidden": "true" }, show(top)),
      h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", onPointerMove: look, onPointerLeave: () => onLook(null),
        "aria-label": `${title}: ${lines.map(({ name }, index) => `${name} ${now[index]}, in the last five minutes ${range(inSight[index])}`).join("; ")}` },
      [0.5, HEIGHT - 0.5].map((place) => h("path", { class: "rule", d: `M0 ${place}H${WIDTH}` })),
      lines.map(({ kind, values }, index) => {
        // What is worth a colour and does not happen is no line along the ground.
        if (kind && !inSight[index].some((value) => value > 0)) return null;
        const pieces = joined(times, values, first);
        const way = (piece) => piece.map((place) => `${x(times[place])} ${y(values[place])}`).join("L");
        return h("g", { class: kind ?? "" },
          index === 0 && h("path", { class: "area", d: pieces.filter((piece) => piece.length > 1).map((piece) => `M${x(times[piece[0]])} ${HEIGHT}L${way(piece)}L${x(times[piece.at(-1)])} ${HEIGHT}Z`).join("") }),
          h("path", { class: "line", d: pieces.map((piece) => `M${way(piece)}${piece.length > 1 ? "" : "h0.01"}`).join("") }));
      }),
      at != null && h("path", { class: "marked", d: `M${x(at)} 0V${HEIGHT}` }))),
    h("ul", { class: "legend" }, lines.map(({ name, kind }, index) => h("li", { key: name },
      h("svg", { viewBox: "0 0 18 8", width: "18", height: "8", "aria-hidden": "true" }, h("g", { class: kind ?? "" }, h("path", { class: "line", d: "M1 4H17" }))),
      h("span", null, name), h("span", { class: "now" }, now[index]), h("span", { class: "hint" }, range(inSight[index]))))),
    note && h("p", { class: "hint" }, note));
}

/// The places of the values from `first` on, in pieces that are joined.
function joined(times, values, first) {
  const pieces = [];
  for (let place = first; place < times.length; place++) {
    if (values[place] == null) continue;
    const isNext = place > first && values[place - 1] != null && times[place] - times[place - 1] < GAP_MS;
    if (isNext) pieces.at(-1).push(place);
    else pieces.push([place]);
  }
  return pieces;
}

function nearest(times, at) {
  let found = -1;
  times.forEach((time, place) => { if (Math.abs(time - at) < Math.min(GAP_MS, found < 0 ? Infinity : Math.abs(times[found] - at))) found = place; });
  return found;
}
