"""What a simulated task does: its id read as a scenario, and the state of that scenario at any age.

Nothing here knows the time of day, the network or the answers' JSON: an age in seconds comes in, a state
goes out.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from enum import Enum

DEFAULT_SECONDS = 20.0
DEFAULT_IMAGES = 4
MAX_SECONDS = 7 * 24 * 3600

# A task that is not finished never claims 100 %.
_MOST_PROGRESS = 99
# `never` stops lowering its estimate here, as a share of its seconds.
_STALL = 0.3

_SEPARATOR = re.compile("[-_]")
_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
_COUNT = re.compile(r"([0-9]{1,2})x")


class What(Enum):
    """The first word of a task's id: what becomes of the task."""

    VIDEO = "video"
    IMAGES = "images"
    FAILS = "fails"
    NEVER = "never"
    QUEUED = "queued"
    SILENT = "silent"


class UnknownTaskError(ValueError):
    """The id is none the simulator can read; the message says why."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The task waits for its turn, under a status word the platform does not document."""


@dataclass(frozen=True, slots=True)
class Processing:
    """The task is under way."""

    progress: int
    estimated_remaining: int | None


@dataclass(frozen=True, slots=True)
class Completed:
    """The task has its result."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The task ended without a result."""


State = Queued | Processing | Completed | Failed


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the task of this id does, and how long it takes."""

    task_id: str
    what: What
    seconds: float = DEFAULT_SECONDS
    images: int = DEFAULT_IMAGES

    @classmethod
    def of(cls, task_id: str) -> Scenario:
        """Read `<what>[-<seconds>s][-<images>x][-<label>]`, joined by `-` or `_`."""
        first, *words = _SEPARATOR.split(task_id)
        try:
            what = What(first)
        except ValueError:
            known = ", ".join(kind.value for kind in What)
            raise UnknownTaskError(f"a simulated task's id starts with one of: {known}") from None
        seconds: float | None = None
        images: int | None = None
        for word in words:
            if seconds is None and (found := _SECONDS.fullmatch(word)):
                seconds = float(found[1])
            elif what is What.IMAGES and images is None and (found := _COUNT.fullmatch(word)):
                images = int(found[1])
            else:
                # The label starts here; nothing in it means anything.
                break
        if seconds is not None and seconds > MAX_SECONDS:
            raise UnknownTaskError(f"a simulated task takes at most {MAX_SECONDS} seconds")
        return cls(
            task_id,
            what,
            DEFAULT_SECONDS if seconds is None else seconds,
            DEFAULT_IMAGES if images is None else images,
        )

    def at(self, age: float) -> State:
        """Give the state of the task `age` seconds after it was first asked for."""
        if self.what is What.NEVER:
            return self._never(age)
        if age >= self.seconds:
            return Failed() if self.what is What.FAILS else Completed()
        waiting = self.seconds / 2 if self.what is What.QUEUED else 0.0
        if age < waiting:
            return Queued()
        working = self.seconds - waiting
        done = (age - waiting) / working
        if self.what is What.SILENT:
            return Processing(self._progress(done), None)
        return Processing(self._progress(done), self._estimate(done, working))

    def _never(self, age: float) -> Processing:
        # Half done after about 0.7 of its seconds, and ever slower after that.
        done = 1 - math.exp(-age / self.seconds) if self.seconds else 1.0
        return Processing(self._progress(done), self._estimate(min(done, 1 - _STALL), self.seconds))

    def _progress(self, done: float) -> int:
        return min(_MOST_PROGRESS, int(100 * self._uneven("progress", done)))

    def _estimate(self, done: float, working: float) -> int:
        # Uneven in another way than the progress, because a real estimate does not follow from the progress.
        return max(1, math.ceil(working * (1 - self._uneven("estimate", done))))

    def _uneven(self, of: str, done: float) -> float:
        """Bend a share done so that it advances now faster, now slower, but never goes back.

        The bends come from the id alone, so that a task goes the same way each time it is run. It never goes
        back because the slopes of the two waves add up to less than one.
        """
        seed = hashlib.sha256(f"{of} {self.task_id}".encode()).digest()
        bent = done
        for waves, phase in ((1, seed[0]), (3, seed[1])):
            shift = 2 * math.pi * phase / 256
            height = 0.4 / (2 * math.pi * waves)
            bent += height * (math.sin(2 * math.pi * waves * done + shift) - math.sin(shift))
        return min(1.0, max(0.0, bent))
