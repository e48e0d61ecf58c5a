"""The reference page of the policy file and of releases, made from the models and from nothing else."""

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from policies import names
from policies.batches import BatchPlan
from policies.model import NOT_AVAILABLE, Part
from policies.openapi import inline
from policies.outside import At
from policies.query import Query
from policies.release import Release, ReleaseSpec
from policies.schema import ReleasePolicy, ReleasePolicySpec
from policies.selector import Selector
from policies.status import ReleaseStatus, ReleaseTrainStatus
from policies.train import ReleaseTrainSpec
from policies.translate import aliases, inner
from policies.values import Amount, Bound, Duration, Percent, Tolerance, Wait, Written
from policies.windows import Day, Days, Instant, TimeOfDay

_WORDS: dict[type[Any], str] = {
    Selector: "selector",
    Query: "query",
    Bound: "percent, or number",
    BatchPlan: "number, or list of pods or percents",
    Amount: "pods or percent",
    At: "stages",
    Duration: "duration",
    Wait: "duration, or 0s",
    Percent: "percent",
    Tolerance: "margin",
    Days: "weekdays",
    TimeOfDay: "time of day",
    Day: "date",
    Instant: "time",
    str: "text",
    int: "whole number",
    bool: "true or false",
}

_HEAD = """# Policy reference

Made by `python -m policies` from the schema in `policies/`. Do not edit.

One schema yields the parser, the CustomResourceDefinitions (`manifests/crds`), the JSON Schema for editors
(`manifests/schema`) and this page; `kubectl explain releasepolicy.spec` shows the same words.
"""

_VALUES = """## How values are written

| value | written | notes |
| --- | --- | --- |
| duration | `300ms`, `30s`, `10m`, `4h`, `1h30m` | text with units, longer than 0, at most 30d |
| percent | `5%`, `0.5%` | above 0%, at most 100%, at most four decimals |
| pods or percent | `2`, `25%` | a percent of the desired pods; rounded up, for maxUnavailable rounded down |
| stages | `canary`, `everyStage`, `[canary, 2]` | 0 is the first stage; merged stages count as one |
| margin | `1.25x`, `0.2pp` | a ratio above 1x and at most 10x, or percentage points (errorRatio only) |
| selector | `http_requests_total{code=~"5.."}` | PromQL: a metric name and matchers; no function, range, offset, @ |
| query | `go_goroutines{pod="$pods"}` | PromQL with the place of the pods marked; one series per pod; see below |

A query marks the place of the pods with the matcher `pod="$pods"` (with the label that `metrics.pod` names) in every
selector that reads them, and may mark the namespace with `namespace="$namespace"`. The query is parsed and the matcher
replaced in its syntax tree; a mark anywhere else is refused. What aggregates must keep the pod: `sum by (pod) (...)`.

Names are DNS-1123 names. Unknown keys, duplicate keys, anchors and aliases, tags, empty values, nesting deeper than 32
and files above 256 KiB are refused. Scalars follow YAML 1.2: `22:30` and `no` are texts, and `010` is refused.

Where a policy is judged: by `nightferry validate`, with file, line and column; by kubectl and the API server, from the
CRD; and by the controller, which refuses what a CRD cannot say and shows it in the condition `Ready`. One thing only
the first two can see: a field that no version knows, in an object written past the validation of kubectl
(`--validate=false`, a raw patch), is dropped by the API server before the controller reads it.
"""


def page() -> str:
    """The text of docs/policy-reference.md."""
    root = Path(__file__).parent / "examples"
    parts = [
        _HEAD,
        "## The shortest policy\n\n```yaml\n" + (root / "quickstart.yaml").read_text(encoding="utf-8") + "```\n",
        _VALUES,
        f"The name of a Deployment has at most {names.LONGEST_DEPLOYMENT} characters: pods of `<name>-twin` would else "
        "lose a part of the name\nof their ReplicaSet, by which the metrics of the two versions are told apart.\n",
        "## ReleasePolicy\n\n" + _table(ReleasePolicySpec, "spec"),
        "## Release\n\nExactly one origin of change: `images`, `template`, `env` or `config` (also together); or "
        "`rollbackOf`; or `restoreOf`.\n\n" + _table(ReleaseSpec, "spec"),
        "## ReleaseTrain\n\n```yaml\n"
        + (root / "train.yaml").read_text(encoding="utf-8")
        + "```\n\n"
        + _table(ReleaseTrainSpec, "spec"),
        "## Status of a Release\n\nWritten by the controller.\n\n" + _table(ReleaseStatus, "status"),
        "## Status of a ReleaseTrain\n\nWritten by the controller, and by nobody else.\n\n"
        + _table(ReleaseTrainStatus, "status"),
        "## Every field in one file\n\n```yaml\n" + (root / "twin.yaml").read_text(encoding="utf-8") + "```\n",
        _later(),
    ]
    return "\n".join(parts)


def _table(model: type[Part], root: str) -> str:
    rows = ["| field | value | default | meaning |", "| --- | --- | --- | --- |"]
    for row in _rows(model, root):
        cells = [cell.replace("|", "\\|") for cell in row]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _rows(model: type[Part], path: str) -> Iterator[tuple[str, str, str, str]]:
    for alias, name in aliases(model).items():
        if alias in model.later:
            continue
        field = model.model_fields[name]
        here = f"{path}.{alias}"
        held, value, suffix = _value(field.annotation)
        default = "required" if field.is_required() else _default(field.default)
        yield f"`{here}`", value, default, " ".join((field.description or "").split())
        if held is not None:
            yield from _rows(held, here + suffix)


def _value(annotation: Any) -> tuple[type[Part] | None, str, str]:
    """The model inside an annotation (or None), the annotation in words, and what to add to the path."""
    held = inner(annotation)
    origin, arguments = typing.get_origin(held), typing.get_args(held)
    if origin is typing.Literal:
        return None, ", ".join(f"`{word}`" for word in arguments), ""
    if origin is tuple:
        part, value, _ = _value(arguments[0])
        return part, f"list of {value}", "[]"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if arguments[1] is Any:
            return None, "mapping", ""
        part, value, _ = _value(arguments[1])
        return part, f"mapping to {value}", ""
    if isinstance(held, type) and issubclass(held, Part):
        return held, "mapping", ""
    return None, _WORDS[held], ""


def _default(value: Any) -> str:
    if value is None or value in ({}, ()) or isinstance(value, Part):
        return ""
    return f"`{inline(value.written() if isinstance(value, Written) else value)}`"


def _later() -> str:
    rows = ["## Not yet\n", f'These are refused as "{NOT_AVAILABLE}", so that nobody relies on what is not kept:\n']
    rows += [f"- {line}" for line in [*_later_of(ReleasePolicy, ""), *_later_of(Release, "")]]
    return "\n".join(rows) + "\n"


def _later_of(model: type[Part], path: str) -> Iterator[str]:
    for key, words in model.later.items():
        yield f"`{path}{key}`: {words}"
    for alias, name in aliases(model).items():
        held, _, suffix = _value(model.model_fields[name].annotation)
        if held is not None and alias not in model.later:
            yield from _later_of(held, f"{path}{alias}{suffix}.")
