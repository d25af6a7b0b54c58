"""An agent's HTTP interface, as somebody else uses it while the page is open."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request


class Agent:
    """The agent at `address` (host:port), asked with `token`."""

    def __init__(self, address, token=""):
        self.base = f"http://{address}"
        self.token = token

    def ask(self, method, path, body=None):
        """The answer: JSON where it is that, else text; None where there is nothing (404)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Consul-Token": self.token} if self.token else {}
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, path):
        return self.ask("GET", path)

    def put(self, path, body=None):
        return self.ask("PUT", path, b"" if body is None else body)

    def delete(self, path):
        return self.ask("DELETE", path)

    def register(self, node, service=None, checks=(), **more):
        """Into the catalog, as an external tool does. `service` is a name or a whole service."""
        body = {"Node": node, "Address": "192.0.2.7", "Checks": list(checks), **more}
        if service is not None:
            body["Service"] = {"Service": service, "ID": service} if isinstance(service, str) else service
        self.put("/v1/catalog/register", body)

    def value(self, key):
        """A key's value as text; None where there is no such key."""
        rows = self.get(f"/v1/kv/{escaped(key)}?consistent")
        return rows and base64.b64decode(rows[0]["Value"] or "").decode()

    def query(self, body):
        return self.ask("POST", "/v1/query", body)["ID"]

    def session(self, **body):
        return self.put("/v1/session/create", body)["ID"]


def escaped(text):
    """One part of a path."""
    return urllib.parse.quote(text, safe="")
