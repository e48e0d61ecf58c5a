"""`nightferry suggest`: looks at what a metric store has of an app and prints a policy whose gates fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import options, stores

if TYPE_CHECKING:
    from controller.cli.suggest_gates import Metric, Suggestion
    from controller.cli.suggest_look import Labels, Look


def suggest(
    app: Annotated[str, typer.Argument(metavar="APP", help="The app: the name of its Deployment.")],
    prometheus: stores.PrometheusUrl = None,
    config: stores.Config = None,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="With --config: which of its metric sources.")
    ] = "default",
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: the policy, its sources and notes.")] = False,
) -> None:
    """Look at an app's metrics and print a policy with gates that fit. Asks the metric store only; writes nothing."""
    from controller.cli.access import legal_namespace
    from controller.cli.ends import Refusal
    from controller.cli.screen import say
    from controller.cli.stores import home_namespace, source_named
    from controller.cli.suggest_gates import suggested
    from controller.cli.suggest_look import Look
    from controller.loop import SystemClock
    from controller.metrics.transport import Transport
    from policies.errors import shown
    from policies.names import dns_label

    try:
        dns_label(app)
    except ValueError:
        raise Refusal(f"APP: found {shown(app)}; allowed: the name of a Deployment, such as checkout") from None
    where = legal_namespace(namespace) if namespace is not None else home_namespace(kubeconfig, context)
    settings = source_named(source, prometheus, config)
    clock = SystemClock()
    look = Look(Transport(settings, clock), where, (app, f"{app}-twin"), clock.now())
    labels, names = look.names()
    found = suggested(_Shelf(look, labels, frozenset(names)), pod=labels.pod)
    if not found.gates:
        told = f"{len(names)} metrics of {app} were seen, none of a kind that a gate compares"
        raise Refusal(*(f"{told}: {note}" for note in found.notes or ("see policies/presets for what is known",)))
    policy = _policy(app, where, source, labels, found)
    text = _yaml(policy, found)
    if json:
        import json as writer

        print(
            writer.dumps(
                {"policy": policy, "sources": list(found.sources), "notes": list(found.notes)},
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        say(text)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """A look as the choice of gates sees it."""

    look: Look
    labels: Labels
    known: frozenset[str]

    def names(self) -> frozenset[str]:
        return self.known

    def metric(self, name: str) -> Metric:
        return self.look.found(self.labels, name)


def _policy(app: str, namespace: str, source: str, labels: Labels, found: Suggestion) -> dict[str, Any]:
    """The policy as plain data; what is not said has its default."""
    metrics = {
        key: value
        for key, value, usual in (
            ("source", source, "default"),
            ("pod", labels.pod, "pod"),
            ("namespace", labels.namespace, "namespace"),
        )
        if value != usual
    }
    spec: dict[str, Any] = {"target": {"deployment": app}, "strategy": {"rolling": {"canary": 1, "batches": 4}}}
    if metrics:
        spec["metrics"] = metrics
    spec["gates"] = [dict(gate) for gate in found.gates]
    return {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": app, "namespace": namespace},
        "spec": spec,
    }


def _yaml(policy: Mapping[str, Any], found: Suggestion) -> str:
    """The policy as a file, with where its gates come from. It was read back before anybody sees it."""
    import yaml

    from policies.load import load_text

    comments = [f"# from {source}" for source in found.sources] + [f"# note: {note}" for note in found.notes]
    text = yaml.safe_dump(dict(policy), sort_keys=False, width=1000, allow_unicode=True).rstrip("\n")
    load_text(text)
    return "\n".join([*comments, text])
