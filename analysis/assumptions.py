"""Every constant that the statistics assume, in one place, until they are learned from history.

They are frozen before a benchmark run is published; docs/statistics.md says what each one costs.
"""

POD_NOISE_SD = 0.15
"""Assumed standard deviation of the log event odds between healthy pods of one version."""

WINDOW_NOISE_SD = 0.32
"""Assumed standard deviation of a pod's log event odds from one window to the next (variance .1)."""

WINDOW_MEMORY = 0.6
"""Assumed AR(1) memory of that window noise, per window."""

WINDOW_RHO = 0.03
"""Assumed intraclass correlation of the contender's share of events between windows (beta-binomial)."""

RESTART_SECONDS = 300.0
"""A new start of the evidence every five minutes of settled windows, so that a late regression is not diluted."""

RESTARTS = 48
"""Starts planned before the release, beside start 0: four hours of settled windows."""

MARGIN_ALPHA = 0.10
"""A contender exactly at the margin is rolled back with at most this chance (per release, by design)."""

PAUSE_ALPHA = 0.05
"""A healthy release is held back by evidence that leans towards harm with at most this chance."""

INTERVAL_ALPHA = 0.05
"""Two-sided error of the interval that is shown and that lets a batch advance early."""

POD_QUANTILE = 1.645
"""How many pod-noise standard deviations widen each end of the interval: one-sided 5 %."""

STALE_WINDOWS = 3
"""A side whose last usable window ended more than this many windows ago is blind."""

NOTICED_REQUESTS = 20.0
"""A contender without requests is noticed once this many were due by its share so far."""

LIMIT_MIN_EVENTS = 5
"""A hard limit is never called broken on fewer events than this."""

HEALTHY_MIN_WINDOWS = 2
"""Never call a contender healthy on a single window."""

QUIET_REQUESTS = 1000.0
"""n0 of the bound on a rate: the bound is tightest near one event in this many requests."""

MOST_STRATA = 10
"""Strata of a mix that are told apart; everything else is one more."""

EXCEEDANCE_TARGETS = (0.5, 0.1, 0.02, 0.005)
"""Latency boundaries are chosen where the incumbent's share of slower requests is nearest to these."""

LEARNING_WINDOWS = 10
"""Latency boundaries are learned from at least the first ten shared windows, and then stay."""

LEARNING_REQUESTS = 10_000.0
"""... and from the first windows that hold this many incumbent requests."""

COARSE_TAIL = 0.05
"""Warn when more than this share of incumbent requests lies above the last finite bucket."""

MIN_BUCKET_REQUESTS = 50.0
"""Latency boundaries are learned from at least this many incumbent requests."""
