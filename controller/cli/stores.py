"""The metric store that a command asks: from a flag, or by its name from the controller's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controller.metrics.settings import SourceSettings

PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus", metavar="URL", help="The metric store; stands in for the policy's source.")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The controller's own YAML, with its metric sources."),
]


def source_named(name: str, prometheus: str | None, config: Path | None) -> SourceSettings:
    """Where a policy's source is. Raises Refusal where nothing says so."""
    from dataclasses import replace

    from controller.cli.ends import Refusal
    from controller.configuration import default_configuration, read_configuration
    from policies.load import PolicyRefused

    if prometheus is None and config is None:
        raise Refusal("no metric store: say --prometheus URL, or --config FILE with the controller's sources")
    try:
        if prometheus is not None:
            return replace(default_configuration(prometheus).sources[0], name=name)
        assert config is not None
        sources = read_configuration(config).sources
    except PolicyRefused as error:
        raise Refusal(*map(str, error.errors)) from None
    for source in sources:
        if source.name == name:
            return source
    known = ", ".join(source.name for source in sources) or "none"
    raise Refusal(f"{config}: no metric source is named {name}; configured: {known}")


def home_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The kubeconfig's namespace; `default` where there is no kubeconfig, for these commands need no cluster."""
    from controller.cluster.login import ConnectionSetupError, kubeconfig_namespace

    try:
        return kubeconfig_namespace(kubeconfig, context)
    except ConnectionSetupError:
        return "default"
