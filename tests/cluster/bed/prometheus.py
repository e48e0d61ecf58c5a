"""Debian's Prometheus, scraping the pods every second; it can be stopped and started again with its history.

Debian builds it without Kubernetes discovery, so the kubelet writes target files, labelled as real discovery would.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from tests.cluster.bed.processes import free_port, last_lines, start_child, stop_child

READY_WITHIN = 60.0


class Prometheus:
    """One Prometheus server on a port that it keeps over restarts.

    It scrapes the pods of the target files that match `pattern` in the folder `targets`. `retention`: how long it
    remembers, in its own words. `more`: further parts of its configuration, such as rules and Alertmanagers.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        *,
        targets: Path,
        pattern: str = "*.json",
        retention: str = "15d",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._folder = folder
        self._retention = retention
        self._child: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # JSON is YAML, so the file needs no YAML writer.
        configuration = {**_configuration(str(targets / pattern)), **(more or {})}
        (folder / "prometheus.yml").write_text(json.dumps(configuration, indent=1))

    @property
    def data(self) -> Path:
        """The folder of its blocks; what lies there before the start is its past."""
        return self._folder / "data"

    def start(self) -> None:
        """Starts the server and waits until it answers queries. Raises RuntimeError when it does not.

        It dies with the calling thread.
        """
        command: list[str | Path] = [
            self._program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.data}",
            f"--storage.tsdb.retention.time={self._retention}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--scrape.discovery-reload-interval=1s",
            "--rules.alert.resend-delay=1s",  # it finds its Alertmanager after its rules have fired first
            "--log.level=warn",
        ]
        self._child = start_child(command, log=self._folder / "prometheus.log")
        deadline = time.monotonic() + READY_WITHIN
        while not _is_ready(self.url):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"prometheus did not start:\n{last_lines(self._folder / 'prometheus.log')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops the server; its data and port stay for the next start."""
        if self._child is not None:
            stop_child(self._child)
            self._child = None

    @property
    def is_running(self) -> bool:
        """Whether this object's server process runs."""
        return self._child is not None and self._child.poll() is None


def query(url: str, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
    """The result of an instant query at a Prometheus URL, of now or of an instant in epoch seconds.

    Raises RuntimeError for an answer that is no success.
    """
    form = urlencode({"query": expression} | ({} if at is None else {"time": f"{at:.3f}"}))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = urllib3.request("POST", f"{url}/api/v1/query", body=form, headers=headers, timeout=60.0)
    decoded = answer.json()
    if decoded.get("status") != "success":
        raise RuntimeError(f"{expression}: {decoded}")
    result: list[dict[str, Any]] = decoded["data"]["result"]
    return result


def _configuration(files: str) -> dict[str, Any]:
    # Counts of the edge know versions and no pods.
    edge = {"source_labels": ["__name__"], "regex": "edge_.*", "target_label": "pod", "replacement": ""}
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "file_sd_configs": [{"files": [files], "refresh_interval": "1s"}],
                "metric_relabel_configs": [edge],
            },
        ],
    }


def _is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/-/ready", timeout=2.0, retries=False).status == 200
    except (urllib3.exceptions.HTTPError, OSError):
        return False
