"""`nightferry report`, and the reports that the demo writes: the right form in the right place, or one line why not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from controller.release.record import Notice
from controller.release.vocabulary import Cause, Phase
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import Nightferry, ended, has_release


def test_what_happened_is_told_in_every_form(app: ApiServer, nightferry: Nightferry, tmp_path: Path) -> None:
    has_release(app, "checkout-1", ended(Phase.ROLLED_BACK, Cause.GATE, because="errors 4.1 %"))
    said = nightferry("report", "--since", "30d")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("# Releases of namespace shop\n")
    assert "errors 4.1 %" in said.out
    told = json.loads(nightferry("report", "--since", "30d", "--format", "json").out)
    assert [one["release"] for one in told["journeys"]] == ["checkout-1"]
    page = tmp_path / "night.html"
    quiet = nightferry("report", "--since", "30d", "--output", str(page))
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert page.read_text().startswith("<!doctype html>")


# On a terminal people read it: drawn to its width, and no word wears the marks that keep it from being markup.
def test_a_terminal_shows_it_drawn_and_a_file_or_a_pipe_gets_markdown(
    app: ApiServer, nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    because = "gate http_errors: 4.1 % of 9,000 contender requests against 0.2 % of 9,000; 20.5x"
    has_release(app, "checkout-1", ended(Phase.ROLLED_BACK, Cause.GATE, because=because))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", nightferry("report", "--since", "30d").out)
    assert max(map(len, drawn.splitlines())) <= 60
    assert because in " ".join(drawn.replace("▌", " ").split())
    asked = nightferry("report", "--since", "30d", "--format", "markdown").out
    assert asked.startswith("# Releases") and "http\\_errors" in asked


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--since", "soon"), "--since: found 'soon'; allowed: a time up to 30d, such as 12h or 7d"),
        (("--since", "800d"), "--since: found '800d'; allowed: a time up to 30d, such as 12h or 7d"),
        (("--zone", "Mars/Base"), "--zone: found 'Mars/Base'; allowed: a time zone such as UTC or Europe/Berlin"),
        (("--output", "night.txt"), "night.txt: found no known ending; allowed: .md, .json, .html, or --format"),
        (("--output", "/nowhere/night.md"), "/nowhere/night.md: No such file or directory"),
        (("--train", "nightly"), "no train nightly in namespace shop; its trains: none"),
        (("-A", "-n", "shop"), "--all-namespaces and --namespace exclude each other"),
        (("-A", "--train", "nightly"), "--all-namespaces and --train exclude each other: a train is of one namespace"),
    ],
)
def test_a_refusal_is_one_line(app: ApiServer, nightferry: Nightferry, words: tuple[str, ...], line: str) -> None:
    said = nightferry("report", *words)
    assert (said.code, said.out, said.err) == (2, "", f"nightferry: {line}\n")


def test_explain_says_who_was_told(app: ApiServer, nightferry: Nightferry) -> None:
    told = (
        Notice("1", "email/shift", "rolledBack", 0.0, done=True),
        Notice("2", "webhook/room", "rolledBack", 0.0, done=True, failed="HTTP 404: check its url"),
        Notice("3", "webhook/pager", "rolledBack", 0.0),
    )
    has_release(app, "checkout-1", replace(ended(Phase.ROLLED_BACK, Cause.GATE), notices=told))
    said = nightferry("explain", "checkout-1").out
    assert "rolledBack to email/shift: sent" in said
    assert "rolledBack to webhook/room: not told: HTTP 404: check its url" in said
    assert "rolledBack to webhook/pager: waits to be sent" in said


def test_the_demo_writes_the_report_of_its_night(nightferry: Nightferry, tmp_path: Path) -> None:
    file = tmp_path / "night.json"
    said = nightferry("demo", "--json", "--report", str(file))
    assert said.code == 0
    told = json.loads(file.read_text())
    assert sorted(one["outcome"] for one in told["journeys"]) == ["RolledBack", "RolledBack", "RolledBack", "Succeeded"]
    assert told["figures"]["failureRate"] == 0.75
    wrong = nightferry("demo", "--json", "--report", "night.pdf")
    assert (wrong.code, wrong.out) == (2, "")


def test_who_may_not_is_told_which_role_may(app: ApiServer, nightferry: Nightferry) -> None:
    app.forbid.add("releases")
    told = nightferry("release", "checkout", "--image", "registry.example/checkout:v2").refusal
    assert told.endswith("; ask for the ClusterRole nightferry-viewer to look, or nightferry-operator to act")
