"""`nightferry run` at the door: flags over the file, and refusals before anything is asked of the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.cli import process
from controller.cli.process import Process
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import Nightferry

CONFIGURATION = """\
metrics:
  sources:
    - {name: default, url: "http://prometheus:9090", scrapeInterval: 5s, window: 10s}
    - {name: other, url: "http://other:9090"}
tick: 5s
namespace: shop
listen: 127.0.0.1:9000
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """What would have been started."""
    found: list[Process] = []
    monkeypatch.setattr(process, "run", lambda asked, connection, clock: found.append(asked))
    return found


def test_the_file_says_what_it_is_and_flags_say_it_louder(
    nightferry: Nightferry, started: list[Process], tmp_path: Path
) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text(CONFIGURATION)
    assert nightferry("run", "--config", str(file)).code == 0
    told = started[-1].configuration
    assert (told.interval, told.namespace, told.listen) == (5.0, "shop", ("127.0.0.1", 9000))
    flags = ["--prometheus", "http://new:9090", "--interval", "1s", "--namespace", "find", "--listen", ":9001"]
    assert nightferry("run", "--config", str(file), *flags).code == 0
    told = started[-1].configuration
    assert (told.interval, told.namespace, told.listen) == (1.0, "find", ("0.0.0.0", 9001))
    assert {source.name: source.url for source in told.sources} == {
        "default": "http://new:9090",
        "other": "http://other:9090",
    }


def test_policies_without_a_namespace_live_where_the_controller_looks(
    nightferry: Nightferry, started: list[Process], tmp_path: Path
) -> None:
    nightferry("run", "--policies", str(tmp_path))
    assert (started[-1].policies, started[-1].home) == (tmp_path, "shop")
    nightferry("run", "--policies", str(tmp_path), "-n", "find")
    assert started[-1].home == "find"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policies", "/nowhere"], "--policies /nowhere: not a folder"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml:1:1: error"),
        (["--interval", "15"], "--interval: found '15'"),
        (["--interval", "1h"], "--interval: found '1h'"),
        (["--interval", "1ms"], "--interval: found '1ms'"),
        (["--listen", "8080"], "--listen: found '8080'"),
        (["--listen", ":99999"], "--listen: found ':99999'"),
        (["--namespace", "Not A Name"], "--namespace: found 'Not A Name'"),
        (["--prometheus", "http://user:hunter2@here"], "--prometheus"),
        (["--prometheus", "ftp://here"], "--prometheus"),
        (["--context", "nothing"], "kubeconfig"),
    ],
)
def test_what_it_cannot_be_is_refused_at_the_door(
    api: ApiServer, nightferry: Nightferry, started: list[Process], arguments: list[str], words: str
) -> None:
    refusal = nightferry("run", *arguments).refusal
    assert words in refusal
    assert "hunter2" not in refusal
    assert started == []
    assert api.asked == []
