"""Writes what a tick asks for, each with a guard; what was written is remembered, so that nothing older is shown."""

from __future__ import annotations

from controller.cluster.cache import Kind
from controller.cluster.connection import Connection
from controller.cluster.exchange import object_in, sent
from controller.cluster.own_writes import OwnWrites
from controller.cluster.served import Served
from controller.cluster.tick_times import TickTimes
from controller.cluster.writes import call_of, object_call
from controller.release.plan import DeleteObject
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    Write,
    WriteEvent,
    WriteObject,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
    WriteTrainStatus,
)


class Changes:
    """`deadline`: seconds for one call."""

    def __init__(
        self, connection: Connection, own: OwnWrites, times: TickTimes, served: Served, *, deadline: float
    ) -> None:
        self._connection = connection
        self._own = own
        self._times = times
        self._served = served
        self._deadline = deadline

    def perform(self, request: Write) -> Answer:
        """The answer to a write."""
        match request:
            case WriteSlot():
                return self._write(request, Kind.DEPLOYMENT)
            case WriteObject():
                return self._write_object(request)
            case WriteRecord() | CreateRelease():
                return self._write(request, Kind.RELEASE)
            case WritePolicyStatus():
                return self._write(request, Kind.POLICY)
            case WriteTrainStatus():
                return self._write(request, Kind.TRAIN)
            case DeleteRelease():
                return self._delete(request)
            case WriteEvent():
                return self._record_event(request)

    def _write(
        self, request: WriteSlot | WriteRecord | WritePolicyStatus | WriteTrainStatus | CreateRelease, kind: Kind
    ) -> Answer:
        if (stale := self._times.refusal(needs_read=isinstance(request, WriteSlot))) is not None:
            return stale
        call = call_of(request)
        answer = sent(self._connection, call, self._deadline)
        if isinstance(answer, Failure):
            return answer
        written = object_in(answer, f"{call.method} {call.path}")
        if isinstance(written, Failure):
            return written
        self._own.note(kind, written)
        return written

    def _write_object(self, request: WriteObject) -> Answer:
        if (stale := self._times.refusal(needs_read=True)) is not None:
            return stale
        write, kind = request.write, request.write.ref.kind
        answer: bytes | Failure = Failure(FailureKind.NO_KIND, f"the server has no {kind}")
        for resource in self._served.versions(kind):
            call = object_call(request.namespace, write, resource)
            answer = sent(self._connection, call, self._deadline)
            if isinstance(answer, bytes) or answer.kind is not FailureKind.NO_KIND:
                self._served.note(kind, resource)
                break
        if isinstance(answer, Failure):
            return answer
        if isinstance(write, DeleteObject):
            self._own.forget(kind, request.namespace, write.ref.name)
            return None
        written = object_in(answer, f"{call.method} {call.path}")
        if not isinstance(written, Failure):
            self._own.note(kind, written)
        return written

    def _delete(self, request: DeleteRelease) -> Answer:
        if (stale := self._times.refusal(needs_read=False)) is not None:
            return stale
        answer = sent(self._connection, call_of(request), self._deadline)
        if isinstance(answer, bytes) or answer.kind is FailureKind.ABSENT:
            self._own.forget(Kind.RELEASE, request.namespace, request.name)
            return None
        return answer

    def _record_event(self, request: WriteEvent) -> Answer:
        answer = sent(self._connection, call_of(request), self._deadline)
        if isinstance(answer, bytes) or answer.kind is FailureKind.EXISTS:
            return None
        return answer
