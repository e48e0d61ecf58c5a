"""The exact writes of whole rolling releases, in order: golden plans that a reviewer can read.

`NIGHTFERRY_REWRITE=1 pytest tests/kernel/test_hold_golden.py` writes them anew; then review the diff.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.kernel.hold_scenarios import HELD
from tests.kernel.strikes import LONGEST
from tests.kernel.test_switch_golden import GOLDEN, written

STORIES = ("rolling healthy", "rolling abort in mid-batch", "rolling D lowered", "rolling third template")


@pytest.mark.parametrize("name", STORIES)
def test_the_writes_of_a_release_are_these(name: str) -> None:
    night = HELD[name].night()
    night.run(LONGEST)
    writes = [told for entry in night.world.trace if entry.applied and (told := written(entry)) is not None]
    text = "".join(json.dumps(each, sort_keys=True) + "\n" for each in writes)
    file = GOLDEN / f"{name.replace(' ', '-').lower()}.jsonl"
    if os.environ.get("NIGHTFERRY_REWRITE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
