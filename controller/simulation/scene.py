"""A scenario's world while it runs: who plays contender and incumbent, and what people do to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.attempt import parsed
from controller.record import RecordTooNew
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Phase
from controller.simulation import manifests
from controller.simulation.deployments import ReplicaSet
from controller.simulation.driver import Driver
from controller.simulation.objects import Object
from controller.simulation.pods import version_of
from controller.simulation.world import World
from controller.slots import template_digest

SPARE = "-twin"


class Scene:
    """One app of a world, its policy and its releases, by the words that a scenario uses for them."""

    def __init__(self, world: World, driver: Driver, namespace: str, policy: str, deployment: str) -> None:
        self.world = world
        self.driver = driver
        self.namespace = namespace
        self.policy = policy
        self.deployment = deployment
        self.pushed: dict[str, str] = {}  # version -> name of its release, in the order of the pushes
        self.first = ""

    # ------------------------------------------------------------------------------------------------ releases

    def push(self, version: str, **spec: Any) -> str:
        """Somebody asks for a release of a version."""
        name = f"{self.policy}-{version}"
        while ("Release", self.namespace, name) in self.world.objects.items:
            name += "-again"
        manifest = manifests.release(self.policy, name, "", **spec)
        manifest["spec"]["images"] = {self._container(): manifests.image(self.deployment, version)}
        self.world.create(manifest, self.namespace)
        self.pushed[version] = name
        self.first = self.first or name
        return name

    def ask_back(self, kind: str) -> str:
        """Somebody asks for a rollback of the newest success (kind rollbackOf) or for a restore of the newest end."""
        wanted = [
            name
            for name, record in self.records().items()
            if record.phase is Phase.SUCCEEDED or (kind == "restoreOf" and record.phase in ENDS)
        ]
        if not wanted:
            raise ValueError(f"no release is there for {kind}")
        name = f"{self.policy}-{kind.removesuffix('Of')}"
        while ("Release", self.namespace, name) in self.world.objects.items:
            name += "-again"
        self.world.create(manifests.release(self.policy, name, "", **{kind: wanted[-1]}), self.namespace)
        return name

    def of_version(self, version: str) -> str:
        """The first release that was asked for with a version. Raises ValueError without any."""
        name = f"{self.policy}-{version}"
        if version not in self.pushed:
            raise ValueError(f"nobody asked for {version}")
        return name

    def records(self) -> dict[str, Record]:
        """The record of each release, oldest first; one that cannot be read is left out."""
        found: list[tuple[str, str, Record]] = []
        for (kind, namespace, name), obj in self.world.objects.items.items():
            if kind == "Release" and namespace == self.namespace:
                try:
                    attempt = parsed(obj)
                except RecordTooNew:
                    continue
                found.append((attempt.created, name, attempt.record))
        return {name: record for _, name, record in sorted(found, key=lambda each: each[:2])}

    def active(self) -> str:
        """The release that people's verbs mean: the one under way, else the newest. Raises ValueError without any."""
        records = self.records()
        moving = [name for name, record in records.items() if record.phase not in ENDS]
        if not records:
            raise ValueError("there is no release")
        begun = [name for name in moving if records[name].phase is not Phase.QUEUED]
        return (begun or moving or list(records))[-1]

    def wish(self, spec: Mapping[str, Any]) -> None:
        """A person's verb: fields of the release's spec."""
        self.world.edit("Release", self.active(), {"spec": spec}, namespace=self.namespace, manager="nightferry-cli")

    # ------------------------------------------------------------------------------------------------ roles

    def slot(self, role: str) -> str:
        """The name of the Deployment that plays a role now."""
        record = next((r for r in reversed(self.records().values()) if r.incumbent is not None), None)
        if record is None or record.incumbent is None or record.contender is None:
            return self.deployment if role == "incumbent" else self.deployment + SPARE
        cast = {"incumbent": record.incumbent.name, "contender": record.contender.name}
        if record.phase is Phase.SUCCEEDED:
            cast = {"incumbent": cast["contender"], "contender": cast["incumbent"]}
        return cast[role]

    def version(self, word: str) -> str:
        """The version meant by "contender", "incumbent" or its own name."""
        if word not in ("incumbent", "contender"):
            return word
        moving = any(r.phase not in ENDS and r.incumbent is not None for r in self.records().values())
        if word == "contender" and not moving and self.pushed:
            return next(reversed(self.pushed))
        obj = self.object(self.slot(word))
        if obj is None:
            raise ValueError(f"there is no {word}")
        record = next((r for r in reversed(self.records().values()) if r.incumbent is not None), None)
        if word == "incumbent" and moving and record is not None and record.incumbent is not None:
            # Where one Deployment plays both roles, its template is the contender's.
            for each in self.replica_sets(record.incumbent.name):
                if template_digest(each.template) == record.incumbent.digest:
                    return version_of(each.template)
        return version_of(obj["spec"]["template"])

    def object(self, deployment: str) -> Object | None:
        return self.world.objects.items.get(("Deployment", self.namespace, deployment))

    def replica_sets(self, deployment: str) -> tuple[ReplicaSet, ...]:
        """The ReplicaSets of a Deployment, none where it does not exist."""
        obj = self.object(deployment)
        return self.world.replica_sets.get(obj["metadata"]["uid"], ()) if obj is not None else ()

    def edit(self, deployment: str, spec: Mapping[str, Any], manager: str) -> None:
        self.world.edit("Deployment", deployment, {"spec": spec}, namespace=self.namespace, manager=manager)

    def set_image(self, deployment: str, version: str) -> None:
        """`kubectl set image` on one of the slots."""
        obj = self.object(deployment)
        if obj is None:
            raise ValueError(f"Deployment {deployment} does not exist")
        containers = [dict(each) for each in obj["spec"]["template"]["spec"]["containers"]]
        containers[0]["image"] = manifests.image(self.deployment, version)
        self.edit(deployment, {"template": {"spec": {"containers": containers}}}, "kubectl-set")

    def _container(self) -> str:
        obj = self.object(self.deployment) or self.object(self.deployment + SPARE)
        return str(obj["spec"]["template"]["spec"]["containers"][0]["name"]) if obj is not None else "app"

    # ------------------------------------------------------------------------------------------------ measures

    def versions(self) -> list[tuple[str, str]]:
        """(name, pods of each version) of each slot that exists; more than one version where a rollout is held."""
        found = []
        for name, replicas, version in self.sizes():
            running = [each for each in self.replica_sets(name) if each.replicas > 0]
            told = f"{replicas} {version}"
            if len(running) > 1:
                told = " + ".join(f"{each.replicas} {version_of(each.template)}" for each in running)
            found.append((name, told))
        return found

    def sizes(self) -> list[tuple[str, int, str]]:
        """(name, replicas, version) of each slot that exists."""
        found = []
        for name in (self.deployment, self.deployment + SPARE):
            if (obj := self.object(name)) is not None:
                found.append((name, int(obj["spec"]["replicas"]), version_of(obj["spec"]["template"])))
        return found
