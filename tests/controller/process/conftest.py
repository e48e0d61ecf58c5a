"""The small API server, and the bed of real parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import bed, site
from tests.controller.apiserver import ApiServer

__all__ = ["bed", "site"]  # fixtures


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.stop()
