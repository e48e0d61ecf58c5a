"""One container of a pod as the kubelet runs it: its process, restarts with back-off, readiness and status."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.bed.addresses import local_address
from tests.cluster.bed.api import Object
from tests.cluster.bed.behaviour import cannot_be_pulled
from tests.cluster.bed.processes import start_child

SERVER = Path(__file__).with_name("pod_server.py")
PROBE_TIMEOUT = 10.0  # no pod of the bed hangs, but a machine that stands still for a second is no pod that fails
# A pod that is not ready yet is asked more often than the API allows, because stories wait for it.
EAGER_PERIOD = 0.25
# Restart delays in seconds after the first, second, ... crash; a kubelet's are 0, 10, 20, ... 300.
BACK_OFF = (0.0, 1.0, 2.0, 4.0, 8.0)
FORGIVEN_AFTER = 30.0
OOM_EXIT = 137


@dataclass(frozen=True, slots=True)
class Probe:
    """How readiness is asked: an HTTP path and port, and the thresholds of the pod's own probe."""

    path: str
    port: int
    period: float
    delay: float
    failures: int
    successes: int


@dataclass(slots=True)
class Container:
    """A container of a pod bound to a node. All methods but `ask` belong to the kubelet's main thread."""

    spec: Object
    namespace: str
    pod: str
    public: str
    ordinal: int
    log: Path
    child: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    crashes: int = 0
    restart_at: float | None = 0.0
    last_end: Object = field(default_factory=dict)
    ready: bool = False
    asking: bool = False
    next_ask: float = 0.0
    streak: int = 0
    pull_failures: int = 0
    completed: bool = False
    restart: str = "Always"
    version: str = ""

    @property
    def name(self) -> str:
        """The container's name within its pod."""
        return str(self.spec["name"])

    @property
    def port(self) -> int:
        """The port the server listens on: the first declared one; 0 (any free one) without a declaration."""
        ports = self.spec.get("ports") or []
        return int(ports[0]["containerPort"]) if ports else 0

    @property
    def probe(self) -> Probe | None:
        """The readiness question; without a readinessProbe a container with a port is asked for /healthz."""
        given = self.spec.get("readinessProbe")
        if not given:
            return Probe("/healthz", self.port, 1.0, 0.0, 3, 1) if self.port else None
        http = given.get("httpGet") or {}
        return Probe(
            path=str(http.get("path", "/healthz")),
            port=self._port_number(http.get("port", self.port)),
            period=float(given.get("periodSeconds", 1)),
            delay=float(given.get("initialDelaySeconds", 0)),
            failures=int(given.get("failureThreshold", 3)),
            successes=int(given.get("successThreshold", 1)),
        )

    def step(self, now: float) -> bool:
        """Notices an end, starts or restarts what is due. Returns whether the status has changed."""
        if self.child is not None:
            code = self.child.poll()
            if code is None:
                return False
            self._note_end(code, now)
            return True
        if self.completed or self.restart_at is None or now < self.restart_at:
            return False
        if cannot_be_pulled(str(self.spec["image"])):
            self.pull_failures += 1
            self.restart_at = now + BACK_OFF[min(self.pull_failures, len(BACK_OFF) - 1)]
            return True
        self._start(now)
        return True

    def stop(self) -> None:
        """Sends SIGTERM and never starts the container again."""
        self.restart_at = None
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()

    def kill(self) -> None:
        """Kills the process at once and never starts it again."""
        self.restart_at = None
        if self.child is not None and self.child.poll() is None:
            self.child.kill()

    @property
    def has_ended(self) -> bool:
        """Whether no process of this container is left."""
        return self.child is None or self.child.poll() is not None

    def is_due(self, now: float) -> bool:
        """Whether the readiness question is to be asked now."""
        return self.child is not None and not self.asking and now >= self.next_ask

    def ask(self) -> bool:
        """Really asks the process for its readiness. Safe in any thread."""
        probe = self.probe
        if probe is None:
            return True
        question = f"GET {probe.path} HTTP/1.1\r\nHost: {self.public}\r\nConnection: close\r\n\r\n".encode()
        try:
            with socket.create_connection((local_address(self.public), probe.port), PROBE_TIMEOUT) as connection:
                connection.settimeout(PROBE_TIMEOUT)
                connection.sendall(question)
                answer = connection.recv(4096)
        except OSError:
            return False
        status = answer.split(b" ", 2)[1:2]
        return bool(status) and b"200" <= status[0] < b"400"

    def note_answer(self, good: bool, now: float, *, of: subprocess.Popen[bytes] | None) -> bool:
        """Takes in what the process `of` has answered; returns whether the container became ready or unready."""
        # An answer may arrive when the process that gave it has ended and the next one does not listen yet.
        if self.child is None or self.child is not of:
            return False
        self.asking = False
        probe = self.probe
        period = probe.period if probe else 3600.0
        self.next_ask = now + (period if self.ready else min(EAGER_PERIOD, period))
        if good == self.ready:
            self.streak = 0
            return False
        self.streak += 1
        if probe and self.streak < (probe.successes if good else probe.failures):
            return False
        self.ready = good
        self.streak = 0
        return True

    def status(self) -> Object:
        """The container's entry in the pod's status."""
        image = str(self.spec["image"])
        digest = hashlib.sha256(image.encode()).hexdigest()
        pulled = not cannot_be_pulled(image)
        status: Object = {
            "name": self.name,
            "image": image,
            "imageID": f"{image.rpartition(':')[0] or image}@sha256:{digest}" if pulled else "",
            "ready": self.ready and self.child is not None,
            "started": self.child is not None,
            "restartCount": self.restarts,
            "state": self._state(),
        }
        if self.child is not None:
            status["containerID"] = f"process://{self.child.pid}"
        if self.last_end and not self.completed:
            status["lastState"] = {"terminated": self.last_end}
        return status

    def _state(self) -> Object:
        if self.child is not None:
            return {"running": {"startedAt": timestamp(self.started)}}
        if self.completed:
            return {"terminated": self.last_end}
        if self.pull_failures:
            reason = "ErrImagePull" if self.pull_failures == 1 else "ImagePullBackOff"
            return {"waiting": {"reason": reason, "message": f'image "{self.spec["image"]}" not found in the registry'}}
        if self.crashes:
            delay = BACK_OFF[min(self.crashes - 1, len(BACK_OFF) - 1)]
            sentence = f"back-off {delay:.0f}s restarting failed container={self.name} pod={self.pod}"
            return {"waiting": {"reason": "CrashLoopBackOff", "message": sentence}}
        return {"waiting": {"reason": "ContainerCreating"}}

    def _start(self, now: float) -> None:
        if self.crashes:
            self.restarts += 1
        extra = [one.get("value", "") for one in self.spec.get("env") or [] if one["name"] == "BEHAVIOUR"]
        env = {
            "ADDRESS": local_address(self.public),
            "PORT": str(self.port),
            "POD": self.pod,
            "IMAGE": str(self.spec["image"]),
            "BEHAVIOUR": ",".join(extra),
            "ORDINAL": str(self.ordinal),
            "VERSION": self.version,
            "PATH": os.environ.get("PATH", ""),
        }
        # Taken first: what the process counts from its own beginning is never longer than what its status says.
        self.started = time.time()
        self.child = start_child([sys.executable, "-I", "-S", SERVER], log=self.log, env=env)
        self.asking = False
        probe = self.probe
        self.next_ask = now + (probe.delay if probe else 0.0)
        self.streak = 0

    def _note_end(self, code: int, now: float) -> None:
        ran = time.time() - self.started
        shown = 128 - code if code < 0 else code
        killed = shown == OOM_EXIT and code > 0
        reason = "OOMKilled" if killed else "Completed" if shown == 0 else "Error"
        self.last_end = {
            "exitCode": shown,
            "reason": reason,
            "startedAt": timestamp(self.started),
            "finishedAt": timestamp(time.time()),
            "containerID": f"process://{self.child.pid}" if self.child else "",
        }
        if code < 0 and code != -signal.SIGKILL:
            self.last_end["signal"] = -code
        self.child = None
        self.ready = False
        if self.restart == "Never" or (self.restart == "OnFailure" and shown == 0):
            self.completed, self.restart_at = True, None
        if self.restart_at is not None:
            self.crashes = 1 if ran > FORGIVEN_AFTER else self.crashes + 1
            self.restart_at = now + BACK_OFF[min(self.crashes - 1, len(BACK_OFF) - 1)]

    def _port_number(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        named = {one.get("name"): int(one["containerPort"]) for one in self.spec.get("ports") or []}
        return named[port]


def timestamp(seconds: float) -> str:
    """A moment since the epoch as Kubernetes writes it, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
