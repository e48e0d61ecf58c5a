"""`nightferry learn`: what history teaches about a policy's gates, told, drawn, and on request kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import learn_past, options, stores

if TYPE_CHECKING:
    from rich.console import Console

    from controller.baseline import Baseline
    from controller.cli.access import Access
    from controller.cli.learn_past import Question


def learn(
    policy: learn_past.PolicyName,
    policies: learn_past.Policies = None,
    prometheus: stores.PrometheusUrl = None,
    config: stores.Config = None,
    json: learn_past.Json = False,
    plot: learn_past.Plot = None,
    save: Annotated[bool, typer.Option("--save", help="Write the Baseline object into the cluster.")] = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Learn a policy's gates from the metric store's history and say what was learned.

    Exit code 0: at least one gate was learned; 2: none was, and each says why.
    """
    from analysis.learned import NotLearned
    from controller.cli import ends
    from controller.cli.ends import Refusal
    from controller.cli.learn_past import draw, gathered, may_draw, question, studied
    from controller.cli.screen import say, warn

    may_draw(plot)
    asked = question(policy, policies, prometheus, config, namespace, kubeconfig, context)
    if save and asked.access is None:
        raise Refusal("--save needs the cluster's own policy: leave --policies out and name the policy")
    if save:
        _may_keep(asked)
    found = gathered(asked)
    baseline = studied(asked, found).baseline
    if json:
        _print_json(asked, baseline)
    else:
        _tell(asked, baseline)
    if plot is not None:
        from controller.cli.learn_pictures import picture

        try:
            draw(picture(found, baseline, asked.policy.name), plot)
        except ValueError:
            warn("nightferry: nothing was drawn: no gate has a series")
    if all(isinstance(one, NotLearned) for one in baseline.gates.values()):
        warn("nightferry: no gate could be learned")
        raise typer.Exit(ends.REFUSED)
    if save and asked.access is not None:
        _keep(asked.access, asked, baseline)
        if not json:
            say(f"baseline {asked.policy.name} was written")


def _print_json(asked: Question, baseline: Baseline) -> None:
    import json

    from controller.cli.learn_told import to_json

    print(json.dumps(to_json(baseline, asked.policy, asked.namespace), indent=2, ensure_ascii=False))


def _tell(asked: Question, baseline: Baseline) -> None:
    from controller.cli.learn_told import excluded_lines, gate_facts, headline
    from controller.cli.screen import console, say

    say(headline(baseline, asked.policy, asked.namespace))
    for line in excluded_lines(baseline):
        say(line)
    screen = console()
    for gate in asked.policy.spec.learnable:
        watched = "" if gate.required else ", watched only"
        say(f"\ngate {gate.name} ({gate.kind}{watched})")
        print_facts(screen, gate_facts(gate, baseline))


def print_facts(screen: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Names and values below each other, indented."""
    from rich.padding import Padding
    from rich.table import Table

    from controller.cli.screen import print_plain

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=14)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    print_plain(screen, Padding(table, (0, 0, 0, 2)))


def _may_keep(asked: Question) -> None:
    """Refuses while a release is under way: its thresholds are a promise about all of its looks together."""
    from controller.cli.access import ended, name_of, phase
    from controller.cli.ends import Refusal

    moving = [one for one in asked.releases if not ended(one) and phase(one) != "Queued"]
    if moving:
        raise Refusal(f"release {name_of(moving[0])} is under way, and its thresholds stay as they were; learn later")


def _keep(access: Access, asked: Question, baseline: Baseline) -> None:
    """Writes the object over whatever is there. Raises Refusal when somebody else wrote in between."""
    import msgspec

    from controller.baseline import to_object
    from controller.cli.ends import Refusal, Unanswered
    from controller.cluster.connection import JSON, MERGE_PATCH
    from controller.cluster.paths import BASELINES
    from controller.requests.failure import Failure, FailureKind

    item = BASELINES.item(asked.namespace, asked.policy.name)
    answer = access.connection.request("GET", item)
    version = ""
    if not isinstance(answer, Failure):
        version = str(msgspec.json.decode(answer)["metadata"]["resourceVersion"])
    elif answer.kind is not FailureKind.ABSENT:
        raise Unanswered(answer.message)
    manifest = to_object(
        baseline,
        namespace=asked.namespace,
        name=asked.policy.name,
        policy_uid=asked.uid,
        resource_version=version,
    )
    query = (("fieldManager", "nightferry-cli"),)
    if version:
        answer = access.connection.request("PATCH", item, query=query, body=manifest, content_type=MERGE_PATCH)
    else:
        collection = BASELINES.collection(asked.namespace)
        answer = access.connection.request("POST", collection, query=query, body=manifest, content_type=JSON)
    if isinstance(answer, Failure):
        if answer.kind in (FailureKind.CONFLICT, FailureKind.EXISTS):
            raise Refusal("the baseline was written by somebody else in between; look at it, and learn again")
        if answer.kind is FailureKind.NO_KIND:
            raise Refusal("this cluster does not know Baseline: apply manifests/crds first")
        raise Unanswered(answer.message)
