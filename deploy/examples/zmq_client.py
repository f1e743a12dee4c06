#!/usr/bin/env python3
"""A client of Caudal's ZeroMQ gateway: `zmq_client.py tcp://127.0.0.1:8001 "Once upon a time"`.

Needs pyzmq, protobuf and protoc (it compiles proto/gateway.proto when it starts). Many requests may be in
flight on one Client; each has its own tag.
"""
import argparse
import importlib
import itertools
import pathlib
import subprocess
import sys
import tempfile

import zmq


def load_messages():
    """The generated module of gateway.proto, or of an installed copy beside this file."""
    here = pathlib.Path(__file__).resolve().parent
    folder = next(f for f in (here.parents[1] / "proto", here) if (f / "gateway.proto").exists())
    out = tempfile.TemporaryDirectory(prefix="caudal-proto-")
    with out:
        subprocess.run(["protoc", f"--proto_path={folder}", f"--python_out={out.name}", "gateway.proto"], check=True)
        sys.path.insert(0, out.name)
        try:
            return importlib.import_module("gateway_pb2")
        finally:
            sys.path.remove(out.name)


pb = load_messages()


class GatewayError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.status} {error.param}: {error.message}")
        self.error = error


class Client:
    def __init__(self, endpoint, timeout_ms=120_000):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
        self.socket.connect(endpoint)
        self.tags = itertools.count(1)

    def close(self):
        self.socket.close()

    def send(self, request):
        request.tag = next(self.tags)
        self.socket.send(request.SerializeToString())
        return request.tag

    def receive(self):
        """The next event of any request."""
        return pb.GatewayEvent.FromString(self.socket.recv())

    def events(self, request):
        """Sends one request and yields its events; nothing else may be in flight."""
        tag = self.send(request)
        while True:
            event = self.receive()
            if event.tag not in (0, tag):
                continue  # of a request that was cancelled too late
            kind = event.WhichOneof("event")
            if kind == "error":
                raise GatewayError(event.error)
            yield event
            if kind in ("finished", "status"):
                return

    def complete(self, prompt, **parameters):
        """The `Finished` of a completion."""
        return list(self.events(completion(prompt, **parameters)))[-1].finished

    def chat(self, *messages, **parameters):
        """Messages are (role, content) pairs; the `Finished`."""
        request = pb.GatewayRequest(chat=pb.ChatRequest(parameters=parameters_of(parameters)))
        for role, content in messages:
            request.chat.messages.add(role=role, content=content)
        return list(self.events(request))[-1].finished

    def cancel(self, tag):
        self.socket.send(pb.GatewayRequest(tag=tag, cancel=pb.Cancel()).SerializeToString())


def parameters_of(parameters):
    made = pb.Parameters()
    for name, value in parameters.items():
        if isinstance(value, (list, tuple)):
            getattr(made, name).extend(value)
        elif isinstance(value, dict):
            getattr(made, name).update(value)
        else:
            setattr(made, name, value)
    return made


def completion(prompt, **parameters):
    request = pb.GatewayRequest(completion=pb.CompletionRequest(parameters=parameters_of(parameters)))
    if isinstance(prompt, str):
        request.completion.prompt.add(text=prompt)
    else:
        request.completion.prompt.add(token_ids=pb.TokenIds(ids=prompt))
    return request


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("endpoint")
    arguments.add_argument("prompt")
    arguments.add_argument("--max-tokens", type=int, default=64)
    arguments.add_argument("--temperature", type=float, default=0.0)
    options = arguments.parse_args()
    client = Client(options.endpoint)
    for event in client.events(completion(options.prompt, max_tokens=options.max_tokens,
                                          temperature=options.temperature, stream=True)):
        if event.WhichOneof("event") == "delta":
            print(event.delta.text, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
