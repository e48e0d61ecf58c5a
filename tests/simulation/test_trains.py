"""Nights of trains over the real kernel: three and four apps, one train, and what the texts say of them.

After a change of what happens, `NIGHTFERRY_REWRITE=1` writes the endings anew; the difference is reviewed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulation.trains import read

TEXTS = sorted((Path(__file__).parent.parent / "scenarios" / "trains").glob("*.txt"))


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.stem)
def test_a_night_goes_as_its_text_says(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    night = read(text)
    night.run(0.75)
    if os.environ.get("NIGHTFERRY_REWRITE") == "1":
        file.write_text("\n".join([text.partition("----")[0] + "----", *night.told()]) + "\n", encoding="utf-8")
        return
    assert night.told() == night.expected, night.proves
