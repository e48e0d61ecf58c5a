"""Calls of webhooks against a real server over TLS: signed, bounded, never redirected, and silent about the secret."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.outside import Endpoints, EndpointSettings
from controller.outside.post import MAX_BODY
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import CallWebhook, Spoken
from tests.controller.adapters.builders import RealClock, SetClock
from tests.controller.adapters.server import CHUNKED, Server, chunk, hang_up, nobody, obj, plain, raw, serving

SECRET = "a-secret-that-must-never-be-shown"
CALL = CallWebhook("qa-room", "0123abcd", {"app": "checkout", "stage": 0, "release": "checkout-7"})


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "qa-room"
    file.write_text(f"{SECRET}\n")
    yield file


def called(
    server: Server, secret: Path, *, ca: Path | None = None, timeout: float = 20.0, clock: Any = None
) -> Spoken | Failure:
    settings = EndpointSettings("qa-room", f"{server.url}/gate", secret, timeout=timeout, ca_file=ca)
    return Endpoints([settings], clock or RealClock()).perform(CALL)


def test_a_call_is_one_signed_post_over_tls(tls: ssl.SSLContext, certificate: Path, secret: Path) -> None:
    clock = SetClock()
    with serving(obj({"verdict": "healthy"}), tls=tls) as server:
        answer = called(server, secret, ca=certificate, clock=clock)
    assert answer == Spoken(200, b'{"verdict": "healthy"}')
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/gate")
    assert asked.json == CALL.payload
    assert asked.headers["nightferry-id"] == CALL.id
    assert asked.headers["nightferry-timestamp"] == f"{clock.now():.0f}"
    signed = b".".join((CALL.id.encode(), asked.headers["nightferry-timestamp"].encode(), asked.body))
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert asked.headers["nightferry-signature"] == f"v1={expected}"


def test_a_signature_is_worth_nothing_at_another_time_or_for_another_question(secret: Path) -> None:
    clock = SetClock()
    with serving(plain(b"", 204)) as server:
        endpoints = Endpoints([EndpointSettings("qa-room", server.url, secret)], clock)
        for call in (CALL, CALL, CallWebhook("qa-room", "other", CALL.payload), CallWebhook("qa-room", CALL.id, {})):
            endpoints.perform(call)
        clock.at += 1.0
        endpoints.perform(CALL)
    first, again, *others = [asked.headers["nightferry-signature"] for asked in server.asked]
    assert first == again
    assert len({first, *others}) == 4


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(tls: ssl.SSLContext, secret: Path) -> None:
    with serving(plain(b"", 204), tls=tls) as server:
        answer = called(server, secret)
    assert answer == Failure(FailureKind.UNAVAILABLE, "the TLS certificate is not accepted")
    assert server.asked == []


def test_a_certificate_of_another_name_is_not_accepted(tls: ssl.SSLContext, certificate: Path, secret: Path) -> None:
    with serving(plain(b"", 204), tls=tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        settings = EndpointSettings("qa-room", url, secret, ca_file=certificate)
        answer = Endpoints([settings], RealClock()).perform(CALL)
    assert answer == Failure(FailureKind.UNAVAILABLE, "the TLS certificate is not accepted")


def test_a_redirect_is_an_answer_and_is_not_followed(secret: Path) -> None:
    with serving(plain(b"", 204)) as elsewhere, serving(plain(b"", 307, {"Location": elsewhere.url})) as server:
        assert called(server, secret) == Spoken(307)
    assert elsewhere.asked == []


@pytest.mark.parametrize("code", [200, 204, 400, 401, 403, 404, 429, 500, 503])
def test_every_status_comes_back_as_it_was(secret: Path, code: int) -> None:
    with serving(plain(b"", code)) as server:
        assert called(server, secret) == Spoken(code)
    assert len(server.asked) == 1  # whoever retries does it in a tick of its own


def test_an_answer_that_is_too_long_is_cut_off_however_it_is_packed(secret: Path) -> None:
    long = b"x" * (MAX_BODY + 1)
    with serving(plain(long), raw(CHUNKED, chunk(long), chunk(b""))) as server:
        for _ in range(2):
            answer = called(server, secret)
            assert answer == Failure(FailureKind.UNAVAILABLE, f"the answer is longer than {MAX_BODY} bytes")


def test_a_call_never_lasts_longer_than_its_deadline(secret: Path) -> None:
    with serving(lambda asked, line: line.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000, 0.05)) as dripping:
        assert called(dripping, secret, timeout=0.3) == Failure(FailureKind.UNAVAILABLE, "timed out")
    with serving(lambda asked, line: line.silence()) as silent:
        assert called(silent, secret, timeout=0.3) == Failure(FailureKind.UNAVAILABLE, "timed out")


def test_a_connection_that_breaks_is_no_answer(secret: Path) -> None:
    with serving(hang_up) as server:
        answer = called(server, secret)
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.UNAVAILABLE
    with nobody() as url:
        gone = EndpointSettings("qa-room", url, secret)
        assert Endpoints([gone], RealClock()).perform(CALL) == Failure(FailureKind.UNAVAILABLE, "no connection")


def test_the_secret_is_read_for_each_call_and_is_in_no_message(tmp_path: Path, secret: Path) -> None:
    with serving(plain(b"", 204)) as server:
        called(server, secret)
        secret.write_text("another")
        called(server, secret)
        first, second = (asked.headers["nightferry-signature"] for asked in server.asked)
        assert first != second
        assert SECRET not in repr(server.asked)
        secret.unlink()
        answer = called(server, secret)
        assert answer == Failure(FailureKind.UNAUTHORIZED, f"{secret} cannot be read")
        for text in ("", "x" * 5000):
            secret.write_text(text)
            answer = called(server, secret)
            assert answer == Failure(FailureKind.UNAUTHORIZED, f"{secret} holds no secret of 1 to 4096 bytes")
        assert len(server.asked) == 2


def test_an_endpoint_that_nobody_configured_says_which_there_are(secret: Path) -> None:
    endpoints = Endpoints([EndpointSettings("qa-room", "http://127.0.0.1:1", secret)], RealClock())
    answer = endpoints.perform(CallWebhook("qa", "1", {}))
    assert answer == Failure(FailureKind.ABSENT, "it is not in the controller's configuration; known: qa-room")
    with pytest.raises(ValueError, match="two endpoints"):
        Endpoints([EndpointSettings("a", "http://a", secret)] * 2, RealClock())
