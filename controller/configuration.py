"""The controller's own configuration: its metric sources, how often it ticks, what it watches and where it listens.

    metrics:
      sources:
        - {name: default, url: "http://prometheus.monitoring:9090", scrapeInterval: 15s, window: 30s}
    endpoints:                 # what webhook gates may call
      - {name: qa-room, url: "https://qa.example/gate", secretFile: /etc/nightferry/qa-room}
    notifiers:                 # who can be told what happens; see docs/notifications.md
      - {name: release-room, webhook: {urlFile: /etc/nightferry/release-room, format: slack}}
      - {name: night-shift, email: {smtp: "mail.example:587", from: nightferry@example.org, to: [shift@example.org]}}
    alerts:                    # what turns releases back from outside; see docs/alerts.md
      alertmanagers: [{name: main, url: "http://alertmanager.monitoring:9093"}]
      watchdog: {alertname: Watchdog}
      listen: 0.0.0.0:8081     # POST /alerts
    tick: 15s
    namespace: shop            # default: the whole cluster
    listen: 0.0.0.0:8080       # /metrics, /healthz, /readyz

A policy names a source or an endpoint and never an address, so nobody who may write a policy can make the controller
call one. Every key is optional. Secrets are named by file and never written here: an address with a user in it is
refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import Field, ValidationError

from controller.addresses import FileName, Listen, Url
from controller.alert_parts import AlertsPart
from controller.alerts.settings import AlertsSettings
from controller.metrics.settings import SourceSettings
from controller.notifier_parts import NotifierPart
from controller.outside.settings import EndpointSettings, NotifierSettings
from controller.settings import Settings, Source
from policies.errors import PolicyError, PolicyRefused, path_text
from policies.model import Part, Problem
from policies.names import DnsLabel, EndpointName, SourceName
from policies.translate import Fault, Path, faults
from policies.values import Duration
from policies.yaml_tree import MOST_BYTES, Tree, YamlReader

DEFAULT_LISTEN = "0.0.0.0:8080"
_NO_ALERTS = AlertsSettings()


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the process is told: its parts by name, seconds between ticks, one namespace or None for all."""

    sources: tuple[SourceSettings, ...] = ()
    endpoints: tuple[EndpointSettings, ...] = ()
    notifiers: tuple[NotifierSettings, ...] = ()
    alerts: AlertsSettings = _NO_ALERTS
    interval: float = 15.0
    namespace: str | None = None
    listen: tuple[str, int] = ("0.0.0.0", 8080)

    @property
    def settings(self) -> Settings:
        """The part of it that a tick knows."""
        sources = {one.name: Source(scrape=one.scrape, window=one.window) for one in self.sources}
        names = frozenset(one.name for one in self.endpoints)
        return Settings(sources=sources, interval=self.interval, endpoints=names, hears=bool(self.alerts.alertmanagers))


class SourcePart(Part):
    """One metric store."""

    name: SourceName = Field(description="The name by which policies call the source.")
    url: Url = Field(description="The base address of its HTTP API.")
    kind: Literal["prometheus"] = Field(default="prometheus", description="What it speaks.")
    scrape_interval: Duration = Field(default=Duration.of("15s"), description="Time between two scrapes of a pod.")
    window: Duration = Field(default=Duration.of("30s"), description="Length of the windows in which gates count.")
    timeout: Duration | None = Field(
        default=None, description="Longest time for one query; default: a third of a tick."
    )
    bearer_token_file: FileName | None = Field(default=None, description="A file with a bearer token.")
    basic_auth_file: FileName | None = Field(default=None, description="A file with user:password.")
    ca_file: FileName | None = Field(default=None, description="A file with the certificates to trust.")
    insecure_skip_verify: bool = Field(default=False, description="Whether any certificate is trusted.")

    def problems(self) -> Iterator[Problem]:
        if self.window.milliseconds < 2 * self.scrape_interval.milliseconds:
            yield Problem(("window",), str(self.window), f"at least two scrapes ({self.scrape_interval} each)")
        if self.timeout is not None and self.timeout.seconds > 30:
            # A tick writes only while it is young, so no single question may use that time up.
            yield Problem(("timeout",), str(self.timeout), "at most 30s")
        if self.bearer_token_file is not None and self.basic_auth_file is not None:
            yield Problem(
                ("basicAuthFile",), "a second kind of credentials", "one of bearerTokenFile and basicAuthFile"
            )
        if self.insecure_skip_verify and self.ca_file is not None:
            yield Problem(("insecureSkipVerify",), "true beside caFile", "one of caFile and insecureSkipVerify")

    def settings(self, folder: FilePath, tick: float) -> SourceSettings:
        """The source as the adapters know it; relative file names count from the configuration's folder."""

        def placed(name: str | None) -> FilePath | None:
            return None if name is None else folder / name

        return SourceSettings(
            name=self.name,
            url=self.url,
            kind=self.kind,
            scrape=self.scrape_interval.seconds,
            window=self.window.seconds,
            timeout=default_timeout(tick) if self.timeout is None else self.timeout.seconds,
            bearer_token_file=placed(self.bearer_token_file),
            basic_auth_file=placed(self.basic_auth_file),
            ca_file=placed(self.ca_file),
            insecure_skip_verify=self.insecure_skip_verify,
        )


class MetricsPart(Part):
    """Where numbers come from."""

    sources: tuple[SourcePart, ...] = Field(default=(), strict=False, description="The metric sources, by name.")

    def problems(self) -> Iterator[Problem]:
        names = [source.name for source in self.sources]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Problem(("sources", index, "name"), f"{name} for a second time", "each name once")


class EndpointPart(Part):
    """One endpoint that webhook gates may call."""

    name: EndpointName = Field(description="The name by which policies call the endpoint.")
    url: Url = Field(description="Where the calls are posted to.")
    secret_file: FileName = Field(description="A file with the secret that signs the calls.")
    timeout: Duration = Field(default=Duration.of("5s"), description="Longest time for one call.")
    ca_file: FileName | None = Field(default=None, description="A file with the certificates to trust.")

    def problems(self) -> Iterator[Problem]:
        if not 0.1 <= self.timeout.seconds <= 10:
            # A tick writes only while it is young, so no single call may use that time up.
            yield Problem(("timeout",), str(self.timeout), "between 100ms and 10s")

    def settings(self, folder: FilePath) -> EndpointSettings:
        """The endpoint as its adapter knows it; relative file names count from the configuration's folder."""
        return EndpointSettings(
            name=self.name,
            url=self.url,
            secret_file=folder / self.secret_file,
            timeout=self.timeout.seconds,
            ca_file=None if self.ca_file is None else folder / self.ca_file,
        )


class ConfigurationPart(Part):
    """The file as a whole."""

    metrics: MetricsPart = Field(default=MetricsPart(), description="The metric sources.")
    endpoints: tuple[EndpointPart, ...] = Field(
        default=(), strict=False, description="The endpoints that webhook gates may call, by name."
    )
    alerts: AlertsPart = Field(default=AlertsPart(), description="Alerts that turn releases back.")
    notifiers: tuple[NotifierPart, ...] = Field(
        default=(), strict=False, description="Who can be told what happens to releases, by name."
    )
    tick: Duration = Field(default=Duration.of("15s"), description="Time between two looks at an active release.")
    namespace: DnsLabel | None = Field(default=None, description="The only namespace to watch; default: all.")
    listen: Listen = Field(default=DEFAULT_LISTEN, description="Where to listen.")

    def problems(self) -> Iterator[Problem]:
        if not 0.2 <= self.tick.seconds <= 300:
            yield Problem(("tick",), str(self.tick), "between 200ms and 5m")
        for key, named in (("endpoints", self.endpoints), ("notifiers", self.notifiers)):
            names = [one.name for one in named]
            for index, name in enumerate(names):
                if name in names[:index]:
                    yield Problem((key, index, "name"), f"{name} for a second time", "each name once")


def default_timeout(tick: float) -> float:
    """Seconds for one query where none are configured: a third of a tick, since a tick asks several in a row."""
    return min(10.0, max(1.0, tick / 3))


def read_configuration(file: str | os.PathLike[str]) -> Configuration:
    """The configuration in a YAML file. Raises `PolicyRefused` with one line `file:line:column: error: ...` a fault."""
    name = os.fspath(file)
    try:
        with open(name, "rb") as stream:
            text = stream.read(MOST_BYTES + 1).decode("utf-8")
    except OSError as error:
        message = f"found no readable file ({error.strerror}); allowed: a YAML file"
        raise PolicyRefused([PolicyError(name, 1, 1, "document", message)]) from None
    except UnicodeDecodeError:
        message = "found bytes that are not UTF-8; allowed: a YAML file"
        raise PolicyRefused([PolicyError(name, 1, 1, "document", message)]) from None
    return configuration_from_text(text, name)


def configuration_from_text(text: str, file: str = "<text>") -> Configuration:
    """The configuration in a YAML text; an empty one is all defaults. Raises `PolicyRefused`."""
    reader = YamlReader(file)
    trees = reader.read(text)
    errors = list(reader.errors)
    if len(trees) > 1:
        mark = trees[1].start
        errors.append(PolicyError(file, mark.line, mark.column, "document", "found a second document; allowed: one"))
    tree = trees[0] if trees else Tree(data={})
    part: ConfigurationPart | None = None
    found = list(_nulls((), tree.data))
    try:
        part = ConfigurationPart.model_validate(tree.data)
    except ValidationError as error:
        known = {fault.path for fault in found}
        found += [one for one in faults(ConfigurationPart, error, tree.data, tree.raw) if one.path not in known]
    for fault in found:
        if not any(fault.path[: len(path)] == path for path in tree.broken):
            errors.append(_placed(fault, tree, file))
    if errors or part is None:
        raise PolicyRefused(sorted(errors, key=lambda error: (error.line, error.column)))
    return _built(part, FilePath(file).parent)


def default_configuration(prometheus: str | None = None) -> Configuration:
    """The configuration without a file: one source named default where an address is given.

    Raises `PolicyRefused` for an address that is none.
    """
    data: Mapping[str, Any] = {"metrics": {"sources": [{"name": "default", "url": prometheus}] if prometheus else []}}
    try:
        return _built(ConfigurationPart.model_validate(data), FilePath())
    except ValidationError as error:
        found = faults(ConfigurationPart, error, data, {})
        raise PolicyRefused(PolicyError("--prometheus", 0, 0, "url", fault.message) for fault in found) from None


def _nulls(path: Path, data: Any) -> Iterator[Fault]:
    """Keys without a value. A template that left `namespace:` empty did not mean the whole cluster."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _nulls((*path, key), value)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _nulls((*path, index), value)
    elif data is None:
        yield Fault(path, "found nothing (null); allowed: a value, or no such key")


def _placed(fault: Fault, tree: Tree, file: str) -> PolicyError:
    mark = tree.place(fault.path, on_key=fault.on_key)
    return PolicyError(file, mark.line, mark.column, path_text(fault.path), fault.message)


def _built(part: ConfigurationPart, folder: FilePath) -> Configuration:
    tick = part.tick.seconds
    host, _, port = part.listen.rpartition(":")
    return Configuration(
        sources=tuple(source.settings(folder, tick) for source in part.metrics.sources),
        endpoints=tuple(endpoint.settings(folder) for endpoint in part.endpoints),
        alerts=part.alerts.settings(folder),
        notifiers=tuple(notifier.settings(folder) for notifier in part.notifiers),
        interval=tick,
        namespace=part.namespace,
        listen=(host.strip("[]") or "0.0.0.0", int(port)),
    )
