"""How an app moves from one version to the next: exactly one strategy, and who sends the requests."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from policies.bluegreen import BlueGreen
from policies.model import Part, Problem
from policies.recreate import Recreate
from policies.rolling import Rolling
from policies.traffic import Traffic
from policies.twin import Twin

StrategyKind = Literal["rolling", "twin", "blueGreen", "recreate"]
Moves = Rolling | Twin | BlueGreen | Recreate


class Strategy(Part):
    """How the app moves from one version to the next; exactly one."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["rolling"]},
                {"required": ["twin"]},
                {"required": ["blueGreen"]},
                {"required": ["recreate"]},
            ]
        }
    )

    rolling: Rolling | None = Field(
        default=None, description="One Deployment whose own rolling update is held at the size of each batch."
    )
    twin: Twin | None = Field(default=None, description="Two Deployments that take turns, in batches.")
    blue_green: BlueGreen | None = Field(
        default=None, description="The whole contender beside the incumbent, and one switch of a Service."
    )
    recreate: Recreate | None = Field(
        default=None, description="All pods go before the new ones come; {} has all of it."
    )
    traffic: Traffic | None = Field(
        default=None,
        description="With twin: a router that shares the traffic by weight. Default: the app's Service, by pods.",
    )

    later: ClassVar[Mapping[str, str]] = {
        "abTest": "the abTest strategy",
    }

    def chosen(self) -> Mapping[StrategyKind, Moves]:
        """The strategies by their name in YAML: one item once the part is legal."""
        fields: Mapping[StrategyKind, Moves | None] = {
            "rolling": self.rolling,
            "twin": self.twin,
            "blueGreen": self.blue_green,
            "recreate": self.recreate,
        }
        return {kind: moves for kind, moves in fields.items() if moves is not None}

    @property
    def kind(self) -> StrategyKind:
        return next(iter(self.chosen()))

    @property
    def moves(self) -> Moves:
        """What the chosen strategy says; all of them know `surge`, `unavailable`, `merged`, `watched`, `shortest`."""
        return next(iter(self.chosen().values()))

    def problems(self) -> Iterator[Problem]:
        kinds = list(self.chosen())
        if len(kinds) != 1:
            known = ", ".join(kind for kind in ("rolling", "twin", "blueGreen", "recreate") if kind not in self.later)
            found = " and ".join(kinds) if kinds else "no strategy"
            yield Problem((), found, f"exactly one of {known}")
        elif self.traffic is not None and self.twin is None:
            yield Problem(("traffic",), f"traffic with {kinds[0]}", "traffic with twin only: weights need two sides")
