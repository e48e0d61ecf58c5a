"""Every scenario text, replayed by the real tick: its turns, what is left, and the laws after every write."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.simulation.scenario import run_scenario
from controller.simulation.script import read_script, rewritten
from tests.simulation import laws

SCENARIOS = Path(__file__).parent.parent / "scenarios"
TEXTS = sorted(SCENARIOS.glob("*.txt"))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text(encoding="utf-8")
    script = read_script(text, f"tests/scenarios/{path.name}")

    story = run_scenario(None, script, seed=1, laws=laws.ALL)

    if request.config.getoption("--rewrite-scenarios", default=False):
        path.write_text(rewritten(text, story.lines), encoding="utf-8")
        return
    assert list(story.lines) == [line for _, line in script.expected]


def test_every_scenario_begins_with_what_it_proves() -> None:
    assert len(TEXTS) >= 20
    for path in TEXTS:
        script = read_script(path.read_text(encoding="utf-8"), path.name)
        assert len(script.proves) > 20, path.name
        assert script.expected, path.name
