"""Pod addresses: what the API server is told, and where the pod really listens.

The API server refuses loopback addresses in Endpoints. So a pod's status carries an address of the benchmarking range
198.18.0.0/16, and everything of the bed that talks to a pod maps it to 127.18.0.0/16. No packet leaves the machine.

Several beds may run on one machine: each takes a block of its own, by holding a port at the block's last address.
"""

from __future__ import annotations

import socket

PUBLIC_PREFIX = "198.18."
LOCAL_PREFIX = "127.18."
BLOCKS = 16
PODS_PER_BLOCK = 250 * 256 // BLOCKS
_RESERVING_PORT = 17_999


def public_address(number: int) -> str:
    """The address of the `number`-th pod (from 1) as its status shows it.

    Raises ValueError beyond the 65,000 addresses of the range.
    """
    high, low = divmod(number - 1, 250)
    if not 0 <= high <= 255:
        raise ValueError(f"pod number {number} is outside the range of pod addresses")
    return f"{PUBLIC_PREFIX}{high}.{low + 1}"


def reserve_block() -> tuple[int, socket.socket]:
    """The number of the pod before the first one of a block that no other bed uses, and what holds the block.

    The block is free again when the socket is closed, which the kernel does for a killed process. Raises RuntimeError
    when every block is taken.
    """
    for block in reversed(range(BLOCKS)):
        holder = socket.socket()
        try:
            holder.bind((f"{LOCAL_PREFIX}{block * 256 // BLOCKS}.254", _RESERVING_PORT))
        except OSError:
            holder.close()
            continue
        return block * PODS_PER_BLOCK, holder
    raise RuntimeError(f"{BLOCKS} test beds run on this machine already")


def local_address(public: str) -> str:
    """The loopback address behind a pod's public address."""
    if not public.startswith(PUBLIC_PREFIX):
        raise ValueError(f"{public} is not a pod address of the test bed")
    return LOCAL_PREFIX + public.removeprefix(PUBLIC_PREFIX)
