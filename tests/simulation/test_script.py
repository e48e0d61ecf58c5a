"""Scenario texts: what they say, and one clear line where they say nothing that can be run."""

from __future__ import annotations

import pytest

from controller.simulation.scenario import run_scenario, simulate
from controller.simulation.script import ScenarioError, read_script, rewritten
from policies.load import load_text
from policies.schema import ReleasePolicy

HEAD = "# Proves something.\nrelease checkout v41 -> v42, 10 pods, batches 1 50% 100%\n"
QUICKSTART = """
apiVersion: nightferry.dev/v1alpha1
kind: ReleasePolicy
metadata: {name: hello, namespace: fleet}
spec:
  target: {deployment: hello, container: web}
  strategy: {twin: {canary: 1, batches: [100%]}}
  observe: {atLeast: 1m}
  gates:
    - name: errors
      errorRatio: {errors: 'http_requests_total{code=~"5.."}', requests: http_requests_total}
"""


def a_policy() -> ReleasePolicy:
    policy = load_text(QUICKSTART)[0].policy
    assert policy is not None
    return policy


def test_a_text_is_read_as_it_is_written() -> None:
    text = HEAD + (
        "load 250/s\nerrors 0.11%\n"
        "after 3m: errors contender=4.00% incumbent=0.11%; scale 20\n"
        "2m after Batch 2: prometheus down\nat Held Blind: abort too dark\n"
        "----\nDegraded -> RollingBack\nnever Batch 3\n"
    )
    script = read_script(text, "a.txt")
    assert (script.app, script.old, script.new, script.pods) == ("checkout", "v41", "v42", 10)
    assert script.strategy == {"canary": 1, "batches": ["50%", "100%"]}
    assert script.load == 250.0
    assert script.errors == pytest.approx(0.0011)
    assert [(event.after, event.turn, len(event.acts)) for event in script.events] == [
        (180.0, "", 2),
        (120.0, "Batch 2", 1),
        (0.0, "Held Blind", 1),
    ]
    assert script.expected == ((9, "Degraded -> RollingBack"), (10, "never Batch 3"))
    assert script.proves == "Proves something."


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (HEAD, "a.txt:2: found no ---- line"),
        ("# x\n----\n", "a.txt:2: found no release"),
        ("release v41 -> v42\n----\n", "a.txt:1: found 'release v41 -> v42'"),
        (HEAD.replace("50%", "half") + "----\n", "a.txt:2: found 'half'"),
        (HEAD + "after 3 minutes: pause\n----\n", "a.txt:3: found 'after 3 minutes: pause'"),
        (HEAD + "after 3x: pause\n----\n", "a.txt:3: found '3x'; allowed: a duration"),
        (HEAD + "after 3m: explode\n----\n", "a.txt:3: found 'explode'; allowed: errors"),
        (HEAD + "after 3m: scale many\n----\n", "a.txt:3: found 'scale many'; allowed: scale"),
        (HEAD + "after 3m: errors contender=lots\n----\n", "a.txt:3: found 'contender=lots'; allowed: WHO=4.00%"),
        (HEAD + "policy observe\n----\n", "a.txt:3: found 'observe'; allowed: a YAML mapping"),
        (HEAD + "weather bad\n----\n", "a.txt:3: found 'weather bad'; allowed: load"),
    ],
)
def test_a_fault_is_one_line_with_its_place(text: str, where: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_script(text, "a.txt")
    assert str(caught.value).startswith(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("policy {strategy: {twin: {batches: [50%]}}}\n", "a.txt:2: found 50% as the last batch"),
        ("policy {speed: fast}\n", "a.txt:2: "),
        ("after 1m: rollback\n", "a.txt:3: no release is there for rollbackOf"),
        ("after 1m: recreate contender; delete contender; delete contender\n", "a.txt:3: "),
        ("after 1m: route deleted\n", "a.txt:3: no route leads to shop/checkout"),
        ("after 1m: route set back\n", "a.txt:3: no route leads to shop/checkout"),
        ("after 1m: autoscaler set back to 4 every 30s\n", "a.txt:3: HorizontalPodAutoscaler shop/checkout does not"),
    ],
)
def test_what_cannot_be_run_is_one_line_too(change: str, where: str) -> None:
    head = HEAD.replace(", batches 1 50% 100%", "")
    with pytest.raises(ScenarioError) as caught:
        run_scenario(None, read_script(head + change + "----\n", "a.txt"), 1)
    assert str(caught.value).startswith(where)
    assert "\n" not in str(caught.value)


def test_a_users_policy_runs_through_a_scenario_of_its_own() -> None:
    text = "# Ours.\nrelease hello v1 -> v2, 4 pods\nload 800/s\nerrors 0.5%\n----\nCanary\nBatch 1\nSucceeded\n"
    steps: list[str] = []
    result = simulate(a_policy(), text, "ours.txt", 3, lambda snapshot: steps.append(snapshot.phase.value))
    assert result.ok and result.outcome == "Succeeded" and result.problems == ()
    assert [phase for phase, _ in result.phases] == ["Preflight", "Canary", "Batch 1", "Succeeded"]
    assert result.minutes == result.phases[-1][1] > 2
    assert list(dict.fromkeys(steps)) == ["Preflight", "Canary", "Batch", "Succeeded"]
    assert result.because and result.expected == ("Canary", "Batch 1", "Succeeded")


def test_what_differs_is_said_with_the_line_that_expected_it() -> None:
    text = "# Ours.\nrelease hello v1 -> v2, 4 pods\nload 800/s\nerrors 0.5%\n----\nCanary\nDegraded -> RollingBack\n"
    result = simulate(a_policy(), text + "never Succeeded\n", "ours.txt", 3)
    assert not result.ok
    assert result.problems[0].startswith("ours.txt:7: expected Degraded -> RollingBack; what followed: Batch 1 at ")
    assert result.problems[1] == "ours.txt:8: Succeeded must never happen"


def test_minutes_are_exact_unless_a_tolerance_is_stated() -> None:
    head = "# Ours.\nrelease hello v1 -> v2, 4 pods\nload 800/s\nerrors 0.5%\n----\n"
    actual = round(simulate(a_policy(), head, "a.txt", 3).minutes)
    for line, fits in (
        (f"Succeeded at {actual}m", True),
        (f"Succeeded at {actual + 2}m", False),
        (f"Succeeded at {actual + 2}m +-2m", True),
        (f"Succeeded at {actual + 3}m +-2m", False),
    ):
        assert simulate(a_policy(), head + line + "\n", "a.txt", 3).ok is fits, line


def test_a_scenario_of_another_app_does_not_fit_the_policy() -> None:
    with pytest.raises(ScenarioError, match=r"^a.txt:2: found app checkout; the policy hello releases hello$"):
        simulate(a_policy(), HEAD + "----\n", "a.txt", 1)


def test_rewriting_keeps_what_stands_above_the_line() -> None:
    text = HEAD + "----\nold\n"
    assert rewritten(text, ("new", "newer")) == HEAD + "----\nnew\nnewer\n"
