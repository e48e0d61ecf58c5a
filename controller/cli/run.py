"""`nightferry run`: the controller itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options

if TYPE_CHECKING:
    from controller.configuration import Configuration


def run(
    context: typer.Context,
    policies: Annotated[
        Path | None,
        typer.Option("--policies", metavar="DIR", help="Apply the policies and trains of a folder; never deletes."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="The controller's own YAML.")] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", metavar="URL", help="The metric source named default.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NS", help="Watch one namespace only; default: all.")
    ] = None,
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="TIME", help="Between two looks at a release; default: 15s.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="[HOST]:PORT", help="/metrics, /healthz, /readyz; default: 0.0.0.0:8080."),
    ] = None,
    kubeconfig: options.Kubeconfig = None,
    kube_context: Annotated[
        str | None, typer.Option("--context", metavar="NAME", help="A context of the kubeconfig.")
    ] = None,
) -> None:
    """Run the controller: watch the cluster, move releases forward, and turn them back."""
    from controller.cli.ends import Refusal
    from controller.cli.process import Process, run
    from controller.cluster.login import ConnectionSetupError, connect, kubeconfig_namespace
    from controller.loop import SystemClock

    configuration = _configured(config, prometheus, namespace, interval, listen)
    if policies is not None and not policies.is_dir():
        raise Refusal(f"--policies {policies}: not a folder")
    clock = SystemClock()
    try:
        connection = connect(clock, kubeconfig=kubeconfig, context=kube_context)
    except ConnectionSetupError as error:
        raise Refusal(str(error)) from None
    try:
        home = configuration.namespace or kubeconfig_namespace(kubeconfig, kube_context)
    except ConnectionSetupError:
        home = "default"  # in a pod without a kubeconfig
    run(Process(configuration, policies, home, debug=bool(context.obj)), connection, clock)


def _configured(
    config: Path | None, prometheus: str | None, namespace: str | None, interval: str | None, listen: str | None
) -> Configuration:
    """The file's configuration, with what the flags say instead of it. Raises Refusal."""
    from dataclasses import replace

    from controller.cli.access import legal_namespace
    from controller.cli.ends import Refusal
    from controller.configuration import default_configuration, read_configuration
    from policies.load import PolicyRefused

    try:
        found = read_configuration(config) if config is not None else default_configuration(prometheus)
        if config is not None and prometheus is not None:
            found = replace(
                found,
                sources=(
                    *default_configuration(prometheus).sources,
                    *(source for source in found.sources if source.name != "default"),
                ),
            )
    except PolicyRefused as error:
        raise Refusal(*map(str, error.errors)) from None
    if namespace is not None:
        found = replace(found, namespace=legal_namespace(namespace))
    if interval is not None:
        found = replace(found, interval=_interval(interval))
    if listen is not None:
        found = replace(found, listen=_address(listen))
    return found


def _interval(text: str) -> float:
    from controller.cli.ends import Refusal
    from policies.values import Duration

    try:
        seconds = float(Duration.of(text).seconds)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 300.0:
        raise Refusal(f"--interval: found '{text}'; allowed: a time between 200ms and 5m")
    return seconds


def _address(text: str) -> tuple[str, int]:
    """Host and port; port 0 takes a free one, which the log names."""
    from controller.cli.ends import Refusal

    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Refusal(f"--listen: found '{text}'; allowed: [HOST]:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)
