"""A command in a sentence of the controller says what it is about and in which namespace: it is read in a chat, in a
report, in `kubectl describe`, far from the shell of whoever asked for the release."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.verdict import Verdict
from controller import record
from controller.cli.commands import COMMANDS
from controller.decide import decide
from controller.release.decision import Decision, Finish, Hold
from controller.release.names import AppKey
from controller.release.observation import Firing, Wishes
from controller.release.words import command
from tests.controller.builders import NOW, a_policy, a_record, an_observation, says

CONTROLLER = Path(__file__).parents[2] / "controller"
_COMMAND = re.compile(rf"\bnightferry (?:{'|'.join(each.__name__ for each, _ in COMMANDS)})\b(?! \$\w+ -n \$)")


def words(source: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings."""
    tree = ast.parse(source.read_text())
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_no_sentence_of_the_controller_makes_up_a_command_of_its_own() -> None:
    """The command line speaks to the shell that it runs in; everything else asks `release.words.command`."""
    inside = [file for file in CONTROLLER.rglob("*.py") if "cli" not in file.relative_to(CONTROLLER).parts]
    assert len(inside) > 200
    assert [(file.name, text) for file in inside for text in words(file) if _COMMAND.search(text)] == []


def test_a_command_names_what_it_is_about_and_where() -> None:
    assert command("restore", "checkout", "shop") == "`nightferry restore checkout -n shop`"
    assert command("lift", "checkout-7", "shop", "--reason WHY") == "`nightferry lift checkout-7 -n shop --reason WHY`"


PAUSES = Firing("f1", "Errors", {"severity": "ticket"}, NOW - 30.0, "pause")


@pytest.mark.parametrize(
    ("decision", "verb"),
    [
        (decide(a_record(), an_observation(wishes=Wishes(paused=True)), [], a_policy().spec), "resume"),
        (
            decide(
                a_record(),
                an_observation(),
                [says(Verdict.HEALTHY)],
                a_policy(strategy={"twin": {"advance": {"canary": "manual"}}}).spec,
            ),
            "promote",
        ),
        (
            decide(
                a_record(),
                an_observation(firing=(PAUSES,)),
                [],
                a_policy(alerts=[{"match": {"severity": "ticket"}, "then": "pause"}]).spec,
            ),
            "promote",
        ),
        (decide(a_record(), replace(an_observation(), incumbent=None), [], a_policy().spec), "restore"),
    ],
)
def test_what_a_person_can_do_about_a_decision(decision: Decision, verb: str) -> None:
    assert isinstance(decision, Hold | Finish)
    told = decision.then if isinstance(decision, Hold) else decision.because
    assert f"`nightferry {verb} checkout -n shop`" in told


def test_a_record_that_cannot_be_says_how_to_go_back() -> None:
    ending = record.invalid_ending({}, "it is no record", AppKey("shop", "checkout"), NOW)
    assert "`nightferry restore checkout -n shop`" in ending.because
