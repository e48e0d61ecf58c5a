"""The writes of whole releases behind each router, in order, as one line each: golden plans that a reviewer can read.

`NIGHTFERRY_REWRITE=1 pytest tests/kernel/test_route_golden.py` writes them anew; then review the diff. The exact
objects at every step are in tests/golden/routers.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.requests.writes import WriteObject, WriteSlot
from tests.kernel.route_scenarios import ROUTED
from tests.kernel.strikes import LONGEST

GOLDEN = Path(__file__).parents[1] / "golden" / "plans"
STORIES = tuple(name for name in ROUTED if name.endswith(("healthy", "abort at 100")))


@pytest.mark.parametrize("name", STORIES)
def test_the_writes_of_a_release_are_these(name: str) -> None:
    night = ROUTED[name].night()
    night.run(LONGEST)
    lines = [
        entry.request.write.summary
        for entry in night.world.trace
        if entry.applied and isinstance(entry.request, WriteSlot | WriteObject)
    ]
    text = "".join(f"{line}\n" for line in lines)
    file = GOLDEN / f"{name.replace(' ', '-').lower()}.txt"
    if os.environ.get("NIGHTFERRY_REWRITE") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
