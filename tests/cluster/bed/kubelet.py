"""The kubelet of the bed: binds pods to nodes and runs each as a real process.

One main loop owns every pod, so there are no locks: a watch thread and a small pool of workers (binding, status writes,
readiness questions) hand their results to the loop through a queue. Processes are started by the main loop's own
thread, because they die with the thread that started them.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import queue
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from tests.cluster.bed.addresses import public_address, reserve_block
from tests.cluster.bed.api import Api, ApiError, Object
from tests.cluster.bed.container import Container, timestamp
from tests.cluster.bed.nodes import COMMON_NODES, choose_node, create_node
from tests.cluster.bed.pod import Pod, make_pod

PASS_SECONDS = 0.05
RETRY_SECONDS = 0.5
FAILURES = (ApiError, urllib3.exceptions.HTTPError, OSError)


class Kubelet:
    """Runs the pods of all nodes. `targets` is the folder for Prometheus' file discovery, one file per namespace."""

    def __init__(self, api: Api, *, targets: Path, logs: Path) -> None:
        self._api = api
        self._targets = targets
        self._logs = logs
        self._pods: dict[str, Pod] = {}
        # Pods without a node, by uid: when to try next (infinity while a worker tries), and the object as last seen.
        self._pending: dict[str, tuple[float, Object]] = {}
        self._ordinals: Counter[str] = Counter()
        self._numbers, self._block = reserve_block()
        self._turns = itertools.count()
        self._stale_targets: set[str] = set()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._workers = ThreadPoolExecutor(6, "kubelet-worker")
        self._stopping = threading.Event()
        for folder in (targets, logs):
            folder.mkdir(parents=True, exist_ok=True)

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Runs until `should_stop` says so; then every pod process is killed."""
        for number in range(1, COMMON_NODES + 1):
            create_node(self._api, f"node-{number}")
        threading.Thread(target=self._watch, name="kubelet-watch", daemon=True).start()
        try:
            while not should_stop():
                self._take_in(PASS_SECONDS)
                now = time.monotonic()
                self._bind_due(now)
                for pod in list(self._pods.values()):
                    self._step(pod, now)
                self._write_targets()
        finally:
            self._stopping.set()
            for pod in self._pods.values():
                pod.begin_end(0.0)
                pod.step(time.monotonic())
            self._workers.shutdown(wait=False, cancel_futures=True)

    def _take_in(self, seconds: float) -> None:
        try:
            self._inbox.get(timeout=seconds)()
            while True:
                self._inbox.get_nowait()()
        except queue.Empty:
            pass

    # What the API server says.

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                listed = self._api.read("/api/v1/pods")
                present = {pod["metadata"]["uid"] for pod in listed["items"]}
                self._inbox.put(lambda present=present: self._forget_others(present))  # type: ignore[misc]
                for pod in listed["items"]:
                    self._inbox.put(lambda pod=pod: self._note(pod))  # type: ignore[misc]
                self._follow(listed["metadata"]["resourceVersion"])
            except FAILURES:
                self._stopping.wait(RETRY_SECONDS)

    def _follow(self, revision: str) -> None:
        for event in self._api.watch("/api/v1/pods", revision=revision):
            note = {"ADDED": self._note, "MODIFIED": self._note, "DELETED": self._forget}.get(event.kind)
            if note is not None:
                self._inbox.put(lambda note=note, pod=event.object: note(pod))  # type: ignore[misc]

    def _note(self, found: Object) -> None:
        meta = found["metadata"]
        uid = meta["uid"]
        if uid in self._pods:
            self._note_deletion(self._pods[uid], meta)
        elif not found["spec"].get("nodeName"):
            due = self._pending[uid][0] if uid in self._pending else 0.0
            self._pending[uid] = (due, found)
        else:
            self._admit(found)

    def _admit(self, found: Object) -> None:
        meta = found["metadata"]
        self._pending.pop(meta["uid"], None)
        owner = next((one["uid"] for one in meta.get("ownerReferences", [])), meta["uid"])
        self._ordinals[owner] += 1
        self._numbers += 1
        pod = make_pod(found, public=public_address(self._numbers), ordinal=self._ordinals[owner], logs=self._logs)
        self._pods[pod.uid] = pod
        self._stale_targets.add(pod.namespace)
        self._note_deletion(pod, meta)

    def _note_deletion(self, pod: Pod, meta: Object) -> None:
        if meta.get("deletionTimestamp"):
            pod.begin_end(time.monotonic() + float(meta.get("deletionGracePeriodSeconds") or 0))

    def _forget(self, found: Object) -> None:
        self._drop(found["metadata"]["uid"])

    def _forget_others(self, present: set[str]) -> None:
        for uid in self._pods.keys() - present:
            self._drop(uid)

    def _drop(self, uid: str) -> None:
        self._pending.pop(uid, None)
        pod = self._pods.pop(uid, None)
        if pod is not None:
            for container in pod.containers:
                container.kill()
            self._stale_targets.add(pod.namespace)

    # What the kubelet does.

    def _bind_due(self, now: float) -> None:
        for uid, (due, found) in self._pending.items():
            if now >= due:
                self._pending[uid] = (math.inf, found)
                self._workers.submit(self._bind, found)

    def _step(self, pod: Pod, now: float) -> None:
        pod.step(now)
        if pod.is_ending:
            if pod.has_ended and not pod.removed and now >= pod.retry_at:
                pod.removed = True
                self._workers.submit(self._remove, pod)
            return
        for container in pod.containers:
            if container.is_due(now):
                container.asking = True
                self._workers.submit(self._ask, pod, container, container.child)
        if pod.dirty and not pod.writing and now >= pod.retry_at:
            pod.dirty, pod.writing = False, True
            self._workers.submit(self._write_status, pod, pod.status())

    def _write_targets(self) -> None:
        while self._stale_targets:
            namespace = self._stale_targets.pop()
            entries = [entry for pod in self._pods.values() if pod.namespace == namespace for entry in pod.targets()]
            path = self._targets / f"{namespace}.json"
            # Prometheus must never see half a file.
            fresh = self._targets / f".{namespace}.fresh"
            fresh.write_text(json.dumps(entries))
            os.replace(fresh, path)

    # What the workers do; they touch no state of the loop.

    def _bind(self, found: Object) -> None:
        meta = found["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        try:
            nodes = self._api.read("/api/v1/nodes")["items"]
            node, sentence = choose_node(nodes, found, next(self._turns))
            if node is not None:
                target = {"apiVersion": "v1", "kind": "Node", "name": node}
                body = {"metadata": {"name": meta["name"], "uid": meta["uid"]}, "target": target}
                self._api.create(f"{path}/binding", body)
            else:
                self._say_unschedulable(path, found, sentence)
        except FAILURES:
            # Bound, gone or changed by now: the watch tells, and a later try finds the rest.
            pass
        self._inbox.put(lambda: self._bind_later(meta["uid"]))

    def _bind_later(self, uid: str) -> None:
        if uid in self._pending:
            self._pending[uid] = (time.monotonic() + RETRY_SECONDS, self._pending[uid][1])

    def _say_unschedulable(self, path: str, found: Object, sentence: str) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": sentence,
            "lastTransitionTime": timestamp(time.time()),
        }
        known = found.get("status", {}).get("conditions", [])
        if not any(one.get("message") == sentence for one in known):
            self._api.patch(f"{path}/status", {"status": {"conditions": [condition]}})

    def _ask(self, pod: Pod, container: Container, child: subprocess.Popen[bytes] | None) -> None:
        good = container.ask()

        def take_in() -> None:
            if container.note_answer(good, time.monotonic(), of=child):
                pod.dirty = True

        self._inbox.put(take_in)

    def _write_status(self, pod: Pod, status: Object) -> None:
        delay = 0.0
        try:
            self._api.patch(f"{pod.path}/status", {"metadata": {"uid": pod.uid}, "status": status})
            written = True
        except ApiError as error:
            written = error.status in {404, 409}
            delay = RETRY_SECONDS
        except FAILURES:
            written = False
            delay = RETRY_SECONDS

        def take_in() -> None:
            pod.writing = False
            pod.dirty = pod.dirty or not written
            pod.retry_at = time.monotonic() + delay

        self._inbox.put(take_in)

    def _remove(self, pod: Pod) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}}
        try:
            self._api.send("DELETE", pod.path, body=options)
        except ApiError as error:
            if error.status not in {404, 409}:
                self._inbox.put(lambda: self._remove_again(pod))
        except FAILURES:
            self._inbox.put(lambda: self._remove_again(pod))

    def _remove_again(self, pod: Pod) -> None:
        pod.removed = False
        pod.retry_at = time.monotonic() + RETRY_SECONDS
