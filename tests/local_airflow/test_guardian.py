"""Tests that a whole session ends, however far its members have moved away."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time

import pytest

from local_airflow import guardian
from local_airflow.processes import Guardian

# A child in the same session, and a grandchild in a session of its own whose parent is gone.
_FAMILY = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
subprocess.Popen(sleep)
subprocess.Popen([sys.executable, "-c", f"import subprocess; subprocess.Popen({sleep!r}, start_new_session=True)"])
time.sleep(300)
"""


def _family(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _FAMILY], start_new_session=True, env={guardian.MARK: mark})


def _wait_for_members(leader: int, mark: str, count: int) -> set[int]:
    deadline = time.monotonic() + 20
    found: set[int] = set()
    # The same ones are seen twice, for the process between parent and grandchild comes and goes.
    while time.monotonic() < deadline:
        before, found = found, guardian.members(leader, mark)
        if len(found) == count and found == before:
            break
        time.sleep(0.3)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the mark can be read on Linux only")
def test_kills_the_session_and_what_left_it() -> None:
    mark = secrets.token_hex(8)
    leader = _family(mark)
    members = _wait_for_members(leader.pid, mark, 3)
    assert len(members) == 3
    assert guardian.kill_session(leader.pid, mark) == set()
    assert leader.wait(5) < 0
    assert not [pid for pid in members if guardian.is_alive(pid)]


def test_kills_what_is_watched_when_the_parent_is_gone() -> None:
    watched, forgotten = (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
        for _ in range(2)
    )
    keeper = Guardian()
    keeper.watch(watched.pid, "mark")
    keeper.watch(forgotten.pid, "mark")
    keeper.forget(forgotten.pid)
    # What the parent's end does: its side of the pipe is closed.
    keeper.dismiss()
    assert watched.wait(5) < 0
    assert forgotten.poll() is None
    forgotten.kill()
    forgotten.wait()
    assert not guardian.is_alive(keeper.pid)
