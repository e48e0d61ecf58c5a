"""Which gates fit what a store has: those of the presets whose metrics and labels are there, and why others do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from policies.presets import Preset, PresetSet, presets
from policies.schema import Matcher, Query, Selector

STATUS_LABELS = ("code", "status", "status_code", "http_status_code", "http_response_status_code")
_COUNTED = re.compile(r"(?:^|_)(?:requests?|responses?|calls?)(?:_[a-z_]+)?_total$", re.ASCII)
_TIMED = re.compile(r"(?:request|response|latency|duration|handling)[a-z_]*_seconds_bucket$", re.ASCII)
_TRAFFIC, _RUNTIME = ("http", "grpc"), ("go", "jvm", "python")


class Metric(Protocol):
    """What is known of one metric of the app's pods."""

    @property
    def labels(self) -> frozenset[str]: ...
    @property
    def native(self) -> bool: ...
    @property
    def doubled(self) -> tuple[str, tuple[str, ...]] | None: ...


class Shelf(Protocol):
    """What a store has of the app: the names of metrics, and each of them more closely."""

    def names(self) -> frozenset[str]: ...
    def metric(self, name: str) -> Metric: ...


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Gates that fit as plain data, where they come from, and what people should know. `refused` says why none do."""

    gates: tuple[Mapping[str, Any], ...] = ()
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def suggested(shelf: Shelf, *, pod: str = "pod") -> Suggestion:
    """The gates that fit an app. `pod` is the store's own label for the name of a pod."""
    picked = Suggestion()
    for names, required in ((_TRAFFIC, True), (_RUNTIME, False)):
        found = [_best(preset, shelf) for preset in presets().values() if preset.name in names]
        for preset, chosen, fitting in (one for one in found if one is not None):
            picked = _with(picked, fitting, f"{preset.name}/{chosen.name}: {chosen.library}")
            missing = [gate["name"] for gate in chosen.gates if gate["name"] not in {one["name"] for one in fitting}]
            if required and missing and chosen.note:
                picked = replace(picked, notes=(*picked.notes, f"no gate {', '.join(missing)}: {chosen.note}"))
        if required and not picked.gates:
            picked = _own(shelf, picked)
    if not any("gauge" in gate for gate in picked.gates):
        picked = _process(shelf, picked)
    picked = replace(picked, notes=(*picked.notes, *_unusable(shelf, picked)))
    return _pinned(picked, shelf, pod)


def _best(preset: Preset, shelf: Shelf) -> tuple[Preset, PresetSet, list[Mapping[str, Any]]] | None:
    """The set of which most gates fit, the first one of equals; None where none does."""
    best: tuple[int, PresetSet, list[Mapping[str, Any]]] | None = None
    for one in preset.sets:
        if one.sign and one.sign not in shelf.names():
            continue
        fitting: list[Mapping[str, Any]] = [gate for gate in one.copied() if _fits(gate, shelf)]
        if fitting and (best is None or len(fitting) > best[0]):
            best = len(fitting), one, fitting
    return (preset, best[1], best[2]) if best is not None else None


def _fits(gate: Mapping[str, Any], shelf: Shelf) -> bool:
    for selector in _selectors(gate):
        if selector.metric not in shelf.names():
            return False
        labels = shelf.metric(selector.metric).labels
        if any(matcher.label not in labels for matcher in selector.matchers):
            return False
    return all(name in shelf.names() for name in _gauge_metrics(gate))


def _selectors(gate: Mapping[str, Any]) -> Iterator[Selector]:
    for kind in ("errorRatio", "latency", "throughput"):
        for text in (gate.get(kind) or {}).values():
            yield Selector.parse(text)


def _gauge_metrics(gate: Mapping[str, Any]) -> tuple[str, ...]:
    return Query.parse(gate["gauge"]["query"]).metrics() if "gauge" in gate else ()


def _with(picked: Suggestion, gates: Sequence[Mapping[str, Any]], source: str) -> Suggestion:
    """More gates; one whose name is taken is called after its source."""
    taken = {gate["name"] for gate in picked.gates}
    prefix = source.split("/", maxsplit=1)[0]
    named = [{**gate, "name": f"{prefix}-{gate['name']}"} if gate["name"] in taken else gate for gate in gates]
    return replace(picked, gates=(*picked.gates, *named), sources=(*picked.sources, source))


def _own(shelf: Shelf, picked: Suggestion) -> Suggestion:
    """Metrics of the app's own making that look like requests: the names are guessed, and the note says so."""
    gates: list[Mapping[str, Any]] = []
    for name in sorted(name for name in shelf.names() if _COUNTED.search(name) and ":" not in name):
        status = next((label for label in STATUS_LABELS if label in shelf.metric(name).labels), None)
        if status is not None:
            failed = Selector(name, (Matcher(status, "=~", "5.."),)).text()
            gates.append({"name": "errors", "errorRatio": {"errors": failed, "requests": name}})
            break
    timed = [name for name in shelf.names() if _TIMED.search(name) and ":" not in name and "client" not in name]
    if timed:
        gates.append({"name": "latency", "latency": {"histogram": min(timed, key=lambda name: (len(name), name))}})
    if not gates:
        return picked
    note = "the metrics are none of a known library: read the selectors before you trust them"
    return replace(_with(picked, gates, "own: names that look like requests"), notes=(*picked.notes, note))


def _process(shelf: Shelf, picked: Suggestion) -> Suggestion:
    """Memory and processor time of a runtime that no preset knows: the client libraries all name these two alike."""
    gates = [gate for gate in presets()["go"].named().copied() if gate["name"] in ("memory", "cpu")]
    fitting = [gate for gate in gates if _fits(gate, shelf)]
    if not fitting:
        return picked
    return _with(picked, fitting, "process: metrics of the process, as client libraries of any language name them")


def _unusable(shelf: Shelf, picked: Suggestion) -> Iterator[str]:
    """What is there and cannot be used, with what to do about it."""
    names = shelf.names()
    used = {selector.metric for gate in picked.gates for selector in _selectors(gate)}
    wanted = {
        selector.metric
        for preset in presets().values()
        for one in preset.sets
        for gate in one.gates
        for selector in _selectors(gate)
        if selector.metric.endswith("_bucket")
    }
    for name in sorted(wanted - used):
        base = name.removesuffix("_bucket")
        if name in names or base not in names:
            continue
        metric = shelf.metric(base)
        if "quantile" in metric.labels:
            yield f"{base} is a summary: its quantiles cannot be compared between versions; use a histogram"
        elif metric.native:
            yield (
                f"{base} is a native histogram: let Prometheus keep the classic buckets too "
                "(always_scrape_classic_histograms: true)"
            )
    if recorded := sorted(name for name in names if ":" in name):
        shown = ", ".join(recorded[:3]) + (", ..." if len(recorded) > 3 else "")
        rules = "recording rule was" if len(recorded) == 1 else "recording rules were"
        yield f"{len(recorded)} {rules} passed over ({shown}): gates count the counters themselves"


def _pinned(picked: Suggestion, shelf: Shelf, pod: str) -> Suggestion:
    """The gates with one view of each pod where a store shows two, and with the store's own label for a pod."""
    gates, notes = [], list(picked.notes)
    for gate in picked.gates:
        names = {selector.metric for selector in _selectors(gate)} | set(_gauge_metrics(gate))
        doubled = next((found for name in sorted(names) if (found := shelf.metric(name).doubled) is not None), None)
        if doubled is not None:
            label, views = doubled
            shown = ", ".join(view or "-" for view in views)
            line = (
                f"every count is there {len(views)} times, once per {label} ({shown}); only "
                f'{label}="{views[0]}" is read: better let the store remove duplicates'
            )
            if line not in notes:
                notes.append(line)
        gates.append(_written(gate, pod, None if doubled is None else Matcher(doubled[0], "=", doubled[1][0])))
    return replace(picked, gates=tuple(gates), notes=tuple(notes))


def _written(gate: Mapping[str, Any], pod: str, one_view: Matcher | None) -> dict[str, Any]:
    out = dict(gate)
    for kind in ("errorRatio", "latency", "throughput"):
        if kind in out and one_view is not None:
            out[kind] = {
                key: Selector.parse(text).with_matchers(one_view).text() for key, text in dict(out[kind]).items()
            }
    if "gauge" in out:
        more = f",{one_view.text()}" if one_view is not None else ""
        # Our own presets write the mark in exactly this way.
        query = out["gauge"]["query"].replace('pod="$pods"', f'{pod}="$pods"{more}').replace("by (pod)", f"by ({pod})")
        out["gauge"] = {**out["gauge"], "query": query}
    return out
