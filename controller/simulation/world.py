"""The world: objects, controllers, pods, traffic and people under one virtual clock.

`step_to` lets time pass: pods start, crash and go, Deployments are acted upon, requests are counted, the store
scrapes. `answer` performs a request of a tick, and nothing else happens meanwhile. Everything a controller wrote is
in `trace`, and `after_write` hooks see the world at once after each write. The same seed and the same calls are the
same world.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from controller.release.names import Ref
from controller.release.observation import PodList
from controller.requests import Answer, Request
from controller.requests.failure import Failure
from controller.requests.outside import CallWebhook, Deliver, Spoken
from controller.requests.writes import Write
from controller.simulation import controllers, manifests, passing
from controller.simulation.answers import View, performed, read_from
from controller.simulation.couriers import Couriers
from controller.simulation.deployments import ReplicaSet
from controller.simulation.jobs import JobCourse
from controller.simulation.objects import Key, Kind, Object, Objects
from controller.simulation.pods import NEVER, Behaviour, Pod
from controller.simulation.traffic import Noise, Traffic

_HISTORY = 300.0  # seconds of samples that a new app has already
START = 1_760_000_400.0  # a whole number of windows since the epoch


@dataclass(frozen=True, slots=True)
class Conditions:
    """How this cluster behaves; durations in seconds, (from, to) drawn for each pod.

    cache_lag: how old the watch cache's view is. sync_lag: until the Deployment controller acts on a change.
    """

    start: tuple[float, float] = (3.0, 8.0)
    grace: tuple[float, float] = (1.0, 4.0)
    sync_lag: float = 0.4
    cache_lag: float = 0.0
    scrape: float = 15.0
    noise: Noise = field(default_factory=Noise)


@dataclass(frozen=True, slots=True)
class Trace:
    """One write of a controller: what it asked, what it was answered, the object before and after.

    `served` is the freshest list of pods that this controller had read when it wrote.
    """

    at: float
    controller: str
    request: Write
    answer: Answer
    before: Object | None
    after: Object | None
    served: PodList | None

    @property
    def applied(self) -> bool:
        return self.before is not self.after


AfterWrite = Callable[["World", Trace], None]


class World:
    """An API server, its controllers, kubelets, clients and a metric store, in virtual time.

    `now` is in seconds since the epoch and moves only by `step_to`.
    """

    def __init__(self, seed: int = 1, conditions: Conditions | None = None, start: float = START) -> None:
        self.conditions = conditions if conditions is not None else Conditions()
        self.now = start
        self.started = start
        self.rng = np.random.default_rng([seed, 1])
        self.traffic = Traffic(np.random.default_rng([seed, 2]), self.conditions.noise, self.conditions.scrape)
        self.objects = Objects(manifests.completed)
        self.pods: dict[str, Pod] = {}
        self.replica_sets: dict[str, tuple[ReplicaSet, ...]] = {}  # by uid of the Deployment
        self.due: dict[Key, float] = {}  # when the Deployment controller looks at it next
        self.ordinary = Behaviour()
        self.behaviours: dict[str, Behaviour] = {}  # by version
        self.load: dict[tuple[str, str], float] = {}  # (namespace, Service) -> requests a second
        self.testers: dict[tuple[str, str], float] = {}  # the same of those who ask a Service whenever it exists
        self.entrances: dict[tuple[str, str], Ref] = {}  # the router object through which a Service's load comes
        self.quota: dict[str, int] = {}  # by namespace: pods that may exist
        self.capacity: int | None = None  # pods that fit on the nodes
        self.lacking: frozenset[str] = frozenset()  # permissions, as `Permission` writes them
        self.api_fault: Failure | None = None  # the answer to every request to the cluster
        self.store_fault: Failure | None = None  # the answer of the metric store
        self.jobs = JobCourse()
        self.endpoints: dict[str, Spoken | Failure] = {}  # what the endpoints of webhook gates answer, by name
        self.calls: list[CallWebhook] = []
        self.couriers = Couriers()
        self.alerts: dict[str, Mapping[str, Any]] = {}  # what fires, by fingerprint, as Alertmanager's API has it
        self.alerts_fault: Failure | None = None  # the answer of Alertmanager
        self.events: dict[str, Write] = {}
        self.trace: list[Trace] = []
        self.after_write: list[AfterWrite] = []
        self.actors: list[Actor] = []
        self.views: list[View] = []
        self.served: dict[str, PodList] = {}
        self.scraped = start
        self.pods_made = 0
        self.remember()

    def fork(self) -> World:
        """A copy that goes its own way; hooks and actors are shared."""
        other = World.__new__(World)
        other.__dict__.update(self.__dict__)
        other.rng = np.random.Generator(np.random.PCG64())
        other.rng.bit_generator.state = self.rng.bit_generator.state
        other.traffic = self.traffic.fork()
        other.objects = self.objects.fork()
        other.pods = {name: pod.fork() for name, pod in self.pods.items()}
        for name in (
            "replica_sets",
            "due",
            "behaviours",
            "load",
            "testers",
            "entrances",
            "quota",
            "events",
            "served",
            "endpoints",
            "alerts",
        ):
            setattr(other, name, dict(getattr(self, name)))
        other.trace, other.after_write, other.calls = list(self.trace), list(self.after_write), list(self.calls)
        other.couriers = self.couriers.fork()
        other.actors = [replace(actor) for actor in self.actors]
        other.views = list(self.views)
        return other

    # ------------------------------------------------------------------------------------------------ people

    def add_app(
        self,
        app: str,
        version: str = "v1",
        replicas: int = 10,
        *,
        namespace: str = "shop",
        load: float = 100.0,
        min_ready: int = 0,
        policy: Mapping[str, Any] | None = None,
        container: str = "app",
    ) -> None:
        """An app that has been running for a while: Deployment, Service, ready pods, and a policy unless it is {}."""
        config = [str(each).partition("/")[2] for each in ((policy or {}).get("spec") or {}).get("config") or ()]
        for name in config:
            self.create(manifests.config_map(name), namespace)
        described = manifests.deployment(
            app, version, replicas, min_ready=min_ready, container=container, config=config
        )
        self.create(described, namespace)
        self.create(manifests.service(app), namespace)
        if policy is None or policy:
            self.create(policy if policy is not None else manifests.policy(app), namespace)
        self.load[namespace, app] = load
        self.due["Deployment", namespace, app] = self.now
        self.act()
        for pod in self.pods.values():
            if pod.namespace == namespace and pod.state.labels.get("app") == app:
                pod.fire(self.behaviour(pod.version), self.now)
                pod.state = replace(pod.state, ready_since=self.now - 3600.0)
        self.due["Deployment", namespace, app] = self.now
        self.act()
        self._backfill(namespace, app, load)

    def _backfill(self, namespace: str, app: str, load: float) -> None:
        """Counters and samples of the last minutes: the app did not begin to serve just now."""
        pods = [pod.name for pod in self.pods.values() if pod.namespace == namespace and pod.state.labels["app"] == app]
        scrape = self.conditions.scrape
        first = math.ceil((self.now - _HISTORY) / scrape)
        for index in range(first, math.floor(self.now / scrape + 1e-9) + 1):
            self.traffic.flow(pods, load, scrape)
            passing.count(self)
            self.traffic.sample(pods, index * scrape)

    def create(self, manifest: Mapping[str, Any], namespace: str = "shop", manager: str = "kubectl") -> Object:
        """Somebody creates an object. Raises ValueError where the API server would refuse."""
        return self._by_hand(self.objects.create(manifest, namespace, manager, self.now))

    def edit(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any],
        *,
        namespace: str = "shop",
        manager: str = "kubectl-edit",
        status: bool = False,
    ) -> Object:
        """Somebody merge-patches an object. Raises ValueError where it does not exist."""
        return self._by_hand(self.objects.patch((kind, namespace, name), patch, manager, self.now, status=status))

    def delete(self, kind: Kind, name: str, *, namespace: str = "shop") -> None:
        """Somebody deletes an object; a Deployment's pods go with it. Raises ValueError where it does not exist."""
        gone = self._by_hand(self.objects.delete((kind, namespace, name)))
        if kind == "Deployment":
            controllers.collect(self, gone)
            self.remember()

    def behave(self, version: str, **changes: Any) -> None:
        """From now on the pods of a version behave differently (fields of Behaviour)."""
        passing.count(self)
        self.behaviours[version] = replace(self.behaviour(version), **changes)
        for pod in self.pods.values():
            if pod.version == version:
                pod.behave(self.behaviours[version], self.now)
                self.touch(pod)
        self.remember()

    def drain(self, number: int, *, namespace: str = "shop", only: set[str] | None = None) -> None:
        """That many serving pods are evicted, the oldest first; of `only` these names, or of all."""
        serving = [
            pod
            for pod in self.pods.values()
            if pod.namespace == namespace and pod.serving and (only is None or pod.name in only)
        ]
        for pod in sorted(serving, key=lambda each: each.order)[:number]:
            pod.terminate(self.now)
            self.touch(pod)
        self.remember()

    def set_capacity(self, pods: int | None) -> None:
        """How many pods fit on the nodes from now on; None: any number."""
        self.capacity = pods
        controllers.schedule(self)
        self.remember()

    def add_actor(self, every: float, act: Callable[[World], object], *, until: float = NEVER) -> None:
        """Something that acts on the world at intervals, such as a GitOps tool; first after one interval."""
        self.actors.append(Actor(every, act, self.now + every, until))

    def behaviour(self, version: str) -> Behaviour:
        """How the pods of a version behave: as was said of it, else as any version of this world."""
        return self.behaviours.get(version, self.ordinary)

    # ------------------------------------------------------------------------------------------------ requests

    def answer(self, request: Request, controller: str = "a", *, back: float = 0.0, changes: int = 0) -> Answer:
        """Perform one request.

        A read is answered from how the world was `back` seconds ago, or before the last `changes` of anything.
        """
        if isinstance(request, Write):
            return self._write(request, controller)
        if isinstance(request, Deliver):
            return self.couriers.perform(controller, request)
        view = self.views[max(0, len(self.views) - 1 - changes)] if changes else self.view(back)
        served = read_from(self, request, view)
        if isinstance(served, PodList) and getattr(request, "fresh", False):
            self.served[controller] = served
        return served

    def view(self, back: float = 0.0) -> View:
        """How objects and pods were `back` seconds ago: the last view that is not younger."""
        return self.view_at(self.now - back)

    def view_at(self, then: float) -> View:
        """The last view that is not younger than this time, in seconds since the epoch."""
        index = len(self.views) - 1
        while index > 0 and self.views[index].at > then:
            index -= 1
        return self.views[index]

    def _write(self, request: Write, controller: str) -> Answer:
        key, answer, before = performed(self, request)
        after = self.objects.items.get(key) if key is not None else None
        self.notice()
        entry = Trace(self.now, controller, request, answer, before, after, self.served.get(controller))
        self.trace.append(entry)
        for hook in self.after_write:
            hook(self, entry)
        return answer

    # ------------------------------------------------------------------------------------------------ time

    def step_to(self, then: float) -> None:
        """Let time pass until `then` (seconds since the epoch); a time that has passed already changes nothing."""
        passing.pass_until(self, then)

    @property
    def quiet(self) -> bool:
        """Whether nothing will change by itself, scrapes and crash loops aside."""
        moving = any(pod.due < NEVER and not pod.exits and pod.lives_until == NEVER for pod in self.pods.values())
        return not moving and all(at == NEVER for at in self.due.values())

    # ------------------------------------------------------------------------------------------------ noticing

    def act(self) -> None:
        """The controllers look at whatever is due."""
        self.notice()
        controllers.act(self)
        self.remember()

    def _by_hand(self, answer: Object | Failure) -> Object:
        if isinstance(answer, Failure):
            raise ValueError(answer.message)
        self.notice()
        return answer

    def notice(self) -> None:
        """The Deployment controller's informer: whatever it has not observed yet is due soon."""
        for key, obj in self.objects.items.items():
            if key[0] == "Deployment":
                observed = (obj.get("status") or {}).get("observedGeneration")
                if observed != obj["metadata"]["generation"]:
                    soon = self.now + self.conditions.sync_lag
                    self.due[key] = min(self.due.get(key, NEVER), soon)
            elif key[0] == "Job" and not obj.get("status") and key not in self.due:
                self.due[key] = self.now + self.conditions.sync_lag
        self.remember()

    def wake(self, namespace: str) -> None:
        for key, obj in self.objects.items.items():
            if obj.get("kind") == "Deployment" and key[1] == namespace:
                self.due[key] = min(self.due.get(key, NEVER), self.now + self.conditions.sync_lag)

    def touch(self, pod: Pod) -> None:
        """A pod changed: a new version of it, and its Deployment is looked at soon."""
        self.objects.next_version()
        self.wake(pod.namespace)

    def remember(self) -> None:
        pods = tuple((pod.namespace, pod.state) for pod in self.pods.values())
        last = self.views[-1] if self.views else None
        if last is not None and last.version == self.objects.version and last.at == self.now:
            return
        if last is not None and last.version == self.objects.version and last.pods == pods:
            return
        sets = dict(self.replica_sets)
        self.views.append(View(self.now, self.objects.version, dict(self.objects.items), pods, sets))

    # ------------------------------------------------------------------------------------------------ looking

    def pods_of(self, deployment: str, namespace: str = "shop") -> list[Pod]:
        """The pods of a Deployment, terminating ones included, oldest first."""
        found = self.objects.items.get(("Deployment", namespace, deployment))
        names = {each.name for each in self.replica_sets.get(found["metadata"]["uid"], ())} if found else set()
        return [pod for pod in self.pods.values() if pod.namespace == namespace and pod.state.replica_set in names]

    def available(self, namespace: str = "shop") -> int:
        """Pods that serve, of all apps of a namespace."""
        return sum(pod.serving for pod in self.pods.values() if pod.namespace == namespace)


@dataclass(slots=True)
class Actor:
    """Something that acts on the world every so many seconds."""

    every: float
    act: Callable[[World], object]
    due: float
    until: float = NEVER
