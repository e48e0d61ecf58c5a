"""Pseudo-releases: who plays whom, what a replay sees, and that it is what a live gate would have seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.engine import ASSUMED_NOISE, Margin, Worse, intervals, look_path, traces
from analysis.learned import AgeCurve
from analysis.learning.replay import NOTHING_SEEN, Replay, cast, casts
from analysis.samples import Tally
from tests.analysis.learning.histories import counts, idle
from tests.bench.worlds import MODERATE, QUIET, WINDOW, Regression, as_tally, error_release

LOOKS = 30
REPLAY = Replay(0, ("p3", "p0", "p5", "p1", "p2", "p4"), 0.0, WINDOW, (1, 3), (10, LOOKS))


def a_segment(seed: int, *, pods: int = 6, windows: int = 40, requests: float = 200.0) -> Tally:
    rng = np.random.default_rng(seed)
    n = rng.poisson(requests, (pods, windows))
    return counts(n, rng.poisson(n * 0.02))


def by_hand(tally: Tally, replay: Replay, looks: int) -> Tally:
    """The replay as a release of its own: a row per pod and side, and a live gate's shared windows."""
    turns = replay.turns()
    rows = []
    for name in replay.order:
        row = tally.pods.index(name)
        turn = turns.get(name, looks)
        for mine in (False, True):
            kept = np.array([(u >= turn) == mine for u in range(looks)])
            n, x = tally.exposure[row, :looks] * kept, tally.events[row, :looks] * kept
            rows.append((mine, f"{name}-{mine}", n, x))
    rows.sort(key=lambda one: not one[0])
    ours = sum(mine for mine, *_ in rows)
    built = as_tally(
        tuple(name for _, name, _, _ in rows),
        np.stack([n for *_, n, _ in rows]),
        np.stack([x for *_, x in rows]),
        ours,
    )
    return built.shared()


def test_pods_turn_in_order_when_their_stage_begins() -> None:
    assert REPLAY.turns() == {"p3": 0, "p0": 10, "p5": 10}
    sooner = REPLAY.ending(0, 4)
    assert sooner.ends == (4, 24)
    assert sooner.turns() == {"p3": 0, "p0": 4, "p5": 4}


def test_a_pod_that_turns_is_two_rows_and_nothing_is_lost() -> None:
    segment = a_segment(1)
    batch = cast([segment], [REPLAY], LOOKS).batch
    assert batch.contender.tolist() == [False] * 6 + [True] * 3
    assert batch.exposure[0].sum(axis=0) == pytest.approx(segment.exposure[:, :LOOKS].sum(axis=0))
    assert batch.events[0].sum(axis=0) == pytest.approx(segment.events[:, :LOOKS].sum(axis=0))
    # p0 is the second in the order and turns after ten windows.
    assert batch.events[0, 1, :10].tolist() == segment.events[0, :10].tolist()
    assert not batch.events[0, 1, 10:].any()
    assert batch.events[0, 7, 10:].tolist() == segment.events[0, 10:LOOKS].tolist()
    assert not batch.exposure[0, 7, :10].any()


@pytest.mark.parametrize("margin", [Margin(1.25), Margin(points=0.01)])
@pytest.mark.parametrize("holes", [False, True])
def test_a_replay_sees_what_a_live_gate_sees(margin: Margin, holes: bool) -> None:
    segments = [a_segment(2), a_segment(3)]
    if holes:
        # The contender's only pod is away for a while, and one window has no traffic at all.
        exposure, events = segments[0].exposure.copy(), segments[0].events.copy()
        for hole in (np.s_[3, 4:7], np.s_[:, 13], np.s_[2, :]):
            exposure[hole] = events[hole] = 0.0
        segments[0] = replace(segments[0], exposure=exposure, events=events)
    replays = [REPLAY, replace(REPLAY, segment=1, order=("p1", "p2", "p3", "p4", "p5", "p0"), ends=(5, 25))]
    cut = cast(segments, replays, LOOKS)
    found = traces(cut.batch, margin, ASSUMED_NOISE)
    widths = intervals(cut.batch, ASSUMED_NOISE)
    for row, one in enumerate(replays):
        live = by_hand(segments[one.segment], one, LOOKS)
        path = look_path(live, margin, ASSUMED_NOISE, list(range(1, live.ends.size + 1)))
        for name in ("ln_pods", "ln_pods_margin", "ln_counts"):
            seen = getattr(found, name)[row, : live.ends.size]
            assert seen == pytest.approx([getattr(look, name) for look in path], abs=1e-5), name
        highs = [math.log(look.high) for look in path]
        assert widths.high[row, : live.ends.size] == pytest.approx(highs, abs=1e-5)
        spread = cut.spread_out(found.ln_pods)
        # At each moment the last shared window counts; before the first there is nothing.
        for u in range(LOOKS):
            shared = int((live.ends <= (u + 1) * WINDOW).sum())
            assert spread[row, u] == (found.ln_pods[row, shared - 1] if shared else NOTHING_SEEN)


def test_a_replay_may_begin_anywhere_and_misses_windows_that_history_misses() -> None:
    segment = a_segment(4, windows=40)
    kept = segment.keep_windows(np.arange(40) != 17)
    cut = cast([kept], [replace(REPLAY, begin=5 * WINDOW)], LOOKS)
    assert cut.batch.events[0, 0].sum() == 0.0, "the first pod of the order is on trial from the start"
    whole = cut.batch.events[0].sum(axis=0)
    expected = np.delete(segment.events.sum(axis=0), 17)[5 : 5 + LOOKS - 1]
    assert whole[: LOOKS - 1] == pytest.approx(expected)
    assert cut.seen[0, -1] == LOOKS - 1
    assert cut.seen[0, 12] == cut.seen[0, 11]


def test_contenders_may_come_from_a_worse_copy_of_the_segment() -> None:
    segment = a_segment(5)
    worse = replace(segment, events=segment.events + 1000.0)
    batch = cast([segment], [REPLAY], LOOKS, [worse]).batch
    mine = batch.exposure[0, 6:] > 0.0
    assert (batch.events[0, 6:][mine] >= 1000.0).all()
    assert (batch.events[0, :6] < 1000.0).all()


def test_only_pods_of_the_order_take_part() -> None:
    few = replace(REPLAY, order=("p3", "p0", "gone", "p1"), stages=(1, 2))
    batch = cast([a_segment(6)], [few], LOOKS).batch
    assert batch.exposure.shape == (1, 6, LOOKS)
    assert not batch.exposure[0, 2].any(), "a pod that the segment does not know is absent, not an error"


def test_young_contenders_have_more_exposure_and_as_many_more_events() -> None:
    segment = a_segment(7, requests=5000.0)
    cut = cast([segment], [REPLAY], LOOKS)
    curve = AgeCurve(2.0, 120.0)
    aged = cut.aged((curve,), [0], np.random.default_rng(1))
    first = aged.batch.exposure[0, 6] / cut.batch.exposure[0, 6]
    assert first == pytest.approx(1.0 + 2.0 * np.exp(-(np.arange(LOOKS) + 0.5) * 30.0 / 120.0))
    assert aged.batch.exposure[0, :6] == pytest.approx(cut.batch.exposure[0, :6])
    rate = aged.batch.events[0, 6:].sum() / aged.batch.exposure[0, 6:].sum()
    assert rate == pytest.approx(cut.batch.events[0].sum() / cut.batch.exposure[0].sum(), rel=0.1)
    # A refit that says more than the learned curve leaves events that the learned curve does not explain.
    doubted = cut.aged((curve, AgeCurve(6.0, 120.0)), [0], np.random.default_rng(1))
    assert doubted.batch.events[0, 6, :4].sum() > 1.5 * aged.batch.events[0, 6, :4].sum()
    assert doubted.batch.exposure == pytest.approx(aged.batch.exposure)
    # Young pods that have fewer events than old ones.
    spared = cut.aged((AgeCurve(-0.5, 1e9),), [0], np.random.default_rng(1))
    assert spared.batch.events[0, 6:].sum() == pytest.approx(0.5 * cut.batch.events[0, 6:].sum(), rel=0.1)
    assert cut.aged((), [0], np.random.default_rng(1)) is cut


def test_a_decrease_is_an_increase_with_the_signs_turned() -> None:
    """Fewer events of the contender speak for a decrease as more speak for an increase; both cost ln 2."""
    rng = np.random.default_rng(8)
    release = error_release(rng, replace(idle(MODERATE), base=0.05), Regression())
    fewer = replace(release, contender=np.arange(10) < 3)
    fewer = replace(fewer, events=np.where(fewer.contender[:, None], np.floor(fewer.events / 3.0), fewer.events))
    up, down, either = (
        look_path(fewer, Margin(1.25), ASSUMED_NOISE, [5, 30, 60], worse)
        for worse in (Worse.HIGHER, Worse.LOWER, Worse.EITHER)
    )
    for low, high, both in zip(down, up, either, strict=True):
        assert low.ln_pods > 2.0
        assert high.ln_pods <= 0.0
        assert low.ln_counts > 2.0 > high.ln_counts
        assert both.ln_pods == pytest.approx(np.logaddexp(low.ln_pods, high.ln_pods) - math.log(2.0))
        assert both.ln_counts == pytest.approx(np.logaddexp(low.ln_counts, high.ln_counts) - math.log(2.0))
    # With the sides exchanged the share of events tells the very same story.
    turned = look_path(replace(fewer, contender=~fewer.contender), Margin(1.25), ASSUMED_NOISE, [5, 30, 60])
    assert [one.ln_counts for one in turned] == pytest.approx([one.ln_counts for one in down], abs=1e-5)
    with pytest.raises(ValueError, match="points"):
        look_path(fewer, Margin(points=0.01), ASSUMED_NOISE, [5], Worse.LOWER)


def test_replays_cut_out_a_few_at_a_time_are_those_cut_out_at_once() -> None:
    """With fewer pods in the last of them than in the first, and windows that nobody served."""
    segments = [a_segment(seed, requests=0.4) for seed in (1, 2)]
    few = replace(REPLAY, segment=1, order=("p1", "p2", "p3"), stages=(1, 2))
    replays = [*(REPLAY for _ in range(100)), *(few for _ in range(50))]
    whole = cast(segments, replays, LOOKS)
    parts = list(casts(segments, replays, LOOKS))
    assert len(parts) > 2
    assert sum(cut.seen.shape[0] for _, cut in parts) == 150
    for which, cut in parts:
        assert (cut.seen == whole.seen[which]).all()
        assert (cut.rate == whole.rate[which]).all()
        assert (cut.age == whole.age[which]).all()
        assert (cut.batch.exposure == whole.batch.exposure[which]).all()
        assert (cut.batch.events == whole.batch.events[which]).all()


def test_many_releases_at_once_are_each_release_alone() -> None:
    """Over the size at which the work is divided, with thin traffic and windows without any."""
    rng = np.random.default_rng(9)
    tallies = [error_release(rng, replace(idle(QUIET), rate=0.5), Regression()) for _ in range(70)]
    order = tuple(tallies[0].pods)
    replays = [Replay(at, order, 0.0, WINDOW, (2, 4), (20, 40)) for at in range(70)]
    cut = cast(tallies, replays, 40)
    found = traces(cut.batch, Margin(1.25), ASSUMED_NOISE)
    assert np.isfinite(found.ln_pods).all()
    assert np.isfinite(found.ln_counts).all()
    for row in (0, 33, 69):
        live = by_hand(tallies[row], replays[row], 40)
        assert live.ends.size < 40, "thin traffic leaves windows that are not shared"
        last = look_path(live, Margin(1.25), ASSUMED_NOISE, [live.ends.size])[0]
        assert found.ln_counts[row, live.ends.size - 1] == pytest.approx(last.ln_counts, abs=1e-5)
        assert found.ln_pods[row, live.ends.size - 1] == pytest.approx(last.ln_pods, abs=1e-9)
