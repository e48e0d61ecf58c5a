"""`nightferry explain`: every decision of a release with the numbers that stood behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.figures import number, percent, times
from controller.cli import options
from controller.cli.status import Output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from controller.cli.access import Access, Object
    from controller.release.record import Entry, GateVerdict, Record

Facts = Iterator[tuple[str, str]]


def explain(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="A release; or an app, for its current one.")],
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show why a release is where it is: each decision, its numbers, and what would have changed it."""
    from controller.cli.access import Access
    from controller.cli.screen import console, print_plain

    access = Access.open(namespace, kubeconfig, context)
    found = release_named(access, release)
    record, problem = _record(found)
    if output is Output.JSON:
        print(_json(found, record))
        return
    screen = console()
    for part in _story(found, record, problem):
        print_plain(screen, part)


def release_named(access: Access, name: str) -> Object:
    """A release by its name, or an app's current one. Raises Refusal with the names that there are."""
    from controller.cli.access import current, name_of
    from controller.cli.ends import Refusal
    from policies.translate import meant

    found = access.release(name) or current(access.releases(name))
    if found is None:
        releases = [name_of(one) for one in access.releases()]
        shown = ", ".join(releases[:5]) + (", ..." if len(releases) > 5 else "") or "none"
        raise Refusal(f"no release {name} in namespace {access.namespace}; its newest: {shown}{meant(name, releases)}")
    return found


def _record(release: Object) -> tuple[Record, str]:
    """The release's record, and what is wrong with it where it cannot be read (the record is then an empty one)."""
    from controller.record import RecordInvalid, RecordTooNew, read_record
    from controller.release.record import Record

    try:
        return read_record(release.get("status")), ""
    except (RecordInvalid, RecordTooNew) as error:
        return Record(), str(error)


def _json(release: Object, record: Record) -> str:
    import json

    import msgspec

    from controller.cli.view import row_of
    from controller.release.instants import rfc3339

    entries = [{**msgspec.to_builtins(entry), "at": rfc3339(entry.at)} for entry in record.decisions]
    return json.dumps({**row_of(release).to_json(), "decisions": entries}, indent=2, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------ as a story


def _story(release: Object, record: Record, problem: str) -> Iterator[RenderableType]:
    from rich.text import Text

    from controller.cli.access import name_of, phase
    from controller.cli.screen import PHASE_COLOURS

    title = Text.assemble(
        ("release ", "dim"),
        (f"{release['metadata'].get('namespace')}/{name_of(release)}", "bold"),
        ("  ", ""),
        (phase(release), PHASE_COLOURS.get(phase(release), "")),
    )
    yield title
    yield _facts(_asked(release, record), indent=0)
    if problem:
        yield Text(f"\nThe record cannot be read: {problem}", style="red")
    if not record.decisions:
        yield Text("\nnothing was decided yet", style="dim")
        return
    yield Text("\nDecisions", style="bold")
    first = record.decisions[0].at
    shown: tuple[GateVerdict, ...] = ()
    days = [_day(entry.at) for entry in record.decisions]
    for place, entry in enumerate(record.decisions):
        # A release that waits for its hours, or is parked, has more than one day.
        if days[0] != days[-1] and (place == 0 or days[place] != days[place - 1]):
            yield Text(days[place], style="dim")
        yield from _decision(entry, first, known=entry.verdicts == shown)
        shown = entry.verdicts or shown
    if record.held is not None or not record.ended or record.watched:
        yield from _now(record)
    if record.notices:
        yield Text("\nTold", style="bold")
        yield _facts(_told(record), indent=0)


def _told(record: Record) -> Facts:
    """Who was told of what, and who is still to be told."""
    for notice in record.notices:
        state = f"not told: {notice.failed}" if notice.failed else "sent" if notice.done else "waits to be sent"
        yield _clock(notice.at), f"{notice.event} to {notice.notifier}: {state}"


def _asked(release: Object, record: Record) -> Facts:
    """What was asked, by whom, and what the release is bound to."""
    spec = release.get("spec") or {}
    yield "app", str(spec.get("policy", ""))
    yield "asked by", f"{spec.get('requestedBy', 'someone')}" + (f": {spec['reason']}" if spec.get("reason") else "")
    for container, image in (spec.get("images") or {}).items():
        yield "image", f"{container}={image}"
    for container, variables in (spec.get("env") or {}).items():
        # Values may be secrets of the app; the names say enough.
        yield "environment", f"{container}: {', '.join(variables)}"
    for key, word in (
        ("template", "a change of the pod template"),
        ("rollbackOf", ""),
        ("restoreOf", ""),
        ("home", "to the first Deployment"),
    ):
        if spec.get(key):
            yield key, word or str(spec[key])
    if record.skip_gates:
        yield "gates", f"skipped: {record.skip_gates}"
    for role, slot in (("incumbent", record.incumbent), ("contender", record.contender)):
        if slot is not None:
            yield role, f"Deployment {slot.name}, version {slot.digest}"
    for place, note in enumerate(record.notes):
        yield "plan" if place == 0 else "", note
    if record.policy_digest:
        yield "policy", f"version {record.policy_digest}, pinned at the start"


_KIND_COLOURS = {
    "Advance": "cyan",
    "RollBack": "bold yellow",
    "Succeeded": "bold green",
    "RolledBack": "yellow",
    "NeedsHuman": "bold red",
    "Cancelled": "magenta",
}


def _decision(entry: Entry, first: float, *, known: bool) -> Iterator[RenderableType]:
    """One line of the log; its numbers below it, unless they are the same as the last ones (`known`)."""
    from rich.table import Table
    from rich.text import Text

    colour = _KIND_COLOURS.get(entry.kind, "blue" if entry.kind.startswith("Hold") else "")
    line = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True, style="dim")
    line.add_column(no_wrap=True, style="dim", justify="right", min_width=7)
    line.add_column(no_wrap=True, min_width=18)
    line.add_column(overflow="fold")
    line.add_row(_clock(entry.at), _after(entry.at - first), Text(entry.kind, style=colour), entry.because)
    yield line
    if known and entry.verdicts:
        yield Text(" " * 21 + "on the same numbers", style="dim")
        return
    for verdict in entry.verdicts:
        yield _verdict_line(verdict)
        yield _facts(_numbers(verdict), indent=24)


def _now(record: Record) -> Iterator[RenderableType]:
    """What the release waits for, and what the gates say at present."""
    from rich.text import Text

    yield Text("\nNow", style="bold")
    facts = [("because", record.because)]
    if record.held is not None:
        held = record.held
        until = f"; at {_when(held.until, record)}: {held.then}" if held.until is not None else f"; {held.then}"
        facts += [("held", f"{held.reason.value} since {_when(held.since, record)}{until}"), ("", held.because)]
    if record.watch is not None:
        facts.append(("watch", record.watch.over or f"watching until {_when(record.watch.until, record)}"))
    yield _facts(iter(facts), indent=0)
    for verdict in record.verdicts:
        yield _verdict_line(verdict)
        yield _facts(_numbers(verdict), indent=24)


def _verdict_line(verdict: GateVerdict) -> RenderableType:
    from rich.text import Text

    from controller.cli.screen import VERDICT_COLOURS

    watched = "" if verdict.required else "  (watched only)"
    return Text.assemble(
        (" " * 21 + "gate ", "dim"),
        (verdict.gate, "bold"),
        ("  ", ""),
        (verdict.verdict.value, VERDICT_COLOURS.get(verdict.verdict.value, "")),
        (watched, "dim"),
    )


def _numbers(verdict: GateVerdict) -> Facts:
    """The evidence of a verdict: effect and interval, exposure, thresholds, what would have changed it."""
    from controller.morning.gauged import onset_of

    found = verdict.evidence
    onset = onset_of(found)
    if no_data := found.get("noData"):
        yield "no data", f"{no_data}: {found.get('because', '')}"
    if effect := found.get("effect"):
        low, high = _interval(effect.get("interval"))
        ours, theirs = _pair(effect.get("rates"))
        ratio = _times(effect.get("ratio")) if effect.get("ratio") is not None else "no ratio yet"
        whole = ", of the whole observation" if onset is not None else ""
        ends = f"{_times(low)} to {_times(high) if high is not None else 'unbounded'}"
        yield "effect", f"{ratio}, interval {ends}{whole}"
        over = f" slower than {_time(found['boundary'])}" if found.get("boundary") is not None else ""
        if found.get("measure") == "history":
            yield "rates", f"now {_number(ours)}, {_number(theirs)} by history"
        else:
            rates = [_rate(value, found.get("measure")) for value in (ours, theirs)]
            yield "rates", f"contender {rates[0]}{over}, incumbent {rates[1]}"
    if onset is not None:
        since = f"{_clock(onset.at)}: " + (f"{_times(onset.ratio)}, " if onset.ratio is not None else "")
        yield "harm since", f"{since}contender {onset.contender}, incumbent {onset.incumbent}"
    for name, pair in (found.get("quantiles") or {}).items():
        ours, theirs = _pair(pair)
        yield name, f"contender {_time(ours)}, incumbent {_time(theirs)}"
    if seen := found.get("exposure"):
        yield "exposure", _exposure(seen)
    yield from _thresholds(found)
    if found.get("leaning"):
        yield "leaning", "towards harm: the release does not go on by itself"
    if found.get("blame"):
        yield "carried by", f"pod {found['blame']}"
    for warning in found.get("warnings") or ():
        yield "note", str(warning)
    if found.get("wouldChange"):
        yield "would change", str(found["wouldChange"])
    if found.get("guarantee") and not found.get("noData"):
        yield "guarantee", str(found["guarantee"])


def _thresholds(found: Mapping[str, Any]) -> Facts:
    evidence, threshold = _pair(found.get("logEvidence"))
    if threshold:
        words = "the limit is broken" if found.get("limitBroken") else "against no change"
        yield "evidence", f"{_number(evidence)} {words}; the threshold is {_number(threshold)}"
    margin, bound = _pair(found.get("marginEvidence"))
    if bound:
        yield "", f"{_number(margin)} against staying inside the margin; the threshold is {_number(bound)}"


def _exposure(seen: Mapping[str, Any]) -> str:
    from controller.cli.view import span

    requests, events, pods = (_pair(seen.get(key)) for key in ("requests", "events", "pods"))
    return (
        f"contender {_counted(requests[0], 'request')}, {_counted(events[0], 'event')}, {_counted(pods[0], 'pod')}; "
        f"incumbent {_number(requests[1])}, {_number(events[1])}, {_number(pods[1])}; "
        f"{_counted(seen.get('windows'), 'shared window')}, {span(60.0 * (seen.get('minutes') or 0.0))}"
    )


def _facts(facts: Facts, *, indent: int) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=12 if indent else 0)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return Padding(table, (0, 0, 0, indent)) if indent else table


# ------------------------------------------------------------------------------------------------- in words


def _pair(value: Sequence[Any] | None) -> tuple[Any, Any]:
    return (value[0], value[1]) if value is not None and len(value) == 2 else (None, None)


def _interval(value: Sequence[Any] | None) -> tuple[Any, Any]:
    """Both ends; the API server drops the null of an end that the data does not bound."""
    return (value[0], value[1] if len(value) > 1 else None) if value else (0.0, None)


def _number(value: float | None) -> str:
    return "unknown" if value is None else number(value)


def _counted(value: float | None, thing: str) -> str:
    return f"{_number(value)} {thing}{'' if value == 1 else 's'}"


def _times(value: float | None) -> str:
    return "unknown" if value is None else times(value)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else percent(value)


def _rate(value: float | None, measure: str | None) -> str:
    """One of the two rates of an effect, by the measure that its evidence names; without one, a share of requests."""
    if measure == "perSecond":
        return f"{_number(value)} per second and pod"
    return _number(value) if measure == "level" else _percent(value)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _clock(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _day(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().strftime("%a %Y-%m-%d")


def _when(at: float, record: Record) -> str:
    """A time with its date, unless it is the day on which the record was written last."""
    return _clock(at) if _day(at) == _day(record.written) else f"{_day(at)} {_clock(at)}"


def _after(seconds: float) -> str:
    from controller.cli.view import span

    return f"+{span(seconds)}"
