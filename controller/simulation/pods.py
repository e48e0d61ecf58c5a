"""The simulated kubelet: how one pod starts, becomes ready, crashes, waits and goes.

A pod is a small machine with one timer. Its version is the tag of its image; how a version behaves is a `Behaviour`
that a scenario may change at any time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from controller.release.observation import PodState

NEVER = math.inf
Stage = Literal["pending", "initializing", "starting", "running", "waiting", "terminating"]

# Seconds before the n-th restart, n from 1: at once, then doubling from 10 s up to 5 minutes (kubelet's back-off).
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 10.0, 300.0
_PULL_BACK_OFF = 10.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the pods of a version behave.

    errors: share of failed requests. latency, orders, memory: factors on response times, on orders completed and on
    bytes held. starts_in: seconds to ready, None for the
    world's ordinary few. crashes_after: seconds a container lives, None for ever. init_fails_after: seconds after which
    an init container fails, None where it ends well at once. cannot_pull: no such image.
    """

    errors: float = 0.001
    latency: float = 1.0
    orders: float = 1.0
    memory: float = 1.0
    starts_in: float | None = None
    ready: bool = True
    crashes_after: float | None = None
    init_fails_after: float | None = None
    cannot_pull: bool = False


@dataclass(slots=True)
class Pod:
    """A pod of the world. `due` is the time of its next change."""

    namespace: str
    version: str
    state: PodState
    created: float
    order: int
    start_delay: float
    grace: float
    stage: Stage = "pending"
    due: float = NEVER
    lives_until: float = NEVER
    exits: int = 0
    history: tuple[float, ...] = field(default=())

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def terminating(self) -> bool:
        return self.stage == "terminating"

    @property
    def serving(self) -> bool:
        """Whether the Service sends requests here."""
        return self.state.ready and self.stage == "running"

    @property
    def answering(self) -> bool:
        """Whether its container runs, so that it can be scraped."""
        return self.stage in ("running", "starting", "terminating") and not self.state.waiting

    def fork(self) -> Pod:
        return replace(self)

    # ---------------------------------------------------------------------------------------------- changes

    def schedule(self, node: str, behaviour: Behaviour, now: float) -> None:
        """A node has been found: the container starts."""
        self.state = replace(self.state, node=node, unschedulable=False, message="")
        self._start(behaviour, now)

    def refuse_node(self) -> bool:
        """No node has room. Returns whether that is news."""
        if self.state.unschedulable:
            return False
        self.state = replace(self.state, unschedulable=True, message="0 nodes are available: insufficient pods")
        return True

    def fire(self, behaviour: Behaviour, now: float) -> bool:
        """What was due happens. Returns False when the pod is gone."""
        match self.stage:
            case "terminating":
                return False
            case "initializing" if behaviour.init_fails_after is None:
                self._begin(behaviour, now)
            case "initializing":
                self._exit(now)
            case "starting" if now >= self.lives_until:
                self._exit(now)
            case "starting":
                self._become_ready(behaviour, now)
            case "running" if now >= self.lives_until:
                self._exit(now)
            case "waiting" if behaviour.cannot_pull:
                self.state = replace(self.state, waiting="ImagePullBackOff", message=_cannot_pull(self.version))
                self.due = NEVER
            case "waiting":
                self._restart(behaviour, now)
            case _:
                self.due = NEVER
        return True

    def terminate(self, now: float) -> None:
        """Deletion: it leaves the Service at once and is gone after its grace period."""
        if not self.terminating:
            self.stage, self.due = "terminating", now + self.grace
            self.state = replace(self.state, terminating=True)

    def behave(self, behaviour: Behaviour, now: float) -> None:
        """A version began to behave differently while its pods run."""
        if self.stage not in ("running", "starting"):
            return
        if behaviour.crashes_after is not None:
            self.lives_until = min(self.lives_until, now + behaviour.crashes_after)
        else:
            self.lives_until = NEVER
        if self.stage == "starting":
            self.due = min(self._ready_at(behaviour), self.lives_until)
        elif behaviour.ready != self.state.ready:
            self.state = replace(self.state, ready=behaviour.ready, ready_since=float(math.floor(now)))
            self.due = self.lives_until
        else:
            self.due = self.lives_until

    # ---------------------------------------------------------------------------------------------- in itself

    def _start(self, behaviour: Behaviour, now: float) -> None:
        if behaviour.cannot_pull:
            self.stage, self.due = "waiting", now + _PULL_BACK_OFF
            self.state = replace(self.state, waiting="ErrImagePull", message=_cannot_pull(self.version))
            return
        if behaviour.init_fails_after is not None and not self.history:
            self.stage, self.due = "initializing", now + behaviour.init_fails_after
            return
        self._begin(behaviour, now)

    def _begin(self, behaviour: Behaviour, now: float) -> None:
        """The container itself starts: from its first start on the failures of init containers do not count."""
        if not self.history:
            self.exits = 0
            self.state = replace(self.state, restarts=0)
        self.stage = "starting"
        self.history = (*self.history, now)
        self.lives_until = now + behaviour.crashes_after if behaviour.crashes_after is not None else NEVER
        self.due = min(self._ready_at(behaviour), self.lives_until)

    def _ready_at(self, behaviour: Behaviour) -> float:
        if not behaviour.ready:
            return NEVER
        delay = self.start_delay if behaviour.starts_in is None else behaviour.starts_in
        return self.history[-1] + delay

    def _become_ready(self, behaviour: Behaviour, now: float) -> None:
        self.stage, self.due = "running", self.lives_until
        # The API server's times are whole seconds.
        self.state = replace(self.state, ready=behaviour.ready, ready_since=float(math.floor(now)))

    def _exit(self, now: float) -> None:
        self.exits += 1
        wait = 0.0 if self.exits == 1 else min(_FIRST_BACK_OFF * 2.0 ** (self.exits - 2), _LONGEST_BACK_OFF)
        self.stage, self.due, self.lives_until = "waiting", now + wait, NEVER
        since = float(math.floor(now)) if self.state.ready else self.state.ready_since
        reason = "CrashLoopBackOff" if wait else ""
        self.state = replace(self.state, ready=False, ready_since=since, waiting=reason, message="" if not wait else
                             f"back-off {wait:.0f}s restarting failed container")  # fmt: skip

    def _restart(self, behaviour: Behaviour, now: float) -> None:
        if self.exits:
            # The server knows only the last restart of a container; one of an init container ends nobody's counters.
            at = (float(math.floor(now)),) if self.history else ()
            self.state = replace(self.state, restarts=self.state.restarts + 1, restarted_at=at)
        self.state = replace(self.state, waiting="", message="")
        self._start(behaviour, now)


def _cannot_pull(version: str) -> str:
    return f'Back-off pulling image "{version}": manifest unknown'


_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes makes names of: no vowels, no look-alikes


def suffix(rng: np.random.Generator, length: int = 5) -> str:
    """Random characters as a ReplicaSet adds them to its name."""
    return "".join(_ALPHABET[int(n)] for n in rng.integers(0, len(_ALPHABET), length))


def template_hash(digest: bytes, length: int = 10) -> str:
    """A pod-template-hash made from the digest of a template."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])


def version_of(template: Mapping[str, object]) -> str:
    """The version that a pod template runs: the tag of its first container's image."""
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    image = str(containers[0].get("image", "")) if containers else ""
    return image.rpartition(":")[2]
