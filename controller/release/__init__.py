"""The nouns of a release: what is asked, what is recorded, what is observed, what is decided and planned.

Everything here is a frozen value without behaviour beyond reading itself. The record (`Record`) is the whole memory
of a release: it lives in the status of the `Release` object, and a controller that was killed at any instant goes on
from it and from the observed objects alone.

Times are seconds since the epoch (UTC, float); durations are seconds; counts of pods are integers.
"""
