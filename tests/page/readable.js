// What is wrong with the page as it stands, for who cannot see it, or not well: WCAG 2.2 at level AA, as far as a program can
// tell. Gives texts. `arguments[0]`: whether it is zoomed to 400 % (WCAG 1.4.10).

const problems = new Set();
const isZoomed = arguments[0];
const box = [...document.querySelectorAll("dialog[open]")].at(-1);
const root = box ?? document.body;
const said = (node) => {
  const element = node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement;
  const name = [element.localName, element.id && `#${element.id}`, ...[...element.classList].map((each) => `.${each}`)].filter(Boolean).join("");
  return `${name} “${(element.getAttribute("aria-label") ?? element.textContent ?? "").trim().slice(0, 40)}”`;
};
const isVisible = (element) => element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });

// Colours

function parse(text) {
  const numbers = text.match(/-?[\d.]+(?:e-?\d+)?%?/g)?.map(Number) ?? [];
  if (text.startsWith("rgb")) return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
  if (text.startsWith("color(srgb")) return [...numbers.slice(0, 3).map((value) => value * 255), numbers[3] ?? 1];
  problems.add(`a colour that the test does not know: ${text}`);
  return [0, 0, 0, 1];
}

const over = (top, below) => { const alpha = top[3]; return [0, 1, 2].map((at) => top[at] * alpha + below[at] * (1 - alpha)).concat(1); };

/// What is behind a text: all grounds on the way up to the first that hides what is behind it.
function ground(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const style = getComputedStyle(at), colour = parse(style.backgroundColor);
    if (style.backgroundImage !== "none") problems.add(`${said(at)}: a picture is behind a text`);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1 || at.localName === "dialog") break;
  }
  return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
}

function luminance(colour) {
  const [red, green, blue] = colour.slice(0, 3).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function demand(what, colour, element, least) {
  const behind = ground(element);
  let opacity = 1;
  for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
  const found = contrast(over([colour[0], colour[1], colour[2], colour[3] * opacity], behind), behind);
  if (found < least) problems.add(`${what} of ${said(element)}: contrast ${found.toFixed(2)}, not ${least} (${colour.map(Math.round)} on ${behind.map(Math.round)})`);
}

const isDisabled = (element) => element.closest(":disabled, [aria-disabled='true']");
const least = (style) => { const size = parseFloat(style.fontSize); return size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5; };

for (const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT); walker.nextNode();) {
  const text = walker.currentNode, element = text.parentElement;
  if (!text.data.trim() || !isVisible(element) || isDisabled(element) || (!box && element.closest("dialog"))) continue;
  if (["SCRIPT", "STYLE", "NOSCRIPT", "OPTION", "TEXTAREA", "TITLE", "title"].includes(element.nodeName)) continue;
  const { width, height } = element.getBoundingClientRect();
  if (width <= 1 || height <= 1) continue;
  const style = getComputedStyle(element);
  demand("text", parse(style.color), element, least(style));
}

for (const element of root.querySelectorAll("input, textarea, select")) {
  if (!isVisible(element) || isDisabled(element)) continue;
  const style = getComputedStyle(element), colour = parse(style.color);
  // Where it is not to be seen, its text is drawn behind it in colours, and those are looked at above.
  if (element.value && colour[3] > 0) demand("value", colour, element, 4.5);
  if (element.placeholder && !element.value) demand("placeholder", parse(getComputedStyle(element, "::placeholder").color), element, 4.5);
  // What shows where to click or type (WCAG 1.4.11), unless its surroundings do.
  if (parseFloat(style.borderTopWidth) > 0) demand("border", parse(style.borderTopColor), element.parentElement, 3);
}
for (const line of root.querySelectorAll("svg path.line")) if (isVisible(line)) demand("line", parse(getComputedStyle(line).stroke), line.closest("svg").parentElement, 3);

// Structure

if (!document.documentElement.lang) problems.add("the language is not told");
if (!document.title.includes("Lictor") || document.title.includes("undefined")) problems.add(`the title is ${document.title}`);
const headings = [...root.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter((each) => isVisible(each) && (box || !each.closest("dialog"))).map((each) => [Number(each.localName[1]), each]);
if (!headings.length || headings[0][0] !== (box ? 2 : 1)) problems.add(`the first heading is ${headings.length ? said(headings[0][1]) : "none"}`);
if (!box && headings.filter(([level]) => level === 1).length !== 1) problems.add("there is not one h1");
headings.forEach(([level, each], at) => {
  if (at && level > headings[at - 1][0] + 1) problems.add(`the heading ${said(each)} skips a level`);
  if (!each.textContent.trim()) problems.add("a heading is empty");
});
for (const image of root.querySelectorAll("img")) if (!image.hasAttribute("alt")) problems.add(`${said(image)}: no alt`);
const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.add(`the ID ${id} is there twice`);
for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
  for (const each of root.querySelectorAll(`[${name}]`)) for (const id of each.getAttribute(name).split(/\s+/)) if (!document.getElementById(id)) problems.add(`${said(each)}: ${name} leads nowhere`);
}
const PARENTS = { row: "table, rowgroup, presentation", cell: "row", columnheader: "row", rowgroup: "table" };
for (const [role, parents] of Object.entries(PARENTS)) {
  for (const each of root.querySelectorAll(`[role=${role}]`)) if (!parents.split(", ").includes(each.parentElement.getAttribute("role"))) problems.add(`${said(each)}: a ${role} in no ${parents}`);
}

// Controls

const controls = [...root.querySelectorAll("a[href], button, input, textarea, select, summary, [tabindex='0']")].filter((each) => isVisible(each) && (box || !each.closest("dialog")) && !each.classList.contains("skip"));
for (const each of controls) {
  const isLabelled = each.getAttribute("aria-label")?.trim() || each.getAttribute("aria-labelledby") || (each.labels?.length && each.labels[0].textContent.trim());
  if (/^(input|textarea|select)$/.test(each.localName) ? !isLabelled : !isLabelled && !each.textContent.trim()) problems.add(`${said(each)}: no name`);
  if (/^\s*$/.test(each.textContent) && each.localName === "button" && !isLabelled) problems.add(`${said(each)}: no text`);
  if (each.tabIndex > 0) problems.add(`${said(each)}: a tabindex above 0`);
  const { width, height } = each.getBoundingClientRect();
  // WCAG 2.5.8; links in a text or a row are excepted, and what a label is a part of.
  if (/^(button|select|textarea)$/.test(each.localName) && (width < 24 || height < 24)) problems.add(`${said(each)}: ${Math.round(width)} by ${Math.round(height)} px is too small`);
}
for (const each of root.querySelectorAll("pre, .options, .trips")) {
  if (isVisible(each) && each.scrollHeight > each.clientHeight + 1 && each.getAttribute("aria-hidden") !== "true" && each.tabIndex < 0 && !each.querySelector("a, button, input")) problems.add(`${said(each)}: it scrolls, and no key does it`);
}

// At 400 %

if (document.documentElement.scrollWidth > innerWidth) {
  const out = [...root.querySelectorAll("*")].filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && isVisible(each));
  problems.add(`it is ${document.documentElement.scrollWidth} px wide, and ${innerWidth} are there: ${out.slice(0, 3).map(said).join(", ")}`);
}
if (isZoomed) {
  const scroller = box ?? document.documentElement;
  for (const each of controls.slice(0, 60)) {
    if (!each.isConnected || isDisabled(each)) continue;
    each.scrollIntoView({ block: each.offsetHeight > innerHeight / 2 ? "start" : "center", inline: "nearest", behavior: "instant" });
    const { left, top, width, height } = each.getBoundingClientRect();
    if (!each.isConnected || !width) continue;
    const found = document.elementFromPoint(left + Math.min(width, innerWidth) / 2, top + Math.min(height, 40) / 2);
    if (left < -1 || left + Math.min(width, 24) > innerWidth + 1) problems.add(`${said(each)}: out of sight at 400 %`);
    else if (!found || !(each.contains(found) || found.contains(each) || each.labels?.[0]?.contains(found))) problems.add(`${said(each)}: ${found ? said(found) : "nothing"} is over it at 400 %`);
  }
  scroller.scrollTo({ top: 0, behavior: "instant" });
}
return [...problems];
