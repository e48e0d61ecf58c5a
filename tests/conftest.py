"""What the whole run has in common: how its garbage is collected, and what it says at its end."""

from __future__ import annotations

import gc
import os
from pathlib import PurePath
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

from tests.cluster.stories.figures import PROPERTY, table

# Threads that wait for small matrices burn more than they help, and each of the processes of a run would have its own.
# Numpy reads this when it is loaded, in processes that begin later too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """The same examples in every run, and none that fails because the machine stood still for a fifth of a second."""
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        settings.register_profile(
            "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
        )
        settings.load_profile("tests")


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end, and what a night leaves behind is rarely a cycle: the garbage collector looks
    at the former never again and at the latter seldom, which is a tenth of the time of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The figures of the stories that ran on a real control plane, also of those that ran in other processes."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            # The last report of a test has all that it has shown.
            if isinstance(report, pytest.TestReport) and report.when == "teardown":
                for name, value in report.user_properties:
                    if name == PROPERTY and isinstance(value, dict):
                        path, _, test = report.nodeid.partition("::")
                        rows.append((f"{PurePath(path).stem}: {test.removeprefix('test_').replace('_', ' ')}", value))
    if rows:
        terminalreporter.section("figures of the stories")
        terminalreporter.write_line(table(rows))
