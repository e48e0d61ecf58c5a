"""Who may post, as the API server says: a token and a permission, remembered for a while, and no flood of questions."""

from __future__ import annotations

import threading
from typing import Any

from controller.cluster.callers import KNOWN_FOR, STRANGE_FOR, Callers
from controller.requests.failure import FailureKind
from tests.controller.adapters.builders import RealClock, SetClock, connection_to
from tests.controller.adapters.server import Asked, Line, obj, serving, status

USER = {"username": "system:serviceaccount:monitoring:alertmanager", "uid": "u1", "groups": ["system:serviceaccounts"]}


class Server:
    """Answers reviews as told; `asked` is every body."""

    def __init__(self, *, authenticated: bool = True, allowed: bool = True) -> None:
        self.authenticated, self.allowed = authenticated, allowed
        self.asked: list[Any] = []
        self.broken = 0

    def __call__(self, asked: Asked, line: Line) -> None:
        self.asked.append(asked.json)
        if self.broken:
            status(self.broken, f"no: {asked.json['spec'].get('token', '')}", "Forbidden")(asked, line)
            return
        said: dict[str, Any] = {"allowed": self.allowed}
        if asked.json["kind"] == "TokenReview":
            said = {"authenticated": self.authenticated, "user": USER if self.authenticated else {}}
        obj({**asked.json, "status": said}, 201)(asked, line)


def test_a_token_is_judged_and_then_its_bearer() -> None:
    server = Server()
    with serving(server) as line:
        assert Callers(connection_to(line.url), RealClock(), deadline=60.0).judge("t1") is None
    token, access = server.asked
    assert (token["kind"], token["spec"]) == ("TokenReview", {"token": "t1"})
    assert access["spec"] == {
        "user": USER["username"],
        "uid": "u1",
        "groups": USER["groups"],
        "resourceAttributes": {"verb": "create", "group": "nightferry.dev", "resource": "alerts"},
    }


def test_a4_a_token_nobody_knows_and_one_that_may_not() -> None:
    with serving(Server(authenticated=False)) as line:
        judged = Callers(connection_to(line.url), RealClock(), deadline=60.0).judge("t1")
        assert judged is not None and judged.kind is FailureKind.UNAUTHORIZED
    with serving(Server(allowed=False)) as line:
        judged = Callers(connection_to(line.url), RealClock(), deadline=60.0).judge("t1")
        assert judged is not None and judged.kind is FailureKind.FORBIDDEN
        assert "nightferry-alert-sender" in judged.message


def test_a4_an_api_server_that_refuses_us_says_nothing_about_the_caller() -> None:
    server = Server()
    with serving(server) as line:
        callers = Callers(connection_to(line.url), RealClock(), deadline=60.0)
        for code in (401, 403, 500):
            server.broken = code
            judged = callers.judge("a-secret-token")
            assert judged is not None and judged.kind is FailureKind.UNAVAILABLE
            assert "a-secret-token" not in judged.message
        server.broken = 0
        assert callers.judge("a-secret-token") is None


def test_a13_an_answer_is_remembered_for_a_while() -> None:
    server, clock = Server(), SetClock()
    with serving(server) as line:
        callers = Callers(connection_to(line.url, RealClock()), clock, deadline=60.0)
        assert [callers.judge("t1") for _ in range(100)] == [None] * 100
        assert len(server.asked) == 2
        clock.at += KNOWN_FOR + 1.0
        server.authenticated = False
        assert callers.judge("t1") is not None
        assert len(server.asked) == 3
        callers.judge("t1")
        assert len(server.asked) == 3
        clock.at += STRANGE_FOR + 1.0
        server.authenticated = True
        assert callers.judge("t1") is None


def test_a13_a_storm_with_one_token_is_few_questions() -> None:
    server = Server()
    with serving(server) as line:
        callers = Callers(connection_to(line.url), RealClock(), deadline=60.0)
        threads = [threading.Thread(target=callers.judge, args=("t1",)) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.asked) <= 2 * 4
