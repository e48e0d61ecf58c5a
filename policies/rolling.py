"""The rolling strategy: one native Deployment, held at exact batch sizes."""

from policies.batches import BatchStrategy


class Rolling(BatchStrategy):
    """One Deployment that keeps its name; its own rolling update is held at the size of each batch."""
