"""Every view and dialog for who sees little or nothing: names, order, contrast, zoom; and without a mouse."""

import pathlib

from selenium.webdriver.common.keys import Keys

from steps import step

CHECK = pathlib.Path(__file__).with_name("readable.js").read_text()
# Half of a small laptop's window at 400 %, in CSS px.
ZOOMED = (340, 256)
USUAL = (1360, 850)
# What must have a name, as the browser tells it to a screen reader.
NAMED = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "slider", "image", "img", "dialog", "table", "region", "navigation", "heading", "radio", "columnheader"}


def nameless(page):
    """What the browser's own tree for screen readers has without a name."""
    found = []
    for node in page.cdp("Accessibility.getFullAXTree")["nodes"]:
        role, name = node.get("role", {}).get("value"), node.get("name", {}).get("value", "")
        if not node.get("ignored") and role in NAMED and not name.strip():
            try:
                what = page.cdp("DOM.describeNode", backendNodeId=node["backendDOMNodeId"])["node"]
            except Exception:  # noqa: BLE001: it went away meanwhile
                continue
            found.append(f"a {role} without a name: {what['localName']} {what.get('attributes')}")
    return found


def look(page):
    """What is wrong with what is shown now, in light, in dark and zoomed."""
    problems = []
    for dark in (False, True):
        page.scheme(dark)
        problems += [f"{'dark' if dark else 'light'}: {each}" for each in page.js(CHECK, False)]
    page.scheme(False)
    problems += nameless(page)
    page.resize(*ZOOMED)
    page.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")
    problems += [f"400 %: {each}" for each in page.js(CHECK, True)]
    page.resize(*USUAL)
    page.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")
    return problems


def view(page, name, path, title, text):
    with step(f"readable: {name}", page):
        page.go(path)
        page.title(title)
        page.sees(text)
        problems = look(page)
        assert not problems, "\n    ".join(problems)


def views(page, fixture):
    for each in fixture.views(True):
        view(page, *each)
    with step("readable: what is opened in a view", page):
        page.go("services/web")
        page.click("▸ web-1")
        problems = look(page)
        page.go(f"queries/{fixture.query}")
        page.click("Execute")
        page.sees("of web in dc1")
        page.click("As JSON")
        problems += look(page)
        page.go("services?filter=no-such-service")
        problems += look(page)
        page.go("nothing-here")
        problems += look(page)
        assert not problems, "\n    ".join(problems)
    dialogs(page, fixture)


def dialogs(page, fixture):
    opened = [("", "Token ✓", "header"), ("kv", "New key …", None), ("kv?prefix=app/", "Delete all …", None), ("kv?key=greeting", "Delete …", None), ("sessions", "New session …", None),
              (f"sessions/{fixture.session}", "End session …", None), ("queries", "New query …", None), (f"queries/{fixture.template}", "Edit …", None), (f"nodes/{fixture.node}", "Maintenance …", None)]
    opened += [("access/policies", "New policy …", None), (f"access/policies/{fixture.policy}", "Change …", None), ("access/roles", "New role …", None), ("access/tokens", "New token …", None),
               (f"access/tokens/{fixture.token}", "Clone …", None)]
    for path, text, where in opened:
        with step(f"readable: the dialog “{text}” of {path or 'the head'}", page):
            page.go(path)
            page.button(text, where).click()
            page.wait("the dialog", "return document.querySelector('dialog[open]')")
            inside = page.js("return document.querySelector('dialog[open]').contains(document.activeElement)")
            assert inside, "the focus is not in the dialog"
            problems = look(page)
            assert not problems, "\n    ".join(problems)
            page.focused.send_keys(Keys.ESCAPE)
            page.no_dialog()
            back = page.js("return document.activeElement.innerText?.trim()")
            assert back == text, f"the focus is at {back!r} then"


FOCUS = """const at = document.activeElement;
return at.classList.contains('skip') ? 'skip' : at.classList.contains('brand') ? 'brand' : at.matches('nav a') ? 'nav' : at.matches('.search') ? 'search'
  : at.matches('virtual-rows a') ? 'row' : at.matches('header.top *') ? 'head' : at.matches('main *') ? 'view' : at.localName;"""


def keyboard(page):
    with step("keyboard: Tab goes through the head, the views, the search and the rows", page):
        page.open("services")
        order = []
        for _ in range(40):
            page.focused.send_keys(Keys.TAB)
            order.append(page.js(FOCUS))
            shown = page.js("const at = document.activeElement, box = at.getBoundingClientRect(); return at.matches(':focus-visible') && getComputedStyle(at).outlineStyle !== 'none' && box.bottom <= innerHeight + 1 && box.top >= -1")
            assert shown, f"the focus is not to be seen at {order}"
            if order[-1] == "row":
                break
        kinds = [each for at, each in enumerate(order) if at == 0 or each != order[at - 1]]
        assert kinds == ["skip", "brand", "head", "nav", "search", "view", "row"], order
        name = page.focused.text
        page.focused.send_keys(Keys.ENTER)
        page.title(name)
        assert page.js("return document.activeElement.id") == "main", "who follows a link goes on in the new view"
    with step("keyboard: the skip link leads into the view that is shown", page):
        page.open("services")
        page.focused.send_keys(Keys.TAB)
        page.focused.send_keys(Keys.ENTER)
        page.wait("the focus is in the view", "return document.activeElement.id === 'main'")
        page.title("Services")
    with step("keyboard: / searches, g and a letter goes to a view", page):
        page.open("services")
        page.focused.send_keys("/")
        assert page.js(FOCUS) == "search"
        page.focused.send_keys("web")
        page.wait("one row", "return document.querySelectorAll('virtual-rows .row').length === 1")
        assert page.path == "services?filter=web", page.path
        page.js("document.activeElement.blur()")
        for letter, title in [("n", "Nodes"), ("k", "Key/value"), ("l", "Sessions and locks"), ("q", "Prepared queries"), ("m", "Numbers"), ("a", "Access"), ("o", "Overview"), ("s", "Services")]:
            page.focused.send_keys("g", letter)
            page.title(title)
    with step("keyboard: rows far down are reached, and are not hidden below the head", page):
        page.open("services")
        page.js("document.querySelector('main .search').focus()")
        for _ in range(12):
            page.focused.send_keys(Keys.TAB)
        for _ in range(10):
            page.driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
            hidden = page.js("const at = document.activeElement, head = document.querySelector('.top').getBoundingClientRect(); return at.matches('main *') && at.getBoundingClientRect().top < head.bottom - 1")
            assert not hidden, "what has the focus is below the head"
    with step("keyboard: an instance is opened and closed, and the focus stays", page):
        page.open("services/web")
        button = page.button("▸ web-1")
        page.js("arguments[0].focus()", button)
        page.focused.send_keys(Keys.ENTER)
        page.sees("Last changed")
        assert page.js("return document.activeElement.getAttribute('aria-expanded')") == "true"
        page.focused.send_keys(Keys.SPACE)
        page.misses("Last changed")
    with step("keyboard: the editor of a key is left by Escape and Tab", page):
        page.open("kv?key=greeting")
        page.field("Value of ").send_keys(Keys.END)
        page.focused.send_keys(Keys.TAB)
        assert page.js("return document.activeElement.localName") == "textarea"
        page.focused.send_keys(Keys.ESCAPE)
        page.focused.send_keys(Keys.TAB)
        assert page.js("return document.activeElement.localName") != "textarea"
        page.click("Undo edits")
