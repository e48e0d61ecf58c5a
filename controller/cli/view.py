"""Objects of the cluster as rows for people and as the JSON that scripts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analysis.verdict import Verdict, worst
from controller.cli.access import Object, current, name_of, phase
from controller.release.vocabulary import Phase


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one app: its current release, or that it has none (`release` None). Times are RFC 3339."""

    namespace: str
    app: str
    release: str | None
    phase: str | None
    held: Mapping[str, Any] | None
    batch: Mapping[str, Any] | None
    verdicts: tuple[Mapping[str, Any], ...]
    because: str
    since: str | None
    cause: str | None = None
    watch: Mapping[str, Any] | None = None  # what goes on after a success
    at: float | None = None  # when the controller wrote it, in seconds since the epoch

    @property
    def ended(self) -> bool:
        """Whether nothing moves."""
        return self.phase in (None, "Succeeded", "RolledBack", "NeedsHuman", "Cancelled")

    @property
    def watched(self) -> bool:
        """Whether gates and alerts go on although the release has ended."""
        return self.watch is not None and not self.watch.get("over")

    @property
    def moved(self) -> bool:
        """Whether the release ever moved capacity, so that its batch means something."""
        return self.batch is not None and self.batch.get("desired", 0) > 0

    @property
    def verdict(self) -> str:
        """The worst verdict of the required gates, or ""."""
        found = [Verdict(one["verdict"]) for one in self.verdicts if one.get("required", True)]
        return worst(found).value if found else ""

    def to_json(self) -> dict[str, Any]:
        """The object that `status -o json` prints."""
        return {
            "namespace": self.namespace,
            "app": self.app,
            "release": self.release,
            "phase": self.phase,
            "held": dict(self.held) if self.held is not None else None,
            "batch": dict(self.batch) if self.batch is not None else None,
            "verdicts": [dict(one) for one in self.verdicts],
            "because": self.because,
            "since": self.since,
            "cause": self.cause,
            "watch": dict(self.watch) if self.watch is not None else None,
        }


NO_RELEASE = "no release yet"
_NO_BATCH = {"index": 0, "name": None, "of": 0, "contender": 0, "incumbent": 0, "desired": 0}


def row_of(release: Object) -> Row:
    """A release as a row."""
    metadata, spec, status = (release.get(key) or {} for key in ("metadata", "spec", "status"))
    because = status.get("because") or "waits for the controller"
    held = status.get("held") or None
    return Row(
        namespace=str(metadata.get("namespace", "")),
        app=str(spec.get("policy", "")),
        release=name_of(release),
        phase=phase(release),
        held=held,
        batch={**_NO_BATCH, **(status.get("batch") or {})},
        verdicts=tuple(_verdict(one) for one in status.get("verdicts") or ()),
        because=(held or {}).get("because") or because,
        since=status.get("since") or metadata.get("creationTimestamp"),
        cause=status.get("cause"),
        watch=status.get("watch") or None,
        at=_written(status),
    )


def _written(status: Mapping[str, Any]) -> float | None:
    record = status.get("record")
    at = record.get("written") if isinstance(record, Mapping) else None
    return float(at) if isinstance(at, int | float) else None


def _verdict(one: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = ("gate", "verdict", "because", "required", "evidence")
    return {key: one[key] for key in wanted if key in one}


def rows_of(policies: Sequence[Object], releases: Sequence[Object]) -> list[Row]:
    """One row per app, in order of name: its current release, or what its policy says of itself."""
    by_app: dict[tuple[str, str], list[Object]] = {}
    for release in releases:
        by_app.setdefault((release["metadata"].get("namespace", ""), (release.get("spec") or {}).get("policy", "")), [])
        by_app[release["metadata"].get("namespace", ""), (release.get("spec") or {}).get("policy", "")].append(release)
    rows = [row_of(found) for one in by_app.values() if (found := current(one)) is not None]
    for policy in policies:
        place = (policy["metadata"].get("namespace", ""), name_of(policy))
        if place not in by_app:
            rows.append(_idle(policy))
    return sorted(rows, key=lambda row: (row.namespace, row.app))


def _idle(policy: Object) -> Row:
    status = policy.get("status") or {}
    ready: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
    refused = ready.get("status") == "False"
    return Row(
        namespace=str(policy["metadata"].get("namespace", "")),
        app=name_of(policy),
        release=None,
        phase=None,
        held=None,
        batch=None,
        verdicts=(),
        because=f"the policy is refused: {ready.get('message')}" if refused else NO_RELEASE,
        since=policy["metadata"].get("creationTimestamp"),
    )


def seconds(timestamp: str | None) -> float | None:
    """Epoch seconds of an RFC 3339 time; None for what is none."""
    try:
        return datetime.fromisoformat((timestamp or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def ago(time: str | float | None, now: float) -> str:
    """How long ago in one short word, such as 40s, 12m, 3h20m, 5d; of an RFC 3339 time or of epoch seconds."""
    at = time if isinstance(time, float) else seconds(time)
    return "" if at is None else span(now - at)


def span(length: float) -> str:
    """A length of time in one short word; `length` in seconds."""
    whole = max(0, round(length))
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        return f"{whole // 60}m" + (f"{whole % 60:02d}s" if whole < 600 and whole % 60 else "")
    if whole < 172800:
        return f"{whole // 3600}h" + (f"{whole % 3600 // 60:02d}m" if whole % 3600 >= 60 else "")
    return f"{whole // 86400}d"


def batch_text(row: Row) -> str:
    """The stage: "canary", "2/4", its own name such as "hand back", or "" before anything moved."""
    if row.batch is None or not row.moved or row.phase in (Phase.QUEUED, Phase.PREFLIGHT):
        return ""
    called = "canary" if row.batch["index"] == 0 else f"{row.batch['index']}/{row.batch['of']}"
    return str(row.batch.get("name") or called)


def pods_text(row: Row) -> str:
    """Contender and incumbent pods of the desired ones: "3+7 of 10"."""
    if row.batch is None or not row.moved:
        return ""
    return f"{row.batch['contender']}+{row.batch['incumbent']} of {row.batch['desired']}"
