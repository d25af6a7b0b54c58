"""everything.py PART [PIECE ...]: the page of real agents in a real browser.

PART is `open` (without access control), `guarded` (with it), `large` (1,000 services), `far` (another datacenter) or `leader`
(three servers). Where the agents are and who may do all stands in the environment: LICTOR_SERVER, LICTOR_SIDECAR (host:port),
LICTOR_NODE (the sidecar's name), LICTOR_TOKEN; of `far`, LICTOR_SERVER is the other datacenter's and LICTOR_FAR its process;
of `leader`, LICTOR_SERVERS are all of them, as JSON, and LICTOR_PROCESS is the sidecar's process. LICTOR_PAGE_PATH is where they
have the page, unless that is /ui/. LICTOR_PAGE_PICTURES names a directory for pictures of what failed.
"""

import json
import os
import sys

import datacenters
import edits
import hostile
import large
import leader
import live
import readable
import secrecy
from agent import Agent
from browser import Page
from fixture import Fixture
from steps import step, verdict


def walk(page, fixture, is_guarded, where):
    # At one each is loaded anew, as who follows a link that was shared does; at the other one goes from view to view.
    show = page.open if where == "sidecar" else page.go
    page.open()
    for name, path, title, text in fixture.views(is_guarded):
        with step(f"view: {name}, at the {where}", page):
            show(path)
            page.title(title)
            page.sees(text)


def agents(token=""):
    return (Agent(os.environ[name], token) for name in ("LICTOR_SERVER", "LICTOR_SIDECAR"))


def pages():
    """A browser with the page of each agent."""
    for where in ("server", "sidecar"):
        page = Page(os.environ.get(f"LICTOR_{where.upper()}_PAGE") or os.environ[f"LICTOR_{where.upper()}"])
        try:
            yield where, page
        finally:
            page.close()


def small(is_guarded, wanted):
    token = os.environ["LICTOR_TOKEN"] if is_guarded else ""
    server, sidecar = agents(token)
    fixture = Fixture(server, sidecar, os.environ["LICTOR_NODE"], is_guarded)
    for where, page in pages():
        if token:
            with step(f"a token is entered, at the {where}", page, provoking=["no right to it"]):
                page.open()
                page.use_token(token)
        walk(page, fixture, is_guarded, where)
        if where == "server":
            continue
        if not is_guarded:
            with step("view: the dashboard of a service, elsewhere", page):
                page.go("services/web")
                assert page.link("Dashboard of this service").get_attribute("href") == "https://example.com/d?service=web&dc=dc1"
        pieces = {
            # What is the same with access control and without is looked at once.
            "readable": lambda: readable.views(page, fixture) if is_guarded else readable.view(page, "access: it is off", "access", "Access", "Access control is off"),
            "keyboard": lambda: is_guarded or readable.keyboard(page),
            "weight": lambda: is_guarded or large.weight(page),
            "live": lambda: live.all_views(page, server, fixture, is_guarded),
            "edits": lambda: edits.all_edits(page, sidecar, fixture, is_guarded),
            "hostile": lambda: is_guarded and hostile.all_views(page, server, sidecar, fixture, is_guarded),
            "secrecy": lambda: is_guarded and secrecy.all_views(page, server, fixture, os.environ["LICTOR_SIDECAR"]),
        }
        for name, piece in pieces.items():
            if not wanted or name in wanted:
                piece()


def big():
    server, sidecar = agents()
    with step("large: 10,000 instances are registered"):
        large.fill(server)
    for where, page in pages():
        large.everything(page, sidecar if where == "server" else server, where)


def at_sidecar(look):
    _, sidecar = agents()
    page = Page(os.environ.get("LICTOR_SIDECAR_PAGE") or os.environ["LICTOR_SIDECAR"])
    try:
        look(page, sidecar)
    finally:
        page.close()


def far():
    server, _ = agents()
    at_sidecar(lambda page, sidecar: datacenters.everything(page, sidecar, server, int(os.environ["LICTOR_FAR"])))


def leading():
    at_sidecar(lambda page, sidecar: leader.everything(page, sidecar, json.loads(os.environ["LICTOR_SERVERS"]), int(os.environ["LICTOR_PROCESS"])))


if __name__ == "__main__":
    {"open": lambda: small(False, sys.argv[2:]), "guarded": lambda: small(True, sys.argv[2:]), "large": big, "far": far, "leader": leading}[sys.argv[1]]()
    sys.exit(verdict())
