"""Notifiers in virtual time: each controller has a courier of its own, whose memory dies with the controller."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.requests.outside import Deliver, Delivery


@dataclass(slots=True)
class Couriers:
    """What became of notices. `answers`: by notifier, what a courier says instead of `sent`."""

    answers: dict[str, Delivery] = field(default_factory=dict)
    delivered: list[Deliver] = field(default_factory=list)
    _known: dict[str, dict[str, bool]] = field(default_factory=dict)  # by controller, then id: whether it was sent

    def perform(self, controller: str, notice: Deliver) -> Delivery:
        """A courier takes a notice at the first asking; at the second one it has sent it."""
        known = self._known.setdefault(controller, {})
        if notice.id not in known:
            known[notice.id] = False
            return Delivery("pending", "on its way")
        told = self.answers.get(notice.notifier, Delivery("sent"))
        if told.state == "sent" and not known[notice.id]:
            known[notice.id] = True
            self.delivered.append(notice)
        return told

    def forget(self, controller: str) -> None:
        """A controller was killed: what its courier had taken and not sent is lost."""
        self._known.pop(controller, None)

    def fork(self) -> Couriers:
        """A copy that goes its own way."""
        known = {name: dict(each) for name, each in self._known.items()}
        return Couriers(dict(self.answers), list(self.delivered), known)
