"""The rewrite flag of the scenario texts: `pytest tests/simulation --rewrite-scenarios`, then review the diff."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-scenarios",
        action="store_true",
        default=False,
        help="write what each scenario came to into its text, instead of comparing",
    )
