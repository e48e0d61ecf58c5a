"""The controller as a process of its own: what it refuses at the door, and how it ends when it is asked to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.controller.apiserver import ApiServer
from tests.controller.process.apps import eventually
from tests.stalls import stalls

ROOT = Path(__file__).resolve().parents[3]
POLICY = {
    "apiVersion": "nightferry.dev/v1alpha1",
    "kind": "ReleasePolicy",
    "spec": {
        "target": {"deployment": "checkout"},
        "strategy": {"twin": {"canary": 1, "batches": 4}},
        "gates": [{"name": "errors", "errorRatio": {"errors": "errors_total", "requests": "requests_total"}}],
    },
}


class Running:
    """A process under test, with the lines that it has logged."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.lines: list[dict[str, Any]] = []
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.text += line
            self.lines.append(json.loads(line))

    def event(self, name: str) -> dict[str, Any]:
        """Waits for a line of the log."""
        eventually(lambda: any(line["event"] == name for line in self.lines), within=60.0)
        return next(line for line in self.lines if line["event"] == name)

    def page(self, path: str) -> tuple[int, str]:
        """A page of the process."""
        port = self.event("starting")["port"]
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", timeout=30.0, retries=False)
        return answer.status, answer.data.decode()

    def ends(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Sends a signal -> exit code, and seconds until the end, but for those in which the machine stood still."""
        with stalls() as stalled:
            began = time.monotonic()
            self.child.send_signal(number)
            return self.child.wait(60), time.monotonic() - began - stalled()


Starts = Callable[..., Running]


@pytest.fixture
def starts(api: ApiServer, tmp_path: Path) -> Iterator[Starts]:
    """Starts `nightferry run` against the small API server."""
    found: list[Running] = []

    def start(*arguments: str) -> Running:
        kubeconfig = str(api.kubeconfig(tmp_path / "kubeconfig"))
        command = [sys.executable, "-m", "controller", "run", "--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0"]
        child = subprocess.Popen([*command, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        found.append(Running(child))
        return found[-1]

    yield start
    for one in found:
        one.child.kill()
        one.child.wait()


@contextmanager
def hanging(api: ApiServer, plural: str) -> Iterator[threading.Event]:
    """The server takes requests for one object of this kind and never answers. The event: one has come."""
    came, over = threading.Event(), threading.Event()

    def read(key: tuple[str, str, str]) -> None:
        if key[0] == plural:
            came.set()
            over.wait(90.0)

    api.on_read = read
    try:
        yield came
    finally:
        over.set()


def with_release(api: ApiServer) -> None:
    api.put("releasepolicies", "checkout", POLICY)
    body = {"apiVersion": "nightferry.dev/v1alpha1", "spec": {"policy": "checkout", "images": {"app": "b"}}}
    api.put("releases", "checkout-1", body)


def test_it_says_that_it_is_ready_and_ends_when_asked(api: ApiServer, starts: Starts) -> None:
    api.put("releasepolicies", "checkout", POLICY)
    process = starts()
    process.event("ready")
    assert process.page("/healthz") == (200, "alive\n")
    assert process.page("/readyz") == (200, "ready\n")
    assert "nightferry_build_info" in process.page("/metrics")[1]
    assert process.page("/")[0] == 404
    eventually(lambda: "\nnightferry_ticks_total{" in process.page("/metrics")[1])
    code, seconds = process.ends()
    assert code == 0
    assert seconds < 5.0
    assert process.event("stopped")["calls"] == "ended"


# H3: the signal comes while a call waits for a server that says nothing.
def test_a_silent_server_does_not_keep_it(api: ApiServer, starts: Starts) -> None:
    with_release(api)
    with hanging(api, "deployments") as came:
        process = starts("--interval", "500ms")
        process.event("ready")
        assert came.wait(60.0), "a tick asks for a Deployment"
        before = list(api.writes)
        code, seconds = process.ends()
        assert code == 0
        assert seconds < 5.0
        assert process.event("stopped")["calls"] == "abandoned"
    threading.Event().wait(0.3)
    assert api.writes == before, "no write after the signal"


# K8: without the API server it is alive and not ready; a restart would bring nothing back.
def test_without_a_server_it_is_alive_waits_and_ends_when_asked(api: ApiServer, starts: Starts) -> None:
    api.down = True
    process = starts()
    assert "asleep" in process.event("waiting for the API server")["because"]
    assert process.page("/healthz") == (200, "alive\n")
    assert process.page("/readyz")[0] == 503
    api.down = False
    process.event("ready")
    assert process.page("/readyz")[0] == 200
    assert process.ends(signal.SIGINT)[0] == 0


def test_a_folder_of_policies_is_applied_before_it_is_ready_and_read_again(
    api: ApiServer, starts: Starts, tmp_path: Path
) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    policy = {**POLICY, "metadata": {"name": "checkout"}}
    (folder / "checkout.yaml").write_text(json.dumps(policy))
    process = starts("--policies", str(folder), "--interval", "300ms")
    process.event("ready")
    assert ("releasepolicies", "shop", "checkout") in api.objects
    # Written beside it and then moved: what is read is the whole of it.
    written = tmp_path / "search.yaml"
    written.write_text(json.dumps({**policy, "metadata": {"name": "search", "namespace": "find"}}))
    written.rename(folder / "search.yaml")
    eventually(lambda: ("releasepolicies", "find", "search") in api.objects)
    written = tmp_path / "bad.yaml"
    written.write_text("kind: ReleasePolicy\n")
    written.rename(folder / "bad.yaml")
    assert "bad.yaml:1:1: error" in process.event("policy file refused")["because"]


def test_a_server_that_is_silent_about_a_policy_file_keeps_nobody_from_the_end(
    api: ApiServer, starts: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    for name in ("checkout", "search"):
        (folder / f"{name}.yaml").write_text(json.dumps({**POLICY, "metadata": {"name": name}}))
    asked, over = threading.Event(), threading.Event()
    answer = api._judge

    def silent(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "POST" and path.endswith("/releasepolicies"):
            asked.set()
            over.wait(90)
        return answer(method, path, body)

    monkeypatch.setattr(api, "_judge", silent)
    process = starts("--policies", str(folder))
    try:
        assert asked.wait(60)
        code, seconds = process.ends()
    finally:
        over.set()
    assert code == 0
    assert seconds < 5.0


def test_an_address_that_is_taken_is_said_in_one_line(api: ApiServer, tmp_path: Path, starts: Starts) -> None:
    first = starts()
    port = first.event("starting")["port"]
    command = [sys.executable, "-m", "controller", "run", "--kubeconfig", str(api.kubeconfig(tmp_path / "k"))]
    done = subprocess.run(
        [*command, "--listen", f"127.0.0.1:{port}"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"nightferry: cannot listen on 127.0.0.1:{port}: Address already in use\n"
