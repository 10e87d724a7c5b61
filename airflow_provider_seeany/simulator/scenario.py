"""What a simulated task does: the scenario that its id or prompt describes, and the state at any age in seconds."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum

DEFAULT_SECONDS = 20.0
DEFAULT_IMAGES = 4
MAX_SECONDS = 7 * 24 * 3600

# A running task never reports 100 %.
_MAX_PROGRESS = 99
# `never` stops lowering its estimate here, as a share of its seconds.
_STALL = 0.3

_SEPARATOR = re.compile("[-_]")
_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
_COUNT = re.compile(r"([0-9]{1,2})x")


class What(StrEnum):
    """The first word of a task's id: how the task goes."""

    VIDEO = "video"
    IMAGES = "images"
    FAILS = "fails"
    NEVER = "never"
    QUEUED = "queued"
    SILENT = "silent"
    PARTIAL = "partial"
    BUSY = "busy"


_SETS = (What.IMAGES, What.PARTIAL)
# With its seconds, as a prompt may well say "images" or "never".
_IN_PROMPT = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(What)})[-_][0-9]+(?:\.[0-9]+)?s(?:[-_][0-9]{{1,2}}x)?(?![A-Za-z0-9])"
)


class UnknownTaskError(ValueError):
    """The simulator cannot parse the id; the message says why."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The task waits for its turn, with a status that the platform does not document."""


@dataclass(frozen=True, slots=True)
class Processing:
    """The task is running."""

    progress: int
    estimated_remaining: int | None


@dataclass(frozen=True, slots=True)
class Completed:
    """The task has its result."""


@dataclass(frozen=True, slots=True)
class PartiallyFailed:
    """The task has a part of its result."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The task ended without a result."""


State = Queued | Processing | Completed | PartiallyFailed | Failed


_ENDS: dict[What, type[PartiallyFailed | Failed]] = {What.FAILS: Failed, What.PARTIAL: PartiallyFailed}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the task with this id does, and how long it takes."""

    task_id: str
    what: What
    seconds: float = DEFAULT_SECONDS
    images: int = DEFAULT_IMAGES

    @classmethod
    def of(cls, task_id: str) -> Scenario:
        """Parse `<what>[-<seconds>s][-<images>x][-<label>]`, joined by `-` or `_`."""
        first, *words = _SEPARATOR.split(task_id)
        try:
            what = What(first)
        except ValueError:
            known = ", ".join(What)
            raise UnknownTaskError(f"a simulated task's id starts with one of: {known}") from None
        seconds: float | None = None
        images: int | None = None
        for word in words:
            if seconds is None and (found := _SECONDS.fullmatch(word)):
                seconds = float(found[1])
            elif what in _SETS and images is None and (found := _COUNT.fullmatch(word)):
                images = int(found[1])
            else:
                # The label starts here.
                break
        if seconds is not None and seconds > MAX_SECONDS:
            raise UnknownTaskError(f"a simulated task takes at most {MAX_SECONDS} seconds")
        return cls(
            task_id,
            what,
            DEFAULT_SECONDS if seconds is None else seconds,
            DEFAULT_IMAGES if images is None else images,
        )

    @classmethod
    def created(cls, task_id: str, prompt: str, *, default: str, images: int | None) -> Scenario:
        """Return what a task does that was created with this prompt, for so many images unless its scenario says."""
        found = _IN_PROMPT.search(prompt)
        scenario = replace(cls.of(word := found[0] if found else default), task_id=task_id)
        says_images = any(_COUNT.fullmatch(part) for part in _SEPARATOR.split(word))
        return scenario if images is None or says_images else replace(scenario, images=images)

    @property
    def is_set(self) -> bool:
        """Whether its result is a set of images."""
        return self.what in _SETS

    @property
    def good_images(self) -> int:
        """The number of images that do not fail."""
        return self.images // 2 if self.what is What.PARTIAL else self.images

    def wait_time(self, prompt: str) -> int:
        """Return the estimate at its creation: up to 30 % off, and always the same for a prompt."""
        return max(1, round(self.seconds * (0.7 + 0.6 * hashlib.sha256(prompt.encode()).digest()[0] / 255)))

    def at(self, age: float) -> State:
        """Return the state of the task `age` seconds after its start."""
        if self.what is What.NEVER:
            return self._never(age)
        if age >= self.seconds:
            return _ENDS.get(self.what, Completed)()
        waiting = self.seconds / 2 if self.what is What.QUEUED else 0.0
        if age < waiting:
            return Queued()
        working = self.seconds - waiting
        done = (age - waiting) / working
        if self.what is What.SILENT:
            return Processing(self._progress(done), None)
        return Processing(self._progress(done), self._estimate(done, working))

    def _never(self, age: float) -> Processing:
        # Half done after about 0.7 of its seconds, slower and slower after that.
        done = 1 - math.exp(-age / self.seconds) if self.seconds else 1.0
        return Processing(self._progress(done), self._estimate(min(done, 1 - _STALL), self.seconds))

    def _progress(self, done: float) -> int:
        return min(_MAX_PROGRESS, int(100 * self._uneven("progress", done)))

    def _estimate(self, done: float, working: float) -> int:
        # Bent differently from the progress, because a real estimate does not follow from the progress.
        return max(1, math.ceil(working * (1 - self._uneven("estimate", done))))

    def _uneven(self, of: str, done: float) -> float:
        """Bend the share done so that its pace varies, but never goes back: both slopes add up to less than one.

        The bends depend only on the id, so that a task behaves the same each time.
        """
        seed = hashlib.sha256(f"{of} {self.task_id}".encode()).digest()
        bent = done
        for waves, phase in ((1, seed[0]), (3, seed[1])):
            shift = 2 * math.pi * phase / 256
            height = 0.4 / (2 * math.pi * waves)
            bent += height * (math.sin(2 * math.pi * waves * done + shift) - math.sin(shift))
        return min(1.0, max(0.0, bent))
