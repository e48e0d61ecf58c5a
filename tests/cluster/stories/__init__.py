"""Releases on real parts: each test is one story, told from outside and judged by the API server's own watch."""

import pytest

# What they assert is shown as in a test.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("endpoints", "figures", "releases", "story")))
