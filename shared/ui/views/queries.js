// Prepared queries: the list, and one of them: what it says, what it answers, and what a template makes of a name.

import { h, Part } from "../lib/dom.js";
import { agent, ask, datacenter, part } from "../lib/api.js";
import { watch } from "../lib/live.js";
import { go, look, place, to } from "../lib/route.js";
import { badge, confirm, duration, empty, field, head, line, matches, pairs, panel, search, table, tags, tell, trouble, waiting } from "../lib/parts.js";
import { edit, hasHiddenToken } from "./queries/edit.js";

const ORDER = { critical: 0, warning: 1, passing: 2 };
const state = (checks) => (checks ?? []).reduce((all, check) => (ORDER[check.Status] < ORDER[all] ? check.Status : all), "passing");

const isTemplate = (query) => Boolean(query.Template?.Type);
const title = (query) => (query.Name ? query.Name + (isTemplate(query) ? "*" : "") : isTemplate(query) ? "*" : query.ID);
const texts = (meta) => Object.entries(meta ?? {}).map(([name, value]) => `${name}:${value}`);
const listed = (list) => (list?.length ? tags(list, 50) : null);
/// What stands for a service in a template is none yet.
const serviceLink = (name) => (!name || name.includes("${") ? name : h("a", { href: to("services", name) }, name));
const NEAR = { __proto__: null, _agent: "the agent that is asked", _ip: "the address that asks" };

/// Where it is asked when nothing is here, in words.
function failover({ NearestN: nearest, Datacenters: datacenters, Targets: targets } = {}) {
  return [nearest && (nearest === 1 ? "the nearest datacenter" : `the ${nearest} nearest datacenters`), ...(datacenters ?? []),
    ...(targets ?? []).map((target) => target.Datacenter || `peer ${target.Peer}`)].filter(Boolean).join(", then ");
}

/// All that a query says.
function definition(query) {
  const service = query.Service ?? {}, template = query.Template ?? {};
  return pairs([
    ["Service", serviceLink(service.Service)], ["Tags", listed(service.Tags)],
    ["Instances", service.OnlyPassing ? "only those whose checks all pass" : "all but those with a critical check"], ["Checks ignored", listed(service.IgnoreCheckIDs)],
    ["Node metadata", listed(texts(service.NodeMeta))], ["Service metadata", listed(texts(service.ServiceMeta))], ["Service mesh", service.Connect && "only instances in it"],
    ["Nearest to", service.Near && (NEAR[service.Near] ?? h("code", null, service.Near))], ["If there is none", failover(service.Failover)], ["DNS TTL", query.DNS?.TTL],
    ["Template", isTemplate(query) && (query.Name ? `for names that begin with ${query.Name}` : "for all names")], ["Regular expression", template.Regexp && h("code", null, template.Regexp)],
    ["Empty tags", isTemplate(query) && (template.RemoveEmptyTags ? "are taken away" : "stay")],
    ["Answers by", query.Token ? hasHiddenToken(query) ? "the rights of its own token, which is not shown" : "the rights of its own token" : "the rights of who asks"],
    ["Ends with", query.Session && h("a", { href: to("sessions", query.Session) }, `session ${query.Session}`)],
    ["ID", h("code", null, query.ID)], ["Last changed", `at index ${query.ModifyIndex}`],
  ].filter(([, value]) => value));
}

async function open(query) {
  const id = await edit(query);
  if (id && !query) go(to("queries", id));
}

class Queries extends Part {
  start(signal) {
    place.listen(() => (place.value.names[0] === "queries" ? this.update() : null), signal);
  }

  show() {
    const id = place.value.names[1];
    return id ? h("query-page", { key: id, class: "view", ".query": id }) : h("query-list", { key: "", class: "view" });
  }
}

class QueryList extends Part {
  #rows = null;
  #error = null;

  start(signal) {
    watch("/v1/query", {
      tables: ["queries"], signal,
      take: (rows) => { this.#rows = rows ?? []; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    place.listen(() => this.update(), signal);
  }

  show() {
    const filter = place.value.query.get("filter") ?? "";
    const all = this.#rows ?? [];
    const rows = all.filter((row) => !filter || matches(filter, [row.Name, row.ID, row.Service?.Service ?? "", ...(row.Service?.Tags ?? [])]));
    rows.sort((a, b) => a.Name.localeCompare(b.Name) || a.ID.localeCompare(b.ID));
    return [
      head("Prepared queries", {
        sub: this.#rows && (rows.length === all.length ? `${all.length} ${all.length === 1 ? "query" : "queries"}` : `${rows.length} of ${all.length} queries`),
        actions: h("button", { type: "button", class: "primary", onClick: () => open(null) }, "New query …"),
      }),
      h("div", { class: "bar" }, search(filter, (text) => look({ filter: text }), "Name, ID, service or tag")),
      trouble(this.#error),
      !this.#rows ? !this.#error && waiting()
        : rows.length === 0 ? empty(all.length ? "No query is like that." : "There is no prepared query yet, or none that this token may see.")
        : table("Prepared queries", ["Query", "Kind", "Service", "Instances", "Tags", "If there is none"], rows, (row) => row.ID, (row) => [
          h("a", { href: to("queries", row.ID) }, title(row)), isTemplate(row) ? "template" : row.Name ? "by name" : "by ID", serviceLink(row.Service?.Service),
          row.Service?.OnlyPassing ? "passing" : "not critical", tags(row.Service?.Tags), failover(row.Service?.Failover) || "–",
        ], "queries"),
    ];
  }
}

class QueryPage extends Part {
  query = "";
  #row;
  #error = null;
  #limit = "";
  #near = "";
  #isAsking = false;
  /// The last answer: `{ kind, name, body, ms }`, or what went wrong.
  #answer = null;
  #answerError = null;

  start(signal) {
    watch(`/v1/query/${part(this.query)}`, {
      tables: ["queries"], signal,
      take: (rows) => { this.#row = rows?.[0] ?? null; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    for (const cell of [place, agent]) cell.listen(() => this.update(), signal);
  }

  show() {
    const row = this.#row, back = [to("queries"), "Queries"];
    if (!row) return [head(this.query, { back }), trouble(this.#error) ?? (row === undefined ? waiting() : empty("There is no query with that ID, or this token may not see it."))];
    return [
      head(title(row), { back, sub: isTemplate(row) ? "A template" : row.Name ? "" : "A query without a name", actions: [
        h("button", { type: "button", onClick: () => open(row) }, "Edit …"), h("button", { type: "button", class: "danger", onClick: () => this.#delete(row) }, "Delete …")] }),
      trouble(this.#error),
      panel("What it says", definition(row), h("details", { key: "json" }, h("summary", null, "As JSON"), h("pre", { tabindex: "0", "aria-label": "As JSON" }, JSON.stringify(row, null, 2)))),
      this.#ask(row),
    ];
  }

  #ask(row) {
    const isFor = isTemplate(row), name = place.value.query.get("name") ?? "", dc = datacenter();
    const asked = isFor ? name || `${row.Name}NAME` : row.Name || row.ID;
    return h("section", { class: "panel", key: "ask", "aria-label": "What it answers" }, h("h2", null, "What it answers"),
      // Keyed, as the line for DNS comes and goes while a name is typed: what DNS cannot say is nothing to copy to a shell either.
      h("div", { class: "ways", key: "lines" },
        /^\w[\w.-]*$/.test(asked) && line(`dig @127.0.0.1 -p ${agent.value?.DNSPort || 8600} ${asked}.query.${dc ? `${dc}.` : ""}${agent.value?.Domain || "consul"} SRV`),
        line(`curl '${location.origin}/v1/query/${part(asked).replaceAll("'", "%27")}/execute${dc ? `?dc=${part(dc).replaceAll("'", "%27")}` : ""}'`)),
      h("form", { class: "asking", key: "asking", onSubmit: (event) => { event.preventDefault(); this.#run("execute", row); } },
        isFor && field("Name to ask for", h("input", { type: "text", required: true, value: name, placeholder: `${row.Name}…`, autocomplete: "off", spellcheck: "false",
          onInput: (event) => look({ name: event.target.value }) })),
        field("At most", h("input", { type: "number", min: "1", placeholder: "all", onInput: (event) => { this.#limit = event.target.value; } })),
        field("Nearest to", h("input", { type: "text", placeholder: "as it says", autocomplete: "off", spellcheck: "false", onInput: (event) => { this.#near = event.target.value; } })),
        h("div", { class: "actions" }, h("button", { type: "submit", class: "primary", disabled: this.#isAsking }, "Execute"),
          isFor && h("button", { type: "button", disabled: this.#isAsking, onClick: (event) => { if (event.target.form.reportValidity()) this.#run("explain", row); } }, "Explain"))),
      trouble(this.#answerError),
      h("div", { role: "status", key: "answer" }, this.#isAsking ? "Asking …" : this.#answer && h("p", null, this.#sentence())),
      this.#answer?.kind === "explain" && definition(this.#answer.body.Query),
      this.#answer?.kind === "execute" && this.#answer.body.Nodes.length > 0 && table("Instances", ["Instance", "State", "Address", "Node", "Tags"], this.#answer.body.Nodes,
        (each) => `${each.Node.Node}/${each.Service.ID}`, (each) => [
          each.Service.ID, badge(state(each.Checks)), h("code", null, `${each.Service.Address || each.Node.Address}:${each.Service.Port}`),
          h("a", { href: to("nodes", each.Node.Node) }, each.Node.Node), tags(each.Service.Tags),
        ], "of-node"));
  }

  #sentence() {
    const { kind, name, body, ms } = this.#answer;
    if (kind === "explain") return `What ${name} leads to:`;
    const count = body.Nodes.length, isFar = body.Failovers > 0;
    return `${count || "No"} ${count === 1 ? "instance" : "instances"} of ${body.Service} in ${body.Datacenter}, in ${duration(ms)}; ${isFar
      ? `${body.Failovers} ${body.Failovers === 1 ? "failover" : "failovers"}` : "no failover"}${body.DNS?.TTL ? `; DNS TTL ${body.DNS.TTL}` : ""}.`;
  }

  async #run(kind, row) {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#answerError = null;
    this.update();
    const name = isTemplate(row) ? place.value.query.get("name") ?? "" : row.ID;
    try {
      const began = performance.now();
      const { body } = await ask(`/v1/query/${part(name)}/${kind}`, { query: kind === "execute" ? { limit: this.#limit, near: this.#near.trim() } : {} });
      this.#answer = { kind, name, body, ms: performance.now() - began };
    } catch (error) { this.#answerError = error; this.#answer = null; }
    this.#isAsking = false;
    this.update();
  }

  async #delete(row) {
    if (!await confirm("Delete this query?", `${title(row)} is answered no more, by HTTP nor by DNS.`)) return;
    try {
      await ask(`/v1/query/${part(row.ID)}`, { method: "DELETE" });
      tell(`${title(row)} is deleted.`);
      go(to("queries"));
    } catch (error) { tell(error.message, "critical"); }
  }
}

customElements.define("query-list", QueryList);
customElements.define("query-page", QueryPage);
customElements.define("view-queries", Queries);
