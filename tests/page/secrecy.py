"""The page shows and keeps no secret but where somebody asked for it: the token is in the tab's session storage, and nowhere else."""

import uuid

from agent import Agent
from browser import PATH
from steps import step

KEPT = """return Promise.all([indexedDB.databases(), caches.keys().catch(() => [])]).then(([databases, stored]) => ({
  local: Object.entries(localStorage), cookie: document.cookie, session: Object.entries(sessionStorage), databases: databases.length, stored: stored.length,
  state: JSON.stringify(history.state), name: window.name, html: document.documentElement.outerHTML,
  fields: [...document.querySelectorAll('input, textarea')].map((each) => each.value).join(' '), asked: performance.getEntriesByType('resource').map((each) => each.name).join(' ') }))"""


def addresses(page):
    """All that the tab's history has."""
    return " ".join(f"{entry['url']} {entry['title']}" for entry in page.cdp("Page.getNavigationHistory")["entries"])


def keeps_nothing(page, secrets):
    """None of the secrets is anywhere where it may not be."""
    kept = page.js(KEPT)
    assert [name for name, _ in kept["local"] if name != "lictor-theme"] == [], kept["local"]
    assert kept["cookie"] == "" and not kept["databases"] and not kept["stored"] and kept["state"] == "null" and kept["name"] == "", {**kept, "html": ""}
    assert [name for name, _ in kept["session"] if name != "lictor-token"] == [], [name for name, _ in kept["session"]]
    for place in ["local", "html", "fields", "asked"]:
        for secret in secrets:
            assert secret not in str(kept[place]), f"a secret is in {place}"
    history = addresses(page)
    assert not [secret for secret in secrets if secret in history], "a secret is in an address"


def all_views(page, agent, fixture, address):
    own = agent.token
    hidden = str(uuid.uuid4())
    query = agent.query({"Name": "with-token", "Service": {"Service": "web"}, "Token": own})
    secrets = [own, fixture.secret, hidden]
    agent.put("/v1/acl/token", {"SecretID": hidden, "Description": "hidden", "Policies": [{"Name": "readers"}]})
    with step("secrecy: no view shows or keeps one", page):
        for _, path, _, _ in fixture.views(True):
            page.go(path)
            keeps_nothing(page, secrets)
        page.go(f"queries/{query}")
        page.click("As JSON")
        page.sees('"Token"')
        keeps_nothing(page, secrets)
        page.button("Light or dark", "header").click()
        keeps_nothing(page, secrets)
        assert page.js("return Object.keys(localStorage)") == ["lictor-theme"]
        page.js("localStorage.clear()")
    with step("secrecy: a secret is shown when that is asked for, and forgotten", page):
        page.go(f"access/tokens/{fixture.token}")
        page.click("Show the secret")
        page.sees(fixture.secret)
        page.click("Hide the secret")
        keeps_nothing(page, secrets)
        page.click("Show the secret")
        page.sees(fixture.secret)
        page.js("document.querySelector('nav a').click()")
        page.title("Overview")
        keeps_nothing(page, secrets)
        page.js("history.back()")
        page.sees("Show the secret")
        keeps_nothing(page, secrets)
    with step("secrecy: the secret of a new token is shown once", page):
        page.go("access/tokens")
        page.click("New token …")
        page.fill("Description", "once")
        page.click("Create")
        page.sees("The secret of the new token", "dialog")
        new = page.text("dialog code")
        uuid.UUID(new)
        page.click("Done")
        page.title("once")
        keeps_nothing(page, [*secrets, new])
    with step("secrecy: a secret that is searched for is put into no address", page):
        page.go("access/tokens")
        page.field("Search").send_keys(fixture.secret)
        page.sees("No token is like that.")
        assert fixture.secret[:8] not in addresses(page)
        page.js("const box = document.querySelector('main .search'); box.value = ''; box.dispatchEvent(new Event('input'))")
        keeps_nothing(page, secrets)
    with step("secrecy: another tab knows nothing of the token", page, provoking=["no right to it"]):
        first = page.driver.current_window_handle
        page.driver.switch_to.new_window("tab")
        page.driver.get(f"{page.base}{PATH}access")
        page.sees("without a token")
        assert page.js("return sessionStorage.length") == 0
        page.driver.close()
        page.driver.switch_to.window(first)
    with step("secrecy: who may read access control sees no secret", page, provoking=["no right to it"]):
        reader = agent.put("/v1/acl/token", {"Description": "reader", "Policies": [{"ID": agent.put("/v1/acl/policy", {"Name": "acl-read", "Rules": 'acl = "read"'})["ID"]}]})["SecretID"]
        page.go("access/tokens")
        page.button("Token ✓", "header").click()
        page.fill("Secret ID", reader)
        page.click("Change")
        page.no_dialog()
        page.sees("dashboards")
        keeps_nothing(page, [*secrets, reader])
        page.go(f"access/tokens/{fixture.token}")
        page.click("Show the secret")
        page.sees("does not allow seeing secrets", "#told")
        keeps_nothing(page, [*secrets, reader])
        page.click("Delete …")
        page.click("Delete")
        page.sees("Permission denied", "#told")
        page.go("kv")
        page.sees("that this token may see")
    with step("secrecy: a token that is forgotten is gone, and what it allowed to see", page, provoking=["no right to it"]):
        page.go("access/tokens")
        page.sees("dashboards")
        page.button("Token ✓", "header").click()
        page.click("Change")
        page.sees("without a token")
        assert page.js("return sessionStorage.length") == 0
        assert "dashboards" not in page.text("body")
        keeps_nothing(page, [*secrets, reader])
    with step("secrecy: without a token no view shows anything", page, provoking=["no right to it", "a key that is not there", "a node that is not there", "a query that is not there"]):
        for name, path, _, text in fixture.views(True):
            page.go(path)
            shown = page.text()
            for secret in ["web-1", "leader-election", "dashboards", "readers", "db.service.consul", "billing", "192.0.2."]:
                assert secret not in shown, f"{name} shows {secret}"
    with step("secrecy: a secret that no token has is refused and said so", page, provoking=["a secret that no token has"]):
        page.go("services")
        page.button("Token", "header").click()
        page.field("Secret ID").send_keys(str(uuid.uuid4()))
        page.click("Use")
        page.sees("Not allowed.")
    assert Agent(address).get("/v1/kv/?keys") in (None, []), "the default policy denies"
