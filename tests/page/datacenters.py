"""The page of an agent in datacenter `one` shows datacenter `two`: everything of it, as it changes, and when it is lost."""

import os
import signal
import time

from live import seeing, told
from steps import figure, step

NAME = "two"
# The longest until the page says what its agent knows, in seconds, and until the agent knows it.
LIMIT = 1.5
KNOWN_LIMIT = 20

# Links within the page that lead out of the datacenter that is shown, but for those that shall.
STRAYING = """return [...document.querySelectorAll('a[href]')].filter((link) => !link.hash && link.pathname.startsWith(new URL(document.baseURI).pathname)
  && !link.closest('overview-datacenters') && new URL(link.href).searchParams.get('dc') !== arguments[0]).map((link) => link.href)"""
WHERE = "return document.querySelector('select.where')?.value === arguments[0]"
SAYS = "return document.querySelector('header.top').innerText.includes(arguments[0])"


def fill(far):
    for number in range(1, 4):
        check = {"CheckID": "service:ledger", "Name": "HTTP ledger", "ServiceID": f"ledger-{number}", "Status": "passing", "Output": "200 OK"}
        far.register(f"far-{number}", {"Service": "ledger", "ID": f"ledger-{number}", "Port": 9000}, [check], Address=f"198.51.100.{number}")
    far.put("/v1/kv/limits/daily", b"25000")
    session, query = far.session(Name="nightly run"), far.query({"Name": "ledger-any", "Service": {"Service": "ledger"}})
    return [("", "Overview", "Critical now"), ("services", "Services", "ledger"), ("services/ledger", "ledger", "ledger-2"), ("nodes", "Nodes", "far-3"), ("nodes/far-1", "far-1", "HTTP ledger"),
            ("kv", "Key/value", "limits/"), ("kv?prefix=limits/", "limits/", "daily"), ("kv?key=limits/daily", "daily", "Flags"), ("sessions", "Sessions and locks", "nightly run"),
            (f"sessions/{session}", "nightly run", "Lock delay"), ("queries", "Prepared queries", "ledger-any"), (f"queries/{query}", "ledger-any", "What it answers")]


def there(path):
    return f"{path}{'&' if '?' in path else '?'}dc={NAME}"


def everything(page, agent, far, process):
    """`agent` serves the page, `far` is a server of the other datacenter, `process` its process ID."""
    with step("far: the other datacenter is known, and has something to show"):
        views = fill(far)
        until(lambda: NAME in agent.get("/v1/catalog/datacenters"))
    with step("far: it is chosen in the head", page):
        page.open("services")
        page.misses("ledger")
        box = page.wait("the choice", "return [...document.querySelectorAll('select.where option')].some((each) => each.value === arguments[0]) && document.querySelector('select.where')", NAME)
        box.send_keys(NAME)
        page.sees("ledger")
        assert page.path == f"services?dc={NAME}", page.path
        page.follow("ledger")
        page.title("ledger")
        assert page.path == f"services/ledger?dc={NAME}", page.path
        # As somebody does to whom the link was sent.
        page.open(there("services/ledger"))
        page.sees("ledger-3")
        page.wait("it is chosen", WHERE, NAME)
    for path, title, text in views:
        with step(f"far: “{path or 'overview'}” shows it, and leads to nothing else", page):
            page.go(there(path))
            page.title(title)
            page.sees(text)
            straying = page.js(STRAYING, NAME)
            assert not straying, straying
    changes(page, far)
    lost(page, agent, far, process)
    with step("far: the own datacenter is chosen again", page):
        page.go(there("services"))
        page.sees("ledger")
        page.js("return document.querySelector('select.where')").send_keys("one")
        page.misses("ledger")
        assert page.path == "services", page.path


def changes(page, far):
    took = []
    see = seeing(page, took, "far")

    def check(name, node):
        def change(attempt):
            far.register(node, checks=[{"CheckID": f"far {name}", "Name": f"far {name} {attempt}", "Status": "critical"}], SkipNodeUpdate=True)
            return f"far {name} {attempt}"
        return change

    def instance(service, number):
        far.register("far-2", {"Service": service, "ID": f"{service}-{number}", "Port": 1}, SkipNodeUpdate=True)
        return f"{service}-{number}"

    def value(attempt):
        far.put("/v1/kv/limits/daily", f"{attempt}".encode())
        return f"{attempt}"

    see("overview: a check is critical", there(""), check("overview", "far-1"))
    see("services: one more", there("services"), lambda n: instance(f"late{n}", n).rsplit("-", 1)[0])
    see("a service: one more instance", there("services/ledger"), lambda n: instance("ledger", 70 + n))
    see("nodes: one more", there("nodes"), lambda n: far.register(f"late-node-{n}") or f"late-node-{n}")
    see("a node: a check fails", there("nodes/far-3"), check("node", "far-3"))
    see("keys: one more", there("kv"), lambda n: far.put(f"/v1/kv/late-{n}", b"") and f"late-{n}")
    see("a key: another value", there("kv?key=limits/daily"), value, "return document.querySelector('kv-editor textarea')?.value === arguments[0]")
    see("sessions: one more", there("sessions"), lambda n: far.session(Name=f"late session {n}") and f"late session {n}")
    see("queries: one more", there("queries"), lambda n: far.query({"Name": f"late-{n}", "Service": {"Service": "ledger"}}) and f"late-{n}")
    told(took, "a change in another datacenter is seen")


def answers(agent):
    try:
        return bool(agent.get(f"/v1/status/leader?dc={NAME}"))
    except AssertionError:
        return False


def until(is_so):
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < KNOWN_LIMIT, "the agent does not know it in time"
        time.sleep(0.02)


def lost(page, agent, far, process):
    with step("far: that it is lost is said, and what was shown stays", page, provoking=["a datacenter that is lost"]):
        page.go(there("services"))
        page.sees("ledger")
        # Its sockets are open and nothing comes back.
        os.kill(process, signal.SIGSTOP)
        try:
            until(lambda: not answers(agent))
            known = time.monotonic()
            page.wait("it is said", SAYS, f"{NAME} does not answer", limit=LIMIT)
            figure("that a datacenter is lost is said, s", f"{time.monotonic() - known:.2f} after the agent says so")
            heard = page.js("return document.querySelector('header.top [role=status]').textContent")
            assert heard.startswith(f"{NAME} does not answer"), f"what is read out is {heard!r}"
            page.sees("ledger")
            page.go(there(""))
            page.wait("the overview says so too", "return document.querySelector('overview-datacenters').innerText.includes('does not answer')")
            page.go("services")
            page.sees("consul")
            page.wait("the own datacenter is none the worse", SAYS, "Live")
            page.go(there("services"))
            page.sees(f"Nothing was heard of {NAME} yet.")
        finally:
            os.kill(process, signal.SIGCONT)
    with step("far: when it is back it is shown again", page, provoking=["a datacenter that is lost"]):
        until(lambda: answers(agent))
        known = time.monotonic()
        page.wait("it is live", SAYS, "Live", limit=LIMIT)
        page.sees("ledger", limit=LIMIT)
        figure("a datacenter that is back is shown, s", f"{time.monotonic() - known:.2f} after the agent says so")
        far.register("far-1", {"Service": "after", "ID": "after", "Port": 1}, SkipNodeUpdate=True)
        page.sees("after")
