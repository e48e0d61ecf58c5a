"""Pictures of power: what is caught by effect and time, and how the evidence of a worse version climbs."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.injection import Harm, How
from analysis.learned import Calibration
from analysis.power import Trace
from controller.cli.plan_power import GatePower, Stage, columns
from controller.plot import Axis, Dots, Kind, Level, Line, Mark, Moment, Panel, figure
from policies.schema import Gate


def power_picture(figures: Sequence[GatePower], name: str, stages: Sequence[Stage]) -> str:
    """Effect across, chance up, one line for each time; one panel for each gate that has learned."""
    pods = ", then ".join(str(stage.contender) for stage in stages if stage.compared)
    panels = [_power_panel(one) for one in figures if one.not_learned is None]
    note = f"releases replayed out of history with a worse version in them: {pods} of {stages[0].pods} pods on trial"
    return figure(f"{name}: what a release catches", panels, note=note)


def _power_panel(power: GatePower) -> Panel:
    curve = [one for one in power.reaches if one.harm is not None and one.harm.how is not How.TAIL]
    sizes = [max(one.harm.size, 1.0 / one.harm.size) for one in curve if one.harm is not None]
    fewer = any(one.harm is not None and one.harm.size < 1.0 for one in curve)
    marks: list[Mark] = []
    healthy = power.healthy
    times = columns(power.watched)
    # The most that is caught first: its label stands on top, as its line does.
    for tone, minutes in reversed(list(enumerate(times))):
        points = [(size, one.within(minutes).value) for size, one in zip(sizes, curve, strict=True)]
        if healthy is not None:
            points.insert(0, (1.0, healthy.within(minutes).value))
        label = "in all" if minutes == times[-1] else f"in {minutes:g} min"
        marks.append(Line(label, tuple(points), tone % 5))
    whole = [(size, one.within()) for size, one in zip(sizes, curve, strict=True)]
    marks.append(Dots("", tuple((size, each.value, each.low, each.high) for size, each in whole), (len(times) - 1) % 5))
    marks.append(Level("9 of 10", 0.9, 5))
    if power.ceiling is not None and power.ceiling <= max(sizes, default=1.0):
        marks.append(Moment(f"pod ceiling x{power.ceiling:.2g}", power.ceiling))
    count = healthy.caught.size if healthy is not None else 0
    note = f"{count} replays of {power.segments} segments; bars are 95 % intervals of what is caught in all"
    across = Axis(_effect(power.gate, fewer=fewer), Kind.RATIO, low=1.0)
    return Panel(f"{power.gate.name} ({power.gate.kind})", note, across, Axis("caught", Kind.SHARE), tuple(marks))


def _effect(gate: Gate, *, fewer: bool) -> str:
    match gate.kind:
        case "errorRatio":
            return "errors of the new version over those of the old one"
        case "latency":
            return "response times of the new version over those of the old one"
        case "gauge":
            return (
                "level of the old version over that of the new one"
                if fewer
                else ("level of the new version over that of the old one")
            )
        case _:
            return "events of the old version over those of the new one"


def evidence_panel(
    gate: Gate, healthy: Sequence[Trace], worse: Sequence[tuple[Harm, Trace, float]], calibration: Calibration
) -> Panel:
    """Evidence over time against its thresholds: many healthy replays, and one of each harm up to its rollback.

    worse: with the minute of the rollback.
    """
    marks: list[Mark] = [
        Line("", tuple(zip(map(float, one.minutes), map(float, one.joined), strict=True)), 5, faint=True)
        for one in healthy
    ]
    for number, (harm, one, stopped) in enumerate(worse):
        tone = (0, 1, 2, 4)[number % 4]
        points = [(float(x), float(y)) for x, y in zip(one.minutes, one.joined, strict=True) if x <= stopped + 1e-6]
        marks.append(Line("", tuple(points), tone))
        if points:
            x, y = points[-1]
            marks.append(Dots(f"{harm.label}: {stopped:g} min", ((x, y, y, y),), tone))
    longest = max(healthy, key=lambda one: float(one.minutes[-1]), default=None)
    if longest is not None:
        marks += [Moment(f"{pods} on trial", minute) for minute, pods in longest.stages]
    bound, pause = calibration.change, calibration.pause
    marks += [Level(f"rollback {bound:.1f}", bound, 3), Level(f"pause {pause:.1f}", pause, 5)]
    note = f"{len(healthy)} healthy replays in grey, each until harm is ruled out; a worse one until it is rolled back"
    top = max(bound * 3.0, bound + 8.0)
    return Panel(
        f"{gate.name}: evidence that the version is worse",
        note,
        Axis("settled minutes of the release"),
        Axis("evidence J (log units)", low=min(-5.0, pause), high=top),
        tuple(marks),
    )
