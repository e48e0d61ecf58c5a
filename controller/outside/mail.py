"""Notices by e-mail: one mail over SMTP, encrypted unless the configuration says otherwise.

A repetition carries the same Message-ID, so that mail programs and lists show it once. Mails about one release refer
to each other. The server's own words are not passed on: they may quote an address or a password.
"""

from __future__ import annotations

import contextlib
import hashlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime

from controller.outside.hook import Outcome
from controller.outside.post import UnreadableSecret, read_secret
from controller.outside.settings import MailSettings
from controller.outside.wording import worded
from controller.requests.outside import Deliver


class Mail:
    """Sends to the receivers of one notifier. Safe to share between threads."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, notice: Deliver) -> Outcome:
        """One try; never raises for the server's faults."""
        told = self._settings
        message = written(notice, told)
        try:
            context = ssl.create_default_context(cafile=str(told.ca_file) if told.ca_file is not None else None)
        except (OSError, ssl.SSLError):
            return Outcome("refused", f"{told.ca_file} holds no certificates")
        try:
            login = _login(told)
            with _connected(told, context) as server:
                if told.tls == "starttls":
                    server.starttls(context=context)
                if login is not None:
                    server.login(*login)
                refused = server.send_message(message, told.sender, list(told.to))
        except UnreadableSecret as error:
            return Outcome("refused", str(error))
        except smtplib.SMTPNotSupportedError:
            wanted = "STARTTLS" if told.tls == "starttls" else "what this mail needs"
            return Outcome("refused", f"the mail server does not offer {wanted}")
        except smtplib.SMTPRecipientsRefused as error:
            return _answered(max(code for code, _ in error.recipients.values()), "every receiver")
        except smtplib.SMTPResponseException as error:
            return _answered(error.smtp_code, _STEPS.get(type(error), "the mail"))
        except ssl.SSLError:
            return Outcome("refused", "the TLS certificate of the mail server is not accepted")
        except TimeoutError:
            return Outcome("later", "timed out")
        except (smtplib.SMTPException, OSError):
            return Outcome("later", "no connection to the mail server")
        return Outcome("sent", f"except to {len(refused)} of {len(told.to)} receivers" if refused else "accepted")


def written(notice: Deliver, settings: MailSettings) -> EmailMessage:
    """The mail; the same for a repetition."""
    words = worded(notice, settings.template)
    domain = settings.sender.rpartition("@")[2]
    payload = notice.payload
    message = EmailMessage(policy=WIRE)
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Subject"] = _literal(words.subject)
    message["Date"] = format_datetime(_time(str(payload.get("at", ""))))
    message["Message-ID"] = f"<{hashlib.sha256(notice.id.encode()).hexdigest()[:32]}@{domain}>"
    if payload.get("release"):
        thread = hashlib.sha256(f"{payload.get('namespace')}/{payload['release']}".encode()).hexdigest()[:32]
        message["References"] = f"<{thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Nightferry-Id"] = _literal("".join(char for char in notice.id if char.isascii() and char.isprintable()))
    message.set_content(words.text)
    for name, kind, content in words.attachments:
        message.add_attachment(content, subtype=kind, filename=name)
    return message


def _literal(text: str) -> str:
    """The text of a header in which nothing is an encoded word: the library would decode it, line breaks and all."""
    return text.replace("=?", "= ?")


_STEPS: dict[type[smtplib.SMTPResponseException], str] = {
    smtplib.SMTPAuthenticationError: "the credentials",
    smtplib.SMTPSenderRefused: "the sender",
    smtplib.SMTPDataError: "the text of the mail",
    smtplib.SMTPHeloError: "our greeting",
    smtplib.SMTPConnectError: "the connection",
}


def _answered(code: int, what: str) -> Outcome:
    because = f"the mail server answered {code} to {what}"
    return Outcome("refused" if 500 <= code < 600 else "later", because)


@contextlib.contextmanager
def _connected(settings: MailSettings, context: ssl.SSLContext) -> Iterator[smtplib.SMTP]:
    """A connection that lives no longer than the notifier's timeout, however slowly the server speaks."""
    own = socket.gethostname()
    server = (
        smtplib.SMTP_SSL(local_hostname=own, timeout=settings.timeout, context=context)
        if settings.tls == "implicit"
        else smtplib.SMTP(local_hostname=own, timeout=settings.timeout)
    )
    late, over = threading.Event(), threading.Event()

    def cut() -> None:
        pause = settings.timeout
        while not over.wait(pause):
            late.set()
            with contextlib.suppress(OSError, AttributeError):
                server.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
            pause = 0.1  # a connection that stands only now, after a slow look for its address, is cut too

    threading.Thread(target=cut, name=f"deadline of {settings.name}", daemon=True).start()
    try:
        # Without the name in place the certificate would be held against an empty one.
        server._host = settings.host  # type: ignore[attr-defined]
        code, _ = server.connect(settings.host, settings.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, b"")
        yield server
        # The mail was accepted: whatever happens to the farewell, it must not be sent again.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            server.quit()
    except (smtplib.SMTPServerDisconnected, OSError) as error:
        # smtplib says "disconnected" of a read that took too long.
        if late.is_set() or isinstance(error.__context__, TimeoutError):
            raise TimeoutError from None
        raise error
    finally:
        over.set()
        server.close()


def _login(settings: MailSettings) -> tuple[str, str] | None:
    if settings.credentials_file is None:
        return None
    try:
        user, colon, password = read_secret(settings.credentials_file).decode("utf-8").partition(":")
    except UnicodeDecodeError:
        colon = ""
    if not colon:
        raise UnreadableSecret(f"{settings.credentials_file} does not hold user:password")
    if not (user + password).isascii():
        raise UnreadableSecret(
            f"{settings.credentials_file} holds characters beyond ASCII, which cannot be sent as credentials"
        )
    return user, password


def _time(stamp: str) -> datetime:
    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return datetime.fromtimestamp(0.0, UTC)
