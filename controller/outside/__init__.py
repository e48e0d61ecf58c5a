"""The only code that calls webhooks: signed, bounded in time and size, never redirected."""

from __future__ import annotations

from collections.abc import Iterable

from controller.clock import Clock
from controller.outside.post import Post
from controller.outside.settings import EndpointSettings
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import CallWebhook, Spoken

__all__ = ["EndpointSettings", "Endpoints"]


class Endpoints:
    """The configured endpoints by name. Raises ValueError for two of one name."""

    def __init__(self, settings: Iterable[EndpointSettings], clock: Clock) -> None:
        self._posts: dict[str, Post] = {}
        for one in settings:
            if one.name in self._posts:
                raise ValueError(f"two endpoints are named {one.name}")
            self._posts[one.name] = Post(one, clock)

    def perform(self, call: CallWebhook) -> Spoken | Failure:
        """The answer to a tick's request."""
        post = self._posts.get(call.endpoint)
        if post is None:
            known = ", ".join(sorted(self._posts)) or "none"
            return Failure(FailureKind.ABSENT, f"it is not in the controller's configuration; known: {known}")
        return post.send(call)
