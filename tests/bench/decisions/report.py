"""From what the rules said to rows: rates, power, delays, and where a rival is better than ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.special import FloatArray
from tests.bench.decisions.judging import ASSUMED, PAUSE
from tests.bench.decisions.rivals import NEVER, RULES
from tests.bench.decisions.rows import (
    ALPHA,
    FALSE_ROLLBACK,
    OURS,
    POWER,
    Absent,
    Row,
    mean,
    number,
    quantile,
    share,
    table,
)
from tests.bench.decisions.running import Pooled, Ran, pooled
from tests.bench.decisions.studies import AT_MARGIN, EARLY, MEDIAN, P90, Cell, Kind, Study
from tests.bench.worlds import WINDOW

MINUTES = WINDOW / 60.0
FALSE_PAUSE = "false pause"
TUNED = "{}, tuned"
BETTER = "rivals with fewer false alarms and a shorter delay"
RATE = {
    Kind.HEALTHY: FALSE_ROLLBACK,
    Kind.MARGIN: AT_MARGIN,
    Kind.HARMFUL: POWER,
    Kind.ADVANCED: EARLY,
}


def rows_of(study: Study, services: Sequence[Ran]) -> list[Row]:
    """All rows of one study."""
    cells = {cell.name: pooled(services, cell.name) for cell in study.cells}
    bars = tuned_thresholds(study, cells)
    out: list[Row] = []
    for cell in study.cells:
        alarms = dict(cells[cell.name].alarms)
        for rule in RULES:
            if rule.name in bars:
                alarms[TUNED.format(rule.name)] = rule.alarms(cells[cell.name].scores[rule.name], bars[rule.name])
        for name, looks in alarms.items():
            out += rule_rows(study, cell, cells[cell.name], name, looks)
    out += information_rows(study, cells)
    return out + rival_rows(study, out)


def tuned_thresholds(study: Study, cells: Mapping[str, Pooled]) -> dict[str, float]:
    """For each rival the threshold at which it rolls back as many of these healthy releases as our gate did."""
    first = next((cells[cell.name] for cell in study.cells if cell.kind is Kind.HEALTHY), None)
    if first is None or OURS not in first.alarms:
        return {}
    ours = float((first.alarms[OURS] != NEVER).mean())
    return {rule.name: rule.threshold_for(first.scores[rule.name], ours) for rule in RULES if rule.name in first.scores}


def rule_rows(study: Study, cell: Cell, seen: Pooled, rule: str, looks: FloatArray) -> list[Row]:
    """Rate, delays and damage of one rule in one cell. An alarm before the harm began catches nothing."""
    where = f"{study.name}: {cell.name}"
    goals = cell.goals if rule == OURS else {}
    caught = (looks != NEVER) & (looks > cell.onset)
    figure = RATE[cell.kind]
    if rule == PAUSE:
        if cell.kind is not Kind.HEALTHY:
            return []
        figure = FALSE_PAUSE
    ids = np.unique(seen.service)
    hits = [int(caught[seen.service == one].sum()) for one in ids]
    trials = [int((seen.service == one).sum()) for one in ids]
    out = [share(study.group, where, rule, figure, hits, trials, goals.get(figure, ""))]
    if cell.kind in (Kind.HEALTHY, Kind.MARGIN):
        return out
    minutes = np.where(caught, (looks - cell.onset) * MINUTES, np.inf)
    out.append(quantile(study.group, where, rule, MEDIAN, minutes, 0.5, goals.get(MEDIAN, "")))
    out.append(quantile(study.group, where, rule, P90, minutes, 0.9, goals.get(P90, "")))
    if rule not in (OURS, ASSUMED) or cell.kind is Kind.ADVANCED:
        return out
    before = seen.requests[:, cell.onset - 1] if cell.onset else np.zeros(looks.size)
    last = seen.requests.shape[1]
    at = np.where(caught, looks, last).astype(np.int64) - 1
    served = np.take_along_axis(seen.requests, at[:, None], axis=1)[:, 0] - before
    out.append(quantile(study.group, where, rule, "median contender requests", np.where(caught, served, np.inf), 0.5))
    whole = np.maximum(seen.requests[:, -1] - before, 1.0)
    out.append(mean(study.group, where, rule, "share of bad requests served", served / whole))
    return out


def information_rows(study: Study, cells: Mapping[str, Pooled]) -> list[Row]:
    """What detection cost in information, in units of ln(1/alpha): Σ m_t kl(q_t(θ) || q_t(0)) up to the rollback.

    In the clean world alone, where requests are independent; a test that knew the effect would spend 1.1 to 1.2.
    """
    goals = {2.0: "<= 2.0", 3.0: "<= 1.75"}
    out: list[Row] = []
    if study.group != "errors" or not study.name.startswith("S0"):
        return out
    for factor, cell in ((2.0, "errors x2"), (3.0, "errors x3"), (10.0, "errors x10")):
        seen = cells[cell]
        for rule in (OURS, ASSUMED):
            if rule not in seen.alarms:
                continue
            looks = seen.alarms[rule]
            spent = information(seen.events, seen.odds, factor)
            at = np.where(looks == NEVER, spent.shape[1], looks).astype(np.int64) - 1
            used = np.take_along_axis(spent, at[:, None], axis=1)[:, 0] / math.log(1.0 / ALPHA)
            goal = goals.get(factor, "") if rule == OURS else ""
            out.append(mean("limit", f"{study.name}: {cell}", rule, "information over the limit", used, goal))
            if factor == 10.0:
                late = np.where(looks == NEVER, np.inf, looks)
                goal = "<= 2" if rule == OURS else ""
                out.append(quantile("limit", f"{study.name}: {cell}", rule, "median looks", late, 0.5, goal))
    return out


def information(events: FloatArray, odds: FloatArray, factor: float) -> FloatArray:
    """Nats up to each look that events have told of a ratio `factor`: shape (releases, looks)."""
    q0 = odds / (1.0 + odds)
    q1 = odds * factor / (1.0 + odds * factor)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = q1 * np.log(q1 / q0) + (1.0 - q1) * np.log((1.0 - q1) / (1.0 - q0))
    result: FloatArray = np.cumsum(events * np.where(odds > 0.0, kl, 0.0), axis=1)
    return result


def rival_rows(study: Study, rows: Sequence[Row]) -> list[Row]:
    """Per harmful cell, how many rivals at their usual thresholds had both fewer false alarms and a shorter delay."""
    found = {(row.cell, row.rule, row.figure): row.value for row in rows}
    calm = next((f"{study.name}: {cell.name}" for cell in study.cells if cell.kind is Kind.HEALTHY), None)
    if calm is None or (calm, OURS, FALSE_ROLLBACK) not in found:
        return []
    names = [rule.name for rule in RULES]
    out = []
    for cell in study.cells:
        where = f"{study.name}: {cell.name}"
        if cell.kind is not Kind.HARMFUL:
            continue
        ours = found[calm, OURS, FALSE_ROLLBACK], found[where, OURS, MEDIAN]
        present = [name for name in names if (where, name, MEDIAN) in found]
        better = [
            name
            for name in present
            if found[calm, name, FALSE_ROLLBACK] < ours[0] and found[where, name, MEDIAN] < ours[1]
        ]
        goal = "<= 0"
        out.append(Row("rivals", where, ", ".join(better) or "none", BETTER, len(better), n=len(present), goal=goal))
    return out


def goals_table(rows: Sequence[Row], absent: Sequence[Absent]) -> list[str]:
    """Every figure that has a goal, with met or missed, and what was not measured."""
    return table([row for row in rows if row.goal], absent)


def matrices(rows: Sequence[Row]) -> list[str]:
    """Per study, the rules beside each other: false rollbacks, and for each harm the share caught and the delay."""
    out: list[str] = []
    rates = [row for row in rows if row.figure in RATE.values() and ": " in row.cell]
    studies = dict.fromkeys((row.group, row.cell.split(": ")[0]) for row in rates)
    for group, name in studies:
        mine = [row for row in rows if row.group == group and row.cell.startswith(f"{name}: ")]
        cells = list(dict.fromkeys(row.cell for row in mine))
        value = {(row.rule, row.cell, row.figure): row for row in mine}
        rules = list(dict.fromkeys(row.rule for row in mine if row.rule != PAUSE))
        head = ["rule", *(cell.removeprefix(f"{name}: ") for cell in cells)]
        lines = [[rule, *(_brief(value, rule, cell) for cell in cells)] for rule in rules]
        widths = [max(len(line[k]) for line in [head, *lines]) for k in range(len(head))]
        advance = any(row.figure == RATE[Kind.ADVANCED] for row in mine)
        told = "called healthy; median minutes" if advance else "rolled back; of harms the median minutes after onset"
        out += ["", f"{group}: {name} (share {told})", ""]
        out += ["| " + " | ".join(cell.ljust(w) for cell, w in zip(head, widths, strict=True)) + " |"]
        out += ["| " + " | ".join("-" * w for w in widths) + " |"]
        out += ["| " + " | ".join(cell.ljust(w) for cell, w in zip(one, widths, strict=True)) + " |" for one in lines]
    return out


def _brief(value: Mapping[tuple[str, str, str], Row], rule: str, cell: str) -> str:
    row = next((value[rule, cell, figure] for figure in RATE.values() if (rule, cell, figure) in value), None)
    if row is None:
        return ""
    delay = value.get((rule, cell, MEDIAN))
    return number(row.value) if delay is None else f"{number(row.value)}, {number(delay.value)}"
