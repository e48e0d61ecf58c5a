"""How a pod misbehaves, read from its image tag or its environment.

The words, joined by "-" after the version in the image tag (`registry.test/app:v2-errors5-from2`) or by "," in the
environment variable BEHAVIOUR (`errors5,from2`); numbers may have a fraction:

    errors5       5 % of the answers are 500 (default 0.1)
    slow2         latencies are twice as long
    noise10       this pod's own latency scale and error ratio differ by about 10 % from its siblings'
    leak10        the reported resident memory grows by 10 MB a second
    crash3        ends with exit code 1 after 3 seconds
    oom3          is killed as out of memory after 3 seconds
    exit0         with crashN: ends with this exit code instead
    neverready    answers its readiness question with 503 for ever
    slowstart20   answers it with 503 for 20 seconds
    stubborn      ignores SIGTERM
    drain0        seconds of serving after SIGTERM (default 1.5)

and when they apply:

    from2         only in pods that are at least the 2nd of their ReplicaSet (a fault of the second batch)
    only1         only in the 1st pod of the ReplicaSet (bad on one pod only)
    after10       only after 10 seconds of life

An image whose name or tag begins with `missing` cannot be pulled. Imports nothing but the standard library, and
little of that: every pod process loads this file.
"""

# No dataclass and no typing import here: they would double the start time of a pod.

NUMBERS = {
    "errors": 0.1,
    "slow": 1.0,
    "noise": 0.0,
    "leak": 0.0,
    "crash": 0.0,
    "oom": 0.0,
    "exit": 1.0,
    "slowstart": 0.0,
    "drain": 1.5,
    "from": 0.0,
    "only": 0.0,
    "after": 0.0,
}
SWITCHES = ("neverready", "stubborn")
# These say who the faults are for, and how the pod ends; they hold for every pod.
_ALWAYS = ("drain", "from", "only", "after")


def words_of_image(image: str) -> list[str]:
    """The behaviour words of an image reference: what follows the first "-" of its tag."""
    name = image.partition("@")[0].rpartition("/")[2]
    return [word for word in name.partition(":")[2].split("-")[1:] if word]


def parse_words(words: list[str]) -> dict[str, float]:
    """Every word with its number, defaults included. Raises ValueError for a word that is not in the list above."""
    found = {**NUMBERS, **dict.fromkeys(SWITCHES, 0.0)}
    for word in words:
        name = word.rstrip("0123456789.")
        number = word[len(name) :]
        if name in SWITCHES and not number:
            found[name] = 1.0
        elif name in NUMBERS and number:
            found[name] = float(number)
        else:
            raise ValueError(f"{word!r} is no behaviour of the test bed")
    return found


def for_pod(found: dict[str, float], ordinal: int) -> dict[str, float]:
    """The behaviour of the `ordinal`-th pod (from 1) of its ReplicaSet: all of it, or none of the faults."""
    meant = ordinal >= found["from"] and found["only"] in (0.0, float(ordinal))
    if meant:
        return found
    return {**parse_words([]), **{name: found[name] for name in _ALWAYS}}


def cannot_be_pulled(image: str) -> bool:
    """Whether the registry of the bed lacks this image."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    return name.startswith("missing") or tag.startswith("missing")
