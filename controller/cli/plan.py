"""`nightferry plan`: what a release of this policy will catch, how long it takes, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from controller.cli import learn_past, options, stores

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from analysis.power import Reach
    from controller.cli.plan_power import GatePower, Stage
    from policies.schema import ReleasePolicy


def plan(
    policy: learn_past.PolicyName,
    policies: learn_past.Policies = None,
    prometheus: stores.PrometheusUrl = None,
    config: stores.Config = None,
    json: learn_past.Json = False,
    plot: learn_past.Plot = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Say before a release what it will catch: each gate's chance by effect and minutes, measured on history.

    Regressions are injected into releases replayed out of the app's own past. Exit code 0: at least one gate has
    learned; 2: none has, and each says why.
    """
    from controller.cli.learn_past import bar, draw, gathered, may_draw, question, refuse_untaught, studied
    from controller.cli.plan_power import fleet_of, powers, stages_of
    from controller.learning.learn import seed_of

    may_draw(plot)
    asked = question(policy, policies, prometheus, config, namespace, kubeconfig, context)
    found = gathered(asked)
    taught = studied(asked, found)
    pods = fleet_of(taught)
    seed = seed_of(asked.namespace, asked.policy.name, asked.now)
    with bar("making releases worse") as told:
        figures = powers(asked.policy, found, taught, pods, seed=seed, told=told)
    refuse_untaught((one.gate.name, one.not_learned) for one in figures)
    stages = stages_of(asked.policy, pods)
    if plot is not None:
        from controller.cli.plan_pictures import power_picture

        draw(power_picture(figures, asked.policy.name, stages), plot)
    if json:
        _print_json(asked.policy, asked.namespace, stages, figures, asked.now)
    else:
        _tell(asked.policy, asked.namespace, stages, figures, asked.now)


def _tell(
    policy: ReleasePolicy, namespace: str, stages: Sequence[Stage], figures: Sequence[GatePower], now: float
) -> None:
    from controller.cli.hours import hours
    from controller.cli.screen import console, say

    observe = policy.spec.observe
    shortest, longest = lengths(policy, stages)
    say(f"{policy.name} in {namespace}: {stages[0].pods} pods lately")
    for line in told_beforehand(policy, stages[0].pods):
        say(f"  {line}")
    for stage in stages:
        alone = "" if stage.compared else "  no incumbent left: its own history only"
        watched = f"{observe.at_least} to {observe.at_most}"
        say(f"  {stage.name:<14} {stage.contender:>4} of {stage.pods} pods, {watched}{alone}")
    say(f"  observation     {_minutes(shortest)} at least, {_minutes(longest)} at most; pods' start-up comes on top")
    for line in hours(policy, longest, now):
        say(f"  {line}")
    screen = console()
    for one in figures:
        print_gate(screen, one)


def print_gate(screen: Console, power: GatePower) -> None:
    """One gate: a table of effect by time, and what is missing for the harms that are not caught."""
    from controller.cli.plan_power import columns, hopeless
    from controller.cli.screen import print_plain, say

    gate = power.gate
    watched = "" if gate.required else ", watched only"
    if power.not_learned is not None:
        say(f"\ngate {gate.name} ({gate.kind}{watched})\n  not learned: {power.not_learned.reason}: "
            f"{power.not_learned.detail}\n  it acts on assumed pod noise: no figure is promised")  # fmt: skip
        return
    count = power.healthy.caught.size if power.healthy is not None else 0
    say(f"\ngate {gate.name} ({gate.kind}{watched}), {count} replays of {power.segments} segments")
    times = columns(power.watched)
    table = table_of([f"{minutes:g} min" for minutes in times[:-1]] + ["in all"])
    for one in (power.healthy, *power.reaches):
        if one is not None:
            told = [_share(one.within(minutes).value) for minutes in times]
            table.add_row(label_of(one), *told, *spread_of(one))
    print_plain(screen, table)
    if power.ceiling is not None:
        say(f"  pod ceiling: x{power.ceiling:.3g}; below it neither traffic nor time helps")
    for harm, lack in hopeless(power):
        say(f"  {harm.label}: {lack.detail}")
    if power.alone:
        say(f"  {_alone(power.alone)}")


def _alone(alone: Sequence[Reach]) -> str:
    """What the history band catches by itself, in one line."""
    told = [
        f"{one.harm.label if one.harm is not None else 'no harm'} {100 * one.within().value:.0f} %" for one in alone
    ]
    return f"history alone, in its first hour without incumbents ({alone[0].caught.size} hours): {', '.join(told)}"


def table_of(titles: Sequence[str]) -> Table:
    """An empty table of harms: one column for each title, then the interval, the median and the ninth decile."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("  CAUGHT WITHIN", no_wrap=True)
    for title in (*titles, "95 %", "MEDIAN", "P90"):
        table.add_column(title, no_wrap=True, justify="right")
    return table


def label_of(one: Reach) -> str:
    """The harm of a row, indented below its gate."""
    return f"  {one.harm.label if one.harm is not None else 'no harm'}"


def spread_of(one: Reach) -> tuple[str, str, str]:
    """Interval of the share in all, and the minutes by which half and nine tenths of the releases are stopped."""
    whole = one.within()
    median, ninth = one.minutes_at(0.5), one.minutes_at(0.9)
    return (
        f"{100 * whole.low:.0f}-{100 * whole.high:.0f} %",
        "never" if median is None else f"{median:.3g} min",
        "never" if ninth is None else f"{ninth:.3g} min",
    )


def told_beforehand(policy: ReleasePolicy, pods: int) -> list[str]:
    """What people should know of a release of so many pods: that it would be refused, or which stages are one.

    What the policy says and hardly means comes last.
    """
    from controller.strategies import strategy_of
    from policies.errors import path_text
    from policies.remarks import remarks

    noted = [f"{path_text(path)}: {message}" for path, message in remarks(policy)]
    batched = policy.spec.strategy.twin or policy.spec.strategy.rolling
    refused = batched.standstill(pods) if batched is not None else ""
    if refused:
        return [f"would be refused: {refused}", *noted]
    return [*strategy_of(policy.spec).merged(policy.spec, pods), *noted]


def lengths(policy: ReleasePolicy, stages: Sequence[Stage]) -> tuple[float, float]:
    """Shortest and longest observation of all stages, in seconds."""
    observe = policy.spec.observe
    return len(stages) * float(observe.at_least.seconds), len(stages) * float(observe.at_most.seconds)


def reach_json(one: Reach, times: Sequence[float]) -> dict[str, Any]:
    """One row as plain data; shares with their 95 % intervals, minutes or null."""
    whole = one.within()
    return {
        "harm": one.harm.label if one.harm is not None else None,
        "caught": round(whole.value, 4),
        "interval": [round(whole.low, 4), round(whole.high, 4)],
        "medianMinutes": one.minutes_at(0.5),
        "p90Minutes": one.minutes_at(0.9),
        "within": [{"minutes": minutes, "caught": round(one.within(minutes).value, 4)} for minutes in times],
        "replays": int(one.caught.size),
    }


def _print_json(
    policy: ReleasePolicy, namespace: str, stages: Sequence[Stage], figures: Sequence[GatePower], now: float
) -> None:
    import json

    from controller.cli.hours import hours_json
    from controller.cli.plan_power import columns

    shortest, longest = lengths(policy, stages)
    gates: list[dict[str, Any]] = []
    for power in figures:
        head: dict[str, Any] = {
            "name": power.gate.name,
            "kind": power.gate.kind,
            "required": power.gate.required,
            "learned": power.not_learned is None,
        }
        if power.not_learned is not None:
            gates.append({**head, "reason": power.not_learned.reason, "detail": power.not_learned.detail,
                          "alone": [reach_json(one, [60.0]) for one in power.alone]})  # fmt: skip
            continue
        times = columns(power.watched)
        harms = [
            {
                **reach_json(one, times),
                "missing": lack.missing.value if lack is not None else None,
                "detail": lack.detail if lack is not None else None,
            }
            for one, lack in zip(power.reaches, power.lacks, strict=True)
        ]
        healthy = reach_json(power.healthy, times) if power.healthy is not None else None
        gates.append({**head, "segments": power.segments, "podCeiling": power.ceiling, "healthy": healthy,
                      "harms": harms, "alone": [reach_json(one, [60.0]) for one in power.alone]})  # fmt: skip
    told = {
        "policy": policy.name,
        "namespace": namespace,
        "pods": stages[0].pods,
        "notes": told_beforehand(policy, stages[0].pods),
        "stages": [
            {"name": stage.name, "contender": stage.contender, "pods": stage.pods, "compared": stage.compared}
            for stage in stages
        ],
        "shortestSeconds": shortest,
        "longestSeconds": longest,
        "hours": hours_json(policy, now),
        "gates": gates,
    }
    print(json.dumps(told, indent=2, ensure_ascii=False))


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _minutes(seconds: float) -> str:
    from controller.cli.view import span

    return span(seconds)
