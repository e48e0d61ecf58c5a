"""Applies a folder of policy files to the cluster: creates and changes policies, and never deletes one.

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
from controller.cluster.paths import POLICIES
from controller.cluster.writes import FIELD_MANAGER
from controller.report import Report
from controller.requests.failure import Failure, FailureKind
from policies.load import Document, PolicyRefused, digest, files_of, from_object, load_paths, to_object
from policies.schema import ReleasePolicy

_OWNED = (("fieldManager", FIELD_MANAGER),)


class PolicyFiles:
    """One folder. `home` is the namespace of policies that name none. For one thread."""

    def __init__(self, folder: Path, home: str, connection: Connection, report: Report) -> None:
        self._folder = folder
        self._home = home
        self._connection = connection
        self._report = report
        self._log = structlog.get_logger("nightferry")
        self._seen: object = None

    def apply(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Applies what differs -> number of writes. Where the cluster did not answer, the next call tries again.

        Between two policies it asks whether it was `stopped`, and begins no other one then.
        """
        seen = _shape_of(self._folder)
        if seen == self._seen:
            return 0
        documents, errors = load_paths([self._folder])
        for error in errors:
            self._log.error("policy file refused", because=str(error))
        self._report.metrics.policy_files.set(len(errors))
        wrote, failed = 0, False
        for document in documents:
            if stopped():
                return wrote
            if document.policy is None:
                self._log.warning("not a policy", file=document.file, because="only ReleasePolicy files are applied")
                continue
            outcome = self._apply(document, document.policy)
            if isinstance(outcome, Failure):
                failed = True
                self._log.error("policy not applied", file=document.file, because=outcome.message)
            elif outcome:
                wrote += 1
                self._log.info("policy applied", file=document.file, policy=document.policy.name, change=outcome)
        self._seen = None if failed else seen
        return wrote

    def _apply(self, document: Document, policy: ReleasePolicy) -> str | Failure:
        """What was done in one word, or "" where the cluster already has it."""
        namespace = policy.namespace or self._home
        wanted = to_object(policy)
        answer = self._connection.request("GET", POLICIES.item(namespace, policy.name))
        if isinstance(answer, Failure):
            if answer.kind is not FailureKind.ABSENT:
                return answer
            body = {**wanted, "metadata": {**wanted.get("metadata", {}), "namespace": namespace}}
            made = self._connection.request("POST", POLICIES.collection(namespace), query=_OWNED, body=body)
            return made if isinstance(made, Failure) else "created"
        live = msgspec.json.decode(answer, type=dict[str, Any])
        if _same(live, policy):
            return ""
        spec = difference(live.get("spec") or {}, wanted["spec"])
        body = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "spec": spec}
        done = self._connection.request(
            "PATCH", POLICIES.item(namespace, policy.name), query=_OWNED, body=body, content_type=MERGE_PATCH
        )
        return done if isinstance(done, Failure) else "changed"


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


def _same(live: Mapping[str, Any], policy: ReleasePolicy) -> bool:
    try:
        return digest(from_object(live)) == digest(policy)
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
