"""The twin strategy: two Deployments that take turns."""

from policies.batches import BatchStrategy


class Twin(BatchStrategy):
    """Two Deployments that take turns: the contender grows in the spare one while the incumbent shrinks."""
