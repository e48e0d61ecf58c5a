"""The four stories of the demo, each with the end it must have, whatever the seed."""

from __future__ import annotations

import pytest

from controller.simulation.stories import STORIES, Snapshot, run_demo, run_story

OUTCOMES = {
    "a healthy release": "Succeeded",
    "errors that begin in the second batch": "RolledBack",
    "a crash-looping contender": "RolledBack",
    "Prometheus silent": "RolledBack",
}


def test_the_demo_tells_four_stories_that_end_as_they_must() -> None:
    steps: list[Snapshot] = []
    results = run_demo(steps.append)
    assert {result.story: result.outcome for result in results} == OUTCOMES
    for result in results:
        assert result.ok, result.problems
        assert result.because and result.minutes > 0
        assert [minute for _, minute in result.phases] == sorted(minute for _, minute in result.phases)
    assert list(dict.fromkeys(step.story for step in steps)) == list(STORIES)


def test_every_step_can_be_shown() -> None:
    steps: list[Snapshot] = []
    run_story("a healthy release", steps.append)
    assert all(0 <= step.contender_ready <= step.desired + 3 for step in steps)
    assert max(step.batch for step in steps) == steps[-1].batches == 3
    assert (steps[0].contender_pods, steps[-1].contender_pods, steps[-1].incumbent_pods) == (0, 10, 0)
    assert any(verdict == "Healthy" for step in steps for _, verdict, _ in step.verdicts)
    assert [step.minute for step in steps] == sorted(step.minute for step in steps)


@pytest.mark.parametrize("seed", range(2, 8))
def test_no_story_depends_on_its_seed(seed: int) -> None:
    for result in run_demo(seed=seed):
        assert result.ok, (seed, result.problems)
