"""The exact writes of whole blueGreen and recreate releases, in order: golden plans that a reviewer can read.

`NIGHTFERRY_REWRITE=1 pytest tests/kernel/test_switch_golden.py` writes them anew; then review the diff.
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
from controller.simulation.world import Trace
from tests.kernel.strikes import LONGEST
from tests.kernel.switch_scenarios import SWITCHED

GOLDEN = Path(__file__).parents[1] / "golden" / "plans"
STORIES = ("blueGreen healthy", "blueGreen abort in keep", "recreate healthy", "recreate regression")


def written(entry: Trace) -> dict[str, Any] | None:
    """One write as plain data; annotations of ours are left to the laws."""
    request = entry.request
    if not isinstance(request, WriteSlot | WriteObject):
        return None
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


@pytest.mark.parametrize("name", STORIES)
def test_the_writes_of_a_release_are_these(name: str) -> None:
    night = SWITCHED[name].night()
    night.run(LONGEST)
    writes = [told for entry in night.world.trace if entry.applied and (told := written(entry)) is not None]
    text = "".join(json.dumps(each, sort_keys=True) + "\n" for each in writes)
    file = GOLDEN / f"{name.replace(' ', '-').lower()}.jsonl"
    if os.environ.get("NIGHTFERRY_REWRITE"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
