"""What a thousand nights came to, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from controller.release.vocabulary import Cause, Phase
from tests.bench.decisions.rows import clopper_pearson
from tests.bench.nights.mix import KINDS, Kind
from tests.bench.nights.night import NEXT_HOURS, SENT_OFF, STOOD, Told
from tests.bench.nights.train_night import TrainTold

_BY_KIND: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
# What must be zero, by the names of the flaws.
ZERO = (
    "stuck",
    "ended twice",
    "two ways back for one release",
    "outside",
    "unexplained",
    "without numbers",
    "before its turn",
    "too many at once",
    "after the stop",
    "left twice",
    "uncalled",
    "two taken back at once",
    "stayed on a train that was taken back",
    "night without end",
    "told twice",
    "told nobody",
)


def false_rollback(one: Told) -> bool:
    """Whether a gate turned back a version without harm."""
    return not _BY_KIND[one.kind].harm and one.cause is Cause.GATE


def missed(one: Told) -> bool:
    """Whether a version that harms stayed."""
    return _BY_KIND[one.kind].harm and one.phase is Phase.SUCCEEDED and not (one.undone or one.called_back)


def unexpected(one: Told) -> bool:
    """Whether a release was turned back for a cause that neither its kind nor its night explains.

    Gates have their own figure.
    """
    causes = _BY_KIND[one.kind].causes | one.excused
    turned = one.phase in (Phase.ROLLED_BACK, Phase.NEEDS_HUMAN, Phase.CANCELLED)
    return turned and one.cause not in causes and not false_rollback(one)


def page(alone: Sequence[Told], trains: Sequence[TrainTold], nights: int, seed: int) -> Iterator[str]:
    """The lines that are printed."""
    told = all_of(alone, trains)
    apps = len({one.app for one in told})
    yield f"{nights} nights, {apps} apps, {len(told)} releases, {len(told) - len(alone)} of them of trains, seed {seed}"
    yield f"controllers killed in mid-tick: {sum(one.kills for one in alone) + sum(one.kills for one in trains)}"
    yield ""
    yield from _kinds(told)
    yield ""
    yield from _trains(trains, nights)
    yield ""
    yield from _parked([one for one in told if one.parked])
    yield ""
    healthy = [one for one in told if not _BY_KIND[one.kind].harm]
    harmful = [one for one in told if _BY_KIND[one.kind].harm]
    yield _rate("false rollbacks", sum(map(false_rollback, healthy)), len(healthy), "1 % is promised")
    yield _rate("missed regressions", sum(map(missed, harmful)), len(harmful), "no promise: the power of the gates")
    flaws = Counter(flaw.partition(":")[0] for each in _flaws(alone, trains) for flaw in each)
    for name in (*ZERO, *sorted(set(flaws) - set(ZERO))):
        yield f"{name + ':':<46}{flaws[name]:>6}"
    yield f"{'turned back for no reason of its kind:':<46}{sum(map(unexpected, told)):>6}"
    for one in [each for each in told if each.flaws or unexpected(each)][:20]:
        yield f"  app {one.app} on {one.day}, {one.kind}: {one.phase.value} {one.cause} {'; '.join(one.flaws)}"
    for night in [each for each in trains if each.flaws][:20]:
        yield f"  train {night.line} on {night.day}: {'; '.join(night.flaws)}"


def _kinds(told: Sequence[Told]) -> Iterator[str]:
    heads = (
        f"{'kind':<14}{'releases':>9}{'arrived':>9}{'turned back':>13}{'called back':>13}{'undone':>8}{'replaced':>10}"
    )
    yield f"{heads}{'waits':>7}   most frequent causes"
    for kind in KINDS:
        of = [one for one in told if one.kind == kind.name]
        causes = Counter(one.cause.value for one in of if one.cause is not None and one.phase is not Phase.SUCCEEDED)
        words = ", ".join(f"{name} {times}" for name, times in causes.most_common(3))
        arrived = sum(one.phase is Phase.SUCCEEDED for one in of)
        back = sum(one.phase is Phase.ROLLED_BACK and not one.called_back for one in of)
        called = sum(one.called_back for one in of)
        undone = sum(one.undone for one in of)
        replaced = sum(one.phase is Phase.CANCELLED and one.cause is Cause.SUPERSEDED for one in of)
        waits = sum(one.phase in (Phase.QUEUED, Phase.CANARY, Phase.BATCH) for one in of)
        numbers = f"{len(of):>9}{arrived:>9}{back:>13}{called:>13}{undone:>8}{replaced:>10}{waits:>7}"
        yield f"{kind.name:<14}{numbers}   {words}"


def _trains(trains: Sequence[TrainTold], nights: int) -> Iterator[str]:
    days = len({one.day for one in trains})
    behind: Counter[str] = Counter()
    for one in trains:
        behind.update(dict(one.behind))
    asked = sum(len(one.cars) for one in trains)
    rows = (
        ("nights with a train", f"{days} of {nights}"),
        ("nights of trains", len(trains)),
        ("releases asked for", asked),
        ("left with the train", sum(one.left for one in trains)),
        ("arrived", sum(one.arrived for one in trains)),
        ("turned back", sum(one.turned for one in trains)),
        ("arrived, and called back with the train", sum(one.undone for one in trains)),
        ("parked when its own hours ended", sum(one.parked for one in trains)),
        ("left behind", sum(behind.values())),
        *((f"  {why}", times) for why, times in behind.most_common()),
        ("lines stopped", sum(one.stopped for one in trains)),
        ("trains rolled back whole", sum(one.recalled for one in trains)),
        ("reports told again after a kill", sum(one.again for one in trains)),
    )
    for name, number in rows:
        yield f"{name + ':':<46}{number:>12}"


def _parked(told: Sequence[Told]) -> Iterator[str]:
    """What became of those that stood still until their hours came again, or until a person saw them."""
    heads = f"{'parked when their hours ended':<46}{'releases':>12}{'arrived':>9}{'turned back':>13}"
    yield heads
    for how in (NEXT_HOURS, SENT_OFF, STOOD):
        of = [one for one in told if one.parked == how]
        arrived = sum(one.phase is Phase.SUCCEEDED for one in of)
        back = sum(one.phase in (Phase.ROLLED_BACK, Phase.NEEDS_HUMAN) for one in of)
        yield f"{how + ':':<46}{len(of):>12}{arrived:>9}{back:>13}"


def _flaws(alone: Sequence[Told], trains: Sequence[TrainTold]) -> list[tuple[str, ...]]:
    return [*(one.flaws for one in alone), *(one.flaws for one in trains)]


def all_of(alone: Sequence[Told], trains: Sequence[TrainTold]) -> list[Told]:
    """Every release, whether it rode or not."""
    return [*alone, *(one for night in trains for one in night.cars)]


def faultless(alone: Sequence[Told], trains: Sequence[TrainTold] = ()) -> bool:
    """Whether every count that must be zero is zero."""
    return not any(_flaws(alone, trains)) and not any(map(unexpected, all_of(alone, trains)))


def _rate(name: str, times: int, of: int, beside: str) -> str:
    low, high = clopper_pearson(times, of) if of else (0.0, 1.0)
    share = times / of if of else 0.0
    return f"{name + ':':<46}{times:>6} of {of} ({share:.2%} [{low:.2%}, {high:.2%}]; {beside})"
