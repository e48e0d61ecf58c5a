"""The program of every pod: a small HTTP server with ordinary Prometheus metrics and a behaviour to order.

Run as `python -I -S pod_server.py`, configured by the environment: ADDRESS, PORT, POD, IMAGE, BEHAVIOUR,
ORDINAL, VERSION.

    GET /healthz              200 or 503, the readiness answer; not counted
    GET /metrics              Prometheus text format; not counted
    POST /-/behaviour         the body replaces the behaviour words from now on; not counted
    anything else             200 or 500, counted, with a drawn latency that is recorded but not slept

One thread, one epoll, keep-alive and pipelining; a request costs about 20 microseconds and an idle pod nothing. All
draws come from a generator seeded with the pod's name, so that two runs of one pod under the same requests agree.
"""

import _random
import math
import os
import select
import signal
import socket
import sys
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import behaviour  # type: ignore[import-not-found]

# Buckets in seconds, as client libraries ship them, with the log-normal latency well inside.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
MEDIAN_SECONDS = 0.040
SIGMA = 0.5
OOM_EXIT = 137
# Who ends goes on serving while somebody still asks: at least until nobody has for so long, counted in looks. A machine
# that stands still for seconds, callers and all, is one look that found nobody, and takes nothing from them.
QUIET_SECONDS = 1.5
LOOK_SECONDS = 0.1


class Counters:
    """What the server has counted so far: answers by code, and the histogram of latencies in seconds."""

    def __init__(self) -> None:
        self.codes: dict[bytes, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, code: bytes, seconds: float) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        self.total += seconds
        place = 0
        while place < len(BUCKETS) and seconds > BUCKETS[place]:
            place += 1
        self.buckets[place] += 1

    def text(self, born: float, resident: float, version: str) -> str:
        """The exposition; a code that never occurred has no series, as in any real program."""
        lines = ["# HELP http_requests_total Answers by status code.", "# TYPE http_requests_total counter"]
        lines += [f'http_requests_total{{code="{code.decode()}"}} {n}' for code, n in sorted(self.codes.items())]
        # What an ingress or a mesh counts: versions, and no pods (Prometheus takes the pod away).
        lines += ["# HELP edge_requests_total Answers by version.", "# TYPE edge_requests_total counter"]
        lines += [
            f'edge_requests_total{{version="{version}",code="{code.decode()}"}} {n}'
            for code, n in sorted(self.codes.items())
        ]
        lines += [
            "# HELP http_request_duration_seconds Time to answer.",
            "# TYPE http_request_duration_seconds histogram",
        ]
        running = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.buckets, strict=True):
            running += count
            lines.append(f'http_request_duration_seconds_bucket{{le="{bound}"}} {running}')
        lines += [
            f"http_request_duration_seconds_sum {self.total:.6f}",
            f"http_request_duration_seconds_count {running}",
            "# HELP process_start_time_seconds Start of the process since the epoch.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {born:.3f}",
            "# HELP process_cpu_seconds_total Processor time used.",
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {time.process_time():.3f}",
            "# HELP process_resident_memory_bytes Resident memory.",
            "# TYPE process_resident_memory_bytes gauge",
            f"process_resident_memory_bytes {resident:.0f}",
        ]
        return "\n".join(lines) + "\n"


class Server:
    """The pod: its behaviour, its counters and its connections."""

    def __init__(self, env: dict[str, str]) -> None:
        self.pod = env["POD"]
        self.image = env["IMAGE"]
        self.version = env.get("VERSION", "")
        self.ordinal = int(env.get("ORDINAL", "1"))
        self.random = _random.Random(zlib.crc32(self.pod.encode()))
        self.counters = Counters()
        self.born = time.time()
        self.start = time.monotonic()
        self.ends_at = math.inf
        self.quiet = 0.0
        extra = [word for word in env.get("BEHAVIOUR", "").split(",") if word]
        self.behave(behaviour.words_of_image(self.image) + extra)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((env["ADDRESS"], int(env["PORT"])))
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        # A signal writes into this pipe, which ends the wait of the loop: an interrupted epoll would just go on
        # waiting.
        self.wake, self.waker = os.pipe()
        os.set_blocking(self.waker, False)
        self.poll.register(self.wake, select.EPOLLIN)
        self.open: dict[int, socket.socket] = {}
        self.waiting: dict[int, bytes] = {}

    def behave(self, words: list[str]) -> None:
        """Takes over a behaviour; it counts from the start of the process."""
        self.behaviour = behaviour.for_pod(behaviour.parse_words(words), self.ordinal)
        noise = self.behaviour["noise"] / 100
        own = _random.Random(zlib.crc32(self.pod.encode()) ^ 0x5EED)
        self.own_scale = math.exp(noise * _gauss(own))
        self.own_errors = math.exp(noise * _gauss(own))

    def serve(self) -> int:
        """Answers until told to stop or to crash; returns the exit code."""
        while True:
            age = time.monotonic() - self.start
            crash, oom = self.behaviour["crash"], self.behaviour["oom"]
            if crash and age >= crash:
                return int(self.behaviour["exit"])
            if oom and age >= oom:
                return OOM_EXIT
            is_quiet = self.quiet >= min(self.behaviour["drain"], QUIET_SECONDS) and not self.waiting
            if is_quiet and time.monotonic() >= self.ends_at:
                return 0
            next_end = min(crash or math.inf, oom or math.inf)
            timeout = -1 if next_end == math.inf else max(next_end - age, 0.01)
            if self.ends_at < math.inf:
                timeout = min(timeout, LOOK_SECONDS) if timeout >= 0 else LOOK_SECONDS
            events = self.poll.poll(timeout)
            if not events:
                self.quiet += timeout
            for number, _ in events:
                if number == self.listener.fileno():
                    self.accept()
                elif number == self.wake:
                    os.read(self.wake, 64)
                else:
                    self.read(number)

    def terminate(self) -> None:
        """SIGTERM: goes on serving for the drain time, as a pod with a preStop pause does, and then ends."""
        if not self.behaviour["stubborn"] and self.ends_at == math.inf:
            self.ends_at = time.monotonic() + self.behaviour["drain"]
            self.quiet = 0.0

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open[connection.fileno()] = connection
            self.poll.register(connection, select.EPOLLIN)

    def read(self, number: int) -> None:
        connection = self.open[number]
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(number)
            return
        data = self.waiting.pop(number, b"") + data
        answers = []
        last = False
        while data and not last:
            head, mark, rest = data.partition(b"\r\n\r\n")
            length = _body_length(head) if mark else 0
            if not mark or len(rest) < length:
                self.waiting[number] = data
                break
            last = b"\r\nconnection: close" in head.lower()
            answers.append(self.answer(head, rest[:length], last))
            data = rest[length:]
        try:
            connection.sendall(b"".join(answers))
        except OSError:
            last = True
        if last:
            self.close(number)

    def close(self, number: int) -> None:
        self.waiting.pop(number, None)
        self.open.pop(number).close()

    def answer(self, head: bytes, body: bytes, last: bool) -> bytes:
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        if path == b"/healthz":
            return _reply(b"200" if self.is_ready() else b"503", b"", last)
        if path == b"/metrics":
            return _reply(b"200", self.counters.text(self.born, self.resident(), self.version).encode(), last)
        if path == b"/-/behaviour":
            self.behave([word for word in body.decode().split(",") if word])
            return _reply(b"200", b"", last)
        self.quiet = 0.0
        code, seconds = self.draw()
        self.counters.add(code, seconds)
        return _reply(code, f"{self.pod} {self.image}\n".encode(), last)

    def is_ready(self) -> bool:
        age = time.monotonic() - self.start
        return not self.behaviour["neverready"] and age >= self.behaviour["slowstart"]

    def resident(self) -> float:
        leak: float = self.behaviour["leak"]
        return 50e6 + leak * 1e6 * (time.monotonic() - self.start)

    def draw(self) -> tuple[bytes, float]:
        """A status code and a latency in seconds, log-normal about MEDIAN_SECONDS."""
        faulty = time.monotonic() - self.start >= self.behaviour["after"]
        errors = self.behaviour["errors"] if faulty else behaviour.NUMBERS["errors"]
        slow = self.behaviour["slow"] if faulty else 1.0
        seconds = MEDIAN_SECONDS * slow * self.own_scale * math.exp(SIGMA * _gauss(self.random))
        failed = self.random.random() * 100 < errors * self.own_errors
        return (b"500" if failed else b"200"), seconds


def _gauss(random: _random.Random) -> float:
    # Box-Muller; 1 - u keeps the logarithm finite.
    return math.sqrt(-2 * math.log(1 - random.random())) * math.cos(2 * math.pi * random.random())


def _body_length(head: bytes) -> int:
    place = head.lower().find(b"\r\ncontent-length:")
    return int(head[place + 17 :].split(b"\r\n", 1)[0]) if place >= 0 else 0


def _reply(code: bytes, body: bytes, last: bool) -> bytes:
    phrase = {b"200": b"OK", b"500": b"Internal Server Error", b"503": b"Service Unavailable"}[code]
    return b"HTTP/1.1 %s %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n%s\r\n%s" % (
        code,
        phrase,
        len(body),
        b"Connection: close\r\n" if last else b"",
        body,
    )


def main() -> None:
    """Serves as the environment says and exits with the behaviour's code."""
    server = Server(dict(os.environ))
    signal.set_wakeup_fd(server.waker)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    os._exit(server.serve())


if __name__ == "__main__":
    main()
