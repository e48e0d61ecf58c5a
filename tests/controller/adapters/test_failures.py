"""Every error answer becomes the failure that the tick can act on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.cluster.failures import failed_status
from controller.requests.failure import FailureKind

STATUS = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}


def judged(
    code: int, *, method: str = "GET", headers: dict[str, str] | None = None, **body: object
) -> tuple[FailureKind, str]:
    data = json.dumps({**STATUS, "code": code, **body}).encode()
    failed = failed_status(code, headers or {}, data, method, f"{method} /path")
    assert failed.status == code
    return failed.failure.kind, failed.failure.message


@pytest.mark.parametrize(
    ("code", "method", "body", "kind"),
    [
        (400, "GET", {"message": "bad", "reason": "BadRequest"}, FailureKind.INVALID),
        (401, "GET", {"message": "Unauthorized", "reason": "Unauthorized"}, FailureKind.UNAUTHORIZED),
        (404, "GET", {"reason": "NotFound", "details": {"name": "a", "kind": "deployments"}}, FailureKind.ABSENT),
        # K20: the CRD was deleted while a group of other kinds is still served.
        (404, "GET", {"message": "the server could not find the requested resource"}, FailureKind.NO_KIND),
        (409, "PATCH", {"reason": "Conflict", "details": {"name": "a"}}, FailureKind.CONFLICT),
        (409, "POST", {"reason": "AlreadyExists", "details": {"name": "a"}}, FailureKind.EXISTS),
        (413, "PATCH", {"message": "request entity too large"}, FailureKind.INVALID),
        (422, "PATCH", {"reason": "Invalid", "message": "spec.replicas: must be positive"}, FailureKind.INVALID),
        (429, "GET", {"reason": "TooManyRequests"}, FailureKind.THROTTLED),
        (500, "PATCH", {"reason": "InternalError", "message": "etcdserver: leader changed"}, FailureKind.UNAVAILABLE),
        (503, "GET", {"reason": "ServiceUnavailable"}, FailureKind.UNAVAILABLE),
        (504, "PATCH", {"reason": "Timeout", "message": "request did not complete"}, FailureKind.UNAVAILABLE),
    ],
)  # fmt: skip
def test_status_objects_are_told_apart(code: int, method: str, body: dict[str, Any], kind: FailureKind) -> None:
    assert judged(code, method=method, **body)[0] is kind


def test_k18_a_missing_permission_is_told_from_a_refused_content() -> None:
    denied = 'deployments.apps "a" is forbidden: User "system:serviceaccount:n:n" cannot patch resource "deployments"'
    quota = 'deployments.apps "a" is forbidden: exceeded quota: small, requested: count/deployments.apps=1'
    assert judged(403, method="PATCH", message=denied, reason="Forbidden")[0] is FailureKind.FORBIDDEN
    assert judged(403, method="POST", message=quota, reason="Forbidden")[0] is FailureKind.INVALID
    # A read is never refused for its content.
    assert judged(403, method="GET", message="no", reason="Forbidden")[0] is FailureKind.FORBIDDEN


@pytest.mark.parametrize("code", [400, 403, 409, 429, 500])
def test_k28_a_webhooks_refusal_is_shown_word_for_word_whatever_status_it_chose(code: int) -> None:
    words = 'admission webhook "guard.example" denied the request: image User "x" cannot be pulled on Fridays'
    assert judged(code, method="PATCH", message=words) == (FailureKind.INVALID, words)


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (404, b"404 page not found\n", FailureKind.NO_KIND),  # a group that is not served at all
        (404, b"<html>no such host</html>", FailureKind.UNAVAILABLE),  # a proxy: nothing is known of the object
        (404, b"", FailureKind.UNAVAILABLE),
        (409, b"", FailureKind.CONFLICT),
        (401, b"<html>log in</html>", FailureKind.UNAUTHORIZED),
        (403, b"<html>blocked</html>", FailureKind.FORBIDDEN),
        (302, b"", FailureKind.UNAVAILABLE),
        (502, b"<html>bad gateway</html>", FailureKind.UNAVAILABLE),
        (404, b'{"kind":"Status","details":' + b"[" * 100_000, FailureKind.UNAVAILABLE),
        (404, b'{"kind":"Status","details":"x"}', FailureKind.UNAVAILABLE),
    ],
)
def test_bodies_that_are_no_status_say_nothing_of_an_object(code: int, body: bytes, kind: FailureKind) -> None:
    assert failed_status(code, {}, body, "GET", "GET /path").failure.kind is kind


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"Retry-After": "7"}, None, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({}, None, 1.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None, 1.0),
        ({"Retry-After": "-5"}, None, 1.0),
        ({"Retry-After": "21600"}, None, 300.0),  # K4: six hours are not slept
    ],
)
def test_k4_a_throttled_answer_says_how_long(headers: dict[str, str], details: object, seconds: float) -> None:
    data = json.dumps({**STATUS, **({"details": details} if details else {})}).encode()
    assert failed_status(429, headers, data, "GET", "x").failure.retry_after == seconds


def test_a_message_is_one_short_printable_line() -> None:
    _, message = judged(422, method="PATCH", message="first\nsecond\x1b[31m " + "x" * 9000)
    assert message.startswith("first second\\x1b[31m x")
    assert len(message) <= 500
    assert message.isprintable()
