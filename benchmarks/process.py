"""The memory, sockets and tasks that this process holds."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass


def resident_mib() -> float:
    """Return the resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """Return the most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def late_by(pause: float) -> float:
    """Sleep for so many seconds; return by how many the event loop was late."""
    before = time.monotonic()
    await asyncio.sleep(pause)
    return time.monotonic() - before - pause


def open_sockets() -> int:
    """Return the number of open sockets."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that listed the folder is gone
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    return count


@dataclass(frozen=True, slots=True)
class Holdings:
    """
    What a running event loop's process holds.

    :param sockets: open sockets.
    :param tasks: tasks of the loop.
    :param mib: resident memory, which Python returns only in part.
    :param blocks: blocks of memory that Python's objects hold, an exact figure.
    """

    sockets: int
    tasks: int
    mib: float
    blocks: int

    @classmethod
    def now(cls) -> Holdings:
        """Return what is held after a garbage collection."""
        gc.collect()
        return cls(open_sockets(), len(asyncio.all_tasks()), resident_mib(), sys.getallocatedblocks())
