"""Learning on a real Prometheus with weeks of history that promtool has written: what was drawn comes back."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from analysis.band import LearnedBand
from analysis.learned import Guarantee, LearnedCounts, LearnedLatency, LearnedLevels, NotLearned
from controller.baseline import MAX_OBJECT, Baseline, Likeness, learning_digest, restored, to_object
from controller.learning.gather import Gathered, Progress, Subject, gather
from controller.learning.learn import learn, learn_policy, look_at_present, relearn_lately
from controller.metrics import Sources, SourceSettings
from controller.settings import Source
from policies.schema import ReleasePolicy
from tests.cluster.bed.past import Fleet, Version, create_blocks, write_openmetrics
from tests.cluster.bed.prometheus import Prometheus
from tests.cluster.bed.shared import made_once
from tests.controller.adapters.builders import RealClock
from tests.policies.builders import ERRORS, LATENCY, a_policy
from tests.setup.needed import needed_programs

pytestmark = pytest.mark.cluster

DAY = 86_400.0
SHORT: dict[str, Any] = {"strategy": {"twin": {"batches": 2}}, "observe": {"atLeast": "2m", "atMost": "10m"}}
# The past ends at a date that does not move: what is drawn, down to the hour of the day, is the same in every run. It
# lies whole in one block of two months.
END = 1_742_299_200.0  # 2025-03-18T12:00:00Z
MEMORY = {"name": "memory", "gauge": {"query": 'process_resident_memory_bytes{pod="$pods",namespace="$namespace"}'}}
OLD, NEW = "checkout-twin-5b6d8f77c9", "checkout-6c7d8f9b54"


@dataclass(frozen=True)
class Memory:
    """A running Prometheus, asked as at the moment at which its history ends."""

    url: str
    now: float = END

    def subject(self, policy: ReleasePolicy, namespace: str) -> Subject:
        history = Sources([SourceSettings("default", self.url)], RealClock()).history("default")
        assert history is not None
        return Subject(policy, namespace, history, Source())

    def learned(self, policy: ReleasePolicy, namespace: str, **how: Any) -> Baseline:
        return learn_policy(self.subject(policy, namespace), self.now, **how)


def fleets() -> list[Fleet]:
    """Fleets of several namespaces: `shop` has 28 days and a rollout three weeks ago, the others are shorter.

    The pods of those whose noise is measured lie at even quantiles: neither more nor less apart than such fleets are.
    """
    whole = Version(NEW, END - 4 * DAY, END)
    even = replace(whole, errors=0.005)
    shop = Fleet(
        "shop",
        (
            Version(OLD, END - 28 * DAY, END - 20 * DAY, 8, errors=0.005),
            Version(NEW, END - 20 * DAY + 30, END, 8, errors=0.005),
        ),
        pod_sd=0.3,
        memory=True,
    )
    return [
        shop,
        Fleet("calm", (even,), rate=100.0, pod_sd=0.02, window_sd=0.05, latency=True, seed=11),
        Fleet("young", (Version(NEW, END - 2 * 3_600.0, END),), seed=12),
        Fleet("holes", (whole,), gaps=((END - 3 * DAY, END - 1.5 * DAY),), seed=13),
        Fleet("pair", (whole,), labels=(("replica", "a"),), seed=14),
        Fleet("pair", (whole,), labels=(("replica", "b"),), seed=14),
        Fleet("quiet", (whole,), errors=0.0, seed=15),
    ]


def write_past(folder: Path) -> None:
    texts = []
    for number, fleet in enumerate(fleets()):
        texts.append(folder / f"{number}.txt")
        write_openmetrics(fleet, texts[-1])
    create_blocks(needed_programs().promtool, texts, folder / "data")
    for text in texts:
        text.unlink()


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """A Prometheus of this process over the past that is written once for all processes of a run."""
    programs = needed_programs()
    past = made_once(tmp_path_factory.getbasetemp(), "four-weeks", write_past)
    folder = tmp_path_factory.mktemp("past")
    server = Prometheus(programs.prometheus, folder / "server", targets=folder / "targets", retention="60d")
    shutil.copytree(past / "data", server.data, copy_function=os.link)
    server.start()
    yield Memory(server.url)
    server.stop()


@pytest.fixture(scope="session")
def shop(memory: Memory) -> Gathered:
    """Everything of the largest fleet, gathered once."""
    return gather(memory.subject(a_policy(**SHORT, gates=[ERRORS, MEMORY]), "shop"), memory.now)


def test_what_is_drawn_is_the_same_whenever_it_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for at in (END + 3.0, END + 500 * DAY + 12_345.0):
        monkeypatch.setattr(time, "time", lambda at=at: at)
        small = next(fleet for fleet in fleets() if fleet.namespace == "young")
        write_openmetrics(small, tmp_path / "text")
        drawn.append((fleets(), (tmp_path / "text").read_text()))
    assert drawn[0] == drawn[1]


def test_four_weeks_are_found_whole_with_the_rollout_in_them(memory: Memory, shop: Gathered) -> None:
    assert memory.now - shop.start == pytest.approx(28 * DAY, abs=900.0)
    (rollout,) = shop.rollouts
    assert rollout.replica_sets == (NEW,)
    assert rollout.at == pytest.approx(memory.now - 20 * DAY, abs=600.0)
    assert shop.coverage > 0.99
    assert len(shop.segments) == 84
    assert {name: len(gate.segments) for name, gate in shop.gates.items()} == {"errors": 84, "memory": 84}


def test_the_noise_that_was_drawn_is_the_noise_that_is_learned(memory: Memory, shop: Gathered) -> None:
    policy = a_policy(**SHORT, gates=[ERRORS, MEMORY])
    baseline = learn(shop, policy, "shop", memory.now).baseline
    errors, levels, band = baseline.gates["errors"], baseline.gates["memory"], baseline.bands["errors"]
    assert isinstance(errors, LearnedCounts)
    assert errors.standing.guarantee is Guarantee.CALIBRATED
    assert errors.standing.segments == 84
    lasting = dict(zip(errors.noise.variation.times, errors.noise.variation.variances, strict=True))[float("inf")]
    # Sixteen pods say .09 with a relative error of a third.
    assert 0.03 < lasting < 0.2
    assert errors.rate == pytest.approx(0.005, rel=0.35)
    assert isinstance(levels, LearnedLevels)
    assert len(levels.levels) == 16
    assert isinstance(band, LearnedBand)
    assert band.days > 12.0
    obj = json.loads(json.dumps(to_object(baseline, namespace="shop", name="checkout", policy_uid="u")))
    assert len(json.dumps(obj)) <= MAX_OBJECT
    assert isinstance(restored(obj, digest=learning_digest(policy, 30.0), now=memory.now), Baseline)


def test_latency_is_learned_from_classic_buckets(memory: Memory) -> None:
    policy = a_policy(**SHORT, gates=[ERRORS, LATENCY])
    baseline = memory.learned(policy, "calm")
    latency, band = baseline.gates["latency"], baseline.bands["latency"]
    assert isinstance(latency, LearnedLatency)
    assert {0.1, 0.25} & {one.seconds for one in latency.boundaries}
    assert isinstance(band, LearnedBand)


def test_the_last_hour_of_the_same_fleet_is_like_history_and_that_of_a_noisy_one_is_not(memory: Memory) -> None:
    policy = a_policy(**SHORT)
    calm = memory.learned(policy, "calm")
    assert look_at_present(calm, memory.subject(policy, "calm"), memory.now, "uid").gates["errors"] is Likeness.SAME
    # The same baseline held against the pods of a fleet that differ fifteen times as much.
    wild = look_at_present(calm, memory.subject(policy, "shop"), memory.now, "uid")
    assert wild.gates["errors"] is Likeness.CHANGED


def test_the_last_three_hours_alone_calibrate_a_gate(memory: Memory) -> None:
    errors = relearn_lately(memory.subject(a_policy(**SHORT), "shop"), memory.now).gates["errors"]
    assert isinstance(errors, LearnedCounts)
    assert errors.standing.guarantee is Guarantee.NOISE_CHANGED


def test_b1_two_hours_of_history_teach_no_gate_and_no_band(memory: Memory) -> None:
    baseline = memory.learned(a_policy(), "young")  # a release of 100 minutes
    band = baseline.bands["errors"]
    assert isinstance(band, NotLearned)
    assert band.reason == "TooLittleHistory"
    errors = baseline.gates["errors"]
    assert isinstance(errors, LearnedCounts | NotLearned)
    if isinstance(errors, LearnedCounts):
        assert errors.standing.segments >= 6


def test_p22_holes_are_counted_and_not_filled(memory: Memory) -> None:
    baseline = memory.learned(a_policy(**SHORT), "holes")
    assert 0.5 < baseline.coverage < 0.8
    errors = baseline.gates["errors"]
    assert isinstance(errors, LearnedCounts)
    assert 30 <= errors.standing.segments <= 70


def test_p15_a_pair_of_stores_is_refused_with_the_label_that_tells_them_apart(memory: Memory) -> None:
    errors = memory.learned(a_policy(**SHORT), "pair").gates["errors"]
    assert isinstance(errors, NotLearned)
    assert errors.reason == "DoubledSeries"
    assert 'replica="a"' in errors.detail
    chosen = {"name": "errors", "errorRatio": {
        "errors": 'http_requests_total{code=~"5..",replica="a"}', "requests": 'http_requests_total{replica="a"}',
    }}  # fmt: skip
    one = memory.learned(a_policy(**SHORT, gates=[chosen]), "pair").gates["errors"]
    assert isinstance(one, LearnedCounts)


def test_a_service_without_a_failure_in_days_has_a_named_state(memory: Memory) -> None:
    errors = memory.learned(a_policy(**SHORT), "quiet").gates["errors"]
    assert isinstance(errors, LearnedCounts | NotLearned)
    if isinstance(errors, NotLearned):
        assert errors.reason
        assert errors.detail


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": {"pod": "kubernetes_pod_name"}}, "spec.metrics.pod"),
        ({"target": {"deployment": "payments"}}, "spec.metrics.pod"),
        ({"gates": [{"name": "e", "throughput": {"events": "orders_total"}}]}, "is it scraped?"),
    ],
)
def test_p17_series_that_are_not_there_say_what_to_look_at(memory: Memory, change: Any, words: str) -> None:
    (gate,) = memory.learned(a_policy(**(SHORT | change)), "shop").gates.values()
    assert isinstance(gate, NotLearned)
    assert gate.reason == "NoSeries"
    assert words in gate.detail


def test_what_four_weeks_cost(memory: Memory, record_property: Callable[[str, object], None]) -> None:
    told: list[Progress] = []
    policy = a_policy(**SHORT)
    began, cpu = time.perf_counter(), time.process_time()
    gathered = gather(memory.subject(policy, "shop"), memory.now, progress=told.append)
    asked, spent = time.perf_counter() - began, time.process_time() - cpu
    cpu = time.process_time()
    learn(gathered, policy, "shop", memory.now)
    learned = time.process_time() - cpu
    figures = f"{len(told)} questions in {asked:.1f} s ({spent:.2f} s CPU), learned in {learned:.2f} s CPU"
    record_property("figures", figures)
    print(f"\n{figures}")
    assert len(told) <= 84 * 2 + 30
    assert replace(gathered, gates={}).coverage > 0.9
