"""ConfigMaps that are a part of a release: the contender reads copies of its own, which never change.

    checkout-settings                the one that people edit
    checkout-settings-3fa81c02de     its content as one release found it: immutable, read by that version's pods only

The copy's name holds the digest of its content and of the app, so a change of content is a change of the pod template,
and with it a version like any other: it is released in batches, and the way back is the old template, which names the
old copy. A copy stays as long as a Deployment or a ReplicaSet of the app names it.

The first release finds an incumbent that reads the original itself; the plan says so, because that incumbent has seen
an edit before anybody released it.

A version that is there already, on a way back or home, needs what its template names and nothing else: its copy, and
the original only where it reads that.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release.names import GROUP, MADE_BY, Ref
from controller.release.observation import Observation
from controller.release.plan import CreateObject, DeleteObject, ObjectWrite
from controller.release.record import Record, Saved
from controller.release.vocabulary import FORWARD, Phase
from controller.requests.looks import Neighbours, Permission
from policies.schema import ReleasePolicySpec

Template = Mapping[str, Any]
Object = Mapping[str, Any]

COPY_LABEL = f"{GROUP}/config"
COPY_OF = f"{GROUP}/copy-of"
_DIGITS = 10
_LONGEST = 253  # characters of a ConfigMap's name
_KNOWN = ("rollback", "home")  # origins of a release to a version that is there already


def copy_name(name: str, app: str, content: Object) -> str:
    """The name of the copy of a ConfigMap for one app."""
    told = {"app": app, "data": content.get("data") or {}, "binaryData": content.get("binaryData") or {}}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{name}-{digest[:_DIGITS]}"


def is_copy_of(found: str, name: str) -> bool:
    """Whether a name is that of a copy of a ConfigMap."""
    return re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{{_DIGITS}}}", found) is not None


def manifest(name: str, source: str, content: Object) -> dict[str, Any]:
    """A copy, to be created."""
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {**MADE_BY, COPY_LABEL: "copy"}, "annotations": {COPY_OF: source}},
        "immutable": True,
    }
    return made | {field: content[field] for field in ("data", "binaryData") if content.get(field)}


# ---------------------------------------------------------------------------------------------- references


def named_in(template: Template) -> set[str]:
    """The ConfigMaps that a pod template names."""
    found: set[str] = set()

    def note(name: str) -> str:
        found.add(name)
        return name

    _renamed(template, note)
    return found


def rewritten(template: Template, names: Mapping[str, str]) -> dict[str, Any]:
    """The template with the copies in the place of the originals, and of older copies of them."""

    def chosen(name: str) -> str:
        return next((to for source, to in names.items() if name == source or is_copy_of(name, source)), name)

    return _renamed(template, chosen)


def _renamed(template: Template, chosen: Callable[[str], str]) -> dict[str, Any]:
    made = copy.deepcopy(dict(template))
    for place in (each for pod in _map(made, "spec") for each in _places(pod)):
        if isinstance(place.get("name"), str):
            place["name"] = chosen(place["name"])
    return made


def _places(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The mappings of a pod whose `name` is that of a ConfigMap."""
    for volume in _maps(pod, "volumes"):
        yield from _map(volume, "configMap")
        for projected in _map(volume, "projected"):
            for source in _maps(projected, "sources"):
                yield from _map(source, "configMap")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in _maps(pod, field):
            for each in _maps(container, "envFrom"):
                yield from _map(each, "configMapRef")
            for each in _maps(container, "env"):
                for origin in _map(each, "valueFrom"):
                    yield from _map(origin, "configMapKeyRef")


def _map(holder: Mapping[str, Any], field: str) -> Iterator[dict[str, Any]]:
    """The mapping in a field, if there is one: a release may ask for a template that the API server will refuse."""
    value = holder.get(field)
    if isinstance(value, dict):
        yield value


def _maps(holder: Mapping[str, Any], field: str) -> Iterator[dict[str, Any]]:
    value = holder.get(field)
    yield from (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


# ------------------------------------------------------------------------------------------- the companion


class Config:
    """The copies of a release."""

    reads_replica_sets = True  # a copy may be named by a version that is kept for the way back only

    def permissions(self, policy: ReleasePolicySpec) -> tuple[Permission, ...]:
        return (
            Permission("get", "", "configmaps"),
            Permission("create", "", "configmaps"),
            Permission("delete", "", "configmaps"),
            Permission("list", "apps", "replicasets"),
        )

    def accompanies(self, policy: ReleasePolicySpec) -> bool:
        return bool(policy.configured)

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        copies = [each for each in record.saved if each.kind == "ConfigMap"]
        refs = [Ref("ConfigMap", each.name) for each in copies]
        if record.phase is not Phase.ROLLING_BACK:
            refs += [Ref("ConfigMap", name) for name in policy.configured]
        if record.phase in FORWARD and record.stage == record.stages:
            # What an older release has left is looked at when this one tidies up.
            refs += [Ref("ConfigMap", name) for each in copies for name in _facts(each)["older"]]
        return tuple(dict.fromkeys(refs))

    def rests_on(self, policy: ReleasePolicySpec, template: Template) -> tuple[Ref, ...]:
        return tuple(Ref("ConfigMap", name) for name in _read_by(policy, template))

    def problems(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours, template: Template
    ) -> Finding:
        if record.origin in _KNOWN:
            reads_ours = any(name != source for name, source in _read_by(policy, template).items())
            return self._lacks(policy, seen, template) or (_owned(seen) if reads_ours else None)
        app = policy.target.deployment
        for name in policy.configured:
            content = seen.objects.get(Ref("ConfigMap", name))
            if content is None:
                return Refusal(
                    f"ConfigMap {name} of spec.config does not exist: create it, or take it out of the policy"
                )
            wanted = copy_name(name, app, content)
            if len(wanted) > _LONGEST:
                return Refusal(f"ConfigMap {name}: the name of its copy would be longer than {_LONGEST} characters")
            there = seen.objects.get(Ref("ConfigMap", wanted))
            if there is not None and (not _is_ours(there) or copy_name(name, app, there) != wanted):
                return Refusal(f"ConfigMap {wanted} exists and is not the copy of {name} that it says: delete it")
        return _owned(seen)

    def _lacks(self, policy: ReleasePolicySpec, seen: Observation, template: Template) -> Refusal | None:
        """What a version that is there already reads and would not find, where no original holds the same."""
        made = self._wanted(policy, seen).values()
        for name, source in _read_by(policy, template).items():
            ref = Ref("ConfigMap", name)
            if name in made or ref not in seen.objects or seen.objects[ref] is not None:
                continue
            told = f", and {source} does not hold what it held" if name != source else ""
            return Refusal(
                f"the version to be brought back reads ConfigMap {name}, which does not exist{told}: create it with "
                "its old content, or release a version with the settings that you want"
            )
        return None

    def notes(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        """Lines for the plan."""
        live = named_in(_template(seen.incumbent.raw)) if seen.incumbent is not None else set()
        lines = []
        for name in policy.configured:
            if name in live:
                lines.append(
                    f"config: the incumbent reads ConfigMap {name} itself and has seen its present content already; "
                    "from this release on each version has a copy of its own"
                )
            elif not any(is_copy_of(each, name) for each in live):
                lines.append(f"config: no container or volume of the incumbent reads ConfigMap {name}")
        return tuple(lines)

    def saved(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours, template: Template
    ) -> tuple[Saved, ...]:
        named = _named_by_versions(seen)
        wanted = [(name, source) for source, name in self._wanted(policy, seen).items()]
        if record.origin in _KNOWN:
            wanted = [(name, source) for name, source in _read_by(policy, template).items() if name != source]
        found = []
        for name, source in wanted:
            older = sorted(each for each in named if each != name and is_copy_of(each, source))
            facts = json.dumps({"of": source, "older": older}, sort_keys=True, separators=(",", ":"))
            found.append(Saved("ConfigMap", name, "", facts))
        return tuple(found)

    def template(self, policy: ReleasePolicySpec, seen: Observation, template: Template) -> Template:
        return rewritten(template, self._wanted(policy, seen))

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """The copies that are not there yet. One that was deleted is made again, as long as its content is there."""
        if record.origin == "restore":
            return None
        known = {each.name for each in record.saved if each.kind == "ConfigMap"}
        for source, name in self._wanted(policy, seen).items():
            ref = Ref("ConfigMap", name)
            if name in known and seen.objects.get(ref) is None:
                content = seen.objects[Ref("ConfigMap", source)]
                assert content is not None  # its digest is in the name
                return CreateObject(ref, manifest(name, source, content), f"copy ConfigMap {source} to {name}")
        return None

    def noticed(self, record: Record, seen: Observation) -> tuple[str, ...]:
        return ()

    def hand_back(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, *, forward: bool
    ) -> ObjectWrite | None:
        """Removes copies that no version of the app names any more, one after the other."""
        copies = [each for each in record.saved if each.kind == "ConfigMap"]
        return _unread(seen, self.left(policy, record) if forward else [Ref("ConfigMap", each.name) for each in copies])

    def left(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        """Its copies, and those that were there when it began: a ReplicaSet that is forgotten between two releases
        leaves the copy of its version to the record that knew it last."""
        copies = [each for each in record.saved if each.kind == "ConfigMap"]
        names = dict.fromkeys(name for each in copies for name in (*_facts(each)["older"], each.name))
        return tuple(Ref("ConfigMap", name) for name in names)

    def collect(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        return _unread(seen, self.left(policy, record))

    def _wanted(self, policy: ReleasePolicySpec, seen: Observation) -> dict[str, str]:
        """Original -> copy, by what the originals hold now."""
        found = {name: seen.objects.get(Ref("ConfigMap", name)) for name in policy.configured}
        app = policy.target.deployment
        return {name: copy_name(name, app, content) for name, content in found.items() if content is not None}


def _read_by(policy: ReleasePolicySpec, template: Template) -> dict[str, str]:
    """The ConfigMaps of a policy, and copies of them, that a template names -> the original of each."""
    named = sorted(named_in(template))
    return {
        name: source for name in named for source in policy.configured if name == source or is_copy_of(name, source)
    }


def _owned(seen: Observation) -> Finding:
    """A tool's source names the original: written again in mid-release it makes a third version."""
    slot = seen.contender or seen.incumbent
    return owned(slot.raw, (("spec", "template"),), group="apps") if slot is not None else None


def _unread(seen: Observation, refs: Iterable[Ref]) -> DeleteObject | None:
    """The next deletion of a copy that no version of the app names."""
    named = _named_by_versions(seen)
    for ref in refs:
        there = seen.objects.get(ref)
        if there is None or ref.name in named or not _is_ours(there):
            continue
        metadata = there["metadata"]
        version = str(metadata.get("resourceVersion", ""))
        return DeleteObject(ref, str(metadata.get("uid", "")), version, f"remove {ref}, which no version reads")
    return None


def _facts(saved: Saved) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(saved.fields)
    return facts


def _is_ours(found: Object) -> bool:
    return ((found.get("metadata") or {}).get("labels") or {}).get(COPY_LABEL) == "copy"


def _named_by_versions(seen: Observation) -> set[str]:
    """The ConfigMaps that any version of the app names: those of its Deployments, and those kept for the way back."""
    named: set[str] = set()
    for slot in (seen.incumbent, seen.contender):
        if slot is not None:
            named |= named_in(_template(slot.raw))
    for each in seen.replica_sets:
        named |= named_in(each.template)
    return named


def _template(deployment: Object) -> Template:
    return (deployment.get("spec") or {}).get("template") or {}
