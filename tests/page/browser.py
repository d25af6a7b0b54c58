"""The page in a browser: finding, typing, waiting, and what the browser had to say about it."""

import os
import re
import shutil
import tempfile

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

# Where the agents have the page.
PATH = os.environ.get("LICTOR_PAGE_PATH", "/ui/")
# The longest that anything of a small registry may take to be there, in seconds.
LIMIT = 10

# Runs in each document before the page's own scripts do, and notes what no script of the page shall be able to hide.
WITNESS = """
window.witness = { violations: [], errors: [], long: [], rowsAt: null };
addEventListener('securitypolicyviolation', (event) => witness.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
addEventListener('error', (event) => witness.errors.push(String(event.message || event.target)), true);
addEventListener('unhandledrejection', (event) => witness.errors.push(`unhandled: ${event.reason?.stack ?? event.reason}`));
new PerformanceObserver((list) => witness.long.push(...list.getEntries().map(({ startTime, duration }) => ({ startTime, duration }))))
  .observe({ type: 'longtask', buffered: true });
new MutationObserver((_, observer) => {
  if (!document.querySelector('virtual-rows .row')) return;
  observer.disconnect();
  requestAnimationFrame(() => { witness.rowsAt = performance.now(); });
}).observe(document, { childList: true, subtree: true });
"""

# What the browser itself writes to its console where an agent refuses or has nothing, by what is done on purpose.
PROVOKED = {
    "a key that is not there": r"/v1/kv/\S* - Failed to load resource: .* 404 ",
    "a node that is not there": r"/v1/internal/ui/node/\S* - Failed to load resource: .* 404 ",
    "a query that is not there": r"/v1/query/\S* - Failed to load resource: .* 404 ",
    "an auth method that is not there": r"/v1/acl/auth-method/\S* - Failed to load resource: .* 404 ",
    "a secret that no token has": r"/v1/\S* - Failed to load resource: .* 403 ",
    "no right to it": r"/v1/\S* - Failed to load resource: .* 403 ",
    "what is refused": r"/v1/\S* - Failed to load resource: .* 400 ",
    "a datacenter that is lost": r"/v1/\S* - Failed to load resource: .* 503 ",
    "nobody leads": r"/v1/\S* - Failed to load resource: .* 500 ",
    "a name that is taken": r"/v1/\S* - Failed to load resource: .* 500 ",
}


class Page:
    """A tab with the page of the agent at `address`."""

    def __init__(self, address, width=1360, height=850, dark=False):
        self.base = f"http://{address}"
        self.provoked = ()
        self.profile = tempfile.mkdtemp(prefix="lictor-page-")
        options = Options()
        options.binary_location = shutil.which("chromium")
        # A user of its own has no sandbox to run it in, where a test runs as root or in a container.
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-extensions",
                         "--disable-background-networking", "--no-first-run", f"--user-data-dir={self.profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_script_timeout(120)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=WITNESS)
        self.resize(width, height)
        self.scheme(dark)

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def cdp(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def resize(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, dark):
        # Nothing moves: what is looked at is what stays.
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.cdp("Emulation.setEmulatedMedia", features=features)

    # Going places

    def open(self, path=""):
        """Loads the view at that path of the page anew, and waits until it shows what it asked for."""
        self.driver.get(f"{self.base}{PATH}{path}")
        self.settled()

    def go(self, path):
        """Goes to the view at that path within the page, as a link does."""
        self.js("const link = document.createElement('a'); link.href = arguments[0]; document.body.append(link); link.click(); link.remove()", f"{self.base}{PATH}{path}")
        self.settled()

    def settled(self):
        self.wait("the view is there", "return document.querySelector('main h1') && !document.querySelector('main').textContent.includes('Asking …')")

    def use_token(self, secret):
        self.button("Token", "header").click()
        self.field("Secret ID").send_keys(secret)
        self.button("Use").click()
        self.no_dialog()

    @property
    def path(self):
        """The view's path and query, as they are in the address."""
        return self.driver.current_url.removeprefix(f"{self.base}{PATH}")

    # Waiting: the browser looks, so that what is measured is the page and not the driver

    def wait(self, what, script, *arguments, limit=LIMIT):
        """Until the script gives something true, which is given."""
        looking = """
            const [limit, ...given] = [...arguments].slice(0, -1), done = arguments[arguments.length - 1], until = performance.now() + limit * 1000;
            const look = () => {
              let found = null;
              try { found = (function () { %s }).apply(null, given); } catch (error) { found = null; }
              if (found) done(found); else if (performance.now() > until) done(null); else setTimeout(look, 10);
            };
            look();""" % script
        found = self.driver.execute_async_script(looking, limit, *arguments)
        if not found:
            raise AssertionError(f"not within {limit} s: {what}; shown is {self.text()[:1500]!r}{self.dialog_text()}")
        return found

    def sees(self, text, where="main", limit=LIMIT):
        """Until that text is there."""
        self.wait(f"“{text}” in {where}", "return document.querySelector(arguments[0])?.innerText.includes(arguments[1])", where, text, limit=limit)

    def misses(self, text, where="main", limit=LIMIT):
        """Until that text is not there any more."""
        self.wait(f"no “{text}” in {where}", "return !document.querySelector(arguments[0])?.innerText.includes(arguments[1])", where, text, limit=limit)

    def title(self, text):
        self.wait(f"the title “{text}”", "return document.querySelector('main h1')?.innerText.trim() === arguments[0]", text)

    def no_dialog(self):
        self.wait("no dialog", "return !document.querySelector('dialog[open]')")

    # Finding

    def text(self, where="main"):
        return self.js("return document.querySelector(arguments[0])?.innerText ?? ''", where)

    def dialog_text(self):
        text = self.js("return [...document.querySelectorAll('dialog[open]')].map((box) => box.innerText).join('\\n')")
        return f"; a dialog says {text!r}" if text else ""

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def button(self, text, where=None):
        """The button of that text, or accessible name, in the dialog on top, else in the view."""
        return self.wait(f"a button “{text}”", """
            const [text, where] = arguments, boxes = document.querySelectorAll('dialog[open]'), root = where ? document.querySelector(where) : boxes[boxes.length - 1] ?? document.querySelector('main');
            const found = [...root.querySelectorAll('button, summary')].filter((each) => each.offsetParent && !each.disabled);
            return found.find((each) => each.innerText.trim() === text) ?? found.find((each) => each.getAttribute('aria-label') === text);""", text, where)

    def click(self, text):
        self.button(text).click()

    def field(self, label):
        """What is filled in under that label, or has that accessible name."""
        return self.wait(f"a field “{label}”", """
            const boxes = document.querySelectorAll('dialog[open]'), root = boxes[boxes.length - 1] ?? document.querySelector('main');
            const all = [...root.querySelectorAll('input, textarea, select')].filter((each) => each.offsetParent);
            return all.find((each) => each.labels?.[0]?.innerText.trim().split('\\n')[0] === arguments[0]) ?? all.find((each) => each.getAttribute('aria-label') === arguments[0])
              ?? all.find((each) => (each.labels?.[0]?.innerText.trim() ?? each.getAttribute('aria-label') ?? '').startsWith(arguments[0]));""", label)

    def fill(self, label, text):
        box = self.field(label)
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(Keys.DELETE)
        box.send_keys(text)

    def link(self, text):
        return self.wait(f"a link “{text}”", "return [...document.querySelectorAll('main a')].find((each) => each.innerText.trim() === arguments[0])", text)

    def follow(self, text):
        """Clicks a link, also where it is drawn anew at that moment."""
        for _ in range(5):
            try:
                return self.link(text).click()
            except StaleElementReferenceException:
                continue
        raise AssertionError(f"the link “{text}” does not stay")

    @property
    def focused(self):
        return self.driver.switch_to.active_element

    # What the browser has to say

    def complaints(self, provoked=()):
        """What it wrote to its console, what broke and what its policy forbade since this was asked last."""
        # What was provoked just before may be told a moment later.
        wanted = [re.compile(PROVOKED[name]) for name in (*provoked, *self.provoked)]
        self.provoked = provoked
        said = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        said = [text for text in said if not any(pattern.search(text) for pattern in wanted)]
        seen = self.js("const seen = window.witness ?? { violations: [], errors: [] }, found = [...seen.violations, ...seen.errors]; seen.violations = []; seen.errors = []; return found")
        if self.js("return window.hacked !== undefined"):
            seen.append("a text of the registry was run as a script")
        return said + seen
