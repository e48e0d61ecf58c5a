"""What the strategies that move pods in batches share: a canary stage, batches, surge, and how many pods each means."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from pydantic_core import PydanticCustomError

from policies.model import Part, Problem, refused
from policies.values import Amount, Duration, Percent, Written

MOST_BATCHES = 100
_WHOLE = Amount(percent=Percent(1_000_000))

Advance = Literal["auto", "manual"]


@dataclass(frozen=True, slots=True)
class BatchPlan(Written):
    """The batches after the canary: `count` equal ones, or `steps` with the cumulative size of each."""

    count: int | None = None
    steps: tuple[Amount, ...] = ()

    # A schema of Kubernetes cannot say "a number or a list"; the loader says it instead.
    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": MOST_BATCHES},
            {"type": "array", "minItems": 1, "maxItems": MOST_BATCHES, "items": Amount.json_schema},
        ],
        "x-kubernetes-preserve-unknown-fields": True,
    }

    @classmethod
    def read(cls, raw: object) -> Self:
        if isinstance(raw, int) and not isinstance(raw, bool):
            if not 1 <= raw <= MOST_BATCHES:
                raise refused(f"1 to {MOST_BATCHES} batches")
            return cls(count=raw)
        if not isinstance(raw, list):
            raise refused("a number of equal batches such as 4, or a list such as [10%, 40%, 100%]")
        if not 1 <= len(raw) <= MOST_BATCHES:
            raise refused(f"a list of 1 to {MOST_BATCHES} batches", f"a list of {len(raw)}")
        steps, problems = [], []
        for index, item in enumerate(raw):
            try:
                steps.append(Amount.read(item))
            except PydanticCustomError as error:
                problems.append(Problem((index,), "", (error.context or {})["allowed"]))
        problems = problems or list(_step_problems(steps))
        if problems:
            raise PydanticCustomError("contradiction", "contradiction", {"problems": tuple(problems)})
        return cls(steps=tuple(steps))

    def written(self) -> int | list[str | int]:
        return self.count if self.count is not None else [step.written() for step in self.steps]

    def __len__(self) -> int:
        return self.count if self.count is not None else len(self.steps)

    def size(self, index: int, desired: int) -> int:
        """Cumulative pods of the batch with this index from 0, before any cap."""
        if self.count is not None:
            return -(-desired * (index + 1) // self.count)
        return self.steps[index].rounded_up(desired)


def _step_problems(steps: list[Amount]) -> Iterator[Problem]:
    """Batches only grow, and the last one is everybody: else a release never ends."""
    pods, percent = 0, Percent(0)
    for index, step in enumerate(steps):
        if step.is_zero:
            yield Problem((index,), f"a batch of {step}", "more than zero pods in every batch")
        elif step.percent is not None:
            if step.percent <= percent:
                yield Problem((index,), f"{step} after {percent}", "each batch larger than the one before")
            percent = max(percent, step.percent)
        else:
            if (step.pods or 0) <= pods:
                yield Problem((index,), f"{step} pods after {pods}", "each batch larger than the one before")
            pods = max(pods, step.pods or 0)
    if _WHOLE in steps[:-1]:
        after = steps.index(_WHOLE) + 1
        yield Problem((after,), f"{steps[after]} after 100%", "100% only as the last batch")
    elif steps[-1] != _WHOLE:
        yield Problem((len(steps) - 1,), f"{steps[-1]} as the last batch", "100% as the last batch")


class AdvanceBy(Part):
    """Who lets a stage go on to the next: the gates alone, or a person after the gates."""

    canary: Advance = Field(default="auto", description="After the canary: auto, or manual (wait for a promote).")
    batches: Advance = Field(default="auto", description="After each batch: auto, or manual (wait for a promote).")


class BatchStrategy(Part):
    """A canary stage and batches after it; contender pods only grow from stage to stage."""

    canary: Amount = Field(
        default=Amount(pods=1),
        description="Contender pods of the first stage, as a number or a percent of the desired pods (rounded up).",
    )
    batches: BatchPlan = Field(
        default=BatchPlan(count=4),
        description="The stages after the canary: a number of equal batches, or a list of cumulative sizes "
        "(pods or percents, rounded up) that grows and ends with 100%.",
    )
    max_surge: Amount = Field(
        default=Amount(percent=Percent(250_000)),
        description="How many pods above the desired number may exist at once; a percent is rounded up.",
    )
    max_unavailable: Amount = Field(
        default=Amount(pods=0),
        description="How many pods below the desired number may be ready; a percent is rounded down.",
    )
    advance: AdvanceBy = Field(default=AdvanceBy(), description="Who lets a stage go on to the next.")

    def problems(self) -> Iterator[Problem]:
        if self.canary.is_zero:
            yield Problem(("canary",), str(self.canary), "at least one pod, or a percent above 0%")
        if self.max_surge.is_zero and self.max_unavailable.is_zero:
            found = f"maxSurge {self.max_surge} and maxUnavailable {self.max_unavailable}"
            yield Problem(("maxSurge",), found, "at least one of the two above zero (CannotProgress)")

    @property
    def watched(self) -> int:
        """The number of stages that gates watch."""
        return 1 + len(self.batches)

    def shortest(self, at_least: Duration) -> tuple[Duration, str]:
        """The least time of a release, and where it goes in words; `at_least` is that of one stage."""
        return Duration(self.watched * at_least.milliseconds), f"{self.watched} stages of at least {at_least}"

    def targets(self, desired: int) -> tuple[int, ...]:
        """Cumulative contender pods of the canary and of each batch, for `desired` pods.

        Shape (1 + number of batches,); never falls, never above `desired`, ends at `desired`. Stages that
        coincide are not merged here; see `merged`. Raises `ValueError` for a negative `desired`.
        """
        if desired < 0:
            raise ValueError(f"{desired} desired pods")
        sizes = [self.canary.rounded_up(desired)]
        sizes += [self.batches.size(index, desired) for index in range(len(self.batches))]
        reached, targets = 0, []
        for size in sizes:
            reached = max(reached, min(size, desired))
            targets.append(reached)
        return tuple(targets)

    def surge(self, desired: int) -> int:
        """Pods allowed above `desired`; a percent is rounded up, as a Deployment does."""
        return self.max_surge.rounded_up(desired)

    def unavailable(self, desired: int) -> int:
        """Ready pods that may be missing from `desired`; a percent is rounded down, as a Deployment does."""
        return min(desired, self.max_unavailable.rounded_down(desired))

    def standstill(self, desired: int) -> str:
        """Why of so many pods none could ever move, and what to do; "" where one can."""
        if self.surge(desired) + self.unavailable(desired) > 0:
            return ""
        return (
            f"maxSurge {self.max_surge} and maxUnavailable {self.max_unavailable} both mean 0 of {desired} pods: "
            "nothing could ever move; set one of them to a number of pods"
        )

    def merged(self, desired: int) -> list[str]:
        """One line for a canary that is cut to the app's size, for each batch that means no more than the stage
        before it, and for a size below which nothing could move."""
        lines, targets = [], self.targets(desired)
        share = self.max_unavailable.percent
        least = share.first_pod if share is not None and self.max_surge.is_zero else 1
        if least > 1:
            lines.append(
                f"maxSurge {self.max_surge} and maxUnavailable {self.max_unavailable} mean 0 of fewer than {least} "
                "pods: scaled down so far in mid-release, nothing moves"
            )
        if self.canary.pods is not None and self.canary.pods > desired > 0:
            lines.append(f"the canary ({self.canary}) is more than the app's {desired} pods: it is all of them")
        for index in range(1, len(targets)):
            if targets[index] == targets[index - 1]:
                pods = f"{targets[index]} of {desired} pods"
                lines.append(f"{self._stage(index)} is merged with {self._stage(index - 1)}: both are {pods}")
        return lines

    def _stage(self, index: int) -> str:
        if index == 0:
            return f"the canary ({self.canary})"
        size = "" if self.batches.count is not None else f" ({self.batches.steps[index - 1]})"
        return f"batch {index} of {len(self.batches)}{size}"
