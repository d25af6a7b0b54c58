"""What Schemathesis cannot know from a description: what there is in the registry, and which refusals are Consul's."""

import json
import os
import re
import zlib

import schemathesis

# What there is to ask about, by the name of the parameter in the path.
KNOWN = json.loads(os.environ["LICTOR_KNOWN"])

# The beginnings of answers with status 500 that are as they must be: Consul blames itself for many a request. Of the first
# ones there are recordings (tests/conformance/recorded), the others are in Consul's words.
REFUSALS = [
    r"No path to datacenter$",
    r"Failed to create boolean expression evaluator: ",
    r"Must provide (node|address if SkipNodeUpdate is not set)$",
    r"Bad node ID: ",
    r"(raft apply failed: )?failed session lookup: index error: UUID must be 36 characters$",
    r"(raft apply failed|apply failed): ",
    r"Invalid Session TTL '",
    r"Session TTL '.*' invalid: ",
    r"Invalid Behavior setting '",
    r"strconv\.ParseUint: parsing ",
    r"Invalid prepared query: ",
    r'CheckID ".*" does not have associated TTL$',
    r'ServiceID ".*" does not exist$',
    r"agent: No node found with name ",
    r"\d+ errors occurred:\n\t\* ",  # of gossip keys: encryption is not on
    # In Consul's words.
    r"Must provide (service name|check ID)",
    r'check ".*" is of node ',
    r"Prepared Query lookup failed: failed prepared query lookup: index error: UUID must be 36 characters$",
    r"Cannot modify non-existent prepared query: ",
    r"Bad limit: ",
    r"Cannot provide tag filter without service filter$",
    r'(id|address) ".*" was not found in the Raft configuration$',
    r"there is no such voter to hand the leadership to$",
    r"failed acl (token|policy|role|binding rule) lookup: UUID must be 36 characters$",
    r"Invalid (Token|Policy|Role|Auth Method|Binding Rule|AccessorID|SecretID|ID): ",
    r"(Service|Node) identity .* has an invalid name\.",
    r"Failed to parse ACL rules: ",
    r"Cannot (find|delete|modify) ",
    r"No such ACL (token|policy|role|auth method) with (ID|name) ",
]


def known(text):
    """Whether a refusal is one of those."""
    return any(re.match(pattern, text, re.DOTALL) for pattern in REFUSALS)


# What every read takes is tried at these, and not at forty more that read in the same way.
READS = [
    "/v1/health/service/{service}",
    "/v1/kv/{key}",
    "/v1/agent/service/{service-id}",
    "/v1/event/list",
    "/v1/acl/token/self",
]
COMMON = ["dc", "index", "wait", "stale", "consistent", "cached", "max_stale", "pretty"]


@schemathesis.hook
def before_process_path(context, path, methods):
    if path not in READS:
        common = [f"#/components/parameters/query.{name}" for name in COMMON]
        for operation in methods.values():
            operation["parameters"] = [it for it in operation["parameters"] if it["$ref"] not in common]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if type(failure).__name__ != "ServerError":
        return True
    # How a service is, is told by the status.
    if response.status_code == 503 and case.path.startswith("/v1/agent/health/service/"):
        return False
    return not (response.status_code == 500 and known(response.text))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Turns many requests into such as find something: by chance, but by the same in each run."""
    chance = zlib.crc32(repr((case.path, case.path_parameters, case.query, case.body)).encode())
    removes = case.method == "DELETE" or re.search("destroy|deregister|force-leave", case.path)
    for name in case.path_parameters or {}:
        if name in KNOWN and chance % 4 and not removes:
            case.path_parameters[name] = KNOWN[name][chance % len(KNOWN[name])]
    query = case.query or {}
    # Most names are no datacenter's, and most sets of modes contradict each other.
    if "dc" in query and chance % 8:
        query["dc"] = "dc1"
    modes = [mode for mode in ("stale", "consistent", "cached", "max_stale") if mode in query]
    if len(modes) > 1 and chance % 8:
        for mode in modes:
            if mode != modes[chance % len(modes)]:
                del query[mode]
    # Most texts are no filters.
    if "filter" in query and chance % 4:
        del query["filter"]
    # Nothing waits for a change.
    if {"index", "hash"} & query.keys():
        query["wait"] = "1ms"
