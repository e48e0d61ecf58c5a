"""The exact writes of whole releases with a smoke test and with settings, in order: golden plans to be reviewed.

`NIGHTFERRY_REWRITE=1 pytest tests/kernel/test_outside_golden.py` writes them anew; then review the diff.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.kernel.outside_scenarios import OUTSIDE
from tests.kernel.strikes import LONGEST
from tests.kernel.test_switch_golden import GOLDEN, written


@pytest.mark.parametrize(
    "name", ["smoke test", "smoke test fails in batch 1", "settings alone", "settings rolled back"]
)
def test_the_writes_of_a_release_are_these(name: str) -> None:
    night = OUTSIDE[name].night()
    night.run(LONGEST)
    writes = [told for entry in night.world.trace if entry.applied and (told := written(entry)) is not None]
    text = "".join(json.dumps(each, sort_keys=True) + "\n" for each in writes)
    file = GOLDEN / f"{name.replace(' ', '-')}.jsonl"
    if os.environ.get("NIGHTFERRY_REWRITE"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
