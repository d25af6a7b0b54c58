"""screenshots.py: the pictures of the book, by hand, with the environment of everything.py (access control on, nothing
registered; by DNS, as by default, the agents may do all).

Fills the registry with a small shop, lets it live for a while, and takes each view in light and in dark. Look at each of them.
"""

import base64
import os
import pathlib
import random
import socket
import struct
import threading
import time

from agent import Agent, escaped
from browser import Page

PICTURES = pathlib.Path(__file__).resolve().parents[2] / "docs/src/pictures"
QUALITY = 72
# How long the numbers are read before their picture is taken, in seconds.
LIFE_SECONDS = 300
SHOP = {"web": 6, "api": 5, "cart": 3, "payments": 4, "search": 4, "mail": 2, "images": 3, "ledger": 2, "stock": 3, "reports": 1, "billing": 2, "auth": 4, "feed": 2, "jobs": 3}
TROUBLE = {"search-2": ("critical", "HTTP GET http://10.1.0.4:8004/health: 503 Service Unavailable\nOutput: shard 3 is rebuilding"), "mail-1": ("warning", "queue: 8120 messages (warning above 5000)"),
           "reports-1": ("critical", "TCP connect 10.1.0.9:8009: connection refused")}
RULES = {"see-services": ("Read the whole catalog", 'node_prefix "" {\n  policy = "read"\n}\nservice_prefix "" {\n  policy = "read"\n}\n'),
         "payments": ("Register payments, read its settings", '# The team of payments\nservice "payments" {\n  policy = "write"\n}\nkey_prefix "payments/" {\n  policy = "write"\n}\nkey "payments/secret" {\n  policy = "deny"\n}\n'),
         "operators": ("See the servers and the keyring", 'operator = "read"\nkeyring = "read"\n')}


class Shop:
    """Fills the registry through `agent`; what `own` runs itself it registers there."""

    def __init__(self, agent, own):
        self.agent, self.own, self.random = agent, own, random.Random(4)
        for number in range(1, 13):
            agent.register(f"host-{number:02}", checks=[{"CheckID": "disk", "Name": "Disk", "Status": "passing", "Output": "41 % used"}], Address=f"10.1.0.{number}",
                           NodeMeta={"rack": f"r{number % 3 + 1}", "os": "debian-13"})
        for place, (name, count) in enumerate(SHOP.items()):
            for number in range(1, count + 1):
                self.instance(name, number, place, *TROUBLE.get(f"{name}-{number}", ("passing", f"HTTP GET http://10.1.0.{place + 1}:{8000 + place}/health: 200 OK")))
        for name, port in {"proxy": 8080, "hello": 9000}.items():
            own.put("/v1/agent/service/register", {"Name": name, "Port": port, "Tags": ["edge"], "Check": {"CheckID": f"service:{name}", "TTL": "2h", "Status": "passing"}})
        self.keys()
        self.queries()
        self.access()

    def instance(self, name, number, place, status, output):
        host = (place * 3 + number * 5) % 12 + 1
        service = {"Service": name, "ID": f"{name}-{number}", "Port": 8000 + place, "Tags": [f"v{number % 2 + 3}", "eu"], "Meta": {"team": ["shop", "money", "data"][place % 3]}}
        check = {"CheckID": f"service:{name}-{number}", "Name": f"HTTP {name}", "Type": "http", "ServiceID": f"{name}-{number}", "Status": status, "Output": output}
        self.agent.register(f"host-{host:02}", service, [check], Address=f"10.1.0.{host}", SkipNodeUpdate=True)

    def keys(self):
        values = {"payments/limits.json": '{\n  "currency": "EUR",\n  "daily": 25000,\n  "single": 4000,\n  "retry": { "times": 3, "after": "250ms" },\n  "blocked": ["XX", "YY"]\n}\n',
                  "payments/secret": "…", "shop/banner": "Free delivery until Sunday", "shop/features.yaml": "# What is on\nsearch: true\nwishlist: false\n", "shop/rates/eu": "0.21", "shop/rates/uk": "0.20",
                  "jobs/leader": "host-03", "maintenance": "off", "release": "2026.11.2"}
        for key, value in values.items():
            self.agent.put(f"/v1/kv/{escaped(key)}", value.encode())
        self.session = self.agent.session(Name="jobs: leader", TTL="1h", LockDelay="15s")
        self.agent.put(f"/v1/kv/jobs/leader?acquire={self.session}", b"host-03")
        for name, behavior in {"ledger: nightly run": "release", "stock: import": "delete", "images: resize 17": "delete"}.items():
            self.agent.session(Name=name, TTL="2h", Behavior=behavior)

    def queries(self):
        self.query = self.agent.query({"Name": "payments", "Service": {"Service": "payments", "OnlyPassing": True, "Near": "_agent", "Tags": ["eu"], "Failover": {"NearestN": 2}}, "DNS": {"TTL": "10s"}})
        self.agent.query({"Name": "search-any", "Service": {"Service": "search"}})
        self.agent.query({"Name": "near-", "Template": {"Type": "name_prefix_match", "Regexp": "^near-(.+)$"}, "Service": {"Service": "${match(1)}", "Near": "_agent", "OnlyPassing": True}})

    def access(self):
        ids = {name: self.agent.put("/v1/acl/policy", {"Name": name, "Description": text, "Rules": rules})["ID"] for name, (text, rules) in RULES.items()}
        self.policy = ids["payments"]
        self.agent.put("/v1/acl/role", {"Name": "on-duty", "Description": "Who is called at night", "Policies": [{"Name": "operators"}, {"Name": "see-services"}]})
        for text, given in {"deploys of payments": {"Policies": [{"Name": "payments"}]}, "Grafana": {"Policies": [{"Name": "see-services"}]}, "Ada, on duty": {"Roles": [{"Name": "on-duty"}], "ExpirationTTL": "12h"},
                            "host-03": {"NodeIdentities": [{"NodeName": "host-03", "Datacenter": "dc1"}]}, "cart": {"ServiceIdentities": [{"ServiceName": "cart"}]}}.items():
            made = self.agent.put("/v1/acl/token", {"Description": text, **given})
            self.token = made["AccessorID"] if text.startswith("Ada") else getattr(self, "token", None)

    def live(self, ended, dns_port):
        """Questions and changes, until it is ended."""
        ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while not ended.wait(0.03):
            wave = 1 + (time.monotonic() % 60) / 20
            for _ in range(int(self.random.random() * 8 * wave)):
                name = self.random.choice([*SHOP, "nowhere"] if self.random.random() < 0.2 else list(SHOP))
                labels = b"".join(bytes([len(label)]) + label.encode() for label in (name, "service", "consul")) + b"\0"
                ask.sendto(struct.pack(">HHHHHH", self.random.randrange(65536), 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1), ("127.0.0.1", dns_port))
            if self.random.random() < 0.3:
                self.own.get(f"/v1/health/service/{self.random.choice(list(SHOP))}?stale")
            if self.random.random() < 0.08:
                self.own.put("/v1/kv/shop/visits", str(self.random.randrange(10**6)).encode())
            if self.random.random() < 0.02:
                self.own.get("/v1/kv/not-there")

    def change(self):
        """What the overview tells of."""
        for name, number, status in [("cart", 2, "warning"), ("payments", 3, "critical"), ("cart", 2, "passing"), ("auth", 1, "warning"), ("payments", 3, "passing"), ("auth", 1, "passing")]:
            self.instance(name, number, list(SHOP).index(name), status, "HTTP GET: 200 OK" if status == "passing" else "HTTP GET: timed out after 5 s")
            time.sleep(0.7)
        self.instance("web", 7, 0, "passing", "HTTP GET http://10.1.0.1:8000/health: 200 OK")
        time.sleep(1)


def take(page, name):
    for scheme in ("light", "dark"):
        page.scheme(scheme == "dark")
        time.sleep(0.25)
        picture = page.cdp("Page.captureScreenshot", format="webp", quality=QUALITY)
        (PICTURES / f"{name}-{scheme}.webp").write_bytes(base64.b64decode(picture["data"]))
    page.scheme(False)


def signed_in(address, token):
    page = Page(address)
    page.cdp("Emulation.setScrollbarsHidden", hidden=True)
    page.open()
    page.use_token(token)
    return page


def main():
    address, token = os.environ.get("LICTOR_SIDECAR_PAGE") or os.environ["LICTOR_SIDECAR"], os.environ["LICTOR_TOKEN"]
    agent, own = Agent(os.environ["LICTOR_SERVER"], token), Agent(os.environ["LICTOR_SIDECAR"], token)
    PICTURES.mkdir(exist_ok=True)
    shop = Shop(agent, own)
    ended, port = threading.Event(), own.get("/v1/internal/ui/agent")["DNSPort"]
    threading.Thread(target=shop.live, args=(ended, port), daemon=True).start()
    numbers = signed_in(address, token)
    numbers.go("numbers")
    began = time.monotonic()
    page = signed_in(address, token)
    shop.change()
    take(page, "overview")
    for name, path in {"services": "services", "nodes": "nodes", "keys": "kv", "folder": "kv?prefix=shop/", "key": "kv?key=payments/limits.json", "sessions": "sessions",
                       "queries": "queries", "access": "access", "tokens": "access/tokens", "token": f"access/tokens/{shop.token}", "policies": "access/policies", "policy": f"access/policies/{shop.policy}",
                       "roles": "access/roles"}.items():
        page.go(path)
        time.sleep(0.5)
        take(page, name)
    page.go("services/search")
    page.click("▸ search-2")
    page.js("document.activeElement.blur()")
    take(page, "service")
    page.go(f"sessions/{shop.session}")
    page.click("Which keys does it hold?")
    page.sees("1 key")
    take(page, "session")
    page.go(f"queries/{shop.query}")
    page.click("Execute")
    page.sees("instances of payments")
    page.js("document.activeElement.blur(); scrollTo(0, 0)")
    take(page, "query")
    page.go(f"access/policies/{shop.policy}")
    page.click("Change …")
    take(page, "policy-editor")
    page.click("Cancel")
    page.close()
    # Until there is enough of them, and the node's distances are known.
    time.sleep(max(0, LIFE_SECONDS - (time.monotonic() - began)))
    take(numbers, "numbers")
    numbers.go(f"nodes/{os.environ['LICTOR_NODE']}")
    time.sleep(0.5)
    take(numbers, "node")
    numbers.close()
    ended.set()
    sizes = [file.stat().st_size for file in PICTURES.glob("*.webp")]
    print(f"{len(sizes)} pictures, {sum(sizes)} bytes")


if __name__ == "__main__":
    main()
