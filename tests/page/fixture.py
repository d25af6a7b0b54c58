"""What a small registry has, so that every view has something to show."""

import base64

from agent import escaped

NODES = 6
# The public key of RFC 8037, appendix A.2, in its wrapping (RFC 8410): nobody logs in by it.
KEY = bytes.fromhex("302a300506032b6570032100") + base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
PEM = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(KEY).decode()}\n-----END PUBLIC KEY-----\n"


def login(agent, name):
    """An auth method of that name, with a binding rule."""
    config = {"JWTValidationPubKeys": [PEM], "JWTSupportedAlgs": ["EdDSA"], "ClaimMappings": {"sub": "name"}}
    agent.put("/v1/acl/auth-method", {"Name": name, "Type": "jwt", "Description": "Jobs that build", "MaxTokenTTL": "1h", "Config": config})
    agent.put("/v1/acl/binding-rule", {"AuthMethod": name, "BindType": "service", "BindName": "web-${value.name}", "Selector": "value.name != mallory"})


class Fixture:
    """Fills the registry of `agent`; `own` is the sidecar whose page is looked at, with an instance of its own."""

    def __init__(self, agent, own, node, is_guarded):
        self.node = node
        rows = agent.get("/v1/health/state/any?filter=CheckID==serfHealth")
        self.other = next(row["Node"] for row in rows if row["Node"] != node)
        for number in range(1, NODES + 1):
            ping = {"CheckID": "ping", "Name": "Ping", "Status": "passing", "Output": "0.2 ms"}
            agent.register(f"host-{number:02}", checks=[ping], Address=f"192.0.2.{number}", NodeMeta={"rack": f"r{number % 3}", "os": "debian"})
        states = ["passing", "passing", "warning", "passing", "critical", "passing"]
        for place, name in enumerate(["api", "billing", "cart", "mail", "search", "web"]):
            for number in range(1 + place % 3 + 1):
                status = states[(place + number) % len(states)] if number == 0 else "passing"
                output = {"passing": "HTTP GET http://192.0.2.1/health: 200 OK", "warning": "the queue is half full", "critical": "HTTP GET: 503 Service Unavailable\nthe queue is full"}[status]
                service = {"Service": name, "ID": f"{name}-{number + 1}", "Port": 8000 + place, "Tags": [f"v{number % 2 + 1}", "eu"], "Meta": {"team": f"t{place % 3}"}}
                check = {"CheckID": f"service:{name}-{number + 1}", "Name": f"HTTP {name}", "ServiceID": f"{name}-{number + 1}", "Status": status, "Output": output}
                host = (place + number * 2) % NODES + 1
                agent.register(f"host-{host:02}", service, [check], Address=f"192.0.2.{host}", SkipNodeUpdate=True)
        own.put("/v1/agent/service/register", {"Name": "hello", "Port": 9000, "Tags": ["demo"], "Check": {"CheckID": "hello", "TTL": "1h", "Status": "passing"}})
        for key, value in {"app/config/database.json": '{\n  "host": "db.service.consul",\n  "port": 5432\n}\n', "app/config/limits.yaml": "rate: 100\nburst: 20\n",
                           "app/feature": "on", "greeting": "hello"}.items():
            agent.put(f"/v1/kv/{escaped(key)}", value.encode())
        agent.put("/v1/kv/app/picture", bytes(range(256)))
        self.session = agent.session(Name="leader-election", TTL="3600s")
        agent.put(f"/v1/kv/app/leader?acquire={self.session}", b"host-01")
        self.query = agent.query({"Name": "web-near", "Service": {"Service": "web", "OnlyPassing": True, "Near": "_agent", "Failover": {"Datacenters": ["dc2"]}}, "DNS": {"TTL": "10s"}})
        self.template = agent.query({"Name": "geo-", "Template": {"Type": "name_prefix_match", "Regexp": "^geo-(.*)$"}, "Service": {"Service": "${match(1)}"}})
        if is_guarded:
            rules = 'service_prefix "" {\n  policy = "read"\n}\nkey_prefix "app/" {\n  policy = "write"\n}\n'
            self.policy = agent.put("/v1/acl/policy", {"Name": "readers", "Description": "See services, write keys", "Rules": rules})["ID"]
            self.role = agent.put("/v1/acl/role", {"Name": "operators", "Description": "Those on duty", "Policies": [{"ID": self.policy}]})["ID"]
            made = agent.put("/v1/acl/token", {"Description": "dashboards", "Policies": [{"ID": self.policy}], "Roles": [{"ID": self.role}], "ExpirationTTL": "8h"})
            login(agent, "ci")
            self.token, self.secret = made["AccessorID"], made["SecretID"]

    def views(self, is_guarded):
        """Every view: its name, its path, its title, and a text that it shows."""
        found = [
            ("overview", "", "Overview", "Critical now"), ("services", "services", "Services", "billing"), ("a service", "services/web", "web", "web-1"),
            ("nodes", "nodes", "Nodes", "host-03"), ("a node", f"nodes/{self.node}", self.node, "Serf Health Status"), ("keys", "kv", "Key/value", "greeting"),
            ("a folder", "kv?prefix=app/config/", "config/", "limits.yaml"), ("a key", "kv?key=app/config/database.json", "database.json", "Valid JSON"),
            ("a binary key", "kv?key=app/picture", "picture", "This value is not text"), ("a locked key", "kv?key=app/leader", "leader", "leader-election"),
            ("sessions", "sessions", "Sessions and locks", "leader-election"), ("a session", f"sessions/{self.session}", "leader-election", "releases its keys"),
            ("queries", "queries", "Prepared queries", "web-near"), ("a query", f"queries/{self.query}", "web-near", "only those whose checks all pass"),
            ("a template", f"queries/{self.template}", "geo-*", "Name to ask for"), ("numbers", "numbers", "Numbers", "Memory"),
        ]
        if not is_guarded:
            return [*found, ("access", "access", "Access", "Access control is off")]
        return [*found, ("access", "access", "Access", "Your token"), ("tokens", "access/tokens", "Tokens", "dashboards"), ("a token", f"access/tokens/{self.token}", "dashboards", "Show the secret"),
                ("policies", "access/policies", "Policies", "readers"), ("a policy", f"access/policies/{self.policy}", "readers", "key_prefix"), ("roles", "access/roles", "Roles", "operators"),
                ("a role", f"access/roles/{self.role}", "operators", "readers"), ("auth methods", "access/auth-methods", "Auth methods", "Jobs that build"), ("an auth method", "access/auth-methods/ci", "ci", "value.name != mallory")]
