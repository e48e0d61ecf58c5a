"""`nightferry backtest`: what the gates would have done on the last nights, had they been learned before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import learn_past, options, stores

if TYPE_CHECKING:
    from analysis.learned import NotLearned
    from analysis.power import Reach, Share, Trial
    from controller.cli.learn_past import Question, Told
    from controller.learning.gather import GateHistory, Gathered
    from controller.learning.learn import Taught
    from policies.schema import Gate

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class GateTest:
    """One gate over the nights: healthy releases first, then each harm; or why it could not be tried."""

    gate: Gate
    trial: Trial | None = None
    reaches: tuple[Reach, ...] = ()
    not_learned: NotLearned | None = None


@dataclass(frozen=True, slots=True)
class Nights:
    """What was tried. before, after: days that taught, and that were replayed; apart: whether these are two times."""

    tests: tuple[GateTest, ...]
    together: Share
    taught: Taught
    begin: float
    end: float
    segments: int
    apart: bool


def backtest(
    policy: learn_past.PolicyName,
    days: Annotated[int, typer.Option("--days", min=1, max=60, metavar="N", help="How many of the last days.")] = 7,
    policies: learn_past.Policies = None,
    prometheus: stores.PrometheusUrl = None,
    config: stores.Config = None,
    json: learn_past.Json = False,
    plot: learn_past.Plot = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Replay releases on the last nights: how often each gate would have stopped a healthy one, and what it catches.

    The thresholds are those that the days before would have taught. Exit code 0: at least one gate was tried; 2: none.
    """
    from controller.cli.learn_past import bar, draw, gathered, may_draw, question, refuse_untaught

    may_draw(plot)
    asked = question(policy, policies, prometheus, config, namespace, kubeconfig, context)
    found = gathered(asked, bands=False)
    with bar("replaying the last nights") as told:
        nights = _nights(asked, found, days, told)
    refuse_untaught((one.gate.name, one.not_learned) for one in nights.tests)
    if plot is not None:
        draw(_picture(asked, nights), plot)
    if json:
        _print_json(asked, nights)
    else:
        _tell(asked, nights)


def _nights(asked: Question, found: Gathered, days: int, told: Told) -> Nights:
    """Learns on the days before and replays the nights; on a short history it learns on the nights themselves."""
    from analysis.learned import NotLearned
    from analysis.power import Trial, any_stopped, harms_of, reach
    from controller.cli.plan_power import gate_of
    from controller.learning.learn import learn, seed_of

    since = found.end - _DAY * days
    seed = seed_of(asked.namespace, asked.policy.name, asked.now)
    told(0.0, "the nights themselves")
    after = learn(_part(found, since, found.end), asked.policy, asked.namespace, asked.now)
    told(0.1, "the days before")
    before = learn(_part(found, found.start, since), asked.policy, asked.namespace, asked.now)
    apart = any(gate_of(before, gate.name) is not None for gate in asked.policy.spec.learnable)
    tests: list[GateTest] = []
    gates = asked.policy.spec.learnable
    for number, gate in enumerate(gates):
        later = gate_of(after, gate.name)
        earlier = gate_of(before, gate.name) if apart else later
        if later is None or earlier is None:
            missing = (after if later is None else before).baseline.gates[gate.name]
            assert isinstance(missing, NotLearned)
            detail = (
                missing.detail if missing.reason != "TooLittleHistory" else f"{missing.detail}; ask for more --days"
            )
            tests.append(GateTest(gate, not_learned=NotLearned(missing.reason, detail)))
            continue
        trial = Trial.later(earlier[1], later[1]) if apart else Trial.inside(later[1])
        reaches = []
        harms = (None, *harms_of(later[1].history, later[1].settings))
        for place, harm in enumerate(harms):
            told(
                0.2 + 0.8 * (number + place / len(harms)) / len(gates),
                f"gate {gate.name}: {harm.label if harm is not None else 'no harm'}",
            )
            reaches.append(reach(trial, harm, after.plan, seed=seed))
        tests.append(GateTest(gate, trial, tuple(reaches)))
    healthy = [one.reaches[0] for one in tests if one.reaches and one.gate.required]
    segments = max((len(set(one.reaches[0].segments.tolist())) for one in tests if one.reaches), default=0)
    return Nights(tuple(tests), any_stopped(healthy), after, max(since, found.start), found.end, segments, apart)


def _part(found: Gathered, begin: float, end: float) -> Gathered:
    """The segments that lie in a stretch of time; past rollouts teach about young pods wherever they lie."""

    def inside(one: GateHistory) -> GateHistory:
        from analysis.learning.history import stretch_of

        kept = tuple(
            segment
            for segment in one.segments
            if (there := stretch_of(segment)) is not None and begin <= there.begin and there.end <= end
        )
        return replace(one, segments=kept, line=None)

    return replace(found, start=begin, end=end, gates={name: inside(one) for name, one in found.gates.items()})


def _tell(asked: Question, nights: Nights) -> None:
    from controller.cli.learn_told import utc
    from controller.cli.plan import label_of, spread_of, table_of
    from controller.cli.plan_power import columns
    from controller.cli.screen import console, print_plain, say

    days = (nights.end - nights.begin) / _DAY
    origin = (
        "thresholds from the days before"
        if nights.apart
        else ("thresholds from the same days, for there are too few before: a kind look")
    )
    say(
        f"{asked.policy.name} in {asked.namespace}: {days:.1f} days ({utc(nights.begin)} to {utc(nights.end)} UTC), "
        f"{nights.segments} segments; {origin}"
    )
    if any(one.reaches and one.gate.required for one in nights.tests):
        whole = nights.together
        say(
            f"healthy releases that a required gate would have stopped: {100 * whole.value:.2g} % "
            f"(95 %: {100 * whole.low:.2g} to {100 * whole.high:.2g} %)"
        )
    screen = console()
    for one in nights.tests:
        watched = "" if one.gate.required else ", watched only"
        if one.not_learned is not None:
            say(f"\ngate {one.gate.name} ({one.gate.kind}{watched})\n  not tried: {one.not_learned.reason}: "
                f"{one.not_learned.detail}")  # fmt: skip
            continue
        say(f"\ngate {one.gate.name} ({one.gate.kind}{watched}), {one.reaches[0].caught.size} replays")
        times = columns(max(each.minutes for each in one.reaches))
        table = table_of([f"{minutes:g} min" for minutes in times[:-1]] + ["in all"])
        for each in one.reaches:
            shares = [f"{100 * each.within(minutes).value:.0f} %" for minutes in times]
            table.add_row(label_of(each), *shares, *spread_of(each))
        print_plain(screen, table)


def _print_json(asked: Question, nights: Nights) -> None:
    import json

    from controller.cli.learn_told import utc
    from controller.cli.plan import reach_json
    from controller.cli.plan_power import columns

    gates: list[Mapping[str, Any]] = []
    for one in nights.tests:
        head = {"name": one.gate.name, "kind": one.gate.kind, "required": one.gate.required}
        if one.not_learned is not None:
            gates.append({**head, "tried": False, "reason": one.not_learned.reason, "detail": one.not_learned.detail})
            continue
        times = columns(max(each.minutes for each in one.reaches))
        healthy, *worse = [reach_json(each, times) for each in one.reaches]
        gates.append({**head, "tried": True, "healthy": healthy, "harms": worse})
    whole = nights.together
    told = {
        "policy": asked.policy.name,
        "namespace": asked.namespace,
        "from": utc(nights.begin, "T"),
        "until": utc(nights.end, "T"),
        "segments": nights.segments,
        "learnedBefore": nights.apart,
        "healthyStopped": {"share": round(whole.value, 4), "interval": [round(whole.low, 4), round(whole.high, 4)]},
        "gates": gates,
    }
    print(json.dumps(told, indent=2, ensure_ascii=False))


def _picture(asked: Question, nights: Nights) -> str:
    """Evidence over time: healthy replays in grey, and for each harm the replay that is caught at its median."""
    from controller.cli.learn_told import utc
    from controller.cli.plan_pictures import evidence_panel
    from controller.learning.learn import seed_of
    from controller.plot import figure

    seed = seed_of(asked.namespace, asked.policy.name, asked.now)
    panels = []
    for one in nights.tests:
        if one.trial is not None:
            from analysis.power import trace

            healthy = trace(one.trial, None, nights.taught.plan, seed=seed)[:60]
            shown = [(each, each.harm, at) for each in one.reaches[1:]
                     if each.harm is not None and (at := _typical(each)) is not None]  # fmt: skip
            worse = [
                (harm, trace(one.trial, harm, nights.taught.plan, seed=seed)[at], float(each.caught[at]))
                for each, harm, at in shown[:4]
            ]
            panels.append(evidence_panel(one.gate, healthy, worse, one.trial.calibration))
    note = f"{utc(nights.begin)} to {utc(nights.end)} UTC; a version is worse from its first minute"
    return figure(f"{asked.policy.name}: what its gates would have seen", panels, note=note)


def _typical(one: Reach) -> int | None:
    """The replay that is caught at the median of those that are caught; None where hardly any is."""
    import numpy as np

    caught = np.flatnonzero(np.isfinite(one.caught))
    if caught.size * 5 < one.caught.size:
        return None
    order: Sequence[int] = caught[np.argsort(one.caught[caught], kind="stable")].tolist()
    return order[len(order) // 2]
