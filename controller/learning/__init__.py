"""Learns baselines from the history in a metric store: what to fetch, what follows from it, and when it is due."""
