// Nodes: the list, and one of them with its checks, services and sessions, and how far it is from the others.

import "../lib/check.js";
import { h, Part } from "../lib/dom.js";
import { agent, ask, datacenter, leader, part } from "../lib/api.js";
import { watch } from "../lib/live.js";
import { go, look, place, to } from "../lib/route.js";
import { badge, choice, confirm, counts, empty, field, form, head, matches, pairs, panel, search, table, tags, tell, trouble, waiting } from "../lib/parts.js";
import "./nodes/distances.js";
import { endSession, ending } from "./sessions.js";

const ORDER = { critical: 0, warning: 1, passing: 2 };
const STATES = [["", "All"], ["critical", "Critical"], ["warning", "Warning"], ["passing", "Passing"]];
const TABLES = ["nodes", "services", "checks"];
/// The checks of a node that are shown before all are asked for.
const MOST_CHECKS = 20;
const MAINTENANCE = "_node_maintenance";

const worst = (row) => (row.ChecksCritical ? "critical" : row.ChecksWarning ? "warning" : "passing");
const state = (checks) => checks.reduce((all, check) => (ORDER[check.Status] < ORDER[all] ? check.Status : all), "passing");
const texts = (meta) => Object.entries(meta ?? {}).filter(([, value]) => value !== "").map(([name, value]) => `${name}:${value}`);
const some = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;
const role = (name) => name && h("span", { class: "badge" }, h("span", { class: "mark", "aria-hidden": "true" }, name === "leader" ? "★" : "●"), name);
/// An address with its port; one of IPv6 goes in brackets.
const socket = (address, port) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);

/// Keeps known who the servers are: `take` is given `leader` or `server` by the names of their nodes.
function followServers(signal, take) {
  let servers = [], areMembers = false;
  const mark = () => take(new Map(servers.map(([name, address]) => [name, address === leader.value ? "leader" : "server"])));
  const know = (found) => { servers = found; mark(); };
  watch("/v1/catalog/service/consul", {
    tables: ["services"], service: "consul", signal,
    take: (rows) => {
      if (rows?.length) return know(rows.map((row) => [row.Node, socket(row.ServiceAddress || row.Address, row.ServicePort)]));
      // Who may not see that service may see the members.
      if (areMembers || datacenter()) return;
      areMembers = true;
      const isServer = (member) => member.Tags.role === "consul";
      watch("/v1/agent/members", { tables: ["nodes"], signal, take: (members) => know(members.filter(isServer).map((member) => [member.Name, socket(member.Addr, member.Tags.port)])) });
    },
  });
  leader.listen(mark, signal);
}

class Nodes extends Part {
  start(signal) {
    place.listen(() => (place.value.names[0] === "nodes" ? this.update() : null), signal);
  }

  show() {
    const name = place.value.names[1];
    return name ? h("node-page", { key: `node ${name}`, class: "view", ".name": name }) : h("node-list", { key: "", class: "view" });
  }
}

class NodeList extends Part {
  #rows = null;
  #error = null;
  #servers = new Map();

  start(signal) {
    watch("/v1/internal/ui/nodes", {
      query: { summary: true }, tables: TABLES, signal,
      take: (rows) => { this.#rows = rows ?? []; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    followServers(signal, (servers) => { this.#servers = servers; this.update(); });
    place.listen(() => this.update(), signal);
  }

  show() {
    const query = place.value.query;
    const filter = query.get("filter") ?? "", wanted = query.get("state") ?? "", sort = query.get("sort") ?? "name";
    const all = this.#rows ?? [];
    const rows = all.filter((row) => (!wanted || worst(row) === wanted)
      && (!filter || matches(filter, [row.Node, row.Address, this.#servers.get(row.Node) ?? "", ...texts(row.Meta)])));
    if (sort === "state") rows.sort((a, b) => ORDER[worst(a)] - ORDER[worst(b)] || a.Node.localeCompare(b.Node));
    if (sort === "services") rows.sort((a, b) => b.Services - a.Services || a.Node.localeCompare(b.Node));
    return [
      head("Nodes", { sub: this.#rows && (rows.length === all.length ? some(all.length, "node") : `${rows.length} of ${some(all.length, "node")}`) }),
      h("div", { class: "bar" },
        search(filter, (text) => look({ filter: text }), "Name, address or key:value"),
        choice("State", STATES, wanted, (value) => look({ state: value })),
        choice("Order", [["name", "By name"], ["state", "By state"], ["services", "By services"]], sort, (value) => look({ sort: value === "name" ? null : value }))),
      trouble(this.#error),
      !this.#rows ? !this.#error && waiting()
        : rows.length === 0 ? empty(all.length ? "No node is like that." : "No node is registered yet, or none that this token may see.")
        : table("Nodes", ["Node", "State", "Address", "Services", "Checks", "Metadata"], rows, (row) => row.Node, (row) => [
          [h("a", { href: to("nodes", row.Node) }, row.Node), " ", role(this.#servers.get(row.Node))], badge(worst(row)), h("code", null, row.Address),
          some(row.Services, "service"), counts(row.ChecksPassing, row.ChecksWarning, row.ChecksCritical), tags(texts(row.Meta)),
        ], "nodes"),
    ];
  }
}

class NodePage extends Part {
  name = "";
  #node;
  #error = null;
  #servers = new Map();
  #sessions = null;
  #sessionError = null;
  #isWhole = false;

  start(signal) {
    watch(`/v1/internal/ui/node/${part(this.name)}`, {
      query: { since: "1" },
      tables: TABLES, node: this.name, signal,
      take: (node) => { this.#node = node; this.#error = null; this.update(); },
      fail: (error) => { this.#error = error; this.update(); },
    });
    watch(`/v1/session/node/${part(this.name)}`, {
      signal,
      take: (rows) => { this.#sessions = rows ?? []; this.#sessionError = null; this.update(); },
      fail: (error) => { this.#sessionError = error; this.update(); },
    });
    followServers(signal, (servers) => { this.#servers = servers; this.update(); });
    for (const cell of [place, agent]) cell.listen(() => this.update(), signal);
  }

  show() {
    const node = this.#node, back = [to("nodes"), "Nodes"];
    if (!node) return [head(this.name, { back }), trouble(this.#error) ?? (node === undefined ? waiting() : empty("There is no node of that name, or none that this token may see."))];
    const checks = node.Checks ?? [], services = node.Services ?? [];
    const count = (status) => checks.filter((check) => check.Status === status).length;
    return [
      head(node.Node, {
        back, sub: [badge(state(checks)), " ", role(this.#servers.get(node.Node)), " ", counts(count("passing"), count("warning"), count("critical")), ` of ${some(checks.length, "check")}, ${some(services.length, "service")}`],
        actions: [this.#maintenance(checks), node.Node !== agent.value?.NodeName && h("button", { type: "button", class: "danger", onClick: () => this.#remove(node) }, "Remove …")],
      }),
      trouble(this.#error),
      h("div", { class: "grid", key: "grid" },
        panel("About", pairs([["Address", h("code", null, node.Address)], ["ID", node.ID && h("code", null, node.ID)],
          ...Object.entries(node.TaggedAddresses ?? {}).map(([name, value]) => [`Address: ${name}`, h("code", null, value)]),
          ...Object.entries(node.Meta ?? {}).map(([name, value]) => [`Meta: ${name}`, value && h("code", null, value)])])),
        h("node-distances", { class: "panel", key: "distances", ".name": node.Node })),
      this.#checks(checks),
      this.#services(node, services, checks),
      this.#locks(),
    ];
  }

  #checks(all) {
    const wanted = place.value.query.get("state") ?? "";
    const checks = all.filter((check) => !wanted || check.Status === wanted)
      .sort((a, b) => ORDER[a.Status] - ORDER[b.Status] || (a.ServiceName ?? "").localeCompare(b.ServiceName ?? "") || a.CheckID.localeCompare(b.CheckID));
    return h("section", { class: "panel", key: "checks", "aria-label": "Checks" },
      h("div", { class: "bar" }, h("h2", null, "Checks"), choice("State", STATES, wanted, (value) => look({ state: value }))),
      !checks.length && empty(all.length ? "No check is like that." : "This node has no check, so it counts as passing."),
      checks.slice(0, this.#isWhole ? checks.length : MOST_CHECKS).map((check) => h("check-row", { key: check.CheckID, ".check": check })),
      checks.length > MOST_CHECKS && h("div", { key: "more" }, h("button", { type: "button", class: "quiet", "aria-expanded": String(this.#isWhole),
        onClick: () => { this.#isWhole = !this.#isWhole; this.update(); } }, this.#isWhole ? "Fewer" : `All ${checks.length} checks`)));
  }

  #services(node, services, checks) {
    return h("section", { class: "view", key: "services", "aria-label": "Services" }, h("h2", null, "Services"),
      !services.length ? empty("No service runs here, or none that this token may see.")
        : table("Services", ["Instance", "State", "Service", "Address", "Tags"], services, (service) => service.ID, (service) => [
          service.ID, badge(state(checks.filter((check) => !check.ServiceID || check.ServiceID === service.ID))), h("a", { href: to("services", service.Service) }, service.Service),
          h("code", null, socket(service.Address || node.Address, service.Port)), tags(service.Tags),
        ], "of-node"));
  }

  #locks() {
    return h("section", { class: "view", key: "sessions", "aria-label": "Sessions" }, h("h2", null, "Sessions"), trouble(this.#sessionError),
      !this.#sessions ? !this.#sessionError && waiting()
        : !this.#sessions.length ? empty("No session of this node, or none that this token may see.")
        : table("Sessions", ["Session", "ID", "At its end", "TTL", "Action"], this.#sessions, (session) => session.ID, (session) => [
          h("a", { href: to("sessions", session.ID) }, session.Name || "(no name)"), h("code", null, session.ID), ending(session), session.TTL || "no TTL",
          h("button", { type: "button", class: "quiet", "aria-label": `End session ${session.Name || session.ID}`, onClick: () => endSession(session) }, "End …"),
        ], "node-sessions"));
  }

  #maintenance(checks) {
    const isIn = checks.some((check) => check.CheckID === MAINTENANCE);
    if (datacenter() || this.#node.Node !== agent.value?.NodeName) {
      // Without an agent there is no command for it.
      return checks.some((check) => check.CheckID === "serfHealth") && h("span", { class: "hint" }, "Maintenance: on its host, ",
        h("code", null, `lictor maint -${isIn ? "disable" : "enable"}`));
    }
    if (isIn) return h("button", { type: "button", onClick: () => this.#set(false).catch((error) => tell(error.message, "critical")) }, "End maintenance");
    return h("button", { type: "button", onClick: () => {
      let reason = "";
      form("Maintenance", () => [h("p", null, `All services of ${this.#node.Node} will be critical, and in no answer for healthy instances, until maintenance is ended.`),
        field("Reason", h("input", { type: "text", autofocus: true, onInput: (event) => { reason = event.target.value; } }))],
      () => this.#set(true, reason), { action: "Put into maintenance" });
    } }, "Maintenance …");
  }

  async #set(enable, reason = "") {
    await ask("/v1/agent/maintenance", { method: "PUT", query: { enable: String(enable), reason } });
    tell(enable ? "This node is in maintenance." : "This node is out of maintenance.");
  }

  async #remove(node) {
    const isAlive = node.Checks?.some((check) => check.CheckID === "serfHealth" && check.Status === "passing");
    const text = `${some(node.Services?.length ?? 0, "service")} and ${some(node.Checks?.length ?? 0, "check")} go with ${node.Node}; its sessions end, and the keys they hold are released or deleted. ${isAlive
      ? "Its agent is alive, and will register it again: stop the agent first." : "An agent of it that is still alive will register it again."}`;
    if (!await confirm("Remove this node?", text, "Remove")) return;
    try {
      await ask("/v1/catalog/deregister", { method: "PUT", body: { Node: node.Node, Datacenter: datacenter() || undefined } });
      tell(`${node.Node} is removed.`);
      go(to("nodes"));
    } catch (error) { tell(error.message, "critical"); }
  }
}

customElements.define("node-list", NodeList);
customElements.define("node-page", NodePage);
customElements.define("view-nodes", Nodes);
