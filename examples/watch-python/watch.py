#!/usr/bin/env python3
"""Prints the instances of a service as they come and go, from the Lictor agent on this host.

    python3 -m venv venv
    venv/bin/pip install -r requirements.txt
    venv/bin/python watch.py hello

Each change is a line:

    = AVAILABLE                         what there is of the service
    + web-1/hello-1 10.0.0.1:8080       an instance that is new, or not as it was
    - web-1/hello-1                     an instance that is gone, or critical
    ! UNAVAILABLE: ...                  the agent cannot be heard; what was printed last stands

It needs no generated files: grpcio-tools reads the agent's .proto file when this starts. What it shows of the protocol
is all that a watcher must do: keep parts until they are complete, keep the last position that has a digest, and give
that back when the stream broke, so that nothing is told twice.
"""

import argparse
import pathlib
import random
import sys
import time

import grpc

PROTO_ROOT = pathlib.Path(__file__).resolve().parents[2] / "proto" / "proto"
PROTO_FILE = "lictor/v1/registry.proto"
# Seconds. The agent sends a heartbeat every 5 s, and HTTP/2 pings find out whether it is there.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CHANNEL_OPTIONS = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000),
                   ("grpc.max_reconnect_backoff_ms", 1_000)]


def say(line):
    print(line, flush=True)


class Watcher:
    """The instances of one service, by node and ID, as the agent has told them."""

    def __init__(self, protos, service):
        self.protos = protos
        self.service = service
        self.instances = {}
        self.state = None
        self.position = None
        self.upserted, self.removed = [], []

    def request(self):
        """Asks for what has changed since the last stream."""
        self.upserted, self.removed = [], []
        return self.protos.WatchServiceRequest(service=self.service, resume=self.position)

    def take(self, message):
        """Takes the next message of a stream."""
        kind = message.WhichOneof("event")
        if kind == "whole":
            self.upserted.extend(message.whole.instances)
            if message.whole.complete:
                told = {self.key(instance.id) for instance in self.upserted}
                gone = [instance.id for key, instance in self.instances.items() if key not in told]
                self.finish(gone, message.whole.state)
        elif kind == "delta":
            self.upserted.extend(message.delta.upserted)
            self.removed.extend(message.delta.removed)
            if message.delta.complete:
                self.finish(self.removed, message.delta.state)
        # Heartbeats and "resumed" change nothing, and neither do events of later versions.
        if message.position.digest:
            self.position = message.position

    def finish(self, removed, state):
        """Everything of a set or a delta is here: takes it over and prints what is new."""
        for identity in removed:
            if self.instances.pop(self.key(identity), None):
                say(f"- {identity.node}/{identity.instance}")
        for instance in self.upserted:
            if self.instances.get(self.key(instance.id)) != instance:
                say(f"+ {instance.id.node}/{instance.id.instance} {instance.address}:{instance.port}")
            self.instances[self.key(instance.id)] = instance
        if state != self.state:
            say(f"= {self.protos.ServiceState.Name(state).removeprefix('SERVICE_STATE_')}")
        self.state = state
        self.upserted, self.removed = [], []

    @staticmethod
    def key(identity):
        return identity.node.lower(), identity.instance.lower()


def watch(agent, service):
    """Watches until it is interrupted, through restarts of the agent."""
    sys.path.insert(0, str(PROTO_ROOT))
    protos, services = grpc.protos_and_services(PROTO_FILE)
    watcher, pause, last_trouble = Watcher(protos, service), SHORTEST_PAUSE, None
    with grpc.insecure_channel(agent, options=CHANNEL_OPTIONS) as channel:
        registry = services.RegistryStub(channel)
        while True:
            try:
                for message in registry.WatchService(watcher.request()):
                    watcher.take(message)
                    pause, last_trouble = SHORTEST_PAUSE, None
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
                    sys.exit(f"{error.code().name}: {error.details()}")
                if error.code() != last_trouble:
                    say(f"! {error.code().name}: {error.details()}")
                last_trouble = error.code()
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)


def main():
    parser = argparse.ArgumentParser(description="Prints the instances of a service as they come and go.")
    parser.add_argument("service", help="the service's name")
    parser.add_argument("--agent", default="127.0.0.1:8502", help="the agent's gRPC address [default: %(default)s]")
    arguments = parser.parse_args()
    try:
        watch(arguments.agent, arguments.service)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
