"""The part of the controller's configuration about alerts: who knows what fires, and where posts come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from controller.addresses import FileName, Listen, Url
from controller.alerts.settings import AlertmanagerSettings, AlertsSettings
from policies.alerts import LabelValue
from policies.model import Part, Problem
from policies.names import DnsLabel, MetricLabel
from policies.values import Duration


class AlertmanagerPart(Part):
    """One Alertmanager."""

    name: DnsLabel = Field(description="What messages call it.")
    url: Url = Field(description="Its base address, such as http://alertmanager.monitoring:9093.")
    timeout: Duration = Field(default=Duration.of("5s"), description="Longest time for one question.")
    bearer_token_file: FileName | None = Field(default=None, description="A file with a bearer token.")
    basic_auth_file: FileName | None = Field(default=None, description="A file with user:password.")
    ca_file: FileName | None = Field(default=None, description="A file with the certificates to trust.")
    insecure_skip_verify: bool = Field(default=False, description="Whether any certificate is trusted.")

    def problems(self) -> Iterator[Problem]:
        if not 0.1 <= self.timeout.seconds <= 8:
            # The second reading comes after the last look at the cluster, and a write rests on that for 10 s at most.
            yield Problem(("timeout",), str(self.timeout), "between 100ms and 8s")
        if self.bearer_token_file is not None and self.basic_auth_file is not None:
            yield Problem(
                ("basicAuthFile",), "a second kind of credentials", "one of bearerTokenFile and basicAuthFile"
            )
        if self.insecure_skip_verify and self.ca_file is not None:
            yield Problem(("insecureSkipVerify",), "true beside caFile", "one of caFile and insecureSkipVerify")

    def settings(self, folder: Path) -> AlertmanagerSettings:
        """As its adapter knows it; relative file names count from the configuration's folder."""

        def placed(name: str | None) -> Path | None:
            return None if name is None else folder / name

        return AlertmanagerSettings(
            name=self.name,
            url=self.url,
            timeout=self.timeout.seconds,
            bearer_token_file=placed(self.bearer_token_file),
            basic_auth_file=placed(self.basic_auth_file),
            ca_file=placed(self.ca_file),
            insecure_skip_verify=self.insecure_skip_verify,
        )


class AlertsPart(Part):
    """Alerts that turn releases back."""

    alertmanagers: tuple[AlertmanagerPart, ...] = Field(
        default=(), strict=False, max_length=8, description="Every Alertmanager of the house: each has all alerts."
    )
    watchdog: Mapping[MetricLabel, LabelValue] | None = Field(
        default=None,
        description="Labels of an alert that always fires, such as {alertname: Watchdog}: where it is missing, nothing "
        "is known. Default: an Alertmanager without alerts is believed.",
    )
    listen: Listen | None = Field(
        default=None, description="Where Alertmanager's posts come in (POST /alerts). Default: nowhere."
    )
    cert_file: FileName | None = Field(default=None, description="A file with the listener's certificate.")
    key_file: FileName | None = Field(default=None, description="A file with the certificate's key.")

    def problems(self) -> Iterator[Problem]:
        names = [one.name for one in self.alertmanagers]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Problem(("alertmanagers", index, "name"), f"{name} for a second time", "each name once")
        if self.watchdog is not None and not self.watchdog:
            yield Problem(("watchdog",), "no label", "at least one label: value, such as alertname: Watchdog")
        if not self.alertmanagers and (self.listen is not None or self.watchdog is not None):
            yield Problem(("alertmanagers",), "none", "at least one: a post by itself proves nothing")
        if (self.cert_file is None) != (self.key_file is None):
            given, lacking = ("certFile", "keyFile") if self.key_file is None else ("keyFile", "certFile")
            yield Problem((given,), f"{given} alone", f"{given} and {lacking} together")
        if self.cert_file is not None and self.listen is None:
            yield Problem(("certFile",), "certFile without listen", "certFile beside listen")

    def settings(self, folder: Path) -> AlertsSettings:
        """As the adapters know it."""
        host, _, port = (self.listen or "").rpartition(":")
        return AlertsSettings(
            alertmanagers=tuple(one.settings(folder) for one in self.alertmanagers),
            watchdog=tuple(sorted((self.watchdog or {}).items())),
            listen=(host.strip("[]") or "0.0.0.0", int(port)) if self.listen is not None else None,
            cert_file=None if self.cert_file is None else folder / self.cert_file,
            key_file=None if self.key_file is None else folder / self.key_file,
        )
