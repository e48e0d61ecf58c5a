"""The commands on a real Prometheus whose history promtool has written: its own parser judges our queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.loop import SystemClock
from policies.load import load_text
from tests.cluster.bed.past import Fleet, Version, create_blocks, write_openmetrics
from tests.cluster.bed.prometheus import Prometheus
from tests.controller.cli.store import told
from tests.controller.cli.world import Nightferry
from tests.setup.needed import needed_programs

pytestmark = pytest.mark.cluster

HOURS = 80
# The past ends at a date that does not move, in the middle of a block of two months, and so does the commands' clock:
# what is drawn, and where a grid cuts it, is the same in every run. Whatever is asked of a store says of which instant.
END = 1_742_299_200.0  # 2025-03-18T12:00:00Z
OBSERVE = "  observe: {atLeast: 2m, atMost: 4m}\n"


@pytest.fixture(scope="module", autouse=True)
def pinned() -> Iterator[None]:
    """The commands are typed a few seconds after the history ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SystemClock, "now", lambda _: END + 20.0)
        yield


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One fleet as it is, and one whose store answers twice."""
    programs = needed_programs()
    folder = tmp_path_factory.mktemp("past")
    served = Version("checkout-7d9f8c6b5d", END - HOURS * 3600.0, END, 8)
    alone = Version("checkout-7d9f8c6b5d", END - 1800.0, END, 4)
    fleets = [
        Fleet("shop", (served,), rate=20.0, errors=0.01, pod_sd=0.1, dawn=END),
        Fleet("pair", (alone,), labels=(("prometheus_replica", "a"),), latency=True, seed=9, dawn=END),
        Fleet("pair", (alone,), labels=(("prometheus_replica", "b"),), latency=True, seed=9, dawn=END),
    ]
    server = Prometheus(programs.prometheus, folder / "server", targets=folder / "targets", retention="60d")
    texts = [folder / f"{number}.txt" for number in range(len(fleets))]
    for fleet, text in zip(fleets, texts, strict=True):
        write_openmetrics(fleet, text)
    create_blocks(programs.promtool, texts, server.data)
    server.start()
    yield server.url
    server.stop()


def test_what_is_suggested_learns_plans_and_is_backtested(nightferry: Nightferry, url: str, tmp_path: Path) -> None:
    said = nightferry("suggest", "checkout", "-n", "shop", "--prometheus", url)
    assert said.code == 0, said
    [document] = load_text(said.out)
    assert document.policy is not None
    assert [gate.name for gate in document.policy.spec.gates] == ["errors"]
    file = tmp_path / "policy.yaml"
    file.write_text(said.out.replace("  gates:", f"{OBSERVE}  gates:"))

    learned = told(nightferry("learn", str(file), "--prometheus", url, "--json").out)
    assert [gate["learned"] for gate in learned["gates"]] == [True]
    assert learned["coverage"] > 0.95
    assert 0.008 < learned["gates"][0]["rate"] < 0.012

    planned = told(nightferry("plan", str(file), "--prometheus", url, "--json").out)
    assert planned["pods"] == 8
    errors = {one["harm"]: one for one in planned["gates"][0]["harms"]}
    assert errors["x10"]["caught"] == 1.0
    assert errors["x10"]["medianMinutes"] < errors["x2"]["medianMinutes"]

    alone = {one["harm"]: one["caught"] for one in planned["gates"][0]["alone"]}
    assert alone["x3"] == 1.0
    assert alone[None] <= 0.1

    nights = nightferry("backtest", str(file), "--prometheus", url, "--days", "1", "--json")
    assert nights.code == 0, nights
    assert told(nights.out)["healthyStopped"]["share"] <= 0.1


def test_a_store_that_answers_twice_is_suggested_to_be_read_once(nightferry: Nightferry, url: str) -> None:
    said = nightferry("suggest", "checkout", "-n", "pair", "--prometheus", url)
    assert said.code == 0, said
    [document] = load_text(said.out)
    assert document.policy is not None
    assert [gate.name for gate in document.policy.spec.gates] == ["errors", "latency"]
    assert said.out.count('prometheus_replica="a"') == 4  # three selectors, and the note
    assert "every count is there 2 times" in said.out


def test_an_app_without_series_is_refused(nightferry: Nightferry, url: str) -> None:
    assert (
        "no present series names a pod of nothing"
        in nightferry("suggest", "nothing", "-n", "shop", "--prometheus", url).refusal
    )
