"""Three servers, of which one leads: the page of a sidecar shows another one as soon as the sidecar knows it, who has failed, and that
the sidecar itself says nothing any more."""

import os
import signal
import threading
import time

from steps import figure, step

# The longest from when the agent knows it until the page shows it, in seconds, and how often it is tried.
LIMIT = 1.0
TRIES = 3
# The longest until the agent knows it.
KNOWN_LIMIT = 30
# The longest until silence is taken for an end: the stream tells something every second.
SILENCE_LIMIT = 5

# The name of who leads, where it is another than that one.
IN_TABLE = """const row = [...document.querySelectorAll('overview-servers virtual-rows .row')].find((row) => row.children[2].innerText === 'leader');
const name = row?.querySelector('a').innerText; return name !== arguments[0] && name;"""
IN_LIST = """const row = [...document.querySelectorAll('node-list virtual-rows .row')].find((row) => row.innerText.includes('leader'));
const name = row?.querySelector('a').innerText; return name !== arguments[0] && name;"""
SAYS = "return document.querySelector('header.top').innerText.includes(arguments[0])"
FAILED = "return [...document.querySelectorAll('overview-servers virtual-rows .row')].some((row) => row.innerText.includes(arguments[0]) && row.querySelector('.badge.critical'))"


# How many requests of a kind there were at once, at most; kept from when this runs.
COUNTING = """const plain = window.fetch, now = {}; witness.most = {};
window.fetch = async (...given) => {
  const path = new URL(given[0], location.origin).pathname;
  now[path] = (now[path] ?? 0) + 1;
  witness.most[path] = Math.max(witness.most[path] ?? 0, now[path]);
  try { return await plain.apply(window, given); } finally { now[path] -= 1; }
};"""


class Known(threading.Thread):
    """Asks the agent until `is_known` says so; `at` is when that was."""

    def __init__(self, is_known):
        super().__init__(daemon=True)
        self.is_known, self.at = is_known, None
        self.start()

    def run(self):
        began = time.monotonic()
        while time.monotonic() - began < KNOWN_LIMIT:
            try:
                if self.is_known():
                    self.at = time.monotonic()
                    return
            except AssertionError:
                pass
            time.sleep(0.01)

    def later(self, seen):
        """How much later it was seen."""
        self.join()
        assert self.at, "the agent does not know it in time"
        return seen - self.at


def silent(page, process):
    """The agent's sockets are open, and nothing comes back."""
    with step("leader: an agent that says nothing is said to, and is not asked twice", page):
        page.open()
        page.sees("server-1", "overview-servers")
        page.js(COUNTING)
        os.kill(process, signal.SIGSTOP)
        began = time.monotonic()
        try:
            page.wait("it is said", SAYS, "This agent does not answer", limit=SILENCE_LIMIT)
            figure("that an agent is silent is said, s", f"{time.monotonic() - began:.2f}")
            page.driver.execute_async_script("setTimeout(arguments[0], 4000)")
        finally:
            os.kill(process, signal.SIGCONT)
        page.wait("it is live", SAYS, "Live", limit=LIMIT + 1)
        most = page.js("return witness.most")
        # What tells whether the agent is there is given up and asked anew.
        assert all(count == 1 for path, count in most.items() if not path.endswith("/changes")) and len(most) > 3, most


def everything(page, agent, servers, process):
    """`agent`, whose process that is, serves the page; `servers` have a `name`, an `address` (RPC) and a `process` each."""
    silent(page, process)
    by_address = {server["address"]: server for server in servers}

    def leading():
        return by_address.get(agent.get("/v1/status/leader"))

    def see(what, path, script, change, limit):
        page.go(path)
        before = leading()["name"]
        page.wait("the present leader is shown", script.replace("!==", "==="), before)
        known = Known(lambda: leading() not in (None, by_name[before]))
        change()
        name = page.wait("another leader", script, before, limit=KNOWN_LIMIT)
        later = known.later(time.monotonic())
        assert name == leading()["name"], f"{name} is shown, and {leading()['name']} leads"
        assert later < limit, f"{what}: {later:.2f} s after the agent knew it"
        return later

    by_name = {server["name"]: server for server in servers}
    page.open()
    for what, path, script in [("the overview", "", IN_TABLE), ("the nodes", "nodes", IN_LIST)]:
        with step(f"leader: another one is seen in {what}", page, provoking=["nobody leads"]):
            for attempt in range(1, TRIES + 1):
                try:
                    later = see(what, path, script, lambda: agent.ask("POST", "/v1/operator/raft/transfer-leader"), LIMIT)
                    figure(f"another leader is seen in {what}, s", f"{later:.2f} after the agent knows it")
                    break
                except AssertionError:
                    if attempt == TRIES:
                        raise
    with step("leader: its end and the next one are seen", page, provoking=["nobody leads"]):
        page.go("")
        dead = leading()
        known = Known(lambda: not next(row for row in agent.get("/v1/operator/autopilot/state")["Servers"].values() if row["Name"] == dead["name"])["Healthy"])
        later = see("the overview", "", IN_TABLE, lambda: os.kill(dead["process"], signal.SIGKILL), 1.5 * LIMIT)
        figure("the leader after one that was killed is seen, s", f"{later:.2f} after the agent knows it")
        page.wait(f"{dead['name']} has failed", FAILED, dead["name"], limit=KNOWN_LIMIT)
        later = known.later(time.monotonic())
        figure("that a server has failed is seen, s", f"{later:.2f} after the agent knows it")
        assert later < 1.5 * LIMIT, later
    with step("leader: that there is none is said", page, provoking=["nobody leads"]):
        known = Known(lambda: leading() is None)
        other = next(server for server in servers if server is not dead)
        os.kill(other["process"], signal.SIGKILL)
        page.wait("it is said", SAYS, "No leader", limit=KNOWN_LIMIT)
        figure("that there is no leader is said, s", f"{known.later(time.monotonic()):.2f} after the agent knows it")
        page.sees(dead["name"])
        page.sees("There is no leader now")
