"""How long a list of 5,000 pods holds up the other threads of the process: `python -m tests.bench.pods_list`.

A server in a process of its own answers in pages of 500 pods of about 8 KB each, as the API server does. Beside the
list a thread does nothing but wake every millisecond; its longest gap is the stall.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import random
import resource
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe
from typing import Any
from urllib.parse import parse_qs, urlsplit

from controller.cluster.cache import Cache
from controller.cluster.connection import Connection
from controller.cluster.pods import decode_pod
from controller.cluster.reflector import Reflector
from controller.cluster.shell import Cluster
from controller.release.observation import PodList
from controller.requests.looks import ReadPods
from tests.controller.adapters.builders import RealClock, connection_to

PODS = 5000
PAGE = 500
BOUND = 0.200  # seconds


def a_pod(number: int) -> dict[str, Any]:
    """A pod of about 8 KB, most of it managedFields and the spec, as servers really send it."""
    name = f"checkout-7d9f8c-{number:05d}"
    variables = [{"name": f"SETTING_{i}", "value": f"some value of setting {i} of this app"} for i in range(30)]
    fields: dict[str, Any] = {f"f:field-{i}": {"f:a": {}, "f:b": {}, "f:c": {".": {}, "f:d": {}}} for i in range(60)}
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"00000000-0000-0000-0000-{number:012d}",
            "resourceVersion": str(100_000 + number),
            "labels": {"app": "checkout", "pod-template-hash": "7d9f8c"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "checkout-7d9f8c", "controller": True}],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": fields}],
        },
        "spec": {
            "nodeName": f"node-{number % 50}",
            "containers": [{"name": "app", "image": "registry.test/checkout:v1", "env": variables}],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": "2026-11-22T02:00:00Z"}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {"name": "app", "restartCount": 0, "state": {"running": {"startedAt": "2026-11-22T02:00:00Z"}}}
            ],
        },
    }


def serve(pipe: Pipe) -> None:
    """Answers lists in pages, and watches with silence. Sends its port and the size of all pages over the pipe."""
    pages: list[bytes] = []
    for start in range(0, PODS, PAGE):
        token = {"continue": str(start // PAGE + 1)} if start + PAGE < PODS else {}
        items = [a_pod(number) for number in range(start, start + PAGE)]
        page = {"kind": "PodList", "metadata": {"resourceVersion": "200000", **token}, "items": items}
        pages.append(json.dumps(page).encode())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if "watch" in query:
                self.send_response(200)
                self.end_headers()
                time.sleep(3600)
            body = pages[int(query.get("continue", ["0"])[0])]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pipe.send((server.server_port, sum(map(len, pages))))
    server.serve_forever()


class Pulse:
    """Wakes every millisecond and keeps the longest gap between two wakings, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(0.001):
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds: the longest stall and the whole list, of the watch copy and of the quorum read that a tick makes."""

    stalled_copy: float
    copied: float
    stalled_read: float
    read: float


def measure(connection: Connection, rounds: int) -> list[Round]:
    """Lists the pods of a server both ways, `rounds` times. Raises RuntimeError where a list is not complete."""
    clock = RealClock()
    found = []
    for _ in range(rounds):
        reflector = Reflector(connection, clock, "/api/v1/pods", decode_pod, lambda *_: None, jitter=random.Random(1))
        thread = threading.Thread(target=reflector.run, daemon=True)
        began = time.perf_counter()
        with Pulse() as pulse:
            thread.start()
            if not reflector.synced.wait(60):
                raise RuntimeError("the copy was not synced within a minute")
        copied, stalled_copy = time.perf_counter() - began, pulse.longest
        reflector.stop()
        if len(reflector.read_all("shop")) < PODS:
            raise RuntimeError(f"the copy holds {len(reflector.read_all('shop'))} pods")

        cluster = Cluster(connection, Cache(connection, clock), clock)
        cluster.begin_tick()
        began = time.perf_counter()
        with Pulse() as pulse:
            answer = cluster.perform(ReadPods("shop", (("app", "checkout"),), fresh=True))
        if not isinstance(answer, PodList) or len(answer.items) != PODS:
            raise RuntimeError(f"the list is not complete: {str(answer)[:200]}")
        found.append(Round(stalled_copy, copied, pulse.longest, time.perf_counter() - began))
    return found


def main() -> int:
    """Prints the figures; exit code 1 where a stall is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="the worst of so many is printed (default 3)")
    rounds = parser.parse_args().rounds
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        port, size = ours.recv()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        gc.collect()
        found = measure(connection_to(f"http://127.0.0.1:{port}"), rounds)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    finally:
        server.terminate()
        server.join()
    print(f"{PODS} pods, {size / 1e6:.1f} MB of JSON, worst of {rounds}")
    stalled_copy, stalled_read = max(one.stalled_copy for one in found), max(one.stalled_read for one in found)
    copied, read = max(one.copied for one in found), max(one.read for one in found)
    print(f"watch copy:  longest stall {stalled_copy * 1000:4.0f} ms, list {copied:.2f} s")
    print(f"quorum read: longest stall {stalled_read * 1000:4.0f} ms, list {read:.2f} s")
    print(f"peak memory grew by {grown:.0f} MB; bound for a stall: {BOUND * 1000:.0f} ms")
    return 0 if max(stalled_copy, stalled_read) <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
