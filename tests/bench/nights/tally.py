"""What a thousand nights came to, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from controller.release.vocabulary import Cause, Phase
from tests.bench.decisions.rows import clopper_pearson
from tests.bench.nights.mix import KINDS, Kind
from tests.bench.nights.night import Told

_BY_KIND: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
_GATES = frozenset({Cause.GATE, Cause.UNDECIDED, Cause.SHARED})


def false_rollback(one: Told) -> bool:
    """Whether a gate turned back a version without harm."""
    return not _BY_KIND[one.kind].harm and one.cause is Cause.GATE


def missed(one: Told) -> bool:
    """Whether a version that harms stayed."""
    return _BY_KIND[one.kind].harm and one.phase is Phase.SUCCEEDED and not one.undone


def unexpected(one: Told) -> bool:
    """Whether a release was turned back for a cause that its kind does not explain; gates have their own figure."""
    kind = _BY_KIND[one.kind]
    turned = one.phase not in (Phase.SUCCEEDED, Phase.QUEUED)
    return turned and one.cause not in kind.causes and not false_rollback(one)


def page(told: Sequence[Told], nights: int, seed: int) -> Iterator[str]:
    """The lines that are printed."""
    yield f"{nights} nights, {len({one.app for one in told})} apps, {len(told)} releases, seed {seed}"
    yield f"controllers killed in mid-tick: {sum(one.kills for one in told)}"
    yield ""
    heads = f"{'kind':<14}{'releases':>9}{'arrived':>9}{'turned back':>13}{'undone':>8}{'waits':>7}"
    yield f"{heads}   most frequent causes"
    for kind in KINDS:
        of = [one for one in told if one.kind == kind.name]
        ends = Counter(one.phase for one in of)
        causes = Counter(one.cause.value for one in of if one.cause is not None and one.phase is not Phase.SUCCEEDED)
        words = ", ".join(f"{name} {times}" for name, times in causes.most_common(3))
        undone = sum(one.undone for one in of)
        back, waits = ends[Phase.ROLLED_BACK], ends[Phase.QUEUED]
        yield f"{kind.name:<14}{len(of):>9}{ends[Phase.SUCCEEDED]:>9}{back:>13}{undone:>8}{waits:>7}   {words}"
    yield ""
    healthy = [one for one in told if not _BY_KIND[one.kind].harm]
    harmful = [one for one in told if _BY_KIND[one.kind].harm]
    yield _rate("false rollbacks", sum(map(false_rollback, healthy)), len(healthy), "1 % is promised")
    yield _rate("missed regressions", sum(map(missed, harmful)), len(harmful), "no promise: the power of the gates")
    flaws = Counter(flaw.partition(":")[0] for one in told for flaw in one.flaws)
    for name in ("stuck", "ended twice", "two ways back for one release", "outside", "unexplained", "without numbers"):
        yield f"{name + ':':<34}{flaws[name]:>6}"
    yield f"{'turned back for no reason of its kind:':<34}{sum(map(unexpected, told)):>6}"
    for one in [each for each in told if each.flaws or unexpected(each)][:20]:
        yield f"  app {one.app} on {one.day}, {one.kind}: {one.phase.value} {one.cause} {'; '.join(one.flaws)}"


def faultless(told: Sequence[Told]) -> bool:
    """Whether every count that must be zero is zero."""
    return not any(one.flaws or unexpected(one) for one in told)


def _rate(name: str, times: int, of: int, beside: str) -> str:
    low, high = clopper_pearson(times, of) if of else (0.0, 1.0)
    share = times / of if of else 0.0
    return f"{name + ':':<34}{times:>6} of {of} ({share:.2%} [{low:.2%}, {high:.2%}]; {beside})"
