"""Property tests without a clock and without chance: the machine may be slow, and a red run must be red again."""

from hypothesis import settings

settings.register_profile("policies", deadline=None, derandomize=True)
settings.load_profile("policies")
