"""Every mutant can still be planted: the text that it changes stands in its module, once."""

from __future__ import annotations

import pytest

from tests.kernel.mutants import PARTS, ROOT
from tests.kernel.planted import Mutant


@pytest.mark.parametrize(
    "mutant", [mutant for part in PARTS.values() for mutant in part.mutants], ids=lambda each: each.name
)
def test_a_mutant_can_be_planted(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.new != mutant.old
