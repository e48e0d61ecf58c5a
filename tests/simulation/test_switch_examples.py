"""The shipped policies with blueGreen and recreate, run as they stand: a good version, a bad one, and no tester."""

from __future__ import annotations

from pathlib import Path

import pytest

import policies
from controller.simulation.scenario import simulate
from policies.load import load_text
from policies.schema import ReleasePolicy

EXAMPLES = Path(policies.__file__).parent / "examples"


def example(name: str) -> ReleasePolicy:
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    found = load_text(text)[0].policy
    assert found is not None
    return found


def outcome(name: str, *events: str) -> tuple[str, str]:
    """(how a release under the example ends, the words of its last turn)."""
    policy = example(name)
    app = policy.spec.target.deployment
    lines = [f"release {app} v1 -> v2, 6 pods", "load 500/s", "errors 0.50%", *events, "----"]
    result = simulate(policy, "\n".join(lines) + "\n", f"{name}.txt", seed=1)
    return result.outcome, result.turns[-4]


def test_the_blue_green_example_switches_a_good_version() -> None:
    ended, _ = outcome("bluegreen", "after 0s: tester 100/s")
    assert ended == "Succeeded"


@pytest.mark.parametrize("when", ["after 0s", "at Switch"])
def test_the_blue_green_example_turns_a_bad_version_back(when: str) -> None:
    ended, _ = outcome("bluegreen", "after 0s: tester 100/s", f"{when}: errors v2=6.00%")
    assert ended == "RolledBack"


def test_the_blue_green_example_without_a_tester_never_switches() -> None:
    ended, turn = outcome("bluegreen")
    assert (ended, turn.startswith("Blind -> RollingBack")) == ("RolledBack", True)


def test_the_recreate_example_goes_and_comes_back() -> None:
    assert outcome("recreate")[0] == "Succeeded"
    assert outcome("recreate", "after 0s: errors v2=6.00%")[0] == "RolledBack"
