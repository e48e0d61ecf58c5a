"""The programs of the cluster tests, or the end of a test that cannot run without them."""

from __future__ import annotations

import os

import pytest

from tests.setup.find import REQUIRED, MissingPrograms, Programs, find_programs


def needed_programs() -> Programs:
    """Where they are. Without them the test is left out, or fails when the cluster tests are required."""
    programs = find_programs(os.environ)
    if isinstance(programs, MissingPrograms):
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {programs.sentence}", pytrace=False)
        pytest.skip(programs.short)
    return programs
