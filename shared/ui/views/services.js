// Services: the list, and one of them with its instances.

import "../lib/check.js";
import { h, Part } from "../lib/dom.js";
import { agent, ask, datacenter, part } from "../lib/api.js";
import { watch } from "../lib/live.js";
import { look, place, to } from "../lib/route.js";
import { badge, choice, counts, empty, field, form, head, line, matches, pairs, panel, search, shell, table, tags, tell, trouble, waiting } from "../lib/parts.js";

const ORDER = { critical: 0, warning: 1, passing: 2 };
const STATES = [["", "All"], ["critical", "Critical"], ["warning", "Warning"], ["passing", "Passing"]];

const byName = new Intl.Collator("en", { numeric: true });

const worst = (row) => (row.ChecksCritical ? "critical" : row.ChecksWarning ? "warning" : "passing");
/// The worst state of an instance's checks.
const state = (checks) => checks.reduce((all, check) => (ORDER[check.Status] < ORDER[all] ? check.Status : all), "passing");

class Services extends Part {
  start(signal) {
    place.listen(() => (place.value.names[0] === "services" ? this.update() : null), signal);
  }

  show() {
    const name = place.value.names[1];
    return name ? h("service-page", { key: name, class: "view", ".name": name }) : h("service-list", { key: "", class: "view" });
  }
}

class ServiceList extends Part {
  #rows = null;
  #error = null;

  start(signal) {
    watch("/v1/internal/ui/services", {
      tables: ["services", "checks", "nodes"], signal,
      take: (rows) => { this.#rows = rows ?? []; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    place.listen(() => this.update(), signal);
  }

  show() {
    const query = place.value.query;
    const filter = query.get("filter") ?? "", wanted = query.get("state") ?? "", sort = query.get("sort") ?? "name";
    const all = this.#rows ?? [];
    const rows = all.filter((row) => (!wanted || worst(row) === wanted) && (!filter || matches(filter, [row.Name, ...(row.Tags ?? [])])));
    if (sort === "state") rows.sort((a, b) => ORDER[worst(a)] - ORDER[worst(b)] || a.Name.localeCompare(b.Name));
    if (sort === "instances") rows.sort((a, b) => b.InstanceCount - a.InstanceCount || a.Name.localeCompare(b.Name));
    return [
      head("Services", { sub: this.#rows && (rows.length === all.length ? `${all.length} ${all.length === 1 ? "service" : "services"}` : `${rows.length} of ${all.length} services`) }),
      h("div", { class: "bar" },
        search(filter, (text) => look({ filter: text }), "Name or tag"),
        choice("State", STATES, wanted, (value) => look({ state: value })),
        choice("Order", [["name", "By name"], ["state", "By state"], ["instances", "By size"]], sort, (value) => look({ sort: value === "name" ? null : value }))),
      trouble(this.#error),
      !this.#rows ? !this.#error && waiting()
        : rows.length === 0 ? empty(all.length ? "No service is like that." : "No service is registered yet, or none that this token may see.")
        : table("Services", ["Name", "State", "Instances", "Checks", "Tags"], rows, (row) => row.Name, (row) => [
          h("a", { href: to("services", row.Name) }, row.Name), badge(worst(row)),
          `${row.InstanceCount} on ${row.Nodes.length} ${row.Nodes.length === 1 ? "node" : "nodes"}`,
          counts(row.ChecksPassing, row.ChecksWarning, row.ChecksCritical), tags(row.Tags),
        ], "services"),
    ];
  }
}

/// The instances by their ID, each with its state and what tells it apart.
function instances(rows) {
  const all = rows.map((row) => ({ ...row, state: state(row.Checks), key: `${row.Node.Node}/${row.Service.ID}` }));
  return all.sort((a, b) => byName.compare(a.Service.ID, b.Service.ID) || byName.compare(a.Node.Node, b.Node.Node));
}

class ServicePage extends Part {
  name = "";
  #rows = null;
  #tags = [];
  #error = null;
  #open = new Set();

  start(signal) {
    watch(`/v1/health/service/${part(this.name)}`, {
      query: { since: "1" },
      tables: ["services", "checks", "nodes"], service: this.name, signal,
      // What takes time for a service of thousands is done when it changes, not as somebody types.
      take: (rows) => { this.#rows = instances(rows ?? []); this.#tags = [...new Set(this.#rows.flatMap((row) => row.Service.Tags))].sort(); this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    for (const cell of [place, agent]) cell.listen(() => this.update(), signal);
  }

  show() {
    const query = place.value.query;
    const filter = query.get("filter") ?? "", wanted = query.get("state") ?? "";
    const all = this.#rows ?? [];
    const count = (status) => all.filter((row) => row.state === status).length;
    const rows = all.filter((row) => (!wanted || row.state === wanted)
      && (!filter || matches(filter, [row.Service.ID, row.Node.Node, row.Service.Address, row.Node.Address, ...row.Service.Tags])));
    return [
      head(this.name, { back: [to("services"), "Services"], sub: this.#rows && [counts(count("passing"), count("warning"), count("critical")), ` of ${all.length} ${all.length === 1 ? "instance" : "instances"} `, tags(this.#tags, 20)] }),
      trouble(this.#error),
      !this.#rows ? !this.#error && waiting() : all.length === 0 ? empty("This service has no instance, or none that this token may see.") : [
        this.#ways(),
        h("div", { class: "bar", key: "bar" }, search(filter, (text) => look({ filter: text }), "Instance, node, address or tag"), choice("State", STATES, wanted, (value) => look({ state: value }))),
        table("Instances", ["Instance", "State", "Address", "Node", "Checks", "Tags"], rows, (row) => row.key, (row) => [
          h("button", { type: "button", class: "quiet", "aria-expanded": String(this.#open.has(row.key)), onClick: () => this.#toggle(row.key) }, this.#open.has(row.key) ? "▾ " : "▸ ", row.Service.ID),
          badge(row.state), h("code", null, `${row.Service.Address || row.Node.Address}:${row.Service.Port}`),
          h("a", { href: to("nodes", row.Node.Node) }, row.Node.Node),
          counts(...["passing", "warning", "critical"].map((status) => row.Checks.filter((check) => check.Status === status).length)),
          tags(row.Service.Tags),
        ], "instances"),
        all.filter((row) => this.#open.has(row.key)).map((row) => this.#instance(row)),
      ],
    ];
  }

  #toggle(key) {
    if (!this.#open.delete(key)) this.#open.add(key);
    this.update();
  }

  /// How others find it.
  #ways() {
    const dc = datacenter(), domain = agent.value?.Domain || "consul", template = agent.value?.DashboardURL;
    const name = `${this.name}.service.${dc ? `${dc}.` : ""}${domain}`;
    return panel("How to find it",
      // What DNS cannot say is nothing to copy to a shell either.
      /^\w([\w-]{0,61}\w)?$/.test(this.name) && line(`dig @127.0.0.1 -p ${agent.value?.DNSPort || 8600} ${name} SRV`),
      line(`curl ${shell(`${location.origin}/v1/health/service/${part(this.name)}?passing${dc ? `&dc=${part(dc)}` : ""}`)}`),
      template && h("p", null, h("a", { href: template.replaceAll("{{Service.Name}}", part(this.name)).replaceAll("{{Datacenter}}", part(dc || agent.value.Datacenter)), rel: "noreferrer" }, "Dashboard of this service")));
  }

  #instance({ Node: node, Service: service, Checks: checks, key }) {
    const weights = service.Weights ?? {};
    return h("section", { class: "panel", key: `open ${key}`, "aria-label": `Instance ${service.ID}` },
      h("div", { class: "head" }, h("h2", null, service.ID), h("div", { class: "actions" }, this.#maintenance(node, service, checks),
        h("button", { type: "button", class: "quiet", onClick: () => this.#toggle(key) }, "Close"))),
      pairs([["Node", h("a", { href: to("nodes", node.Node) }, node.Node)], ["Address", h("code", null, `${service.Address || node.Address}:${service.Port}`)],
        ["Weights", `${weights.Passing} passing, ${weights.Warning} warning`], ["Tags", service.Tags.length ? tags(service.Tags, 50) : null],
        ...Object.entries(service.Meta ?? {}).map(([name, value]) => [`Meta: ${name}`, h("code", null, value)]),
        ["Last changed", `at index ${service.ModifyIndex}`]]),
      checks.map((check) => h("check-row", { key: check.CheckID, ".check": check })));
  }

  #maintenance(node, service, checks) {
    const isIn = checks.some((check) => check.CheckID === `_service_maintenance:${service.ID}`);
    if (datacenter() || node.Node !== agent.value?.NodeName) {
      return h("span", { class: "hint" }, "Maintenance: on its host, ", h("code", null, `lictor maint -${isIn ? "disable" : "enable"} -service=${shell(service.ID)}`));
    }
    if (isIn) return h("button", { type: "button", onClick: () => this.#set(service.ID, false, "") }, "End maintenance");
    return h("button", { type: "button", onClick: () => {
      let reason = "";
      form("Maintenance", () => [h("p", null, `${service.ID} will be critical, and in no answer for healthy instances, until maintenance is ended.`),
        field("Reason", h("input", { type: "text", autofocus: true, onInput: (event) => { reason = event.target.value; } }))],
      () => this.#set(service.ID, true, reason), { action: "Put into maintenance" });
    } }, "Maintenance …");
  }

  async #set(id, enable, reason) {
    try {
      await ask(`/v1/agent/service/maintenance/${part(id)}`, { method: "PUT", query: { enable: String(enable), reason } });
      tell(enable ? `${id} is in maintenance.` : `${id} is out of maintenance.`);
    } catch (error) {
      if (enable) throw error;
      tell(error.message, "critical");
    }
    return true;
  }
}

customElements.define("service-list", ServiceList);
customElements.define("service-page", ServicePage);
customElements.define("view-services", Services);
