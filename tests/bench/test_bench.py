"""The bench's own reading and writing: what it parses, what it prints, how it ends. Nothing here is timed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import alone
from tests.bench.__main__ import GROUPS, Missing, main, measured
from tests.bench.figures import Figure, Machine, Measured, Unmeasured, as_json, number, table
from tests.bench.machine import counted, kilobytes, ticks_of
from tests.cluster.bed.shared import ROOT

FAST = Figure("fast", "a thing that takes time", "s", 2.0)
FREE = Figure("free", "a thing that nobody promised", "ms")

PAGE = """\
# HELP nightferry_ticks_total Ticks that ran, by what came of them.
# TYPE nightferry_ticks_total counter
nightferry_ticks_total{outcome="quiet"} 57.0
nightferry_ticks_total{outcome="turned"} 3.0
nightferry_ticks_totally_other{outcome="quiet"} 900.0
nightferry_requests_total{kind="FetchCounts",outcome="Ok"} 1.2e+02
nightferry_writes_total 4.0
"""


def test_the_worst_value_decides_whether_a_goal_is_met() -> None:
    assert Measured(FAST, (0.1, 2.0, 0.2), 0.0).met is True
    assert Measured(FAST, (0.1, 2.001, 0.2), 0.0).met is False
    assert Measured(FREE, (1e9,), 0.0).met is None


def test_a_figure_without_a_value_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="fast"):
        Measured(FAST, (), 0.0)


def test_the_table_shows_goal_spread_load_and_what_is_missing() -> None:
    lines = table(
        [
            Measured(FAST, (3.0, 1.0, 1.5), 0.42, "on a slow disk"),
            Measured(FREE, (12.345,), 1.0),
            Unmeasured("pods", "needs etcd", failed=False),
            Unmeasured("abort", "RuntimeError: it did not turn back", failed=True),
        ]
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert cells[0] == ["figure", "goal", "min", "median", "max", "values", "load", "met"]
    assert cells[2] == ["fast: a thing that takes time", "<= 2 s", "1 s", "1.5 s", "3 s", "3", "0.4", "NO"]
    assert cells[3] == ["free: a thing that nobody promised", "-", *["12.3 ms"] * 3, "1", "1.0", "-"]
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    assert lines[4:] == [
        "fast: on a slow disk",
        "pods: not measured: needs etcd",
        "abort: FAILED: RuntimeError: it did not turn back",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (2.0, "2"), (0.0123456, "0.0123"), (87.08, "87.1"), (130.4, "130"), (5000, "5000")]
)
def test_numbers_are_shown_with_three_digits(value: float, text: str) -> None:
    assert number(value, "") == text


def test_the_json_has_every_value(tmp_path: Path) -> None:
    results: list[Measured | Unmeasured] = [
        Measured(FAST, (3.0, 1.0), 0.5, "note"),
        Unmeasured("pods", "needs etcd", failed=False),
    ]
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(as_json(results, Machine(2, 24.0, "3.11.7"))))
    told = json.loads(file.read_text())
    assert told["machine"] == {"cores": 2, "memory_gib": 24.0, "python": "3.11.7"}
    assert told["figures"][0]["values"] == [3.0, 1.0]
    assert told["figures"][0]["median"] == 2.0
    assert told["figures"][0]["met"] is False
    assert told["unmeasured"] == [{"group": "pods", "why": "needs etcd", "failed": False}]


def test_a_metrics_page_is_summed_over_the_labels_that_are_asked_for() -> None:
    assert counted(PAGE, "nightferry_ticks_total") == 60
    assert counted(PAGE, "nightferry_ticks_total", outcome="quiet") == 57
    assert counted(PAGE, "nightferry_requests_total", kind="FetchCounts") == 120
    assert counted(PAGE, "nightferry_writes_total") == 4
    assert counted(PAGE, "nightferry_conflicts_total") == 0


def test_proc_is_read_whatever_the_program_is_called() -> None:
    stat = "77 (a (bad) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 100"
    assert ticks_of(stat) == 300
    assert kilobytes("Name:\tx\nVmPeak:\t  99 kB\nVmRSS:\t   70120 kB\n", "VmRSS") == 70120
    with pytest.raises(LookupError, match="VmRSS"):
        kilobytes("Name:\tx\n", "VmRSS")


def _without_parts() -> list[Measured]:
    raise Missing("needs etcd")


def test_a_missing_part_is_named_and_a_broken_measurement_fails() -> None:
    def broken() -> Iterator[Measured]:
        yield Measured(FAST, (1.0,), 0.0)
        raise RuntimeError("the second half broke")

    def lacking() -> Iterator[Measured]:
        yield from _without_parts()

    kept, failed = measured("half", broken)
    assert isinstance(kept, Measured)
    assert failed == Unmeasured("half", "RuntimeError: the second half broke", failed=True)
    assert measured("pods", lacking) == [Unmeasured("pods", "needs etcd", failed=False)]


def test_without_the_programs_the_figures_that_need_them_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in (("PATH", ""), ("KUBEBUILDER_ASSETS", ""), ("XDG_CACHE_HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    assert main(["--only", "pods", "--only", "abort"]) == 0
    said = capsys.readouterr().out
    assert "pods: not measured: needs etcd" in said
    assert "abort: not measured: needs etcd" in said


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--only", "everything"])
    assert refused.value.code == 2


@pytest.mark.parametrize("number", [0, 1])
def test_the_look_that_is_measured_sees_all_its_pods_and_windows(number: int) -> None:
    case = alone.LookCase.of(number)
    exposure = case.look().evidence["exposure"]
    assert exposure["windows"] == alone.WINDOWS
    assert exposure["pods"] == [alone.CONTENDERS, alone.INCUMBENTS]


def test_the_performance_page_has_a_row_for_every_figure_with_its_goal() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z-]+): [^|]+\| ([^|]+?) *\|", page, re.MULTILINE))
    figures = [figure for group in GROUPS.values() for figure in group]
    assert rows == {one.name: "-" if one.goal is None else f"<= {number(one.goal, one.unit)}" for one in figures}
