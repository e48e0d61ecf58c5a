"""Debian's Alertmanager with one receiver: the controller of a story, or an address where nobody listens."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from tests.cluster.bed.processes import free_port, last_lines, start_child, stop_child

READY_WITHIN = 60.0


class Alertmanager:
    """One server on a port that it keeps over restarts; it posts to `webhook` with the bearer token `token`."""

    def __init__(self, program: Path, folder: Path, *, webhook: str, token: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # JSON is YAML, so the file needs no YAML writer.
        (folder / "alertmanager.yml").write_text(json.dumps(_configuration(webhook, token), indent=1))

    def start(self) -> None:
        """Starts the server and waits until it answers. Raises RuntimeError when it does not."""
        command: list[str | Path] = [
            self._program,
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            "--log.level=info",
        ]
        self._child = start_child(command, log=self._folder / "alertmanager.log")
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"alertmanager did not start:\n{last_lines(self._folder / 'alertmanager.log')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops the server; its silences and its port stay for the next start."""
        if self._child is not None:
            stop_child(self._child)
            self._child = None

    def fires(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Alerts arrive as a Prometheus sends them: dicts with labels, and perhaps annotations, startsAt, endsAt."""
        for first in range(0, len(alerts), 500):
            self._send("POST", "/api/v2/alerts", list(alerts[first : first + 500]))

    def firing(self, **labels: str) -> list[dict[str, Any]]:
        """What its API says fires with these labels."""
        fields = [("filter", f'{name}="{value}"') for name, value in labels.items()]
        answer = urllib3.request("GET", f"{self.url}/api/v2/alerts", fields=fields, timeout=60.0)
        found: list[dict[str, Any]] = answer.json()
        return found

    def silences(self, **labels: str) -> None:
        """Somebody silences what carries these labels, for an hour."""
        matchers = [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in labels.items()]
        now = time.time()
        told = {"createdBy": "alice", "comment": "known", "startsAt": stamp(now), "endsAt": stamp(now + 3600.0)}
        self._send("POST", "/api/v2/silences", {"matchers": matchers, **told})

    def _send(self, method: str, path: str, body: Any) -> None:
        answer = urllib3.request(method, f"{self.url}{path}", json=body, timeout=60.0)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data.decode()[:300]}")

    def _is_ready(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/-/ready", timeout=2.0, retries=False).status == 200
        except (urllib3.exceptions.HTTPError, OSError):
            return False


def stamp(at: float) -> str:
    """Epoch seconds as Alertmanager writes times."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _configuration(webhook: str, token: str) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "nightferry",
            "group_by": ["alertname", "service"],
            "group_wait": "200ms",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [
            {
                "name": "nightferry",
                "webhook_configs": [
                    {
                        "url": webhook,
                        "send_resolved": True,
                        "max_alerts": 500,
                        "http_config": {"authorization": {"credentials": token}},
                    }
                ],
            }
        ],
    }
