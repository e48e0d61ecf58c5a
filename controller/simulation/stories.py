"""The four stories of the demo: packaged scenario texts, each with the end that it must have."""

from __future__ import annotations

from importlib.resources import files

from controller.simulation.scenario import OnStep, result_of, run_scenario
from controller.simulation.script import Script, read_script
from controller.simulation.story import Snapshot, StoryResult

__all__ = ["STORIES", "OnStep", "Snapshot", "StoryResult", "run_demo", "run_story", "story_script"]

# Name of the story -> its text. The order is the order of the demo.
STORIES = {
    "a healthy release": "healthy.txt",
    "errors that begin in the second batch": "errors-in-second-batch.txt",
    "a crash-looping contender": "crash-loop.txt",
    "Prometheus silent": "prometheus-silent.txt",
}


def story_script(story: str) -> Script:
    """The script of a story, as packaged."""
    file = STORIES[story]
    text = (files("controller.simulation") / "stories" / file).read_text(encoding="utf-8")
    return read_script(text, file)


def run_story(story: str, on_step: OnStep | None = None, seed: int = 1) -> StoryResult:
    """One story from beginning to end."""
    script = story_script(story)
    return result_of(script, run_scenario(None, script, seed, on_step=on_step, name=story), story)


def run_demo(on_step: OnStep | None = None, seed: int = 1) -> list[StoryResult]:
    """All four stories, one after the other; `on_step` hears of every tick (`Snapshot.story` says whose)."""
    return [run_story(story, on_step, seed) for story in STORIES]
