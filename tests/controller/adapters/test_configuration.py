"""The controller's configuration: what it says is what is run, and what it must not say is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.configuration import (
    Configuration,
    configuration_from_text,
    default_configuration,
    default_timeout,
    read_configuration,
)
from controller.metrics.settings import SourceSettings
from controller.settings import Settings, Source
from policies.errors import PolicyRefused

WHOLE = """
metrics:
  sources:
    - name: default
      url: https://metrics.example/prometheus/
      scrapeInterval: 1s
      window: 2s
      timeout: 1500ms
      bearerTokenFile: secrets/token
      caFile: /etc/ca.crt
    - {name: long, url: "http://thanos:10902", kind: prometheus, basicAuthFile: auth}
tick: 1s
namespace: shop
listen: "[::1]:9000"
"""


def refusals(text: str) -> list[str]:
    with pytest.raises(PolicyRefused) as refused:
        configuration_from_text(text, "night.yaml")
    return [str(error) for error in refused.value.errors]


def test_a_whole_configuration() -> None:
    found = configuration_from_text(WHOLE, "/etc/nightferry/configuration.yaml")
    assert found == Configuration(
        sources=(
            SourceSettings(
                name="default",
                url="https://metrics.example/prometheus",
                scrape=1.0,
                window=2.0,
                timeout=1.5,
                bearer_token_file=Path("/etc/nightferry/secrets/token"),
                ca_file=Path("/etc/ca.crt"),
            ),
            SourceSettings(
                name="long", url="http://thanos:10902", timeout=1.0, basic_auth_file=Path("/etc/nightferry/auth")
            ),
        ),
        interval=1.0,
        namespace="shop",
        listen=("::1", 9000),
    )
    assert found.settings == Settings(
        sources={"default": Source(scrape=1.0, window=2.0), "long": Source(scrape=15.0, window=30.0)},
        interval=1.0,
        hears=False,
    )


def test_an_empty_file_is_all_defaults() -> None:
    assert configuration_from_text("") == configuration_from_text("# nothing yet\n") == Configuration()


def test_without_a_file_an_address_is_the_default_source() -> None:
    assert default_configuration() == Configuration()
    (source,) = default_configuration("http://prometheus:9090").sources
    assert source == SourceSettings("default", "http://prometheus:9090")


def test_a_port_alone_listens_everywhere() -> None:
    assert configuration_from_text('listen: ":9000"').listen == ("0.0.0.0", 9000)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("tick: 15", "night.yaml:1:7: error: tick: found 15; allowed: a duration as text with a unit"),
        ("tick: 0s", "night.yaml:1:7: error: tick: found '0s'; allowed: a duration longer than 0"),
        ("tick: 100ms", "night.yaml:1:7: error: tick: found 100ms; allowed: between 200ms and 5m"),
        ("tick: 6m", "night.yaml:1:7: error: tick: found 6m; allowed: between 200ms and 5m"),
        ("namespace: Shop", "night.yaml:1:12: error: namespace: found 'Shop'"),
        ("namespace: null", "night.yaml:1:12: error: namespace:"),
        ("listen: 8080", "night.yaml:1:9: error: listen: found 8080"),
        ('listen: ":0"', "night.yaml:1:9: error: listen: found ':0'; allowed: host:port"),
        ('listen: ":99999"', "night.yaml:1:9: error: listen:"),
        ("listen: localhost", "night.yaml:1:9: error: listen:"),
        (
            "tik: 15s",
            "night.yaml:1:1: error: tik: found an unknown field; allowed: ",
        ),
        ("tick: 15s\ntick: 30s", "night.yaml:2:1: error: tick:"),
        ("- a", "night.yaml:1:1: error: document: found a list"),
        ("just words", "night.yaml:1:1: error: document: found 'just words'"),
        ("a: [", "night.yaml:"),
        ("tick: 15s\n---\ntick: 30s", "night.yaml:2:1: error: document: found a second document; allowed: one"),
        ("metrics: {sources: {}}", "night.yaml:1:20: error: metrics.sources: found a mapping; allowed: a list"),
        (
            "alerts: {alertmanagers: [{name: a, url: 'http://a', timeout: 10s}]}",  # as long as a look may be old
            "night.yaml:1:62: error: alerts.alertmanagers[0].timeout: found 10s; allowed: between 100ms and 8s",
        ),
    ],
)
def test_a_fault_has_its_place_and_says_what_is_allowed(text: str, start: str) -> None:
    first, *_ = refusals(text)
    assert first.startswith(start)
    assert "\n" not in first


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{url: 'http://x'}", "metrics.sources[0].name: found nothing; required"),
        ("{name: default}", "metrics.sources[0].url: found nothing; required"),
        ("{name: 'http://x', url: 'http://x'}", "metrics.sources[0].name"),
        ("{name: default, url: 'prometheus:9090'}", "found 'prometheus:9090'; allowed: an address such as"),
        ("{name: default, url: 'ftp://x'}", "found 'ftp://x'"),
        ("{name: default, url: 'http://x:99999'}", "metrics.sources[0].url: found no address"),
        ("{name: default, url: 'http://x/?query=up'}", "an address with more than a path"),
        ("{name: default, url: 'http://x/a b'}", "metrics.sources[0].url"),
        ("{name: default, url: 'http://x', kind: influx}", "found 'influx'; allowed: prometheus"),
        (
            "{name: default, url: 'http://x', scrapeInterval: 20s}",
            "window: found 30s; allowed: at least two scrapes",
        ),
        ("{name: default, url: 'http://x', timeout: 2m}", "timeout: found 2m; allowed: at most 30s"),
        ("{name: default, url: 'http://x', bearerTokenFile: a, basicAuthFile: b}", "one of bearerTokenFile and"),
        ("{name: default, url: 'http://x', bearerTokenFile: ''}", "found ''; allowed: the path of a file"),
        ("{name: default, url: 'http://x', caFile: a, insecureSkipVerify: true}", "one of caFile and insecureSkip"),
        ("{name: default, url: 'http://x', insecureSkipVerify: 'yes'}", "allowed: true or false"),
        ("{name: default, url: 'http://x', bearerToken: abc}", "unknown field"),
    ],
)
def test_a_source_that_cannot_be_is_refused(source: str, words: str) -> None:
    assert words in "\n".join(refusals(f"metrics:\n  sources:\n    - {source}\n"))


def test_two_sources_of_one_name_are_refused() -> None:
    text = "metrics: {sources: [{name: a, url: 'http://x'}, {name: a, url: 'http://y'}]}"
    assert "metrics.sources[1].name: found a for a second time" in refusals(text)[0]


@pytest.mark.parametrize("url", ["http://night:canary-password@x", "ftp://night:canary-password@x/?a=b"])
def test_s18_an_address_with_a_password_is_refused_and_not_shown(url: str) -> None:
    for line in [*refusals(f"metrics: {{sources: [{{name: a, url: '{url}'}}]}}"), _refused_flag(url)]:
        assert "canary" not in line
        assert "bearerTokenFile or basicAuthFile" in line


def _refused_flag(url: str) -> str:
    with pytest.raises(PolicyRefused) as refused:
        default_configuration(url)
    (error,) = refused.value.errors
    assert str(error).startswith("--prometheus: error: url: ")
    return str(error)


def test_every_fault_is_told_at_once() -> None:
    assert len(refusals("tick: 15\nlisten: 8080\nnamespace: Shop\nmore: 1\n")) == 4


def test_a_file_is_read_and_one_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text(WHOLE)
    assert read_configuration(file).sources[0].bearer_token_file == tmp_path / "secrets" / "token"
    file.write_bytes(b"\xff\xfe")
    for path in (file, tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(PolicyRefused) as refused:
            read_configuration(path)
        assert len(refused.value.errors) == 1


@pytest.mark.parametrize(("tick", "seconds"), [(15.0, 5.0), (1.0, 1.0), (60.0, 10.0)])
def test_a_query_may_take_a_third_of_a_tick(tick: float, seconds: float) -> None:
    assert default_timeout(tick) == seconds
