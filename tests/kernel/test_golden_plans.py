"""The writes of whole releases, in order: golden plans that a reviewer can read.

`NIGHTFERRY_REWRITE=1 pytest tests/kernel/test_golden_plans.py` writes them anew; then review the diff. Behind routers a
write is one line: the exact objects at every step are in tests/golden/routers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from controller.release.names import CLAIM_ANNOTATION
from controller.release.plan import CreateObject, CreateSlot, DeleteObject, PatchObject, PatchSlot
from controller.requests.writes import WriteObject, WriteSlot
from tests.kernel.hold_scenarios import HELD
from tests.kernel.outside_scenarios import OUTSIDE
from tests.kernel.route_scenarios import ROUTED
from tests.kernel.scenarios import Scenario
from tests.kernel.strikes import LONGEST
from tests.kernel.switch_scenarios import SWITCHED

GOLDEN = Path(__file__).parents[1] / "golden" / "plans"
WHOLE = (
    *(SWITCHED[f"blueGreen {story}"] for story in ("healthy", "abort in keep")),
    *(SWITCHED[f"recreate {story}"] for story in ("healthy", "regression")),
    *(HELD[f"rolling {story}"] for story in ("healthy", "abort in mid-batch", "D lowered", "third template")),
    *(OUTSIDE[f"smoke test{story}"] for story in ("", " fails in batch 1")),
    *(OUTSIDE[f"settings {story}"] for story in ("alone", "rolled back")),
)
IN_LINES = tuple(story for name, story in ROUTED.items() if name.endswith(("healthy", "abort at 100")))


@pytest.mark.parametrize("scenario", WHOLE, ids=lambda each: each.name)
def test_the_writes_of_a_release_are_these(scenario: Scenario) -> None:
    as_golden(scenario, "jsonl", [json.dumps(_told(request), sort_keys=True) for request in written(scenario)])


@pytest.mark.parametrize("scenario", IN_LINES, ids=lambda each: each.name)
def test_the_writes_behind_a_router_are_these(scenario: Scenario) -> None:
    as_golden(scenario, "txt", [request.write.summary for request in written(scenario)])


def written(scenario: Scenario) -> list[WriteSlot | WriteObject]:
    """What a release writes beside its record, from its beginning to its end."""
    night = scenario.night()
    night.run(LONGEST)
    requests = [entry.request for entry in night.world.trace if entry.applied]
    return [each for each in requests if isinstance(each, WriteSlot | WriteObject)]


def as_golden(scenario: Scenario, ending: str, lines: list[str]) -> None:
    """Asserts that these lines are those of the golden file."""
    text = "".join(f"{line}\n" for line in lines)
    file = GOLDEN / f"{scenario.name.replace(' ', '-').lower()}.{ending}"
    if os.environ.get("NIGHTFERRY_REWRITE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def _told(request: WriteSlot | WriteObject) -> dict[str, Any]:
    """One write as plain data; annotations of ours are left to the laws."""
    write = request.write
    told: dict[str, Any] = {"what": write.summary}
    match write:
        case PatchSlot():
            sets = {"replicas": write.replicas, "template": _images(write.template), **(write.fields or {})}
            told["spec"] = {key: value for key, value in sets.items() if value is not None or key == "paused"}
        case CreateSlot():
            told["spec"] = {"replicas": write.manifest["spec"]["replicas"]}
        case PatchObject():
            told["patch"] = {key: value for key, value in write.patch.items() if key != "metadata"}
            told["claimed"] = write.patch["metadata"]["annotations"][CLAIM_ANNOTATION] is not None
        case CreateObject():
            manifest = dict(write.manifest)
            metadata = {key: value for key, value in manifest["metadata"].items() if key != "annotations"}
            told["manifest"] = {**manifest, "metadata": metadata}
        case DeleteObject():
            told["delete"] = str(write.ref)
    return told


def _images(template: Any) -> list[str] | None:
    return [each["image"] for each in template["spec"]["containers"]] if template is not None else None
