"""Alerts that turn a release back: which ones by their labels, and what follows."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from policies.model import Part, Problem, refused
from policies.names import MetricLabel

MOST_ALERTS = 8
_MOST_LABELS = 16


def _value(text: str) -> str:
    if not text or len(text) > 253 or not text.isprintable():
        raise refused("the whole value of a label: 1 to 253 printable characters; patterns are not known here")
    return text


LabelValue = Annotated[
    str, AfterValidator(_value), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 253})
]


class OnAlert(Part):
    """One kind of alert that concerns the app, and what follows when it fires while a release is under way."""

    match: Mapping[MetricLabel, LabelValue] = Field(
        description="Labels that an alert must carry, each with this whole value, such as {service: checkout, "
        "severity: page}; at least one.",
        json_schema_extra={"minProperties": 1, "maxProperties": _MOST_LABELS},
    )
    then: Literal["rollBack", "pause"] = Field(
        default="rollBack",
        description="rollBack: the release turns back. pause: it stands still while the alert fires.",
    )
    even_silenced: bool = Field(
        default=False, description="true: an alert that is silenced or inhibited in Alertmanager counts all the same."
    )

    def problems(self) -> Iterator[Problem]:
        if not self.match:
            yield Problem(("match",), "no label", "at least one label: value, or every alert of the house would count")
        elif len(self.match) > _MOST_LABELS:
            yield Problem(("match",), f"{len(self.match)} labels", f"at most {_MOST_LABELS}")

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """The labels to match in their canonical order: what tells two of these apart."""
        return tuple(sorted(self.match.items()))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is one of this kind."""
        return all(labels.get(name) == value for name, value in self.match.items())
