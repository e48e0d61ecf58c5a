"""The small API server of the tests of the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controller.apiserver import ApiServer


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.stop()
