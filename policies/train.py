"""ReleaseTrain: a night as one object: which apps leave, after whom, how many at once, and when the line stops."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from policies.metadata import Metadata
from policies.model import Part, Problem
from policies.names import DnsLabel, ObjectName
from policies.notify import ReportRoute
from policies.translate import meant
from policies.windows import Freeze, Window

MOST_CARS = 200
_LONGEST_LABEL = 317  # a prefix of 253 characters, a slash, and a name of 63


class Car(Part):
    """One app that rides the train, or all those whose policies carry some labels."""

    policy: ObjectName | None = Field(default=None, description="The name of a ReleasePolicy, in the same namespace.")
    policies: Mapping[str, str] | None = Field(
        default=None,
        description="Every ReleasePolicy with these labels that no other car names, such as {team: search}.",
    )
    after: tuple[ObjectName, ...] = Field(
        default=(),
        strict=False,
        max_length=MOST_CARS,
        description="Policies of this train that go first: this car leaves once their releases have succeeded in this "
        "night, or where they have none.",
    )

    def problems(self) -> Iterator[Problem]:
        if (self.policy is None) == (self.policies is None):
            found = "neither policy nor policies" if self.policy is None else "policy and policies"
            yield Problem((), found, "exactly one of policy and policies")
        if self.policies is not None and not self.policies:
            yield Problem(("policies",), "no label", "at least one label and its value, such as {team: search}")
        for key in self.policies or ():
            if not key or len(key) > _LONGEST_LABEL or not key.isprintable():
                yield Problem(("policies", key), "no name of a label", "the name of a label, such as team")
        for index, name in enumerate(self.after):
            if name in self.after[:index]:
                yield Problem(("after", index), f"{name} again", "each policy once")
            elif name == self.policy:
                yield Problem(("after", index), f"{name}, which is this car", "other policies of the train")


class StopTheLine(Part):
    """When no further car leaves in a night."""

    rolled_back: int = Field(
        ge=1, le=100, description="So many releases of the night that turned back, or that need a person."
    )


class ReleaseTrainSpec(Part):
    """When the train leaves, who rides it, and what stops it."""

    window: Window = Field(
        description="The hours in which cars leave. What becomes of a release when they end is said by its policy."
    )
    freeze: tuple[Freeze, ...] = Field(
        default=(), strict=False, max_length=32, description="Days on which no car leaves."
    )
    cars: tuple[Car, ...] = Field(
        strict=False, max_length=MOST_CARS, description="Who rides, in the order in which they leave."
    )
    at_once: int = Field(default=1, ge=1, le=100, description="The releases of its cars that may be under way at once.")
    stop_the_line: StopTheLine | None = Field(
        default=None, description="When no further car leaves in a night. Default: every car gets its turn."
    )
    on_stop: Literal["park", "rollBackAll"] = Field(
        default="park",
        description="What a stopped line means for the cars that have left: park (they go on, or stop, as their own "
        "policies say), or rollBackAll (those under way turn back, those that succeeded are taken back in reverse "
        "order).",
    )
    report: tuple[ReportRoute, ...] = Field(
        default=(), strict=False, max_length=8, description="Who is sent the report of a night."
    )

    def problems(self) -> Iterator[Problem]:
        if "on_close" in self.window.model_fields_set:
            allowed = "none in a train: what becomes of a release under way is said by the window of its policy"
            yield Problem(("window", "onClose"), self.window.on_close, allowed)
        if not self.cars:
            yield Problem(("cars",), "no car", "at least one car")
        named = [car.policy for car in self.cars]
        for index, name in enumerate(named):
            if name is not None and name in named[:index]:
                yield Problem(
                    ("cars", index, "policy"), f"{name} again, as cars[{named.index(name)}]", "each policy once"
                )
        known = [name for name in named if name is not None]
        by_labels = any(car.policies is not None for car in self.cars)
        for index, car in enumerate(self.cars):
            for place, name in enumerate(car.after):
                if name not in known and not by_labels:
                    allowed = f"a policy that is a car of this train{meant(name, known)}"
                    yield Problem(("cars", index, "after", place), name, allowed)
        order = {car.policy: car.after for car in self.cars if car.policy is not None}
        if ring := cycle(order):
            at = named.index(ring[0])
            yield Problem(("cars", at, "after"), f"a cycle: {' after '.join(ring)}", "an order in which all can leave")


def cycle(after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A ring of names each of which comes after the next one, the first again at its end; empty where there is none."""
    done: set[str] = set()
    for start in after:
        path: list[str] = []
        turns = [iter((start,))]
        while turns:
            name = next(turns[-1], None)
            if name is None:
                turns.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                return (*path[path.index(name) :], name)
            elif name in after and name not in done:
                path.append(name)
                turns.append(iter(after[name]))
    return ()


class TrainMetadata(Metadata):
    """The name of the train and what people note beside it."""

    name: ObjectName = Field(description="The train's name, such as nightly.")
    namespace: DnsLabel | None = Field(default=None, description="The namespace of its apps. Default: the current one.")


class ReleaseTrain(Part):
    """A night as one object: releases that were asked for during the day leave together, in order."""

    api_version: Literal["nightferry.dev/v1alpha1"] = Field(description="The version of this schema.")
    kind: Literal["ReleaseTrain"] = Field(description="The kind of this object.")
    metadata: TrainMetadata = Field(description="The name of the train and what people note beside it.")
    spec: ReleaseTrainSpec = Field(description="When the train leaves, who rides it, and what stops it.")

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str | None:
        return self.metadata.namespace
