"""What history has taught about one policy: a value, its payload, and the object that keeps it between releases."""

from controller.baseline.objects import MAX_AGE, MAX_OBJECT, overall, restored, to_object
from controller.baseline.value import BASELINE_VERSION, Baseline, Excluded, Likeness, Present, learning_digest

__all__ = [
    "BASELINE_VERSION", "MAX_AGE", "MAX_OBJECT", "Baseline", "Excluded", "Likeness", "Present", "learning_digest",
    "overall", "restored", "to_object",
]  # fmt: skip
