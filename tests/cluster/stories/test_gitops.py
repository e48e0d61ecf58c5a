"""A GitOps tool beside each strategy and router: what it owns is refused, and what it sets back again is named."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from controller.simulation.routing import objects_of
from tests.cluster.bed.api import APPLY, MERGE
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.routed_load import ROUTES
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.routers import ROUTERS, stands_behind
from tests.cluster.stories.story import APP, TWIN, Story

TOOL = "argocd-controller"
MOVED_WITHIN = 90
HASH = "pod-template-hash"
# The canary stays as it is, however late the tool comes.
BY_HAND = {"advance": {"canary": "manual"}}


@dataclass(frozen=True, slots=True)
class Way:
    """How an app moves, and the part of it that a tool has in its source.

    path: of the object that the tool writes, in a namespace. source: the fields that it writes again. `moved` is true
    of the object once the release has changed them. beside: whether both versions run at once. named: who is said to
    have set it back.
    """

    policy: Mapping[str, Any]
    path: str
    source: Mapping[str, Any]
    moved: Callable[[Mapping[str, Any]], object]
    image: str = "v1"
    router: str = ""
    beside: bool = True
    named: str = TOOL


def _routed(kind: str, moved: Callable[[Mapping[str, Any]], object]) -> Way:
    routed = ROUTERS[kind]
    entrance = next(iter(objects_of(routed.entrance.kind, APP)))  # type: ignore[arg-type]
    field = {"Ingress": "rules", "HTTPRoute": "rules", "VirtualService": "http"}[routed.entrance.kind]
    return Way(
        {"strategy": {"twin": {"batches": 1, **BY_HAND}, "traffic": dict(routed.traffic)}},
        ROUTES[routed.entrance.kind] + f"/{routed.entrance.name}",
        {"spec": {field: copy.deepcopy(entrance["spec"][field])}},
        moved,
        router=kind,
    )


DEPLOYMENT = f"/apis/apps/v1/namespaces/{{}}/deployments/{APP}"
WAYS: Mapping[str, Way] = {
    "rolling": Way(
        {"strategy": {"twin": None, "rolling": {"batches": 1, "maxSurge": 1, **BY_HAND}}},
        DEPLOYMENT,
        {"spec": {"minReadySeconds": 1}},
        lambda found: found["spec"].get("paused") and found["spec"].get("minReadySeconds", 0) > 1,
    ),
    "twin": Way(
        {"strategy": {"twin": {"batches": 1, **BY_HAND}}},
        DEPLOYMENT,
        {"spec": {"replicas": 4}},
        lambda found: found["spec"]["replicas"] < 4,
    ),
    "blueGreen": Way(
        {"strategy": {"twin": None, "blueGreen": {"service": APP, "keep": "10s"}}},
        f"/api/v1/namespaces/{{}}/services/{APP}",
        {"spec": {"selector": {"app": APP, HASH: None}}},
        lambda found: HASH in found["spec"]["selector"],
        # Whoever takes a key away owns nothing afterwards.
        named="somebody",
    ),
    # The old pods take their time to go, so that a tool finds the Deployment at 0.
    "recreate": Way(
        {"strategy": {"twin": None, "recreate": {}}},
        DEPLOYMENT,
        {"spec": {"replicas": 4}},
        lambda found: found["spec"]["replicas"] == 0,
        image="v1-drain28",
        beside=False,
    ),
    "ingress-nginx": _routed("ingress-nginx", lambda found: f"{APP}-incumbent" in str(found["spec"])),
    "gateway-api": _routed("gateway-api", lambda found: f"{APP}-incumbent" in str(found["spec"])),
    "istio": _routed("istio", lambda found: "subset" in str(found["spec"])),
}


class Tool:
    """A tool with one object of the app in its source."""

    def __init__(self, story: Story, way: Way) -> None:
        self.story, self.way = story, way
        self.path = way.path.format(story.site.name)

    def found(self) -> dict[str, Any]:
        return self.story.site.api.read(self.path)

    def syncs(self) -> None:
        """Writes its source again, and takes away what is not in it."""
        self.story.site.api.patch(self.path, dict(self.way.source), content_type=MERGE, fieldManager=TOOL)

    def owns(self) -> None:
        """Applies its source on the server's side, which makes it the owner of every field in it."""
        found = self.found()
        body = {
            "apiVersion": found["apiVersion"],
            "kind": found["kind"],
            "metadata": {"name": found["metadata"]["name"]},
        }
        body |= _without_nothing(self.way.source)
        self.story.site.api.patch(self.path, body, content_type=APPLY, fieldManager=TOOL, force="true")

    def await_moved(self) -> None:
        """Waits until the release has changed what the tool has in its source."""
        eventually(lambda: self.way.moved(self.found()), within=MOVED_WITHIN, what="the release moves it", every=0.05)


def _without_nothing(source: Any) -> Any:
    if isinstance(source, Mapping):
        return {key: _without_nothing(value) for key, value in source.items() if value is not None}
    return source


@pytest.fixture(params=WAYS, ids=list(WAYS))
def tool(story: Story, with_routers: Bed, request: pytest.FixtureRequest) -> Tool:
    way = WAYS[request.param]
    if way.router:
        stands_behind(story, way.router)
    story.opens(policy=way.policy, image=way.image)
    return Tool(story, way)


# Twice is a fight that nobody wins: everything stays as it is, and the person who is asked learns the tool's name.
def test_what_a_tool_sets_back_twice_is_left_to_a_person_who_restores(tool: Tool) -> None:
    story = tool.story
    release = story.asks_for("v2")
    story.releases.await_stage(release, 0, within=MOVED_WITHIN)
    if tool.way.beside:
        eventually(lambda: "v2" in story.serving(), within=MOVED_WITHIN, what="a contender serves")
    tool.await_moved()
    tool.syncs()
    tool.await_moved()
    tool.syncs()
    end = story.releases.await_phase(release, "NeedsHuman", within=30)
    assert end.cause == "FieldFight"
    assert end.because.startswith(f"{tool.way.named} set ")
    assert story.claims()
    # Somebody pauses the tool, and asks for the way back.
    story.commands("restore", APP, "--wait", "--timeout", "240s")
    restore = story.releases.await_new({release})
    story.releases.await_phase(restore, "RolledBack", within=30)
    story.await_serving(tool.way.image, 4)
    story.await_unclaimed()
    assert max(story.replicas(TWIN), 0) == 0
    assert not tool.way.moved(tool.found())
    assert story.releases.broken_laws() == []


def test_what_a_tool_owns_is_refused_before_anything_moves(tool: Tool) -> None:
    story = tool.story
    tool.owns()
    release = story.asks_for("v2")
    end = story.releases.await_phase(release, "Cancelled", within=60)
    assert end.cause == "Refused"
    assert TOOL in end.because and "ignoreDifferences" in end.because
    assert story.writes_to_deployments() == []
    assert story.serving() == {tool.way.image: 4}
