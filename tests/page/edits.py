"""Each edit that the page offers, and that the registry then has it."""

import pathlib
import tempfile

from selenium.webdriver.common.keys import Keys

from agent import escaped
from fixture import login
from steps import step


def until(page, what, condition, limit=5):
    """Waits for something of the registry: what was written by a browser is there when it says so, or a moment later."""
    for _ in range(int(limit / 0.05)):
        if condition():
            return
        page.js("return 0")
        page.driver.execute_async_script("setTimeout(arguments[0], 50)")
    raise AssertionError(f"not within {limit} s: {what}; shown is {page.text()[:800]!r}{page.dialog_text()}")


def all_edits(page, agent, fixture, is_guarded):
    keys(page, agent)
    sessions(page, agent, fixture)
    queries(page, agent)
    maintenance(page, agent, fixture)
    with step("edit: a node is removed", page, provoking=["a node that is not there"]):
        agent.register("gone", checks=[])
        page.go("nodes/gone")
        page.click("Remove …")
        page.click("Remove")
        page.title("Nodes")
        until(page, "the node is gone", lambda: "gone" not in [node["Node"] for node in agent.get("/v1/catalog/nodes")])
    if is_guarded:
        access(page, agent)


def type_value(page, text):
    box = page.field("Value of ")
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(text)


def keys(page, agent):
    with step("edit: a key is created", page, provoking=["a key that is not there"]):
        page.open("kv")
        page.click("New key …")
        page.fill("Key", "walk/a b/€.txt")
        page.click("Continue")
        page.title("€.txt")
        type_value(page, "one")
        page.click("Create")
        page.sees("Saved.", "#told")
        assert agent.value("walk/a b/€.txt") == "one"
    with step("edit: a key is changed, by Ctrl+S too", page):
        type_value(page, "two")
        page.click("Save")
        until(page, "two", lambda: agent.value("walk/a b/€.txt") == "two")
        page.wait("it is saved", "return !document.querySelector('main').innerText.includes('Not saved') && !document.querySelector('main').innerText.includes('Saving')")
        type_value(page, "three")
        page.focused.send_keys(Keys.CONTROL, "s")
        until(page, "three", lambda: agent.value("walk/a b/€.txt") == "three")
        page.fill("Flags", "7")
        page.click("Save")
        until(page, "the flags", lambda: agent.get(f"/v1/kv/{escaped('walk/a b/€.txt')}")[0]["Flags"] == 7)
    with step("edit: a key that has changed elsewhere is not overwritten unseen", page):
        page.wait("it is saved", "return !document.querySelector('main').innerText.includes('Not saved')")
        type_value(page, "mine")
        agent.put(f"/v1/kv/{escaped('walk/a b/€.txt')}", b"theirs")
        page.sees("has changed elsewhere while you edit it")
        assert page.field("Value of ").get_property("value") == "mine", "what was typed is kept"
        assert agent.value("walk/a b/€.txt") == "theirs"
        page.click("Take theirs")
        page.wait("theirs", "return document.querySelector('kv-editor textarea').value === 'theirs'")
        type_value(page, "mine again")
        agent.put(f"/v1/kv/{escaped('walk/a b/€.txt')}", b"theirs again")
        page.click("Save mine")
        until(page, "mine", lambda: agent.value("walk/a b/€.txt") == "mine again")
        page.wait("it is saved", "return !document.querySelector('main').innerText.includes('Not saved')")
    with step("edit: a save that comes too late is refused (check-and-set)", page):
        # What it writes is held up while somebody else is quicker.
        page.js("const real = window.fetch; window.fetch = (url, how) => (how?.method !== 'PUT' ? real(url, how) : new Promise((done) => { window.letGo = () => done(real(url, how)); }));")
        type_value(page, "late")
        page.click("Save")
        page.wait("it is held up", "return Boolean(window.letGo)")
        agent.put(f"/v1/kv/{escaped('walk/a b/€.txt')}", b"second")
        page.js("window.letGo()")
        page.sees("Not saved: it has changed elsewhere meanwhile.", "#told")
        page.sees("has changed elsewhere while you edit it")
        assert agent.value("walk/a b/€.txt") == "second" and page.field("Value of ").get_property("value") == "late"
    with step("edit: a key is deleted", page, provoking=["a key that is not there"]):
        page.open("kv?key=walk/a%20b/%E2%82%AC.txt")
        page.click("Delete …")
        page.click("Delete")
        page.sees("Deleted.", "#told")
        assert agent.value("walk/a b/€.txt") is None
    with step("edit: a folder is deleted", page, provoking=["a key that is not there"]):
        for number in range(3):
            agent.put(f"/v1/kv/walk/many/{number}", b"x")
        page.go("kv?prefix=walk/many/")
        page.click("Delete all …")
        page.fill("Type the prefix to confirm", "walk/man")
        page.click("Delete all")
        page.sees("What you typed is not the prefix.", "dialog")
        page.fill("Type the prefix to confirm", "walk/many/")
        page.click("Delete all")
        page.no_dialog()
        until(page, "none is left", lambda: agent.get("/v1/kv/walk/?keys") is None)
    with step("edit: a value is downloaded and replaced by a file", page, provoking=["a key that is not there"]):
        with tempfile.TemporaryDirectory() as directory:
            files(page, agent, pathlib.Path(directory))
    with step("edit: who leaves with a text that is not saved is asked", page):
        page.go("kv?key=greeting")
        type_value(page, "not saved")
        page.js("document.querySelector('nav a').click()")
        page.sees("is not saved", "dialog")
        page.click("Cancel")
        assert page.field("Value of ").get_property("value") == "not saved"
        page.click("Undo edits")


def files(page, agent, directory):
    agent.put("/v1/kv/walk/file", b"as it was")
    page.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(directory))
    # The browser's own dialog cannot be used from here: what would open it is put where it can be reached.
    page.js("HTMLInputElement.prototype.click = function () { document.body.append(this); }")

    def upload(name, content):
        (directory / name).write_bytes(content)
        page.click("Upload …")
        page.wait("the file is asked for", "return document.querySelector('body > input[type=file]')").send_keys(str(directory / name))
        page.js("document.querySelector('body > input[type=file]').remove()")

    page.go("kv?key=walk/file")
    page.click("Download")
    until(page, "it is downloaded", lambda: (directory / "file").exists() and (directory / "file").read_bytes() == b"as it was")
    upload("a.txt", b"from a file")
    page.wait("it is in the editor", "return document.querySelector('kv-editor textarea').value === 'from a file'")
    assert agent.value("walk/file") == "as it was", "a text is looked at first"
    page.click("Save")
    until(page, "it is saved", lambda: agent.value("walk/file") == "from a file")
    page.wait("it is saved", "return !document.querySelector('main').innerText.includes('Not saved')")
    upload("b.bin", bytes(range(256)))
    page.sees("b.bin, 256 B", "dialog")
    page.click("Replace")
    page.sees("This value is not text, but 256 bytes.")
    agent.delete("/v1/kv/walk/file")


def sessions(page, agent, fixture):
    with step("edit: a session is made and ended", page):
        page.go("sessions")
        page.click("New session …")
        page.fill("Name", "by hand")
        page.fill("TTL", "60s")
        page.click("Create")
        page.title("by hand")
        made = [row for row in agent.get("/v1/session/list") if row["Name"] == "by hand"]
        assert len(made) == 1 and made[0]["TTL"] == "60s", made
        page.click("End session …")
        page.click("End session")
        page.sees("This session has ended")
        assert not [row for row in agent.get("/v1/session/list") if row["Name"] == "by hand"]
    with step("edit: a session is ended in the view of its node", page):
        agent.session(Name="of the node")
        page.go(f"nodes/{fixture.node}")
        page.click("End session of the node")
        page.click("End session")
        page.misses("of the node")
        assert "of the node" not in [row["Name"] for row in agent.get("/v1/session/list")]
    with step("edit: a session is not made as it cannot be, and says why", page, provoking=["what is refused", "a name that is taken"]):
        page.go("sessions")
        page.click("New session …")
        page.fill("TTL", "1s")
        page.click("Create")
        page.sees("That did not work.", "dialog")
        page.click("Cancel")
    with step("view: the keys that a session holds", page):
        page.go(f"sessions/{fixture.session}")
        page.click("Which keys does it hold?")
        page.sees("1 key when this was asked")
        page.link("app/leader")


def queries(page, agent):
    with step("edit: a query is created, changed, executed and deleted", page, provoking=["a query that is not there"]):
        page.go("queries")
        page.click("New query …")
        page.fill("Name", "by-hand")
        page.fill("Service", "web")
        page.click("Create")
        page.title("by-hand")
        made = next(row for row in agent.get("/v1/query") if row["Name"] == "by-hand")
        page.click("Edit …")
        page.fill("DNS TTL", "25s")
        page.click("JSON")
        text = page.field("The whole query").get_property("value")
        page.fill("The whole query", text.replace('"Tags": null', '"Tags": ["eu"]').replace('"Tags": []', '"Tags": ["eu"]'))
        page.click("Save")
        page.no_dialog()
        until(page, "it is changed", lambda: agent.get(f"/v1/query/{made['ID']}")[0]["DNS"]["TTL"] == "25s")
        assert agent.get(f"/v1/query/{made['ID']}")[0]["Service"]["Tags"] == ["eu"]
        page.sees("25s")
        page.click("Execute")
        page.sees("of web in dc1")
        page.click("Delete …")
        page.click("Delete")
        page.title("Prepared queries")
        assert agent.get(f"/v1/query/{made['ID']}") is None
    with step("edit: a query that somebody else changed meanwhile", page, provoking=["a query that is not there"]):
        own = agent.query({"Name": "shared", "Service": {"Service": "web"}})
        page.go(f"queries/{own}")
        page.click("Edit …")
        page.fill("DNS TTL", "26s")
        agent.put(f"/v1/query/{own}", {"Name": "shared", "Service": {"Service": "api"}})
        page.click("Save")
        page.sees("Somebody changed this query since you began.", "dialog")
        page.click("Cancel")
        agent.delete(f"/v1/query/{own}")
    with step("view: what a template makes of a name", page):
        page.go("queries")
        page.follow("geo-*")
        page.fill("Name to ask for", "geo-web")
        page.click("Explain")
        page.sees("What geo-web leads to")
        page.click("Execute")
        page.sees("of web in dc1")


def maintenance(page, agent, fixture):
    with step("edit: an own instance in and out of maintenance", page):
        page.go("services/hello")
        page.click("▸ hello")
        page.click("Maintenance …")
        page.fill("Reason", "disk <b>")
        page.click("Put into maintenance")
        page.no_dialog()
        page.sees("disk <b>")
        assert agent.get("/v1/health/service/hello?passing&consistent") == []
        page.click("End maintenance")
        page.misses("disk <b>")
        until(page, "it is passing", lambda: len(agent.get("/v1/health/service/hello?passing")) == 1)
    with step("edit: the own node in and out of maintenance", page):
        page.go(f"nodes/{fixture.node}")
        page.click("Maintenance …")
        page.fill("Reason", "kernel")
        page.click("Put into maintenance")
        page.no_dialog()
        page.sees("kernel")
        page.click("End maintenance")
        page.misses("kernel")
    with step("view: how another node gets into maintenance", page):
        page.go(f"nodes/{fixture.other}")
        page.sees("lictor maint -enable")


def access(page, agent):
    with step("edit: a policy is created, changed and deleted", page, provoking=["what is refused", "a name that is taken", "no right to it"]):
        page.go("access/policies")
        page.click("New policy …")
        page.fill("Name", "by-hand")
        page.fill("Rules", "key_prefix = = ")
        page.click("Create")
        page.sees("Line 1:", "dialog")
        page.fill("Rules", 'key_prefix "a/" { policy = "read" }')
        page.click("Create")
        page.title("by-hand")
        made = next(row for row in agent.get("/v1/acl/policies") if row["Name"] == "by-hand")
        page.click("Change …")
        page.fill("Description", "changed by hand")
        page.click("Save")
        page.no_dialog()
        page.sees("changed by hand")
        assert agent.get(f"/v1/acl/policy/{made['ID']}")["Description"] == "changed by hand"
        page.click("Delete …")
        page.click("Delete")
        page.title("Policies")
        assert "by-hand" not in [row["Name"] for row in agent.get("/v1/acl/policies")]
    with step("edit: a policy that somebody else changed meanwhile", page):
        made = agent.put("/v1/acl/policy", {"Name": "shared", "Rules": ""})["ID"]
        page.go(f"access/policies/{made}")
        page.click("Change …")
        page.fill("Description", "mine")
        agent.put(f"/v1/acl/policy/{made}", {"Name": "shared", "Description": "theirs", "Rules": ""})
        page.click("Save")
        page.sees("Somebody else has changed it since you began.", "dialog")
        assert agent.get(f"/v1/acl/policy/{made}")["Description"] == "theirs"
        page.click("Take what is there now")
        assert page.field("Description").get_property("value") == "theirs"
        page.click("Cancel")
        agent.delete(f"/v1/acl/policy/{made}")
    with step("edit: a role is created, changed and deleted", page):
        page.go("access/roles")
        page.click("New role …")
        page.fill("Name", "by-hand")
        page.field("readers").click()
        page.click("Create")
        page.title("by-hand")
        page.click("Change …")
        page.fill("Description", "changed by hand")
        page.fill("Service identities", "web")
        page.click("Save")
        page.no_dialog()
        page.sees("changed by hand")
        role = next(row for row in agent.get("/v1/acl/roles") if row["Name"] == "by-hand")
        assert [row["Name"] for row in role["Policies"]] == ["readers"] and role["ServiceIdentities"][0]["ServiceName"] == "web", role
        page.click("Delete …")
        page.click("Delete")
        page.title("Roles")
        assert "by-hand" not in [row["Name"] for row in agent.get("/v1/acl/roles")]
    with step("edit: a token is created, changed, cloned and deleted", page):
        page.go("access/tokens")
        page.click("New token …")
        page.fill("Description", "by hand")
        page.field("readers").click()
        page.fill("Expires after", "1h")
        page.click("Create")
        page.sees("The secret of the new token", "dialog")
        page.click("Done")
        page.title("by hand")
        page.click("Change …")
        page.fill("Description", "changed by hand")
        page.click("Save")
        page.no_dialog()
        page.title("changed by hand")
        page.click("Clone …")
        page.fill("Description", "a clone")
        page.click("Clone")
        page.sees("The secret of the new token", "dialog")
        page.click("Done")
        page.title("a clone")
        for name in ["a clone", "changed by hand"]:
            page.go("access/tokens")
            page.follow(name)
            page.title(name)
            page.click("Delete …")
            page.click("Delete")
            page.title("Tokens")
        assert not [row for row in agent.get("/v1/acl/tokens") if row["Description"] in ("a clone", "changed by hand")]
    with step("edit: a binding rule and an auth method are deleted", page, provoking=["no right to it", "an auth method that is not there"]):
        login(agent, "by-hand")
        page.go("access/auth-methods/by-hand")
        page.click("Delete this rule …")
        page.click("Delete")
        page.sees("nobody can log in by it")
        assert not agent.get("/v1/acl/binding-rules?authmethod=by-hand")
        page.click("Delete …")
        page.click("Delete")
        page.title("Auth methods")
        assert "by-hand" not in [row["Name"] for row in agent.get("/v1/acl/auth-methods")]
