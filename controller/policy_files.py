"""Applies a folder of policy and train files to the cluster: creates and changes, and never deletes one.

The folder is read again when a file in it has changed. A file with a fault keeps the others from nothing, and what
was applied from it before stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from controller.cluster.connection import MERGE_PATCH, Connection
from controller.cluster.paths import POLICIES, TRAINS, Resource
from controller.cluster.writes import FIELD_MANAGER
from controller.report import Report
from controller.requests.failure import Failure, FailureKind
from policies.load import PolicyRefused, digest, files_of, from_object, load_paths, train_from_object
from policies.schema import Release, ReleasePolicy
from policies.train import ReleaseTrain

Applied = ReleasePolicy | ReleaseTrain
_OWNED = (("fieldManager", FIELD_MANAGER),)
# Who must act where the cluster was set up by an older version.
_NEXT = {
    FailureKind.NO_KIND: "; whoever administers the cluster applies manifests/crds",
    FailureKind.FORBIDDEN: "; whoever administers the cluster applies manifests/rbac.yaml",
}


class PolicyFiles:
    """One folder. `home` is the namespace of what names none. For one thread."""

    def __init__(self, folder: Path, home: str, connection: Connection, report: Report) -> None:
        self._folder = folder
        self._home = home
        self._connection = connection
        self._report = report
        self._log = structlog.get_logger("nightferry")
        self._seen: object = None

    def apply(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Applies what differs -> number of writes. Where the cluster did not answer, the next call tries again.

        Between two objects it asks whether it was `stopped`, and begins no other one then.
        """
        seen = _shape_of(self._folder)
        if seen == self._seen:
            return 0
        documents, errors = load_paths([self._folder])
        for error in errors:
            self._log.error("policy file refused", because=str(error))
        self._report.metrics.policy_files.set(len(errors))
        wrote, failed = 0, False
        # Policies first: a train that names one which is not there yet calls nobody.
        for document in sorted(documents, key=lambda each: each.train is not None):
            if stopped():
                return wrote
            place, value = f"{document.file}:{document.line}", document.value
            if isinstance(value, Release):
                because = "only ReleasePolicy and ReleaseTrain files are applied"
                self._log.warning("not a policy", file=place, because=because)
                continue
            what = "train" if isinstance(value, ReleaseTrain) else "policy"
            outcome = self._apply(value, TRAINS if isinstance(value, ReleaseTrain) else POLICIES)
            if isinstance(outcome, Failure):
                failed = True
                because = f"{outcome.message}{_NEXT.get(outcome.kind, '')}"
                self._log.error(f"{what} not applied", file=place, because=because)
            elif outcome:
                wrote += 1
                self._log.info(f"{what} applied", file=place, change=outcome, **{what: value.name})
        self._seen = None if failed else seen
        return wrote

    def _apply(self, value: Applied, resource: Resource) -> str | Failure:
        """What was done in one word, or "" where the cluster already has it."""
        namespace = value.namespace or self._home
        # Some defaults of a train are no words that its author may use.
        wanted = _plain(value, as_written=isinstance(value, ReleaseTrain))
        answer = self._connection.request("GET", resource.item(namespace, value.name))
        if isinstance(answer, Failure):
            if answer.kind is not FailureKind.ABSENT:
                return answer
            body = {**wanted, "metadata": {**wanted["metadata"], "namespace": namespace}}
            made = self._connection.request("POST", resource.collection(namespace), query=_OWNED, body=body)
            return made if isinstance(made, Failure) else "created"
        live = msgspec.json.decode(answer, type=dict[str, Any])
        noted = _notes(live.get("metadata") or {}, wanted["metadata"])
        if not noted and _same(live, value):
            return ""
        spec = difference(live.get("spec") or {}, wanted["spec"])
        body = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"], **noted}, "spec": spec}
        done = self._connection.request(
            "PATCH", resource.item(namespace, value.name), query=_OWNED, body=body, content_type=MERGE_PATCH
        )
        return done if isinstance(done, Failure) else "changed"


def _plain(value: Applied, *, as_written: bool = False) -> dict[str, Any]:
    """The object with every default written out, or as its author wrote it."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=as_written)


def _notes(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Labels and annotations of the file that the object lacks; what others have put there stays."""
    found: dict[str, Any] = {}
    for part in ("labels", "annotations"):
        there = live.get(part) or {}
        if lacking := {key: text for key, text in (wanted.get(part) or {}).items() if there.get(key) != text}:
            found[part] = lacking
    return found


def difference(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that turns `live` into `wanted`: a key that is no longer wanted becomes null."""
    patch: dict[str, Any] = {key: None for key in live if key not in wanted}
    for key, value in wanted.items():
        old = live.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if inner := difference(old, value):
                patch[key] = inner
        elif key not in live or old != value:
            patch[key] = value
    return patch


def _same(live: Mapping[str, Any], value: Applied) -> bool:
    try:
        if isinstance(value, ReleaseTrain):
            return bool(_plain(train_from_object(live))["spec"] == _plain(value)["spec"])
        return digest(from_object(live)) == digest(value)
    except PolicyRefused:
        return False


def _shape_of(folder: Path) -> object:
    """Names, sizes and times of the folder's files: what must differ for it to be read again."""
    found = []
    for file in files_of(folder):
        try:
            stat = file.stat()
        except OSError:
            continue  # replaced in this moment: the next look sees the new one
        found.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
