"""The pictures of docs/statistics.md: `python -m tests.bench.decisions.pictures FOLDER [--seed N]`.

Replays and their threshold, a release under its gate, and how much each rule has caught by when at equal false alarms.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.engine import traces
from analysis.learned import Calibration, LearnedCounts
from analysis.learning import CountHistory, study
from analysis.special import FloatArray
from controller.plot.axes import Axis, Kind
from controller.plot.page import figure
from controller.plot.panel import Level, Line, Mark, Moment, Panel
from tests.bench.decisions import fleets, learners, rivals, running
from tests.bench.decisions.fleets import Batch, Harm
from tests.bench.decisions.judging import ERROR_MARGIN, shared
from tests.bench.decisions.report import tuned_thresholds
from tests.bench.decisions.rivals import NEVER
from tests.bench.decisions.rows import ALPHA, OURS
from tests.bench.decisions.running import Sizes, pooled
from tests.bench.decisions.studies import STUDIES
from tests.bench.worlds import LOOKS, MODERATE, STAGES, WINDOW

SEGMENTS = 84
MINUTES = WINDOW / 60.0
SHOWN = 60
SIZES = Sizes(services=20, healthy=60, margin=1, harmful=30)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A gate that has learned, and J over the looks of each of its replays, (replays, looks)."""

    learned: LearnedCounts
    replays: FloatArray


def lesson(rng: np.random.Generator) -> Lesson:
    """An errorRatio gate of a service with ordinary noise."""
    history = CountHistory(fleets.history(rng, MODERATE, SEGMENTS))
    told = study(
        {"errors": history}, {"errors": learners.SETTINGS}, learners.PLAN, alpha=ALPHA, pause_alpha=0.05, seed=1
    )
    learned, paths = told.learned["errors"], told.taught["errors"].sample.paths
    if not isinstance(learned, LearnedCounts):
        raise TypeError(f"the gate was not learned: {learned}")
    return Lesson(learned, learned.calibration.joined(paths.first, paths.second))


def replays_picture(known: Lesson, rng: np.random.Generator) -> str:
    """Evidence of healthy replays over a release, the thresholds, and a harmful release among them."""
    bars = known.learned.calibration
    harmful = evidence(fleets.releases_of(rng, MODERATE, Harm(3.0), 1), known.learned)
    over = np.flatnonzero((harmful.change > bars.change) & (harmful.margin > bars.margin))
    # A release ends where it is rolled back.
    shown = harmful.change[: int(over[0]) + 1 if over.size else LOOKS]
    faint = [Line("", _path(row), tone=5, faint=True) for row in known.replays[:: max(len(known.replays) // SHOWN, 1)]]
    marks: tuple[Mark, ...] = (
        *faint,
        Line("a release with three times the errors", _path(shown), tone=1),
        Level("roll back", bars.change, tone=3),
        Level("do not go on", bars.pause, tone=4),
        *_stages(),
    )
    panel = Panel(
        f"{SHOWN} of {len(known.replays)} healthy replays",
        "grey: incumbent pods of past nights play the contender",
        Axis("minutes of the release"),
        Axis("evidence against “no change” (joined)"),
        marks,
    )
    return figure("Where the threshold comes from", [panel], note=str(known.learned.standing))


def release_picture(known: Lesson, rng: np.random.Generator) -> str:
    """Error rates of a release that turns bad in its second stage, and both kinds of evidence with their thresholds."""
    batch = fleets.releases_of(rng, MODERATE, Harm(3.0, onset=24), 1)
    mine = batch.layout.contender
    ours, theirs = (100.0 * _per_minute(batch, side) for side in (mine, ~mine))
    seen = evidence(batch, known.learned)
    bars = known.learned.calibration
    over = np.flatnonzero((seen.change > bars.change) & (seen.margin > bars.margin))
    last = int(over[0]) + 1 if over.size else LOOKS
    ended = (Moment("rolled back", (int(over[0]) + 1) * MINUTES),) if over.size else ()
    at = np.arange(1.0, ours.size + 1.0)
    rates = Panel(
        "Errors per minute",
        "errors times three from minute 12",
        Axis("minutes of the release"),
        Axis("failed requests, %"),
        (
            Line("contender", tuple(zip(at.tolist(), ours.tolist(), strict=True)), tone=1),
            Line("incumbent", tuple(zip(at.tolist(), theirs.tolist(), strict=True)), tone=0),
            *ended,
        ),
    )
    both = Panel(
        "Evidence and thresholds",
        "both must be exceeded at one look",
        Axis("minutes of the release"),
        Axis("evidence, nats"),
        (
            Line("against “no change”", _path(seen.change[:last]), tone=1),
            Level("its threshold", bars.change, tone=1),
            Line("against “inside the margin”", _path(seen.margin[:last]), tone=4, dashed=True),
            Level("its threshold ", bars.margin, tone=4),
            *ended,
        ),
    )
    return figure("A release under its gate", [rates, both], note=str(known.learned.standing))


def rivals_picture(seed: int) -> str:
    """The share of releases with three times the errors that each rule has rolled back by when."""
    panels = []
    for number, one in enumerate(STUDIES):
        if one.group != "errors" or not one.name.startswith(("S1", "S2")):
            continue
        services = [running.run_service(number, service, seed, SIZES) for service in range(SIZES.services)]
        cells = {cell.name: pooled(services, cell.name) for cell in one.cells}
        bars = tuned_thresholds(one, cells)
        harm = cells["errors x3"]
        calm = cells["healthy"]
        lines = [Line("Nightferry", _caught(harm.alarms[OURS]), tone=1)]
        chosen = (rivals.KAYENTA, rivals.FLAGGER_5, rivals.ARGO_0, rivals.THREE_SD)
        for tone, rule in zip((0, 2, 4, 5), chosen, strict=True):
            looks = rule.alarms(harm.scores[rule.name], bars[rule.name])
            lines.append(Line(rule.name, _caught(looks), tone=tone, dashed=True))
        rate = float((calm.alarms[OURS] != NEVER).mean())
        panels.append(
            Panel(
                f"{one.name}: errors times three",
                f"others tuned to our false rollbacks: {100.0 * rate:.2g} % of {calm.alarms[OURS].size} healthy ones",
                Axis("minutes of the release"),
                Axis("rolled back", Kind.SHARE),
                tuple(lines),
            )
        )
    return figure(
        "Caught by when, at equal false alarms", panels, note="one, three, five of ten pods; a look every 30 s"
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """Evidence of one release at each look."""

    change: FloatArray
    margin: FloatArray


def evidence(batch: Batch, learned: LearnedCounts) -> Seen:
    """J and the margin's evidence of the first release of a batch."""
    found = traces(shared(batch).releases, ERROR_MARGIN, learned.noise)
    bars: Calibration = learned.calibration
    return Seen(bars.joined(found.ln_pods, found.ln_counts)[0], found.ln_margin[0])


def _caught(looks: FloatArray) -> tuple[tuple[float, float], ...]:
    shares = [((looks != NEVER) & (looks <= look)).mean() for look in range(LOOKS + 1)]
    return tuple((look * MINUTES, float(value)) for look, value in enumerate(shares))


def _path(row: FloatArray) -> tuple[tuple[float, float | None], ...]:
    return tuple((MINUTES * (k + 1), float(v) if np.isfinite(v) else None) for k, v in enumerate(row))


def _per_minute(batch: Batch, side: np.ndarray) -> FloatArray:
    x, n = (rivals.by_minute(one[0, side].sum(axis=0)) for one in (batch.events, batch.requests))
    result: FloatArray = x / np.maximum(n, 1.0)
    return result


def _stages() -> tuple[Moment, ...]:
    return tuple(Moment(f"{count} of 10 pods", since * MINUTES) for since, count in STAGES)


def main() -> None:
    """Writes the pictures."""
    flags = argparse.ArgumentParser(prog="python -m tests.bench.decisions.pictures", description=__doc__)
    flags.add_argument("folder", type=Path)
    flags.add_argument("--seed", type=int, default=7)
    asked = flags.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    known = lesson(np.random.default_rng([asked.seed, 1]))
    drawn = {
        "replays": replays_picture(known, np.random.default_rng([asked.seed, 2])),
        "release": release_picture(known, np.random.default_rng([asked.seed, 3])),
        "rivals": rivals_picture(asked.seed),
    }
    for name, text in drawn.items():
        (asked.folder / f"{name}.svg").write_text(text)
        print(asked.folder / f"{name}.svg")


if __name__ == "__main__":
    main()
