"""`nightferry notify --test` against a real receiver: it arrived, or one line says why not."""

from __future__ import annotations

from pathlib import Path

from tests.controller.adapters.server import plain, serving
from tests.controller.cli.world import Nightferry


def test_a_test_notice_arrives(nightferry: Nightferry, tmp_path: Path) -> None:
    config = tmp_path / "night.yaml"
    with serving(plain(b"", 204)) as server:
        config.write_text(f"notifiers: [{{name: room, webhook: {{url: '{server.url}/in'}}}}]")
        said = nightferry("notify", "--test", "room", "--config", str(config))
    assert (said.code, said.out, said.err) == (0, "sent a test notice by webhook/room: HTTP 204\n", "")
    (asked,) = server.asked
    assert (asked.path, asked.json["event"], asked.json["subject"]) == (
        "/in",
        "test",
        "nightferry: this is a test (test)",
    )


def test_a_refusal_is_one_line_and_an_exit_code(nightferry: Nightferry, tmp_path: Path) -> None:
    config = tmp_path / "night.yaml"
    with serving(plain(b"", 404)) as server:
        config.write_text(f"notifiers: [{{name: room, webhook: {{url: '{server.url}/in'}}}}]")
        said = nightferry("notify", "--test", "room", "--config", str(config))
        unknown = nightferry("notify", "--test", "shift", "--config", str(config))
    assert (said.code, said.out) == (1, "")
    assert said.err == "nightferry: webhook/room was not told: HTTP 404: check its url\n"
    assert unknown.code == 2
    assert unknown.err == f"nightferry: no notifier shift in {config}; its notifiers: room\n"


def test_a_configuration_that_is_none_is_refused(nightferry: Nightferry, tmp_path: Path) -> None:
    said = nightferry("notify", "--test", "room", "--config", str(tmp_path / "none.yaml"))
    assert said.code == 2
    assert "found no readable file" in said.err


def test_a_notifier_that_cannot_be_reached_says_where_to_look(nightferry: Nightferry, tmp_path: Path) -> None:
    config = tmp_path / "night.yaml"
    with serving(plain(b"")) as server:
        config.write_text(f"notifiers: [{{name: room, webhook: {{url: '{server.url}/in'}}}}]")
    said = nightferry("notify", "--test", "room", "--config", str(config))
    advice = "see that it runs, and that this machine may reach it"
    assert (said.code, said.err) == (1, f"nightferry: webhook/room was not told: no connection; {advice}\n")
