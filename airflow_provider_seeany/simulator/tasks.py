"""The tasks of one simulator: those that were created, when each started, and how often each was busy."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .scenario import Scenario, What

DEFAULT_CREATED = "images-20s"
BUSY_RESPONSES = 3


@dataclass(frozen=True, slots=True)
class Creation:
    """One task that was created, and the request that created it."""

    task_uuid: str
    at: float
    path: str
    prompt: str


class Tasks:
    """The tasks; `clock` returns the Unix time, `default` is the scenario of a prompt that has none."""

    def __init__(self, clock: Callable[[], float], *, default: str = DEFAULT_CREATED) -> None:
        Scenario.of(default)
        self.started: dict[str, float] = {}
        self.created: list[Creation] = []
        self._clock = clock
        self._default = default
        self._scenarios: dict[str, Scenario] = {}
        self._busy: Counter[str] = Counter()

    def create(self, path: str, prompt: str, images: int | None) -> Scenario:
        """Create a task, which starts at once."""
        # Unlike any other, yet the same in each run of the same program.
        digest = hashlib.sha256(f"{len(self.created)} {prompt}".encode()).hexdigest()
        task_id = f"wtask_{digest[:24]}"
        scenario = Scenario.created(task_id, prompt, default=self._default, images=images)
        self._scenarios[task_id] = scenario
        self.created.append(Creation(task_id, self._clock(), path, prompt))
        return scenario

    def find(self, task_id: str, *, is_created_known: bool) -> Scenario:
        """Return what a task does; raise `UnknownTaskError` if its id does not say, or says nothing to this dialect."""
        created = self._scenarios.get(task_id) if is_created_known else None
        return created or Scenario.of(task_id)

    def start(self, scenario: Scenario) -> bool:
        """Start a task; return whether it had not started before."""
        is_new = scenario.task_id not in self.started
        self.started.setdefault(scenario.task_id, self._clock())
        return is_new

    def age(self, scenario: Scenario) -> float:
        """Return the seconds since a task started."""
        return self._clock() - self.started[scenario.task_id]

    def is_busy(self, scenario: Scenario) -> bool:
        """Count a request for a task; return whether the system is too busy for it."""
        self._busy[scenario.task_id] += 1
        return scenario.what is What.BUSY and self._busy[scenario.task_id] <= BUSY_RESPONSES
