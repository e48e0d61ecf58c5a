"""What every story needs: an app under load in a namespace of its own, a policy, a controller, and the laws at the end.

def test_a_healthy_release(story: Story) -> None:
    story.opens(replicas=4)
    release = story.releases_image("v2")
    story.releases.await_phase(release, "Succeeded", within=90)
    story.judge()
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.load import load_text
from policies.schema import ReleasePolicy
from tests.cluster.bed.api import MERGE, ApiError, Object
from tests.cluster.bed.audit import Request
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.history import History
from tests.cluster.bed.identities import CONTROLLER, PERSON, Identity
from tests.cluster.bed.load import Load
from tests.cluster.bed.moments import Moment, deployment_of, is_ready
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import CONFIGURATION, Controller
from tests.cluster.stories.endpoints import Endpoints
from tests.cluster.stories.figures import PROPERTY, measure, shown
from tests.cluster.stories.releases import COLLECTION, Releases

APP = "checkout"
TWIN = "checkout-twin"
REGISTRY = "registry.test/checkout"
CLAIM = "nightferry.dev/claim"

# Few pods and short looks: wide margins, and a look that decides nothing goes on. Where a small harm is to be found,
# a story looks LONGER.
POLICY: Object = {
    "target": {"deployment": APP},
    "strategy": {"twin": {"canary": 1, "batches": 2}},
    "gates": [
        {
            "name": "errors",
            "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
            "tolerate": "1pp",
        },
        {
            "name": "latency",
            "latency": {"histogram": "http_request_duration_seconds_bucket"},
            "tolerate": "1.2x",
        },
    ],
    "observe": {"atLeast": "10s", "atMost": "10s", "onUndecided": "advance"},
    "promise": {"falseRollback": "1%"},
    "onBlind": {"hold": "60s", "then": "rollBack"},
    "deadline": {"batch": "90s", "release": "10m"},
}
LONGER: Object = {"observe": {"atMost": "20s"}}


class Story:
    """One app in one namespace, everything about it recorded. Acts as a person (alice), whose rights are the shipped
    role for people; `site` acts as the administrator.
    """

    def __init__(self, bed: Bed, site: Site, scratch: Path) -> None:
        self.bed = bed
        self.site = site
        self.scratch = scratch
        self.person = bed.api(PERSON)
        self.history = History(bed.admin, site.name)
        self.releases = Releases(bed.admin, site.name)
        self.controller: Controller | None = None
        self.load: Load | None = None
        # The Service's Endpoints, where a story judges readiness by what callers reach.
        self.reached: Endpoints | None = None
        self._wanted: list[int] = []
        self._policies: list[ReleasePolicy] = []
        self._excuse: dict[str, int] = {}
        self.began = 0.0
        self._commands = itertools.count(1)
        self._ends = ExitStack()

    # ------------------------------------------------------------------------------------------- the beginning

    def opens(
        self,
        *,
        replicas: int = 4,
        image: str = "v1",
        rate: float = 200,
        policy: Mapping[str, Any] | None = None,
        prometheus: str | None = None,
        identity: Identity = CONTROLLER,
        namespaced: bool = True,
        deploy: bool = True,
        controlled: bool = True,
    ) -> None:
        """An app that serves, its policy, load on it, a record of everything, and a controller that is ready.

        `policy` overrides parts of POLICY, mapping by mapping.
        """
        self.desired = replicas
        self.site.apply(_binding("people", "nightferry-operator", "User", PERSON.user))
        self.applies_policy(policy)
        if deploy:
            self.site.deploy(replicas=replicas, image=f"{REGISTRY}:{image}")
        if rate:
            self.load = self.site.load(rate=rate, burst=5)
            self.load.start()
            self._ends.callback(self.load.stop)
        self.records()
        if controlled:
            self.starts_controller(prometheus=prometheus, identity=identity, namespaced=namespaced)

    def records(self) -> None:
        """Begins the record of Deployments, pods and Releases."""
        self.began = time.monotonic()
        self.history.start()
        self._ends.callback(self._stop_history)
        self.releases.start()
        self._ends.callback(self.releases.stop)

    def applies_policy(self, changes: Mapping[str, Any] | None = None, *, name: str = APP) -> None:
        """Creates or replaces a policy, POLICY with these changes; a controller that runs has read it then."""
        manifest = {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "ReleasePolicy",
            "metadata": {"name": name},
            "spec": _merged(POLICY, changes or {}),
        }
        (loaded,) = load_text(yaml.safe_dump(manifest))
        assert loaded.policy is not None
        self._policies.append(loaded.policy)
        generation = self.site.apply(manifest)["metadata"]["generation"]
        if self.controller is None or not self.controller.running:
            return
        # Its watches of policies and of releases are two: a release that is asked for next could come first.
        path = f"/apis/nightferry.dev/v1alpha1/namespaces/{self.site.name}/releasepolicies/{name}"
        eventually(
            lambda: (self.site.api.read(path).get("status") or {}).get("observedGeneration") == generation,
            within=30,
            what=f"the controller has read policy {name}",
        )

    def starts_controller(
        self,
        *,
        prometheus: str | None = None,
        identity: Identity = CONTROLLER,
        namespaced: bool = True,
        template: str = CONFIGURATION,
    ) -> Controller:
        """A controller process of this story's own, restricted to its namespace unless told otherwise."""
        controller = Controller(
            self.scratch / "controller",
            kubeconfig=self.bed.kubeconfig(identity, namespace=self.site.name),
            prometheus=prometheus or self.bed.prometheus_url,
            namespace=self.site.name if namespaced else None,
            template=template,
            warm=self.bed.warm,
        )
        self.controller = controller
        self._ends.callback(controller.stop)
        controller.start()
        return controller

    def close(self) -> None:
        """Ends everything that the story has started."""
        self._ends.close()

    def _stop_history(self) -> None:
        # A namespace that the story deleted cannot be listed to the end.
        with contextlib.suppress(RuntimeError):
            self.history.stop()

    # ------------------------------------------------------------------------------------------------- people

    def asks_for(self, image: str, **spec: Any) -> str:
        """Creates a Release of `registry.test/checkout:<image>` -> its name."""
        return self.creates_release(images={"app": f"{REGISTRY}:{image}"}, **spec)

    def creates_release(self, **spec: Any) -> str:
        """Creates a Release with this spec, as the person -> its name."""
        manifest = {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "Release",
            "metadata": {"generateName": f"{APP}-"},
            "spec": {"policy": APP, **spec},
        }
        created = self.person.create(COLLECTION.format(namespace=self.site.name), manifest)
        return str(created["metadata"]["name"])

    def patches_release(self, name: str, spec: Mapping[str, Any]) -> int:
        """Merge-patches the spec of a Release, as the person -> the number of the write."""
        stored = self.person.patch(self.release_path(name), {"spec": dict(spec)}, content_type=MERGE)
        return int(stored["metadata"]["resourceVersion"])

    def release_path(self, name: str) -> str:
        """The API path of a Release."""
        return f"{COLLECTION.format(namespace=self.site.name)}/{name}"

    def commands(self, *words: str, expect: int | None = 0, timeout: float = 360) -> subprocess.CompletedProcess[str]:
        """Runs `nightferry` with these words as the person; the exit code must be `expect` (None: any)."""
        number = next(self._commands)
        out, err = (self.scratch / f"command-{number}.{name}" for name in ("out", "err"))
        env = {**os.environ, "KUBECONFIG": str(self._persons_kubeconfig())}
        child = self.bed.warm.start(words, env=env, stdout=out, stderr=err)
        try:
            code = child.wait(timeout)
        finally:
            child.kill()
        done = subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())
        said = f"nightferry {' '.join(words)} -> {done.returncode}\n{done.stdout}{done.stderr}"
        assert expect is None or done.returncode == expect, said
        assert "Traceback" not in done.stdout + done.stderr, said
        return done

    def _persons_kubeconfig(self) -> Path:
        path = self.scratch / "person.kubeconfig"
        if not path.exists():
            path.write_bytes(self.bed.kubeconfig(PERSON, namespace=self.site.name).read_bytes())
        return path

    # -------------------------------------------------------------------------------------------------- looks

    def replicas(self, name: str) -> int:
        """Replicas ordered of a Deployment now; -1 where it does not exist."""
        try:
            return int(self.site.deployment(name)["spec"]["replicas"])
        except ApiError as error:
            if error.status == 404:
                return -1
            raise

    def ordered(self, name: str) -> int:
        """The same as the watch has told it: for waiting for what the controller does, which nobody has to ask for."""
        found = self.history.deployment(name)
        return int(found["spec"]["replicas"]) if found is not None else -1

    def has_ordered(self, name: str, pods: int) -> bool:
        """Whether a Deployment has had this order since the record began: also one that lasted for a moment."""
        return pods in self.history.replicas_of(name)

    def image(self, name: str) -> str:
        """The version in a Deployment's template: the tag of its image."""
        containers = self.site.deployment(name)["spec"]["template"]["spec"]["containers"]
        return str(containers[0]["image"]).rpartition(":")[2]

    def asked_by_controller(self) -> list[Request]:
        """Every request of the controller in this namespace, from the server's audit log."""
        return self.bed.requests(CONTROLLER, namespace=self.site.name)

    def writes_to_deployments(self, identity: Identity = CONTROLLER) -> list[str]:
        """Every write that somebody asked for on a Deployment of this namespace, from the server's audit log."""
        asked = self.bed.requests(identity, namespace=self.site.name)
        return [f"{one.verb} {one.name} -> {one.status}" for one in asked if one.is_write and "deploy" in one.resource]

    def claims(self) -> dict[str, Object]:
        """The claims on the Deployments by name; none once a release has ended and tidied up."""
        found = {}
        for item in self.site.api.read(self.site.path("deployments"))["items"]:
            text = (item["metadata"].get("annotations") or {}).get(CLAIM)
            if text is not None:
                found[str(item["metadata"]["name"])] = json.loads(text)
        return found

    @property
    def ticks(self) -> float:
        """How many ticks the controller's process has behind it, of all outcomes."""
        assert self.controller is not None
        page = self.controller.read_page("/metrics")[1]
        found = re.findall(r"^nightferry_ticks_total\{[^}]*\} (\S+)$", page, re.MULTILINE)
        return sum(float(value) for value in found)

    def await_ticks(self, number: int) -> None:
        """Lets the controller tick so often: what it does not do meanwhile is what the story asks."""
        begun = self.ticks
        eventually(lambda: self.ticks >= begun + number, within=20.0 * number, what=f"it ticks {number} times")

    def serving(self) -> dict[str, int]:
        """Ready pods by image tag."""
        ready = (pod for pod in self.site.pods() if is_ready(pod))
        return dict(Counter(str(pod["spec"]["containers"][0]["image"]).rpartition(":")[2] for pod in ready))

    def generations(self) -> dict[str, int]:
        """How often anybody changed the spec of each Deployment."""
        items = self.site.api.read(self.site.path("deployments"))["items"]
        return {str(one["metadata"]["name"]): int(one["metadata"]["generation"]) for one in items}

    def await_serving(self, tag: str, pods: int, *, within: float = 30) -> None:
        """Waits until this version serves with exactly so many ready pods, and no other version does."""
        eventually(lambda: self.serving() == {tag: pods}, within=within, what=f"{pods} pods of {tag} serve alone")

    def await_unclaimed(self, *, within: float = 15) -> None:
        """Waits until no Deployment carries a claim any more."""
        eventually(lambda: not self.claims(), within=within, what="the claims are released")

    # ------------------------------------------------------------------------------------------------- bounds

    @property
    def desired(self) -> int:
        """The pods that people, or an autoscaler, want now; a story says each new number."""
        return self._wanted[-1] if self._wanted else 0

    @desired.setter
    def desired(self, pods: int) -> None:
        self._wanted.append(pods)

    def allows(self, *, because: str, **bounds: int) -> None:
        """Other bounds (lowest, most, restarted) where somebody else takes pods away, or orders more of them."""
        assert because and bounds.keys() <= {"lowest", "most", "restarted"}
        self._excuse |= bounds

    @property
    def floor(self) -> int:
        """D - U, for the smallest D and the largest U of the story."""
        pods = min(self._wanted, default=0)
        missing = max((one.spec.strategy.moves.unavailable(pods) for one in self._policies), default=0)
        return self._excuse.get("lowest", pods - missing)

    @property
    def ceiling(self) -> int:
        """D + S, for the largest of both."""
        pods = max(self._wanted, default=0)
        more = max((one.spec.strategy.moves.surge(pods) for one in self._policies), default=0)
        return self._excuse.get("most", pods + more)

    @property
    def may_restart(self) -> int:
        """Pods of a promoted version that may end on the way."""
        return self._excuse.get("restarted", 0)

    @property
    def strategy(self) -> str:
        """The strategy of the first policy, and its router."""
        if not self._policies:
            return ""
        strategy = self._policies[0].spec.strategy
        traffic = strategy.traffic.model_dump(exclude_none=True, by_alias=True) if strategy.traffic else {}
        routers = [kind for kind in traffic if kind != "match"]
        return " ".join((*strategy.chosen(), *routers))

    # --------------------------------------------------------------------------------------------------- laws

    def judge(self, *, lost: int = 0) -> None:
        """The laws that hold in every story whose pods nobody else took away: S1, S2, S4, S5, and no lost request."""
        wanted = self.desired
        self.history.catch_up()
        found = self.history.violations(
            desired=wanted, max_unavailable=wanted - self.floor, max_surge=self.ceiling - wanted
        )
        assert found == [], found[:3]
        lowered = self.history.unsafe_lowerings(desired=wanted, max_unavailable=wanted - self.floor)
        assert lowered == [], lowered[:3]
        assert self.releases.broken_laws() == []
        if self.load is not None:
            totals = self.load.totals()
            assert totals.answered > 0
            assert totals.lost <= lost, totals.losses

    def judge_end(self, release: str, phase: str, *, tag: str) -> None:
        """The objects are what the phase promises (S6): this version serves alone, and nothing is claimed any more."""
        pods = self.desired
        self.await_serving(tag, pods)
        self.await_unclaimed()
        assert sorted((self.replicas(APP), self.replicas(TWIN))) == [0, pods]
        self.await_end(release, phase)

    def await_end(self, release: str, phase: str) -> None:
        """Waits until the watch tells this end, which a command or a list may have told before; it is the last word."""
        self.releases.await_phase(release, phase, within=15)
        assert self.releases.last(release).phase == phase

    def await_canary(self, pods: int = 3) -> None:
        """Waits until the canary has taken a place and at most so many pods of the incumbent are left, none ending.

        Whoever orders pods before that has the controllers do both in any order.
        """

        def taken() -> bool:
            there = [pod for pod in self.site.pods(APP) if "deletionTimestamp" not in pod["metadata"]]
            return len(there) == self.ordered(APP) <= pods

        eventually(taken, within=90, what="the canary has taken a place")

    @property
    def releases_began(self) -> float:
        """When, on the axis of `history`, the record of Releases began."""
        return self.releases.began - self.began

    def now(self) -> float:
        """Seconds on the axis of `history`."""
        return time.monotonic() - self.began

    def third_restart(self) -> tuple[int, float]:
        """The write that told of a contender's container restarted for the third time, and when that was seen."""
        self.history.catch_up()
        for at, event in self.history.timed_events("Pod"):
            statuses = event.object.get("status", {}).get("containerStatuses", [])
            if deployment_of(event.object) == TWIN and any(one["restartCount"] >= 3 for one in statuses):
                return event.revision, at
        raise AssertionError("no container of the contender restarted three times")

    def await_restoring_write(self, *, after: int, within: float = 15) -> Moment:
        """The first write behind this one that gave the incumbent a pod or took one from the contender."""

        def found() -> Moment | None:
            for before, moment in pairwise(self.history.moments()):
                more = moment.replicas.get(APP, 0) > before.replicas.get(APP, 0)
                fewer = moment.replicas.get(TWIN, 0) < before.replicas.get(TWIN, 0)
                if moment.revision > after and (more or fewer):
                    return moment
            return None

        at = eventually(found, within=within, what="a restoring write is seen")
        assert at is not None
        return at

    def report(self) -> Iterator[tuple[str, str]]:
        """What to show of a story that failed: (title, text)."""
        if self.controller is not None:
            yield "controller log", f"{self.controller.tail(80)}\n{self.controller.crashed}"
        sightings = [str(one) for name in self.releases.names() for one in self.releases.of(name)]
        yield "releases", "\n".join(sightings[-60:])
        with contextlib.suppress(RuntimeError):
            lines = [
                f"{moment.seconds:6.2f} {moment.what} replicas={dict(moment.replicas)} ready={dict(moment.ready)}"
                for moment in self.history.moments()
            ]
            yield "history", "\n".join(lines[-80:])
        if self.load is not None:
            yield "load", repr(self.load.totals())


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    found = copy.deepcopy(dict(old))
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(found.get(key), dict):
            found[key] = _merged(found[key], value)
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = copy.deepcopy(value)
    return found


def _binding(name: str, role: str, kind: str, subject: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": subject}],
    }


@contextmanager
def told(bed: Bed, site: Site, scratch: Path, node: pytest.Item) -> Iterator[Story]:
    """A story that ends with its test, and of which a failed test shows everything."""
    story = Story(bed, site, scratch)
    node.stash[STORY] = story
    try:
        yield story
        assert story.controller is None or not story.controller.crashed, story.controller.crashed
        if not node.stash.get(FAILED, False) and (figures := measure(story)) is not None:
            node.user_properties.append((PROPERTY, shown(figures)))
            broken = figures.broken(may_restart=story.may_restart)
            assert broken == [], "; ".join(broken)
    finally:
        story.close()


STORY: pytest.StashKey[Story] = pytest.StashKey()
FAILED: pytest.StashKey[bool] = pytest.StashKey()
