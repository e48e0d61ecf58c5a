"""The digest of a policy, and how an edit reaches a release that already runs: it may tighten, never loosen."""

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from policies.alerts import MOST_ALERTS
from policies.kept import kept
from policies.schema import Baseline, BlueGreen, Freeze, Gate, OnShared, Promise, Recreate, ReleasePolicy
from policies.strategy import Moves

# From careless to careful.
_MODE = ("observe", "enforce")
_ADVANCE = ("auto", "manual")
_UNDECIDED = ("advance", "pause", "rollBack")
_THEN = ("pause", "rollBack")
_ON_CLOSE = ("finishLastBatch", "park", "rollBack")
_ASKS = ("job", "webhook")
_MEASURES = ("error_ratio", "latency", "gauge", "throughput", "by", *_ASKS)


def to_object(policy: ReleasePolicy) -> dict[str, Any]:
    """The policy as an object of the cluster, with every default written out: `from_object(to_object(p)) == p`."""
    return policy.model_dump(mode="json", by_alias=True, exclude_none=True)


@kept
def digest(policy: ReleasePolicy) -> str:
    """12 hex digits of the SHA-256 of the canonical spec; spelling and written-out defaults make no difference."""
    spec = to_object(policy)["spec"]
    for gate, plain in zip(policy.spec.gates, spec["gates"], strict=True):
        if gate.measures():
            plain["tolerate"] = gate.margin.written()
    _drop_younger_defaults(spec)
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _drop_younger_defaults(spec: dict[str, Any]) -> None:
    """Leaves out later fields at their defaults: records of running releases hold digests that never had them."""
    if spec["promise"]["falsePause"] == Promise().false_pause.written():
        del spec["promise"]["falsePause"]
    if spec["alreadyFiring"] == "refuse":
        del spec["alreadyFiring"]
    for name, default in (("onShared", OnShared()), ("baseline", Baseline())):
        if spec[name] == default.model_dump(mode="json", by_alias=True):
            del spec[name]


@kept
def tighten(pinned: ReleasePolicy, edited: ReleasePolicy) -> ReleasePolicy:
    """What holds for a release that began under `pinned`, after an edit to `edited`.

    Taken over where it is tighter: limits and margins lower, required gates, enforce instead of observe, a longer
    least observation, more cautious ends, shorter holds and deadlines, manual instead of automatic advance, new gates
    and alerts, a window where there was none or inside the old one, and further freezes. Everything else stays as
    pinned: a gate that was removed, weakened or measures something else, the promise and what is learned from too.
    """
    result = to_object(pinned)
    for path, value in _tighter(pinned, edited):
        attempt = json.loads(json.dumps(result))
        _put(attempt, path, value)
        try:
            ReleasePolicy.model_validate(attempt)
        except ValidationError:
            # Tighter by itself, but against the rest of what is pinned (a deadline below the observation): stays.
            continue
        result = attempt
    return ReleasePolicy.model_validate(result)


_Path = tuple[str | int, ...]


def _put(into: Any, path: _Path, value: Any) -> None:
    for step in path[:-1]:
        into = into[step]
    if isinstance(into, list):
        into.append(value)
    else:
        into[path[-1]] = value


def _tighter(pinned: ReleasePolicy, edited: ReleasePolicy) -> list[tuple[_Path, Any]]:
    """The changes of the edit that tighten: paths from the root, and plain values."""
    old, new = pinned.spec, edited.spec
    least = max(old.observe.at_least, min(new.observe.at_least, old.observe.at_most))
    changes: list[tuple[_Path, Any]] = [
        (("spec", "mode"), max(old.mode, new.mode, key=_MODE.index)),
        (("spec", "observe", "atLeast"), least.written()),
        (
            ("spec", "observe", "onUndecided"),
            max(old.observe.on_undecided, new.observe.on_undecided, key=_UNDECIDED.index),
        ),
        (("spec", "onDegraded"), max(old.on_degraded, new.on_degraded, key=_THEN.index)),
        (("spec", "onBlind", "hold"), min(old.on_blind.hold, new.on_blind.hold).written()),
        (("spec", "onBlind", "then"), max(old.on_blind.then, new.on_blind.then, key=_THEN.index)),
        (("spec", "onShared", "hold"), min(old.on_shared.hold, new.on_shared.hold).written()),
        (("spec", "onShared", "then"), max(old.on_shared.then, new.on_shared.then, key=_THEN.index)),
        (("spec", "deadline", "batch"), min(old.deadline.batch, new.deadline.batch).written()),
        (("spec", "deadline", "release"), min(old.deadline.release, new.deadline.release).written()),
    ]
    if old.strategy.kind == new.strategy.kind:
        at = ("spec", "strategy", old.strategy.kind)
        changes += [((*at, *path), value) for path, value in _tighter_moves(old.strategy.moves, new.strategy.moves)]
    edits = {gate.name: gate for gate in new.gates}
    for index, gate in enumerate(old.gates):
        if gate.name in edits:
            changes += [(("spec", "gates", index, *at), value) for at, value in _tighter_gate(gate, edits[gate.name])]
    changes += _tighter_alerts(pinned, edited)
    changes += _tighter_hours(pinned, edited)
    known = {gate.name for gate in old.gates}
    plain = to_object(edited)["spec"]["gates"]
    changes += [(("spec", "gates", len(plain)), gate) for gate in plain if gate["name"] not in known]
    return changes


def _tighter_alerts(pinned: ReleasePolicy, edited: ReleasePolicy) -> list[tuple[_Path, Any]]:
    """Further alerts, rollBack instead of pause, and silenced ones that count; none goes away."""
    old = {each.labels: each for each in pinned.spec.alerts or ()}
    new = {each.labels: each for each in edited.spec.alerts or ()}
    if not new:
        return []
    joined = [
        each.model_copy(
            update={
                "then": min(each.then, new[labels].then, key=("rollBack", "pause").index),
                "even_silenced": each.even_silenced or new[labels].even_silenced,
            }
        )
        if labels in new
        else each
        for labels, each in old.items()
    ]
    joined += [each for labels, each in new.items() if labels not in old]
    plain = [each.model_dump(mode="json", by_alias=True) for each in joined[:MOST_ALERTS]]
    return [(("spec", "alerts"), plain)]


def _tighter_hours(pinned: ReleasePolicy, edited: ReleasePolicy) -> list[tuple[_Path, Any]]:
    """A window where there was none, one inside the old one, a more careful `onClose`, and further freezes."""
    old, new = pinned.spec.window, edited.spec.window
    changes: list[tuple[_Path, Any]] = []
    if new is not None and (old is None or new.inside(old)):
        close = new.on_close if old is None else max(old.on_close, new.on_close, key=_ON_CLOSE.index)
        changes.append((("spec", "window"), {**new.model_dump(mode="json", by_alias=True), "onClose": close}))
    elif new is not None and old is not None:
        changes.append((("spec", "window", "onClose"), max(old.on_close, new.on_close, key=_ON_CLOSE.index)))
    # The days of a freeze are those of a zone: it is written down before another window lends another one.
    known = [_dated(each, pinned) for each in pinned.spec.freeze or ()]
    joined = known + [each for one in edited.spec.freeze or () if (each := _dated(one, edited)) not in known]
    return [(("spec", "freeze"), joined), *changes] if joined else changes


def _dated(freeze: Freeze, policy: ReleasePolicy) -> dict[str, Any]:
    window = policy.spec.window
    zone = freeze.zone or (window.zone if window is not None else None)
    return freeze.model_copy(update={"zone": zone}).model_dump(mode="json", by_alias=True, exclude_none=True)


def _tighter_moves(old: Moves, new: Moves) -> list[tuple[_Path, Any]]:
    """Who lets stages go on, and how long a preview is watched; sizes, Services and `keep` stay as pinned."""
    changes: list[tuple[_Path, Any]] = []
    if not isinstance(old, Recreate) and not isinstance(new, Recreate):
        was, now = old.advance.model_dump(), new.advance.model_dump()
        changes += [(("advance", name), max(was[name], now[name], key=_ADVANCE.index)) for name in was if name in now]
    if isinstance(old, BlueGreen) and isinstance(new, BlueGreen) and new.preview_for is not None:
        longer = new.preview_for if old.preview_for is None else max(old.preview_for, new.preview_for)
        changes.append((("previewFor",), longer.written()))
    return changes


def _tighter_gate(old: Gate, new: Gate) -> list[tuple[_Path, Any]]:
    # Another measure under the same name is another gate: the pinned one stays.
    if _measured(old) != _measured(new):
        return []
    changes: list[tuple[_Path, Any]] = [(("required",), old.required or new.required)]
    if old.asks():
        for kind, asked in new.asks().items():
            was = old.asks()[kind]
            changes.append(((kind, "at"), was.at.joined(asked.at).written()))
            changes.append(((kind, "timeout"), min(was.timeout, asked.timeout).written()))
        return changes
    # A ratio and a difference in points do not compare: which one is tighter depends on the error rate.
    before, after = old.margin, new.margin
    if before.ratio is not None and after.ratio is not None and after.ratio < before.ratio:
        changes.append((("tolerate",), after.written()))
    if before.points is not None and after.points is not None and after.points < before.points:
        changes.append((("tolerate",), after.written()))
    if old.latency is not None and new.latency is not None and new.latency.objective is not None:
        objective = new.latency.objective
        if old.latency.objective is not None:
            objective = min(objective, old.latency.objective)
        changes.append((("latency", "objective"), objective.written()))
    if new.limit is not None:
        # The limit of a gauge whose lower levels are worse is a floor.
        tighter = max if old.gauge is not None and old.gauge.worse == "lower" else min
        limit = new.limit if old.limit is None else tighter(old.limit, new.limit)
        changes.append((("limit",), limit.written()))
    return changes


def _measured(gate: Gate) -> dict[str, Any]:
    """What a gate measures or asks, and nothing of how it judges: not the bound of a latency gate, nor a timeout."""
    plain = gate.model_dump(mode="json", by_alias=True, exclude_none=True, include={*_MEASURES})
    plain.get("latency", {}).pop("objective", None)
    for kind in _ASKS:
        plain.get(kind, {}).pop("timeout", None)
        plain.get(kind, {}).pop("at", None)
    return plain
