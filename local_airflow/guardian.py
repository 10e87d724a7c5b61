"""Finds and kills whole process sessions; as a script, does so when the process that started them is gone.

A component of Airflow forks (task workers, DAG parsers, the trigger loop), and its forks would outlive it. Therefore
every component leads a session of its own. A bash task opens another session, so on Linux the members are also found by
a random mark in their environment, which every descendant inherits.

Standard library only, and no import of this package: the guardian must start in a few milliseconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "LOCAL_AIRFLOW_MARK"


def all_pids() -> list[int]:
    """Return the process ids of this machine."""
    if sys.platform == "linux":
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    listing = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(line) for line in listing.stdout.split()]


def members(leader: int, mark: str) -> set[int]:
    """Return the living processes of the session of `leader`, and those with the mark."""
    # A session id is not reused while the session has a member: this cannot hit another process.
    return {pid for pid in all_pids() if is_alive(pid) and (_session(pid) == leader or _has_mark(pid, mark))}


def kill_session(leader: int, mark: str, deadline_seconds: float = 5.0) -> set[int]:
    """Send SIGKILL until no member is left; return those still there at the deadline (normally none)."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        # Listed again each time: a member may have forked since.
        left = members(leader, mark)
        if not left or time.monotonic() > deadline:
            return left
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        # The command's name is in brackets and may itself contain brackets and blanks.
        return status.rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _has_mark(pid: int, mark: str) -> bool:
    if sys.platform != "linux" or not mark:
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def guard() -> None:
    """Read `watch PID MARK` and `forget PID` lines; when the other end is closed, kill what is still watched."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A signal that ends the parent must not end its guardian first.
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, str] = {}
    for line in sys.stdin:
        word, *arguments = line.split()
        if word == "watch":
            watched[int(arguments[0])] = arguments[1]
        elif word == "forget":
            watched.pop(int(arguments[0]), None)
    for leader, mark in watched.items():
        kill_session(leader, mark)


if __name__ == "__main__":
    guard()
