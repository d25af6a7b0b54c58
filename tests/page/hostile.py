"""What anybody may have registered is text: never run, never a link elsewhere, and still found under its own address."""

from agent import escaped
from browser import PATH
from steps import step

SCRIPTS = ["<img src=x onerror=window.hacked=1>", '"><script>window.hacked=1</script>', "javascript:window.hacked=1//", "{{constructor.constructor('window.hacked=1')()}}",
           "' onfocus=window.hacked=1 autofocus x='", "<svg/onload=window.hacked=1>"]
# Not run by anything, but a page may stumble over it.
ODD = ["a%2Fb", "%3Cb%3E%00", "a?dc=x#y", "a&amp;b", "\u202eright to left", "💥 é", "x" * 300, "constructor", "__proto__"]
NAMES = SCRIPTS + ODD

# Where a link of the page may lead: to the page.
LINKS = """return [...document.querySelectorAll('a[href]')].filter((each) => each.origin !== location.origin || !each.pathname.startsWith('/ui/')).map((each) => each.href)"""
MADE = """return [...document.querySelectorAll('script, iframe, object, embed, link, style, base, form[action], img, svg image, [onerror], [onload], [onfocus], main [src]')]
  .map((each) => each.outerHTML.slice(0, 120)).filter((each) => !/^<(script type="module" src="main.js"|base href="\\/ui\\/"|link rel="(icon|stylesheet)"|img src="icon.svg")/.test(each))"""


def is_text(page):
    """Nothing on the page but what the page itself has made."""
    assert not page.js("return window.hacked"), "a text was run"
    links, made = page.js(LINKS), page.js(MADE)
    assert not links, f"links that lead elsewhere: {links}"
    assert not made, f"made of a text: {made}"


def fill(agent, own):
    """Registers it all; gives the sessions, queries and which names a service and a node may have."""
    services, nodes = [], []
    for number, name in enumerate(NAMES):
        check = {"CheckID": name, "Name": name, "Status": "critical", "Output": f"{name}\n{name}", "Notes": name, "ServiceID": name}
        service = {"Service": name, "ID": name, "Port": 1, "Tags": [name, "tag"], "Meta": {"value": name}, "Address": name if number == 0 else ""}
        try:
            agent.register("hostile", service, [check], SkipNodeUpdate=number > 0, NodeMeta={"value": SCRIPTS[0]}, Address="192.0.2.66")
            services.append(name)
        except AssertionError as error:
            print(f"       no service may be named {name[:40]!r}: {str(error)[-120:]}")
        try:
            agent.register(name, checks=[{"CheckID": name, "Name": name, "Status": "warning", "Output": name}])
            nodes.append(name)
        except AssertionError as error:
            print(f"       no node may be named {name[:40]!r}: {str(error)[-120:]}")
    assert len(services) > len(SCRIPTS) and len(nodes) > len(SCRIPTS), (services, nodes)
    own.put("/v1/agent/service/register", {"Name": "own", "ID": SCRIPTS[1], "Tags": SCRIPTS, "Meta": {"value": SCRIPTS[0]}, "Check": {"Name": SCRIPTS[0], "TTL": "1h", "Notes": SCRIPTS[1]}})
    sessions = {name: agent.session(Name=name, Behavior="delete") for name in NAMES}
    queries = {name: agent.query({"Name": name, "Service": {"Service": name, "Tags": [name], "Near": name, "NodeMeta": {"value": name}}}) for name in NAMES}
    for name in NAMES:
        agent.put(f"/v1/kv/hostile/{escaped(name)}", name.encode())
        agent.put(f"/v1/kv/{escaped(name)}/below", f"{{ {name}\n{name}: [".encode())
    agent.put(f"/v1/kv/hostile/locked?acquire={sessions[SCRIPTS[0]]}", b"x")
    return services, nodes, sessions, queries


def all_views(page, agent, own, fixture, is_guarded):
    with step("hostile: it is registered"):
        services, nodes, sessions, queries = fill(agent, own)

    def look(path, names=()):
        page.go(path)
        text = page.text()
        for name in names:
            assert name in text, f"{name!r} is not shown at {path}"
        is_text(page)

    def one(path, name):
        page.go(path)
        title = page.js("return document.querySelector('main h1').textContent")
        assert title == name, f"{path} shows {title!r}"
        is_text(page)

    with step("hostile: the lists", page):
        look("")
        # Only what can be seen of a long list is there.
        look("services?filter=onerror", [name for name in services if "onerror" in name])
        look("services?filter=script", [name for name in services if "script>" in name])
        look("nodes?filter=onerror", [name for name in nodes if "onerror" in name])
        look("nodes?filter=script", [name for name in nodes if "script>" in name])
        look("sessions?filter=onerror", [SCRIPTS[0]])
        look("queries?filter=onerror", [SCRIPTS[0]])
        look("kv", [SCRIPTS[0]])
        look("kv?prefix=hostile/", [name for name in SCRIPTS if "/" not in name])
    with step("hostile: each service, opened from the list", page):
        for name in services:
            page.go(f"services?filter={escaped(name)}")
            page.follow(name)
            page.wait(f"the service {name!r}", "return document.querySelector('main h1').textContent === arguments[0]", name)
            page.wait("its instance", "return document.querySelector('main [aria-expanded]')").click()
            page.sees("Last changed")
            is_text(page)
    with step("hostile: each node", page):
        for name in nodes:
            one(f"nodes/{escaped(name)}", name)
            page.sees(name)
    with step("hostile: each session, query and key", page, provoking=["a key that is not there"]):
        for name in [*SCRIPTS, "__proto__", "constructor"]:
            one(f"sessions/{sessions[name]}", name)
            one(f"queries/{queries[name]}", name)
            page.click("Execute")
            page.wait("an answer", "return /of .* in dc1|No instance|That did not work/s.test(document.querySelector('main').innerText)")
            is_text(page)
            page.go(f"kv?key=hostile/{escaped(name)}")
            assert page.field("Value of ").get_property("value") == name
            is_text(page)
            page.go(f"kv?key={escaped(name)}/below")
            is_text(page)
        page.go("kv?key=hostile/locked")
        page.sees(SCRIPTS[0])
        is_text(page)
    with step("hostile: an own instance", page):
        page.go("services/own")
        page.click(f"▸ {SCRIPTS[1]}")
        page.click("Maintenance …")
        page.fill("Reason", SCRIPTS[0])
        page.click("Put into maintenance")
        page.sees(SCRIPTS[0])
        page.click("End maintenance")
        is_text(page)
        page.go("")
        is_text(page)
    with step("hostile: what just changed", page):
        page.go("")
        for name in SCRIPTS:
            agent.register("hostile", checks=[{"CheckID": name, "Name": name, "Status": "passing", "ServiceID": name}], SkipNodeUpdate=True)
        page.wait("it is told", "return document.querySelector('overview-feed').innerText.includes(arguments[0])", SCRIPTS[0])
        is_text(page)
    with step("hostile: addresses", page, provoking=["a key that is not there", "a node that is not there", "a query that is not there", "what is refused", "a name that is taken"]):
        for name in [escaped(SCRIPTS[0]), "%ff%2f..%2f%", "__proto__", "constructor"]:
            for path in [f"services/{name}", f"services?filter={name}", f"services?state={name}&sort={name}", f"nodes/{name}", f"nodes?filter={name}", f"kv?prefix={name}", f"kv?key={name}", f"sessions/{name}",
                         f"queries/{name}", f"queries?filter={name}", f"access/{name}/{name}", f"access?filter={name}", f"numbers/{name}", name, f"#{name}"]:
                page.go(path)
                is_text(page)
            # As somebody would open it who was sent it.
            page.open(f"services/{name}?filter={name}")
            is_text(page)
    with step("hostile: a datacenter in the address", page, provoking=["a name that is taken", "what is refused"]):
        page.driver.get(f"{page.base}{PATH}services?dc={escaped(SCRIPTS[0])}")
        page.sees("That did not work.")
        is_text(page)
    if is_guarded:
        with step("hostile: access", page):
            names = [name for name in NAMES if len(name) < 200]
            tokens = {name: agent.put("/v1/acl/token", {"Description": name})["AccessorID"] for name in names}
            role = agent.put("/v1/acl/role", {"Name": "hostile", "Description": SCRIPTS[0]})["ID"]
            policy = agent.put("/v1/acl/policy", {"Name": "hostile", "Description": SCRIPTS[1], "Rules": f'# {SCRIPTS[0]}\nservice "{SCRIPTS[0]}" {{ policy = "read" }}\n'})["ID"]
            for name, accessor in tokens.items():
                one(f"access/tokens/{accessor}", name)
            for path in ["access", "access/tokens?filter=onerror", "access/roles", "access/policies", f"access/roles/{role}", f"access/policies/{policy}"]:
                look(path)
            page.go(f"access/policies/{policy}")
            page.click("Change …")
            is_text(page)
            page.click("Cancel")
            page.no_dialog()
