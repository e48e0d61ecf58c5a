"""Notices by e-mail to a real SMTP server and by webhook to a real HTTP server: good, slow, hostile and dead."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from controller.morning import brief, html, markdown, payload_of, report_of
from controller.outside.courier import MOST_REFUSALS, MOST_WAITING, Courier
from controller.outside.hook import MOST_TEXT, Hook, Outcome
from controller.outside.mail import Mail
from controller.outside.settings import HookSettings, MailSettings, Template
from controller.requests.outside import Deliver, Delivery
from tests.controller.adapters.builders import RealClock, SetClock, eventually
from tests.controller.adapters.mailbox import Inbox, mail_server
from tests.controller.adapters.server import Asked, Line, Server, hang_up, nobody, plain, serving

PASSWORD = "a-password-that-must-never-be-shown"
TOLD: dict[str, Any] = {
    "event": "rolledBack",
    "at": "2026-03-01T02:03:04Z",
    "namespace": "shop",
    "app": "checkout",
    "release": "checkout-7",
    "because": "errors 4.1 % against 0.2 %",
    "cause": "GateDegraded",
    "batch": 2,
    "batches": 4,
    "images": {"app": "registry.example/checkout:v42"},
    "requestedBy": "ann",
    "reason": "search fix",
}
NOTICE = Deliver("email/shift", "0123abcd", TOLD)


# ------------------------------------------------------------------------------------------------- e-mail


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    file = tmp_path / "mail"
    file.write_text(f"ferry:{PASSWORD}\n")
    return file


def _knows(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and data.login == b"ferry" and data.password == PASSWORD.encode()
    return AuthResult(success=good, handled=False)


def test_a_mail_says_what_the_record_says() -> None:
    inbox = Inbox()
    with mail_server(inbox) as settings:
        assert Mail(settings).send(NOTICE) == Outcome("sent", "accepted")
    (mail,) = inbox.mails
    assert mail["Subject"] == "checkout: the release was rolled back (checkout-7)"
    assert (mail["From"], mail["To"]) == ("ferry@shop.example", "a@shop.example")
    assert mail["Date"] == "Sun, 01 Mar 2026 02:03:04 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_content()
    for words in (
        "errors 4.1 % against 0.2 %",
        "registry.example/checkout:v42",
        "ann: search fix",
        "explain checkout-7",
    ):
        assert words in body


def test_k30_a_repetition_is_one_message_to_a_mail_program_and_another_notice_is_another() -> None:
    inbox = Inbox()
    with mail_server(inbox) as settings:
        for notice in (NOTICE, NOTICE, replace(NOTICE, id="other")):
            Mail(settings).send(notice)
    first, again, other = inbox.mails
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    assert first.as_bytes() == again.as_bytes()
    assert first["References"] == other["References"]


@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_a_mail_is_encrypted_and_sent_with_credentials(
    how: Any, tls: ssl.SSLContext, certificate: Path, credentials: Path
) -> None:
    options: dict[str, Any] = {"authenticator": _knows, "auth_required": True}
    if how == "starttls":
        options |= {"tls_context": tls, "require_starttls": True}
    else:
        options |= {"ssl_context": tls, "auth_require_tls": False}
    inbox = Inbox()
    with mail_server(inbox, **options) as settings:
        told = replace(settings, tls=how, credentials_file=credentials, ca_file=certificate)
        assert Mail(told).send(NOTICE).state == "sent"
        untrusted = Mail(replace(told, ca_file=None)).send(NOTICE)
        assert untrusted == Outcome("refused", "the TLS certificate of the mail server is not accepted")
        credentials.write_text("ferry:wrong")
        wrong = Mail(told).send(NOTICE)
        assert wrong == Outcome("refused", "the mail server answered 535 to the credentials")
        credentials.write_text("no colon")
        assert Mail(told).send(NOTICE) == Outcome("refused", f"{credentials} does not hold user:password")
        credentials.unlink()
        assert Mail(told).send(NOTICE) == Outcome("refused", f"{credentials} cannot be read")
    assert len(inbox.mails) == 1


def test_a_server_without_starttls_gets_neither_mail_nor_password(credentials: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox) as settings:
        answer = Mail(replace(settings, tls="starttls", credentials_file=credentials)).send(NOTICE)
    assert answer == Outcome("refused", "the mail server does not offer STARTTLS")
    assert inbox.mails == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("451 try later", Outcome("later", "the mail server answered 451 to the text of the mail")),
        ("554 looks like spam", Outcome("refused", "the mail server answered 554 to the text of the mail")),
    ],
)
def test_a_mail_that_is_not_taken_is_told_by_the_servers_number(answer: str, expected: Outcome) -> None:
    inbox = Inbox()
    inbox.answer = answer
    with mail_server(inbox) as settings:
        assert Mail(settings).send(NOTICE) == expected


def test_a_receiver_that_does_not_exist_keeps_the_others_from_nothing() -> None:
    inbox = Inbox()
    inbox.unknown = {"gone@shop.example"}
    with mail_server(inbox) as settings:
        both = Mail(replace(settings, to=("gone@shop.example", "a@shop.example"))).send(NOTICE)
        alone = Mail(replace(settings, to=("gone@shop.example",))).send(NOTICE)
    assert both == Outcome("sent", "except to 1 of 2 receivers")
    assert inbox.receivers == [["a@shop.example"]]
    assert alone == Outcome("refused", "the mail server answered 550 to every receiver")


def test_no_value_becomes_a_header_or_a_second_receiver() -> None:
    hostile = "x\r\nBcc: thief@evil.example\r\n\r\nanother body\x00\x1b[31m\u2028"
    inbox = Inbox()
    with mail_server(inbox) as settings:
        told = dict.fromkeys(TOLD, hostile) | {"images": {"app": hostile}}
        subject = Template("$app $release $because $reason $requestedBy", "$because\n.\nQUIT\n$images")
        assert Mail(replace(settings, template=subject)).send(Deliver("email/shift", hostile, told)).state == "sent"
    (mail,) = inbox.mails
    assert inbox.receivers == [["a@shop.example"]]
    assert mail["Bcc"] is None
    assert set(mail.keys()) <= {
        "From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "Nightferry-Id", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version", "X-Peer", "X-MailFrom", "X-RcptTo",
    }  # fmt: skip
    assert "\x1b" not in mail.get_content() and "\nBcc" not in mail.get_content()
    assert "QUIT" in mail.get_content()


@pytest.mark.parametrize(
    "hidden",
    [
        "=?utf-8?b?DQpCY2M6IHRoaWVmQGV2aWwuZXhhbXBsZQ==?=",
        "=?utf-8?q?=0D=0ABcc=3A_thief@evil.example=0D=0A=0D=0Abody?=",
        "==??utf-8?q?=0D=0ABcc=3A_thief?= =?utf-8?q?=0D=0A_x?=",
    ],
)
def test_an_encoded_word_in_a_value_stays_text(hidden: str) -> None:
    inbox = Inbox()
    with mail_server(inbox) as settings:
        told = {**TOLD, "because": hidden}
        assert Mail(replace(settings, template=Template("$because"))).send(Deliver("email/shift", hidden, told)).state
    (mail,) = inbox.mails
    assert mail["Bcc"] is None and "\n" not in mail["Subject"] + mail["Nightferry-Id"]
    assert "thief" not in mail["Subject"] or "Bcc=3A" in mail["Subject"]
    assert hidden in mail.get_content()


@pytest.mark.parametrize("password", ["p\u00e4ssword", "\u5bc6\u7801"])
def test_credentials_that_cannot_be_sent_are_said_so(tmp_path: Path, password: str) -> None:
    file = tmp_path / "mail"
    file.write_text(f"ferry:{password}", encoding="utf-8")
    settings = MailSettings("shift", "127.0.0.1", 9, "f@x.example", ("a@x.example",), credentials_file=file)
    said = Mail(settings).send(NOTICE)
    assert said == Outcome("refused", f"{file} holds characters beyond ASCII, which cannot be sent as credentials")


def test_a_value_is_never_read_as_a_template() -> None:
    inbox = Inbox()
    with mail_server(inbox) as settings:
        told = {**TOLD, "because": "$reason ${release} $$"}
        Mail(replace(settings, template=Template(text="$because"))).send(Deliver("email/shift", "1", told))
    assert inbox.mails[0].get_content().strip() == "$reason ${release} $$"


def _talking(speak: Callable[[socket.socket, threading.Event], None]) -> Any:
    """A server that speaks to one client after the other as it likes -> (port, stop)."""

    @contextlib.contextmanager
    def run() -> Iterator[int]:
        stopped = threading.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.1)

        def serve() -> None:
            while not stopped.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                with client, contextlib.suppress(OSError):
                    speak(client, stopped)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            thread.join(60.0)
            listener.close()

    return run()


def _drips(client: socket.socket, stopped: threading.Event) -> None:
    while not stopped.wait(0.05):
        client.sendall(b"2")


def _silent(client: socket.socket, stopped: threading.Event) -> None:
    stopped.wait(90.0)


def _forgets_the_farewell(client: socket.socket, stopped: threading.Event) -> None:
    lines = client.makefile("rb")
    client.sendall(b"220 here\r\n")
    for line in lines:
        if line.upper().startswith(b"DATA"):
            client.sendall(b"354 go on\r\n")
            while lines.readline() != b".\r\n":
                pass
        elif line.upper().startswith(b"QUIT"):
            return
        client.sendall(b"250 fine\r\n")


@pytest.mark.parametrize(("speak", "because"), [(_drips, "timed out"), (_silent, "timed out")])
def test_a_mail_server_that_never_comes_to_a_point_is_left(speak: Any, because: str) -> None:
    with _talking(speak) as port:
        settings = MailSettings("shift", "127.0.0.1", port, "f@x.example", ("a@x.example",), tls="none", timeout=0.5)
        assert Mail(settings).send(NOTICE) == Outcome("later", because)


def test_a_mail_server_that_is_found_only_after_the_deadline_is_left_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    def slowly(*arguments: Any, **options: Any) -> socket.socket:
        threading.Event().wait(1.0)
        return connect(*arguments, **options)

    with _talking(_drips) as port:
        monkeypatch.setattr(socket, "create_connection", slowly)
        settings = MailSettings("shift", "127.0.0.1", port, "f@x.example", ("a@x.example",), tls="none", timeout=0.5)
        assert Mail(settings).send(NOTICE) == Outcome("later", "timed out")


def test_a_mail_that_was_accepted_is_sent_whatever_becomes_of_the_farewell() -> None:
    with _talking(_forgets_the_farewell) as port:
        settings = MailSettings("shift", "127.0.0.1", port, "f@x.example", ("a@x.example",), tls="none", timeout=60.0)
        assert Mail(settings).send(NOTICE).state == "sent"


def test_a_dead_mail_server_is_asked_later() -> None:
    with nobody() as url:
        port = int(url.rpartition(":")[2])
        settings = MailSettings("shift", "127.0.0.1", port, "f@x.example", ("a@x.example",), tls="none")
        assert Mail(settings).send(NOTICE) == Outcome("later", "no connection to the mail server")


# ------------------------------------------------------------------------------------------------- webhooks


def hook(server: Server, **changes: Any) -> Hook:
    return Hook(replace(HookSettings("room", f"{server.url}/room", timeout=60.0), **changes), RealClock())


def test_a_generic_post_has_every_field_and_the_text(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    with serving(plain(b"", 204)) as server:
        assert hook(server, secret_file=secret).send(NOTICE) == Outcome("sent", "HTTP 204")
    (asked,) = server.asked
    assert {key: asked.json[key] for key in TOLD} == TOLD
    assert asked.json["id"] == asked.headers["nightferry-id"] == NOTICE.id
    assert "errors 4.1 % against 0.2 %" in asked.json["text"]
    assert asked.headers["nightferry-signature"].startswith("v1=")


def test_without_a_secret_a_post_is_not_signed() -> None:
    with serving(plain(b"ok")) as server:
        assert hook(server).send(NOTICE).state == "sent"
    assert "nightferry-signature" not in server.asked[0].headers


def test_a_chat_gets_a_text_in_which_nobody_can_be_called() -> None:
    told = {**TOLD, "because": "<!channel> & <https://evil.example|click> @all app@sha256:1"}
    with serving(plain(b"ok")) as server:
        assert hook(server, format="slack").send(Deliver("webhook/room", "1", told)).state == "sent"
    (asked,) = server.asked
    assert set(asked.json) == {"text"}
    assert "<" not in asked.json["text"]
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; @\u200ball app@sha256:1" in asked.json["text"]


def test_a_text_that_is_cut_for_a_chat_says_so_and_is_not_cut_within_a_character() -> None:
    for pad in range(6):
        with serving(plain(b"ok")) as server:
            template = Template(text="x" * pad + "&" * MOST_TEXT)
            assert hook(server, format="slack", template=template).send(NOTICE).state == "sent"
        (asked,) = server.asked
        said, end = asked.json["text"].rsplit("\n", 1)
        assert said.endswith("&amp;")
        assert end == "(cut here; `nightferry explain checkout-7 -n shop` has the rest)"
        assert MOST_TEXT - 5 < len(asked.json["text"]) <= MOST_TEXT


def test_an_address_that_is_a_secret_is_read_from_its_file_and_never_told(tmp_path: Path) -> None:
    file = tmp_path / "url"
    with serving(plain(b"no", 404)) as server:
        file.write_text(f"{server.url}/T000/B000/{PASSWORD}\n")
        secret = Hook(HookSettings("room", url_file=file), RealClock())
        answer = secret.send(NOTICE)
    assert server.asked[0].path == f"/T000/B000/{PASSWORD}"
    assert answer == Outcome("refused", "HTTP 404: check its url")
    with nobody() as url:
        file.write_text(f"{url}/T000/B000/{PASSWORD}\n")
        assert secret.send(NOTICE) == Outcome("later", "no connection")
    long = f"http://{'x' * 64}.example/"
    for wrong in ("ftp://x", "not an address", "http://x y", "\xff", "http://a..b/", "http://[::1/", long, "https:///x",
                  "http://x:99999/"):  # fmt: skip
        file.write_text(wrong)
        said = secret.send(NOTICE)
        assert said == Outcome("refused", f"{file} holds no address that begins with https:// or http://")
    file.write_text("")
    assert "holds no secret" in secret.send(NOTICE).because


@pytest.mark.parametrize(
    "words",
    [
        "[our wiki](https://evil.example)", "![](https://evil.example/seen.png)", "[our wiki][1] [1]: https://evil.example",
        "[a[b](https://evil.example)",
    ],
)  # fmt: skip
def test_no_value_is_a_link_under_other_words_in_a_chat_that_knows_markdown(words: str) -> None:
    with serving(plain(b"ok")) as server:
        told = {**TOLD, "because": words, "reason": words}
        assert hook(server, format="slack").send(replace(NOTICE, payload=told)).state == "sent"
    (asked,) = server.asked
    said = asked.json["text"]
    assert not re.search(r"\]\s*[(\[:]", said)
    assert said.replace("\u200b", "").count(words) == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (plain(b"", 500), Outcome("later", "HTTP 500")),
        (plain(b"", 503), Outcome("later", "HTTP 503")),
        (plain(b"", 429), Outcome("later", "HTTP 429")),
        (plain(b"", 403), Outcome("refused", "HTTP 403: check its url")),
        (plain(b"", 302, {"Location": "http://127.0.0.1:1/"}),
         Outcome("refused", "HTTP 302: redirects are not followed; correct its url")),
        (hang_up, Outcome("later", "no connection")),
    ],
)  # fmt: skip
def test_a_receiver_that_does_not_take_it(answer: Any, expected: Outcome) -> None:
    with serving(answer) as server:
        assert hook(server).send(NOTICE) == expected
        assert len(server.asked) == 1


def _a_page_of_two_minutes(_: Asked, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1200\r\n\r\n")
    line.drip(b"x" * 1200, 0.1)


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"x" * 100_000),
        _a_page_of_two_minutes,
        lambda _, line: line.drip(b"HTTP/1.1 202 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno", 0.0),
    ],
)
def test_a_receiver_that_has_taken_it_is_not_told_again_whatever_else_it_says(answer: Any) -> None:
    with serving(answer) as server:
        assert hook(server).send(NOTICE).state == "sent"


def test_a_receiver_that_drips_is_left_in_time() -> None:
    with serving(lambda _, line: line.drip(b"HTTP/1.1 200 OK\r\n" * 100, 0.05)) as server:
        assert hook(server, timeout=0.4).send(NOTICE) == Outcome("later", "timed out")


def test_a_report_goes_as_a_text_and_by_mail_with_its_page() -> None:
    found = report_of([], since=0.0, until=3600.0, made=3600.0, title="The night of é")
    report = Deliver("email/shift", "night-1", payload_of(found))
    inbox = Inbox()
    with mail_server(inbox) as settings:
        assert Mail(settings).send(report).state == "sent"
    (mail,) = inbox.mails
    assert mail["Subject"] == "The night of é: no release"
    text = mail.get_body(("plain",))
    assert text is not None and text.get_content().splitlines() == markdown(found).splitlines()
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("nightferry-report.html", "text/html")
    assert attached.get_content().splitlines() == html(found).splitlines()
    with serving(plain(b"ok")) as server:
        hook(server).send(report)
        hook(server, format="slack").send(report)
    assert server.asked[0].json["text"] == markdown(found)
    assert server.asked[0].json["report"]["title"] == "The night of é"
    assert server.asked[1].json["text"] == f"*The night of é: no release*\n{brief(found)}"


# ------------------------------------------------------------------------------------------------- the courier


class Scripted:
    """A sender that answers by a list, the last one for ever, and knows what it was asked."""

    def __init__(self, *answers: Outcome) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def send(self, notice: Deliver) -> Outcome:
        self.asked.append(notice.id)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Jumping(SetClock):
    """A clock in which waiting takes no time: whoever waits finds it later at once."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if seconds >= 3600.0:  # nothing to do
            return event.wait(5.0)
        self.at += seconds
        return event.is_set()


def end_of(courier: Courier, notice: Deliver) -> Delivery:
    """Asks until there is an end."""
    eventually(lambda: courier.perform(notice).state != "pending", "the notice has an end")
    return courier.perform(notice)


ROOM = Deliver("webhook/room", "1", TOLD)


def test_a_tick_never_waits_and_hears_of_the_end_later() -> None:
    gate = threading.Event()

    class Slow:
        def send(self, notice: Deliver) -> Outcome:
            gate.wait(90.0)
            return Outcome("sent", "HTTP 200")

    courier = Courier({"webhook/room": Slow()}, RealClock())
    assert courier.perform(ROOM).state == "pending"
    assert courier.perform(ROOM).state == "pending"
    gate.set()
    assert end_of(courier, ROOM) == Delivery("sent", "HTTP 200")
    courier.stop()


def test_what_was_sent_is_not_sent_again_however_often_a_tick_asks() -> None:
    sender = Scripted(Outcome("sent"))
    courier = Courier({"webhook/room": sender}, RealClock())
    end_of(courier, ROOM)
    for _ in range(5):
        assert courier.perform(ROOM).state == "sent"
    assert sender.asked == ["1"]
    courier.stop()


def test_k30_a_notifier_that_was_away_gets_everything_when_it_is_back() -> None:
    clock = Jumping()
    sender = Scripted(*[Outcome("later", "HTTP 503")] * 12, Outcome("sent"))
    courier = Courier({"webhook/room": sender}, clock)
    began = clock.at
    notices = [replace(ROOM, id=str(n)) for n in range(20)]
    for notice in notices:
        courier.perform(notice)
    for notice in notices:
        assert end_of(courier, notice).state == "sent"
    assert clock.at - began >= 5 + 10 + 20 + 40 + 80 + 160 + 6 * 300 - 1e-6
    courier.stop()


def test_a_notice_that_is_refused_is_given_up_after_some_tries_and_the_next_one_is_sent() -> None:
    sender = Scripted(*[Outcome("refused", "HTTP 404: check its url")] * MOST_REFUSALS, Outcome("sent"))
    heard: list[tuple[str, str, str]] = []
    courier = Courier({"webhook/room": sender}, Jumping(), lambda *told: heard.append(told))
    assert end_of(courier, ROOM) == Delivery("failed", "HTTP 404: check its url")
    assert end_of(courier, replace(ROOM, id="2")).state == "sent"
    assert sender.asked == ["1"] * MOST_REFUSALS + ["2"]
    assert [outcome for _, outcome, _ in heard] == ["refused"] * MOST_REFUSALS + ["sent"]
    courier.stop()


def test_a_dead_notifier_keeps_no_other_one_waiting() -> None:
    never = threading.Event()

    class Dead:
        def send(self, notice: Deliver) -> Outcome:
            never.wait(90.0)
            return Outcome("later", "timed out")

    courier = Courier({"webhook/dead": Dead(), "webhook/room": Scripted(Outcome("sent"))}, RealClock())
    courier.perform(replace(ROOM, notifier="webhook/dead"))
    assert end_of(courier, ROOM).state == "sent"
    assert courier.waiting() == {"webhook/dead": 1, "webhook/room": 0}
    never.set()
    courier.stop()


def test_a_notice_that_alone_is_not_taken_keeps_the_others_of_its_notifier_from_nothing() -> None:
    class Picky(Scripted):
        def send(self, notice: Deliver) -> Outcome:
            super().send(notice)
            return Outcome("later", "HTTP 500") if notice.id == "1" else Outcome("sent")

    courier = Courier({"webhook/room": Picky(Outcome("sent"))}, Jumping())
    assert courier.perform(ROOM).state == "pending"
    for name in ("2", "3"):
        assert end_of(courier, replace(ROOM, id=name)).state == "sent"
    assert courier.perform(ROOM).state == "pending"
    courier.stop()


def test_after_an_outage_the_oldest_comes_first_again() -> None:
    names = [str(n) for n in range(6)]
    sender = Scripted(*[Outcome("later", "HTTP 503")] * 9, Outcome("sent"))
    start = threading.Event()

    class Slow(Scripted):
        def send(self, notice: Deliver) -> Outcome:
            start.wait(90.0)
            return sender.send(notice)

    courier = Courier({"webhook/room": Slow(Outcome("sent"))}, Jumping())
    for name in names:
        courier.perform(replace(ROOM, id=name))
    start.set()
    for name in names:
        assert end_of(courier, replace(ROOM, id=name)).state == "sent"
    # The one that was being tried when it came back, and then all others in their order.
    assert sender.asked[9:] == ["2", "0", "1", "3", "4", "5"]
    courier.stop()


def test_a_notice_that_nobody_asks_about_any_more_is_forgotten() -> None:
    clock = Jumping()
    sender = Scripted(Outcome("later", "HTTP 503"))
    courier = Courier({"webhook/room": sender}, clock)
    courier.perform(ROOM)
    eventually(lambda: courier.waiting() == {"webhook/room": 0}, "it is forgotten")
    assert courier.perform(ROOM).state == "pending"  # whoever asks again finds it taken anew
    courier.stop()


def test_a_flood_stays_in_the_records_and_out_of_our_memory() -> None:
    courier = Courier({"webhook/room": Scripted(Outcome("later", "HTTP 503"))}, RealClock())
    for n in range(MOST_WAITING + 50):
        answer = courier.perform(replace(ROOM, id=str(n)))
    assert courier.waiting() == {"webhook/room": MOST_WAITING}
    assert answer == Delivery("pending", f"{MOST_WAITING} notices wait for webhook/room already", 60.0)
    courier.stop()


def test_a_notifier_that_nobody_configured_is_said_at_once() -> None:
    courier = Courier({"email/shift": Scripted(Outcome("sent"))}, RealClock())
    assert courier.perform(ROOM) == Delivery(
        "failed", "webhook/room is not in the controller's configuration; known: email/shift"
    )


def test_a_sender_that_raises_is_a_fault_of_ours_and_stops_nobody() -> None:
    class Broken:
        def send(self, notice: Deliver) -> Outcome:
            raise RuntimeError(PASSWORD)

    courier = Courier({"webhook/room": Broken()}, Jumping())
    assert end_of(courier, ROOM) == Delivery("failed", "internal error: RuntimeError")
    courier.stop()
