"""`nightferry status` and `explain`: the same truth for scripts, for a narrow screen, and for whoever asks why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from analysis.verdict import Verdict
from controller.applying import applied
from controller.release.decision import Advance, Finish, Hold, RollBack
from controller.release.instants import rfc3339
from controller.release.record import GateVerdict, Record, Watching
from controller.release.vocabulary import Cause, HoldReason, Phase
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import POLICY, T0, Nightferry, ended, has_release, moving

EVIDENCE = {
    "because": "errors 4.1 % of 12,345 contender requests against 0.5 % of 23,456: 8.2x",
    "wouldChange": "evidence at or below 4.6",
    "exposure": {"requests": [12345, 23456], "events": [506, 117], "pods": [3, 7], "windows": 12, "minutes": 6},
    "logEvidence": [14.2, 4.605],
    "marginEvidence": [8.1, 2.303],
    "guarantee": "assumed pod noise: no promised rate",
    "effect": {"ratio": 8.217, "interval": [5.1, 11.4], "rates": [0.04099, 0.004988]},
}
WORSE = GateVerdict("errors", Verdict.DEGRADED, str(EVIDENCE["because"]), evidence=EVIDENCE)
SLOWER = GateVerdict(
    "latency",
    Verdict.UNDECIDED,
    "harm up to 1.9x is not ruled out",
    required=False,
    evidence={"boundary": 0.25, "effect": {"ratio": None, "interval": [0], "rates": [0, 0]}},
)


def rolled_back() -> Record:
    record = applied(moving(1), Advance(2, "clean"), (), T0 + 200.0)
    return applied(record, RollBack(Cause.GATE, WORSE.because), (WORSE, SLOWER), T0 + 500.0)


def blind() -> Record:
    unseen = GateVerdict(
        "errors", Verdict.BLIND, "no usable data", evidence={"noData": "Unreachable", "because": "down"}
    )
    return applied(
        moving(1), Hold(HoldReason.BLIND, "gate errors: down", T0 + 900.0, "rollBack"), (unseen,), T0 + 300.0
    )


def rows(nightferry: Nightferry, *arguments: str) -> list[dict[str, Any]]:
    said = nightferry("status", "-o", "json", *arguments)
    assert said.code == 0
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def test_a_script_reads_a_list_of_objects(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", rolled_back())
    [row] = rows(nightferry)
    assert {key: row[key] for key in ("namespace", "app", "release", "phase", "held", "since")} == {
        "namespace": "shop",
        "app": "checkout",
        "release": "checkout-1",
        "phase": "RollingBack",
        "held": None,
        "since": "2027-01-15T08:08:20Z",
    }
    assert row["batch"] == {"index": 2, "name": None, "of": 4, "contender": 3, "incumbent": 7, "desired": 10}
    assert [(one["gate"], one["verdict"], one["because"]) for one in row["verdicts"]] == [
        ("errors", "Degraded", WORSE.because),
        ("latency", "Undecided", SLOWER.because),
    ]
    assert row["because"] == WORSE.because
    assert rows(nightferry, "checkout") == [row]


def test_a_hold_says_until_when_and_what_then(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", blind())
    [row] = rows(nightferry)
    assert row["held"]["reason"] == "Blind"
    assert row["held"]["until"] == "2027-01-15T08:15:00Z"
    assert row["held"]["then"] == "rollBack"
    assert row["because"] == "gate errors: down"


def test_a_release_that_nobody_took_up_is_queued(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", None)
    [row] = rows(nightferry)
    assert row["phase"] == "Queued"
    assert row["batch"] == {"index": 0, "name": None, "of": 0, "contender": 0, "incumbent": 0, "desired": 0}
    assert row["verdicts"] == []
    assert row["since"]


def test_one_row_per_app_and_every_release_with_history(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", ended(Phase.SUCCEEDED, Cause.COMPLETED))
    has_release(app, "checkout-2", moving(1))
    has_release(app, "checkout-3", None)
    app.put("releasepolicies", "search", POLICY)
    found = rows(nightferry)
    assert [(row["app"], row["release"], row["phase"]) for row in found] == [
        ("checkout", "checkout-2", "Batch"),
        ("search", None, None),
    ]
    assert found[1]["because"] == "no release yet"
    history = rows(nightferry, "checkout", "--history")
    assert [row["release"] for row in history] == ["checkout-3", "checkout-2", "checkout-1"]


def test_a_refused_policy_says_so(app: ApiServer, nightferry: Nightferry) -> None:
    condition = {"type": "Ready", "status": "False", "message": "spec.gates: found nothing"}
    app.change(("releasepolicies", "shop", "checkout"), {"status": {"conditions": [condition]}})
    assert rows(nightferry)[0]["because"] == "the policy is refused: spec.gates: found nothing"
    assert "the policy is refused: spec.gates: " in nightferry("status").out


def test_a_cluster_without_our_kinds_is_told_how_to_get_them(
    api: ApiServer, nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {"kind": "Status", "reason": "NotFound", "message": "the server could not find the requested resource"}
    monkeypatch.setattr(api, "_judge", lambda method, path, body: (404, {**unknown, "code": 404, "details": {}}))
    assert "apply manifests/crds first" in nightferry("status").refusal


def test_all_namespaces(app: ApiServer, nightferry: Nightferry) -> None:
    app.put("releasepolicies", "search", POLICY, namespace="find")
    assert [(row["namespace"], row["app"]) for row in rows(nightferry, "-A")] == [
        ("find", "search"),
        ("shop", "checkout"),
    ]
    assert "NAMESPACE" in nightferry("status", "-A").out
    assert "exclude each other" in nightferry("status", "-A", "-n", "shop").refusal
    assert rows(nightferry, "-n", "find")[0]["app"] == "search"


def test_an_unknown_app_is_refused_with_those_that_are_known(app: ApiServer, nightferry: Nightferry) -> None:
    assert nightferry("status", "chekcout").refusal == "no app chekcout in namespace shop; its apps: checkout"
    assert "no policies and no releases in namespace empty" in nightferry("status", "-n", "empty").out


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_table_fits_the_screen_and_loses_no_fact(
    app: ApiServer, nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    has_release(app, "checkout-x7k2f", blind())
    for arguments in (["status"], ["status", "checkout"]):
        lines = nightferry(*arguments).out.splitlines()
        assert max(map(len, lines)) <= columns
        assert not any(line != line.rstrip() for line in lines)
        table = " ".join(lines[:3])
        facts = (
            ("checkout", "x7k2f", "Batch (Blind)", "1/4", "3+7 of 10") if columns >= 100 else ("x7k2f", "Batch (Blind)")
        )
        for fact in (*facts, "gate errors: down"):
            assert fact in table


def test_one_app_is_shown_with_its_gates_and_its_hold(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", replace(rolled_back(), held=None))
    out = nightferry("status", "checkout").out
    assert "GATE" in out
    assert "latency (watched only)" in out
    assert "cause    GateDegraded" in out


# ------------------------------------------------------------------------------------------------------- explain


def test_explain_shows_each_decision_with_its_numbers(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", rolled_back(), images={"app": "r.test/app:v2"}, requestedBy="bob", reason="a form")
    out = nightferry("explain", "checkout-1").out
    for words in (
        "release shop/checkout-1  RollingBack",
        "asked by   bob: a form",
        "image      app=r.test/app:v2",
        "Preflight",
        "Advance",
        "to batch 2 of 4: clean",
        "RollBack",
        "gate errors  Degraded",
        "8.22x, interval 5.1x to 11.4x",
        "contender 4.1 %, incumbent 0.499 %",
        "contender 12,345 requests, 506 events, 3 pods; incumbent 23,456, 117, 7; 12 shared windows",
        "14.2 against no change; the threshold is 4.61",
        "8.1 against staying inside the margin; the threshold is 2.3",
        "would change",
        "evidence at or below 4.6",
        "assumed pod noise: no promised rate",
        "gate latency  Undecided  (watched only)",
        "no ratio yet, interval 0x to unbounded",
        "slower than 250 ms",
    ):
        assert " ".join(words.split()) in " ".join(out.split()), words
    assert max(map(len, out.splitlines())) <= 100


# The end of a rollback rests on what turned it: the same numbers twice would hide that nothing new was seen.
def test_explain_shows_the_same_numbers_once(app: ApiServer, nightferry: Nightferry) -> None:
    end = applied(rolled_back(), Finish(Phase.ROLLED_BACK, Cause.GATE, "10 of 10 are ready"), (), T0 + 520.0)
    has_release(app, "checkout-1", end)
    out = nightferry("explain", "checkout-1").out
    assert out.count("8.22x") == 1
    assert out.count("on the same numbers") == 1
    assert "10 of 10 are ready" in out


def test_explain_takes_the_name_of_an_app_too_and_shows_what_it_waits_for(
    app: ApiServer, nightferry: Nightferry
) -> None:
    has_release(app, "checkout-1", blind())
    out = nightferry("explain", "checkout").out
    assert "Blind since" in out
    assert "rollBack" in out
    assert "no data" in out
    assert "Unreachable: down" in out


def test_explain_of_a_release_of_several_days_says_which_day_it_speaks_of(
    app: ApiServer, nightferry: Nightferry
) -> None:
    opens = T0 + 3 * 86400.0
    parked = Hold(HoldReason.WINDOW_CLOSED, "the window is closed: parked", opens, "it goes on")
    has_release(app, "checkout-1", replace(applied(moving(1), parked, (), T0 + 300.0), written=T0 + 400.0))
    again = replace(applied(moving(1), parked, (), T0 + 300.0), written=T0 + 400.0)
    has_release(app, "checkout-2", applied(again, Advance(2, "it opens"), (), opens))

    def day(at: float) -> str:
        return datetime.fromtimestamp(at).astimezone().strftime("%a %Y-%m-%d")

    out = nightferry("explain", "checkout-1").out
    assert f"; at {day(opens)} " in out
    assert f"since {day(T0 + 300.0)}" not in out and f"\n{day(T0)}\n" not in out
    out = nightferry("explain", "checkout-2").out
    assert out.index(f"\n{day(T0)}\n") < out.index("HoldWindowClosed") < out.index(f"\n{day(opens)}\n")


def test_explain_hides_the_values_of_variables(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(0), env={"app": {"TOKEN": "hunter2"}})
    out = nightferry("explain", "checkout-1").out
    assert "app: TOKEN" in out
    assert "hunter2" not in out


def test_explain_of_a_record_edited_by_hand_says_what_is_wrong(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(1))
    app.change(("releases", "shop", "checkout-1"), {"status": {"record": {"stage": 99}}})
    said = nightferry("explain", "checkout-1")
    assert said.code == 0
    assert "The record cannot be read: stage 99 of 4" in said.out


def test_explain_for_scripts(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", rolled_back())
    found = json.loads(nightferry("explain", "checkout-1", "-o", "json").out)
    assert [one["kind"] for one in found["decisions"]][-1] == "RollBack"
    assert found["decisions"][-1]["verdicts"][0]["evidence"]["effect"]["ratio"] == 8.217


def test_explain_of_nothing_names_the_newest(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(1))
    assert "its newest: checkout-1" in nightferry("explain", "checkout-2").refusal


# ------------------------------------------------------------------------------------------------------- the watch


def watched(over: str = "", back: str = "") -> Record:
    """A success with its watch, until 2027-01-15T09:10:00Z."""
    done = ended(Phase.SUCCEEDED, Cause.COMPLETED)
    return replace(done, watch=Watching(T0 + 600.0, T0 + 4200.0, over, back, asked=bool(back)))


def test_a_success_that_is_watched_says_until_when(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", watched())
    [row] = rows(nightferry)
    assert row["watch"]["until"] == rfc3339(T0 + 4200.0) and not row["watch"]["over"]
    said = nightferry("status", "checkout").out
    assert "Succeeded (watched)" in said and f"watching until {rfc3339(T0 + 4200.0)}" in said
    assert "watching until" in nightferry("explain", "checkout-1").out


def test_a_watch_that_is_over_says_what_it_came_to(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", watched("errors of 6 %", "checkout-back-1"))
    said = nightferry("status", "checkout").out
    assert "(watched)" not in said
    assert "errors of 6 %; release checkout-back-1 brings the version before it back" in " ".join(said.split())
    has_release(app, "checkout-1", watched("nothing was found"))
    assert "over: nothing was found" in nightferry("status", "checkout").out
