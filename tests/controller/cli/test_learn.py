"""`nightferry learn`, `plan` and `backtest` through the command itself, on a store that remembers a healthy fleet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from controller.baseline import Baseline, learning_digest, restored
from controller.cli.plan import told_beforehand
from policies.load import from_object
from tests.controller.adapters.server import Server, hang_up, obj, serving
from tests.controller.apiserver import ApiServer
from tests.controller.builders import a_policy
from tests.controller.cli.store import Fleet, Store, policy_file, store_of, told
from tests.controller.cli.world import NOW, Nightferry, has_release, moving

POLICY_FILE = (
    policy_file("4m")
    + """\
    - name: orders
      required: false
      errorRatio: {errors: 'orders_total{result="refused"}', requests: orders_total}
"""
)


# Less than six segments of ten minutes, wherever the grid of the questions cuts it.
SHORT = Fleet(NOW, hours=0.9, pods=10)


@pytest.fixture(scope="module")
def metrics() -> Iterator[tuple[Server, Store]]:
    with store_of(Fleet(NOW, hours=9.0, pods=10)) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY_FILE)
    return str(path)


@pytest.fixture
def url(metrics: tuple[Server, Store]) -> str:
    return metrics[0].url


# -------------------------------------------------------------------------------------------------------- learn


def test_it_says_what_each_gate_has_learned(nightferry: Nightferry, file: str, url: str) -> None:
    said = nightferry("learn", file, "--prometheus", url)
    assert said.code == 0, said
    assert said.err == ""
    first = said.out.splitlines()[0]
    assert first.startswith("checkout in shop: 0.4 days of history")
    assert "data in 0 % of the windows of the gate with least" in first
    for word in ("calibrated: 1 % calibrated on", "usual rate", "1 % of the requests", "healthy pods", "thresholds"):
        assert word in said.out
    assert "NoSeries" in said.out
    assert "orders_total" in said.out


def test_a_script_gets_the_same_as_json(nightferry: Nightferry, file: str, url: str) -> None:
    said = nightferry("learn", file, "--prometheus", url, "--json")
    found = told(said.out)
    assert found["policy"] == "checkout"
    assert found["coverage"] == 0.0  # of the gate that has no series
    errors, orders = found["gates"]
    assert errors["learned"] is True
    assert errors["guarantee"] == "calibrated"
    assert errors["segments"] >= 6
    assert 0.008 < errors["rate"] < 0.012
    assert 0.0 <= errors["realised"][0] <= errors["realised"][1] <= 1.0
    assert errors["thresholds"]["change"] > errors["thresholds"]["pause"]
    assert orders == {
        "name": "orders",
        "kind": "errorRatio",
        "required": False,
        "learned": False,
        "reason": "NoSeries",
        "detail": orders["detail"],
        "band": orders["band"],
    }


def test_the_picture_is_drawn_where_it_was_asked_for(
    nightferry: Nightferry, file: str, url: str, tmp_path: Path
) -> None:
    picture = tmp_path / "usual.svg"
    assert nightferry("learn", file, "--prometheus", url, "--plot", str(picture)).code == 0
    words = [one.text for one in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert "errors: share of failed requests" in words
    assert "time (UTC)" in words


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("there.png", "allowed: a file name that ends in .svg"),
        ("no/such/folder.svg", "no folder that can be written to"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(
    nightferry: Nightferry, file: str, metrics: tuple[Server, Store], name: str, refusal: str
) -> None:
    before = len(metrics[1].queries)
    assert refusal in nightferry("learn", file, "--prometheus", metrics[0].url, "--plot", name).refusal
    assert len(metrics[1].queries) == before


def test_without_any_usable_gate_it_ends_as_refused_and_each_gate_says_why(nightferry: Nightferry, file: str) -> None:
    with store_of(SHORT) as (server, _):
        said = nightferry("learn", file, "--prometheus", server.url)
    assert said.code == 2
    assert said.err == "nightferry: no gate could be learned\n"
    assert "TooLittleHistory" in said.out
    assert "it acts on assumed pod noise and promises no rate" in said.out


def test_the_policy_comes_from_the_cluster_and_the_object_goes_there(
    nightferry: Nightferry, app: ApiServer, url: str
) -> None:
    said = nightferry("learn", "checkout", "-n", "shop", "--prometheus", url, "--save")
    assert said.code == 0, said
    assert said.out.splitlines()[-1] == "baseline checkout was written"
    kept = read(app, "checkout")
    policy = from_object(app.objects["releasepolicies", "shop", "checkout"])
    found = restored(kept, digest=learning_digest(policy, 30.0), now=NOW)
    assert isinstance(found, Baseline), found
    assert not hasattr(found.gates["errors"], "reason")


def test_what_was_there_is_replaced(nightferry: Nightferry, app: ApiServer, url: str) -> None:
    assert nightferry("learn", "checkout", "-n", "shop", "--prometheus", url, "--save").code == 0
    first = read(app, "checkout")["metadata"]["resourceVersion"]
    assert nightferry("learn", "checkout", "-n", "shop", "--prometheus", url, "--save", "--json").code == 0
    assert read(app, "checkout")["metadata"]["resourceVersion"] != first


def test_nothing_is_written_while_a_release_is_under_way(nightferry: Nightferry, app: ApiServer, url: str) -> None:
    has_release(app, "checkout-1", moving())
    said = nightferry("learn", "checkout", "-n", "shop", "--prometheus", url, "--save", "--json")
    assert "checkout-1 is under way" in said.refusal


def read(api: ApiServer, name: str) -> dict[str, Any]:
    return dict(api.objects["baselines", "shop", name])


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["learn", "checkout", "-n", "shop"], "no policy is named checkout in namespace shop"),
        (["learn", "POLICY"], "no metric store: say --prometheus URL, or --config FILE"),
        (["learn", "POLICY", "--prometheus", "nowhere"], "allowed: an address such as http://"),
        (["learn", "POLICY", "--prometheus", "URL", "--save"], "--save needs the cluster's own policy"),
        (["learn", "other", "--policies", "POLICY", "--prometheus", "URL"], "found 0 policies named other; there:"),
        (["plan", "missing.yaml", "--prometheus", "URL"], "found no readable file"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    nightferry: Nightferry, api: ApiServer, file: str, url: str, arguments: list[str], refusal: str
) -> None:
    words = [{"POLICY": file, "URL": url}.get(word, word) for word in arguments]
    assert refusal in nightferry(*words).refusal


@pytest.mark.parametrize("answer", [hang_up, obj({"status": "error", "error": "no"}, 500)], ids=["silent", "broken"])
@pytest.mark.parametrize("command", ["learn", "plan", "backtest"])
def test_a_store_that_does_not_answer_is_said_in_one_line_a_gate(
    nightferry: Nightferry, file: str, command: str, answer: Any
) -> None:
    with serving(answer) as server:
        said = nightferry(command, file, "--prometheus", server.url)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("nightferry: the metric store does not help: source default: ")


# --------------------------------------------------------------------------------------------------------- plan


@pytest.fixture(scope="module")
def planned(metrics: tuple[Server, Store], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A plan as JSON and its picture; made once."""
    import contextlib
    import io

    from controller.cli.commands import main

    folder = tmp_path_factory.mktemp("plan")
    (folder / "policy.yaml").write_text(POLICY_FILE)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["plan", str(folder / "policy.yaml"), "--prometheus", metrics[0].url, "--json", "--plot",
                     str(folder / "power.svg")])  # fmt: skip
    assert code == 0
    return json.loads(out.getvalue()), folder / "power.svg"


def test_a_plan_tells_the_stages_and_how_long_they_are_watched(planned: tuple[dict[str, Any], Path]) -> None:
    found, _ = planned
    assert found["pods"] == 10
    assert [(one["contender"], one["compared"]) for one in found["stages"]] == [
        (1, True), (3, True), (5, True), (10, False)
    ]  # fmt: skip
    assert (found["shortestSeconds"], found["longestSeconds"]) == (480.0, 960.0)


def test_a_plan_tells_what_is_caught_and_by_when(planned: tuple[dict[str, Any], Path]) -> None:
    errors, orders = planned[0]["gates"]
    assert orders["learned"] is False
    shares = [one["caught"] for one in errors["harms"]]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert errors["healthy"]["caught"] <= 0.05
    for one in errors["harms"]:
        assert one["interval"][0] <= one["caught"] <= one["interval"][1]
        within = [each["caught"] for each in one["within"]]
        assert within == sorted(within)
        assert (one["caught"] >= 0.9) == (one["missing"] is None)
    assert errors["harms"][0]["detail"].startswith("inside the margin")
    assert errors["alone"] == []  # nine hours teach no course of a day


def test_the_picture_has_a_curve_for_each_time(planned: tuple[dict[str, Any], Path]) -> None:
    words = [one.text for one in ElementTree.parse(planned[1]).iter("{http://www.w3.org/2000/svg}text")]
    assert "errors (errorRatio)" in words
    assert "in all" in words
    assert "errors of the new version over those of the old one" in words


def test_a_plan_reads_as_a_table(nightferry: Nightferry, file: str, url: str) -> None:
    said = nightferry("plan", file, "--prometheus", url)
    assert said.code == 0, said
    assert said.out.startswith("checkout in shop: 10 pods lately\n  canary            1 of 10 pods, 2m to 4m\n")
    assert "no incumbent left" in said.out
    rows = {line.split()[0]: line for line in said.out.splitlines() if line.startswith("  x")}
    assert "100 %" in rows["x10"]
    assert "never" in rows["x1.25"]
    assert "not learned: NoSeries" in said.out


def test_a_plan_says_beforehand_what_a_release_would_be_refused_for() -> None:
    strategy = {"rolling": {"canary": 1, "batches": [1, "100%"], "maxSurge": 0, "maxUnavailable": "25%"}}
    (refused,) = told_beforehand(a_policy(strategy=strategy), 3)
    assert refused.startswith("would be refused: ") and "0 of 3 pods" in refused
    lasts, merged = told_beforehand(a_policy(strategy=strategy), 8)
    assert "fewer than 4 pods" in lasts and "is merged with" in merged


def test_a_plan_says_what_a_policy_says_and_hardly_means() -> None:
    strategy = {"rolling": {"canary": 1, "batches": ["100%"]}}
    (note,) = told_beforehand(a_policy(strategy=strategy, alerts=[{"match": {"severity": "page|warn"}}]), 8)
    assert note.startswith("spec.alerts[0].match.severity: found 'page|warn'")
    assert told_beforehand(a_policy(strategy=strategy, alerts=[{"match": {"severity": "page"}}]), 8) == []


def test_a_plan_without_history_is_refused_with_each_reason(nightferry: Nightferry, file: str) -> None:
    with store_of(SHORT) as (server, _):
        said = nightferry("plan", file, "--prometheus", server.url)
    assert said.code == 2
    assert said.out == ""
    assert said.err.splitlines()[0].startswith("nightferry: gate errors: TooLittleHistory: ")


# ----------------------------------------------------------------------------------------------------- backtest


def test_nights_are_replayed_with_what_the_days_before_taught(
    nightferry: Nightferry, file: str, tmp_path: Path
) -> None:
    with store_of(Fleet(NOW, hours=40.0, pods=10)) as (server, _):
        picture = tmp_path / "nights.svg"
        said = nightferry("backtest", file, "--prometheus", server.url, "--days", "1", "--json", "--plot", str(picture))
    assert said.code == 0, said
    found = told(said.out)
    assert found["learnedBefore"] is True
    assert found["segments"] >= 6
    assert found["healthyStopped"]["share"] <= 0.05
    errors, orders = found["gates"]
    assert orders["tried"] is False
    assert errors["healthy"]["caught"] == found["healthyStopped"]["share"]
    assert errors["harms"][-1]["caught"] == 1.0
    assert errors["harms"][-1]["medianMinutes"] <= errors["harms"][-1]["p90Minutes"]
    words = [one.text for one in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert "errors: evidence that the version is worse" in words
    assert any((word or "").startswith("rollback") for word in words)


def test_a_history_too_short_to_be_parted_is_said_to_be(nightferry: Nightferry, file: str, url: str) -> None:
    said = nightferry("backtest", file, "--prometheus", url, "--days", "3")
    assert said.code == 0, said
    assert "thresholds from the same days" in said.out.splitlines()[0]
    assert said.out.splitlines()[1].startswith("healthy releases that a required gate would have stopped: ")


def test_days_have_bounds(nightferry: Nightferry, file: str, url: str) -> None:
    assert "--days" in nightferry("backtest", file, "--prometheus", url, "--days", "0").refusal


def test_an_own_source_is_named_by_the_policy_and_found_in_the_configuration(
    nightferry: Nightferry, tmp_path: Path, url: str
) -> None:
    policy = tmp_path / "own.yaml"
    policy.write_text(POLICY_FILE.replace("  strategy:", "  metrics: {source: night}\n  strategy:"))
    config = tmp_path / "config.yaml"
    config.write_text(f'metrics: {{sources: [{{name: night, url: "{url}"}}]}}\n')
    assert nightferry("learn", str(policy), "--config", str(config), "--json").code == 0
    config.write_text(f'metrics: {{sources: [{{name: day, url: "{url}"}}]}}\n')
    assert (
        "no metric source is named night; configured: day"
        in nightferry("learn", str(policy), "--config", str(config)).refusal
    )
