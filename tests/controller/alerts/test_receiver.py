"""The listener on real sockets: who may post, what is read of whom, and what is answered."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import urllib3

from controller.alerts.posts import Post
from controller.alerts.receiver import MOST_BYTES, Receiver
from controller.alerts.settings import AlertsSettings
from controller.listener import Exchange
from controller.requests.failure import Failure, FailureKind
from tests.controller.adapters.builders import RealClock, eventually
from tests.controller.alerts.test_posts import a_post, an_alert

GOOD = "a-token-that-may"


@dataclass
class Door:
    """Lets one token in."""

    judged: list[str] = field(default_factory=list)
    failure: Failure | None = None

    def judge(self, token: str) -> Failure | None:
        self.judged.append(token)
        if self.failure is not None:
            return self.failure
        return None if token == GOOD else Failure(FailureKind.UNAUTHORIZED, "no")


@dataclass
class House:
    """A receiver and what it has taken."""

    settings: AlertsSettings = field(default_factory=lambda: AlertsSettings(listen=("127.0.0.1", 0)))
    failure: Failure | None = None
    slow: threading.Event | None = None
    starts: bool = True

    def __post_init__(self) -> None:
        self.door, self.taken, self.counted = Door(), list[Post](), list[str]()
        self.receiver = Receiver(self.settings, self.door, self._take, RealClock(), self.counted.append)
        if self.starts:
            self.receiver.start()

    def _take(self, post: Post, _: float) -> Failure | None:
        if self.slow is not None:
            self.slow.wait(60.0)
        self.taken.append(post)
        return self.failure

    def post(self, body: bytes, path: str = "/alerts", method: str = "POST") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {GOOD}"}
        url = f"http://127.0.0.1:{self.receiver.port}{path}"
        answer = urllib3.request(method, url, body=body, headers=headers, retries=False, timeout=90.0)
        return answer.status, answer.data.decode().strip()

    def bytes(self, *parts: bytes, ends: bool = True) -> bytes:
        """Sends exactly these bytes -> everything that comes back. `ends`: and says that no more will come."""
        with self.line() as line:
            for part in parts:
                with contextlib.suppress(ConnectionError):
                    line.sendall(part)
            if ends:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_WR)
            return rest_of(line)

    def line(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.receiver.port), timeout=60.0)


def rest_of(line: socket.socket) -> bytes:
    """Everything that comes until the other one hangs up."""
    found = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := line.recv(65536):
            found += piece
    return found


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.receiver.stop()


BODY = json.dumps(a_post()).encode()


def head(length: int | str, token: str = GOOD, more: str = "") -> bytes:
    lines = ("POST /alerts HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", f"Content-Length: {length}")
    return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode()


def test_a_post_of_somebody_who_may_is_taken(house: House) -> None:
    assert house.post(BODY) == (200, "1 alerts")
    assert house.taken[0].alerts[0].name == "CheckoutErrors"
    assert house.counted == ["kept"]


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer", "Bearer  ", "bearer-token x", "Bearer " + "x" * 9000])
def test_a4_without_a_token_nobody_is_asked_and_nothing_is_kept(house: House, header: str | None) -> None:
    headers = {"Authorization": header} if header is not None else {}
    url = f"http://127.0.0.1:{house.receiver.port}/alerts"
    answer = urllib3.request("POST", url, body=BODY, headers=headers, retries=False, timeout=60.0)
    assert answer.status == 401
    assert (house.door.judged, house.taken, house.counted) == ([], [], ["stranger"])


def test_a4_a_token_that_is_not_accepted_is_turned_away_before_its_body_is_read(house: House) -> None:
    """The body never comes, and the answer does."""
    answer = house.bytes(head(500_000, "somebody-else"), ends=False)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in answer
    assert house.taken == []


def test_a4_who_is_known_and_may_not_is_told_which_role_he_lacks(house: House) -> None:
    house.door.failure = Failure(FailureKind.FORBIDDEN, "mallory may not create alerts.nightferry.dev")
    assert house.post(BODY) == (403, "mallory may not create alerts.nightferry.dev")
    assert (house.taken, house.counted) == ([], ["forbidden"])


def test_a4_an_api_server_that_cannot_judge_is_no_permission(house: House) -> None:
    house.door.failure = Failure(FailureKind.UNAVAILABLE, "timed out")
    status, text = house.post(BODY)
    assert (status, house.taken, house.counted) == (503, [], ["unjudged"])
    assert GOOD not in text


def test_a10_what_could_not_be_kept_is_sent_again(house: House) -> None:
    house.failure = Failure(FailureKind.UNAVAILABLE, "the API server\ndoes not answer")
    assert house.post(BODY) == (503, "not kept: the API server does not answer")
    house.failure = None
    assert house.post(BODY)[0] == 200


def test_a12_a_body_beyond_the_bound_is_refused_before_it_is_read(house: House) -> None:
    answer = house.bytes(head(MOST_BYTES + 1), ends=False)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert (house.taken, house.counted) == ([], ["large"])


def test_a12_a_body_of_exactly_the_bound_is_read(house: House) -> None:
    empty = json.dumps(a_post(an_alert(annotations={"summary": ""}))).encode()
    body = json.dumps(a_post(an_alert(annotations={"summary": "x" * (MOST_BYTES - len(empty))}))).encode()
    assert len(body) == MOST_BYTES
    assert house.post(body)[0] == 200


@pytest.mark.parametrize("length", ["", "-1", "ten", "1e3", "9" * 40])
def test_a15_a_length_that_is_none_is_refused(house: House, length: str) -> None:
    assert house.bytes(head(length), BODY).startswith(b"HTTP/1.1 411 ")
    assert house.taken == []


def test_a15_a_body_in_chunks_is_refused(house: House) -> None:
    asked = head(5, more="Transfer-Encoding: chunked\r\n")
    assert house.bytes(asked, b"5\r\nhello\r\n0\r\n\r\n").startswith(b"HTTP/1.1 411 ")


def test_a15_a_truncated_post_is_refused_and_nothing_of_it_is_kept(house: House) -> None:
    for cut in range(0, len(BODY), 37):
        assert house.bytes(head(len(BODY)), BODY[:cut]).startswith(b"HTTP/1.1 400 ")
    assert house.taken == []
    assert set(house.counted) == {"cut"}


def test_a15_a_malformed_post_is_refused_with_its_field(house: House) -> None:
    assert house.post(json.dumps(a_post(version="3")).encode())[0] == 400
    assert house.post(b"{}") == (400, "version: Object missing required field `version`")
    assert house.taken == []


def test_a_client_that_never_finishes_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchange, "timeout", 0.3)
    house = House(starts=False)
    with house.line() as half, house.line() as less:
        half.sendall(head(100) + b"{")
        less.sendall(b"POST /alerts HT")
        house.receiver.start()  # now: what came of them is there, however slow we are
        assert rest_of(half).startswith(b"HTTP/1.1 400 ")
        assert rest_of(less) == b""
    monkeypatch.setattr(Exchange, "timeout", 60.0)
    assert house.post(BODY)[0] == 200
    house.receiver.stop()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/alerts", 405), ("PUT", "/alerts", 405),
                                                        ("GET", "/", 404), ("POST", "/metrics", 404)])  # fmt: skip
def test_nothing_else_is_answered(house: House, method: str, path: str, status: int) -> None:
    assert house.post(BODY, method=method, path=path)[0] == status
    assert (house.taken, house.door.judged) == ([], [])


def test_one_connection_carries_many_posts(house: House) -> None:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", house.receiver.port, maxsize=1)
    headers = {"Authorization": f"Bearer {GOOD}"}
    assert [pool.request("POST", "/alerts", body=BODY, headers=headers).status for _ in range(20)] == [200] * 20
    assert pool.num_connections == 1


def test_a13_more_clients_than_there_is_room_for_are_turned_away_and_the_others_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.alerts.receiver.MOST_AT_ONCE", 4)
    house = House(slow=threading.Event())
    assert house.slow is not None
    ends: list[object] = []

    def send() -> None:
        try:
            ends.append(house.post(BODY)[0])
        except urllib3.exceptions.HTTPError:
            ends.append("turned away")

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    eventually(lambda: house.counted.count("busy") == 8, "all others are turned away")
    house.slow.set()
    for thread in threads:
        thread.join()
    house.receiver.stop()
    assert sorted(map(str, ends)) == ["200"] * 4 + ["turned away"] * 8


def test_it_speaks_tls_with_a_certificate_that_is_rotated(tmp_path: Path) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def issue(name: str) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName=DNS:{name}"],
            check=True, capture_output=True,
        )  # fmt: skip

    issue("first")
    house = House(AlertsSettings(listen=("127.0.0.1", 0), cert_file=cert, key_file=key))
    try:
        assert _name_of(house.receiver.port) == "first"
        issue("second")
        os.utime(cert, (time.time() + 5, time.time() + 5))
        assert _name_of(house.receiver.port) == "second"
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1", house.receiver.port, ca_certs=str(cert), server_hostname="second", assert_hostname="second"
        )
        headers = {"Authorization": f"Bearer {GOOD}"}
        assert pool.request("POST", "/alerts", body=BODY, headers=headers, retries=False).status == 200
        # Whoever speaks no TLS gets no answer, and disturbs nobody.
        assert not house.bytes(head(len(BODY)), BODY).startswith(b"HTTP/1.1")
        assert pool.request("POST", "/alerts", body=BODY, headers=headers, retries=False).status == 200
    finally:
        house.receiver.stop()


def _name_of(port: int) -> str:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as line, trusting.wrap_socket(line) as wrapped:
        found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    text = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=found, check=True, capture_output=True
    )
    return text.stdout.decode().strip().rpartition("=")[2].strip()


def test_a_certificate_that_is_not_there_keeps_it_from_listening(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        House(AlertsSettings(listen=("127.0.0.1", 0), cert_file=tmp_path / "no", key_file=tmp_path / "no"))
