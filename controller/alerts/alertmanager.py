"""Reads which alerts fire from the API of every configured Alertmanager (v2).

Alertmanagers of one house have the same alerts: each Prometheus sends to all of them. So one answer is an answer, and
what any of them says fires, fires. An empty answer is believed only as long as the watchdog, an alert that always
fires, is in it: an Alertmanager that no Prometheus reaches any more would otherwise say that all is well.

They are asked side by side. Once one has given an answer that can be believed, the others have a moment more, and one
that missed it last time has none: an Alertmanager that hangs costs a tick nothing of what the other one says. Until
then each has its whole time.

Nobody would miss one of them as long as another one answers: of each read it is told what came of each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import msgspec
import requests
import urllib3

from controller import wire
from controller.alerts.settings import AlertmanagerSettings
from controller.clock import Clock
from controller.credentials import Credentials, UnreadableCredentials
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import FiringAlerts, ReadFiring
from controller.sessions import paced_session
from controller.wire_faults import reason

MAX_BODY = 16 * 1024 * 1024  # bytes, decompressed: about 20,000 alerts
GRACE = 1.0  # seconds that the others have once one has answered
_CONNECT_TIMEOUT = 2.0
_AT_ONCE = 32  # questions to one Alertmanager

Labels = tuple[tuple[str, str], ...]
Object = Mapping[str, Any]
Heard = Callable[[str, str, str], None]


class _Status(msgspec.Struct):
    state: str
    silencedBy: list[str] = []
    inhibitedBy: list[str] = []


class _Alert(msgspec.Struct):
    fingerprint: str
    labels: dict[str, str]
    startsAt: str
    status: _Status
    annotations: dict[str, str] = {}
    endsAt: str = ""


# Once to judge the answer, once to have it: for thousands of alerts that costs a fifth of taking the judged one apart.
_judged = msgspec.json.Decoder(list[_Alert])
_plain: msgspec.json.Decoder[list[Object]] = msgspec.json.Decoder(list[dict[str, Any]])


class Alertmanagers:
    """All of them as one. Safe to share between threads. Raises ValueError for two of one name.

    `heard` is told, of each read and each of them, its name, what came of it (answered; silent: no answer, none in
    time, or one that is none; deaf: an answer without the watchdog) and why.
    """

    def __init__(self, settings: Iterable[AlertmanagerSettings], watchdog: Labels, clock: Clock, heard: Heard) -> None:
        self._each: dict[str, _One] = {}
        for one in settings:
            if one.name in self._each:
                raise ValueError(f"two Alertmanagers are named {one.name}")
            self._each[one.name] = _One(one, clock)
        self._watchdog = watchdog
        self._clock = clock
        self._heard = heard

    def perform(self, ask: ReadFiring) -> FiringAlerts | Failure:
        """Every alert that fires and carries all labels of one of `ask.matches`, silenced and inhibited ones too."""
        if not self._each:
            return Failure(FailureKind.ABSENT, "no Alertmanager is in the controller's configuration")
        matches = (*ask.matches, *((self._watchdog,) if self._watchdog else ()))
        found: dict[str, Object] = {}
        failures: list[Failure] = []
        for name, answer in self._ask(matches).items():
            if isinstance(answer, Failure):
                self._heard(name, "silent", answer.message)
                failures.append(Failure(answer.kind, f"alertmanager {name}: {answer.message}", answer.retry_after))
                continue
            barks = self._barks(answer)
            self._heard(name, "answered" if barks else "deaf", "" if barks else self._unwatched)
            for alert in answer:
                known = found.get(alert["fingerprint"])
                if known is None or known["status"]["state"] == "suppressed":
                    found[alert["fingerprint"]] = alert
        if len(failures) == len(self._each):
            return failures[0]
        if not self._barks(found.values()):
            rest = f" ({failures[0].message})" if failures else ""
            return Failure(FailureKind.UNAVAILABLE, f"{self._unwatched}{rest}")
        wanted = [each for each in found.values() if any(_carries(each["labels"], match) for match in ask.matches)]
        return FiringAlerts(tuple(wanted))

    def _ask(self, matches: tuple[Labels, ...]) -> dict[str, list[Object] | Failure]:
        """What each of them says, in their order; who is not waited for has timed out."""
        calls = {one.begin(matches): name for name, one in self._each.items()}
        until = self._clock.monotonic() + max(one.timeout for one in self._each.values())
        heard: dict[str, list[Object] | Failure] = {}
        left: Collection[Future[list[Object] | Failure]] = calls
        while left:
            done, left = wait(left, max(0.0, until - self._clock.monotonic()), FIRST_COMPLETED)
            heard |= {calls[call]: call.result() for call in done}
            if not done or (all(self._each[calls[call]].late for call in left) and self._believed(heard)):
                break
            if self._believed(heard):
                until = min(until, self._clock.monotonic() + GRACE)
        for call in left:
            call.cancel()
            self._each[calls[call]].late = True
        timed_out = Failure(FailureKind.UNAVAILABLE, "timed out")
        return {name: heard.get(name, timed_out) for name in self._each}

    def _believed(self, heard: Mapping[str, list[Object] | Failure]) -> bool:
        """Whether there is an answer that proves by itself what fires."""
        return any(not isinstance(answer, Failure) and self._barks(answer) for answer in heard.values())

    def _barks(self, alerts: Iterable[Object]) -> bool:
        return not self._watchdog or any(_carries(each["labels"], self._watchdog) for each in alerts)

    @property
    def _unwatched(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self._watchdog)
        return f"the watchdog alert ({told}) does not fire: alert rules are not evaluated, or do not arrive"


def _carries(labels: Mapping[str, str], wanted: Labels) -> bool:
    return all(labels.get(name) == value for name, value in wanted)


class _One:
    """One Alertmanager, and the threads that ask it, each with a session of its own. `late`: it was not waited for."""

    def __init__(self, settings: AlertmanagerSettings, clock: Clock) -> None:
        self.timeout = settings.timeout
        self.late = False
        self._threads = ThreadPoolExecutor(_AT_ONCE, f"alertmanager {settings.name}")
        self._settings = settings
        self._clock = clock
        self._credentials = Credentials(settings.bearer_token_file, settings.basic_auth_file, clock)
        self._own = threading.local()

    def begin(self, matches: tuple[Labels, ...]) -> Future[list[Object] | Failure]:
        """Begins to ask for the alerts of all matches."""
        return self._threads.submit(self._fires, matches)

    def _fires(self, matches: tuple[Labels, ...]) -> list[Object] | Failure:
        """The alerts of all matches, one question for each, within one deadline."""
        found: list[Object] = []
        try:
            with wire.deadline(self._clock, self._settings.timeout):
                for match in dict.fromkeys(matches):
                    answer = self._ask(match)
                    if isinstance(answer, Failure):
                        return answer
                    found += answer
        except UnreadableCredentials as error:
            return Failure(FailureKind.UNAUTHORIZED, str(error))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, wire.TooLarge) as error:
            return Failure(FailureKind.UNAVAILABLE, reason(error))
        self.late = False
        return found

    def _ask(self, match: Labels) -> list[Object] | Failure:
        status, body = self._get(match)
        if status == 401 and self._credentials.any:
            self._credentials.forget()
            status, body = self._get(match)
        if status in (401, 403):
            return Failure(FailureKind.UNAUTHORIZED, f"HTTP {status}: it does not accept our credentials")
        if status != 200:
            said = wire.one_line(body[:256].decode(errors="replace"))
            return Failure(FailureKind.UNAVAILABLE, self._credentials.hidden(f"HTTP {status}: {said}").rstrip(": "))
        try:
            _judged.decode(body)
            return _plain.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Failure(FailureKind.UNAVAILABLE, f"the answer is no list of alerts: {wire.one_line(str(error))}")

    def _get(self, match: Labels) -> tuple[int, bytes]:
        told = self._settings
        response = self._session().get(
            f"{told.url.rstrip('/')}/api/v2/alerts",
            params=[("filter", f"{name}={_quoted(value)}") for name, value in match],
            headers={"Accept": "application/json", "User-Agent": "nightferry", **self._credentials.headers()},
            timeout=(min(_CONNECT_TIMEOUT, told.timeout), told.timeout),
            stream=True,
            allow_redirects=False,
        )
        try:
            return response.status_code, wire.read_body(response.raw, MAX_BODY)
        finally:
            if not response.raw.closed:
                response.close()

    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._own, "session", None)
        if found is None:
            told = self._settings
            verify = False if told.insecure_skip_verify else str(told.ca_file or "") or True
            found = paced_session(told.url, verify=verify)
            self._own.session = found
        return found


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
