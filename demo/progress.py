"""The progress of the waits in Airflow: their states, and the last progress line in each log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from demo.plan import WaitName
from local_airflow import ApiError, DagRun, LocalAirflow, TaskInstance
from local_airflow.values import FINISHED_TASK_STATES

# As in "SeeAny task video-20s-x: processing 65 %, about 42 s left", where each part after the status is optional,
# and "SeeAny task video-20s-x completed: https://…". The name of the logger may follow in parentheses.
_NUMBER = r"\d+(?:\.\d+)?(?:e\+\d+)?"
_RUNNING = rf": (?P<status>\S+?)(?: (?P<percent>{_NUMBER}) %)?(?:, about (?P<left>{_NUMBER}) s left)?(?= \(|\s*$)"
_DONE = r" (?P<done>completed): "


@dataclass(frozen=True)
class Progress:
    """The last progress in the log of a wait."""

    status: str
    percent: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class WaitView:
    """One wait in Airflow."""

    name: WaitName
    seeany_id: str
    state: str | None = None
    progress: Progress | None = None

    @property
    def shown_state(self) -> str:
        """Airflow's state, or a dash."""
        return self.state or "-"

    @property
    def has_ended(self) -> bool:
        """Whether this wait has ended."""
        return self.state in FINISHED_TASK_STATES

    @property
    def percent(self) -> float:
        """The length of the bar."""
        if self.state == "success":
            return 100.0
        return self.progress.percent or 0.0 if self.progress else 0.0


@dataclass(frozen=True)
class View:
    """The whole run at one moment."""

    seconds: float
    """Since the run was started."""
    waits: tuple[WaitView, ...]
    busy_workers: int = 0

    @property
    def deferred(self) -> int:
        """The number of waits in the triggerer."""
        return sum(wait.state == "deferred" for wait in self.waits)

    @property
    def all_wait(self) -> bool:
        """Whether all waits are in the triggerer."""
        return self.deferred == len(self.waits)


def last_progress(log: str, seeany_id: str) -> Progress | None:
    """Return the last progress of this task in the log; None if there is none."""
    lines = list(re.finditer(rf"SeeAny task {re.escape(seeany_id)}(?:{_RUNNING}|{_DONE})", log, re.MULTILINE))
    if not lines:
        return None
    last = lines[-1]
    if last["done"]:
        return Progress(last["done"], 100.0)
    return Progress(
        status=last["status"],
        percent=None if last["percent"] is None else min(100.0, float(last["percent"])),
        seconds_left=None if last["left"] is None else float(last["left"]),
    )


@dataclass
class Watch:
    """Polls Airflow for a run, and for the logs of its active waits."""

    airflow: LocalAirflow
    run: DagRun
    ids: Mapping[WaitName, str]
    clock: Callable[[], float]
    max_deferred: int = 0
    busy_while_all_waited: int | None = None
    """The minimum of busy workers while all waits were in the triggerer."""
    _progress: dict[WaitName, Progress] = field(default_factory=dict)
    _begin: float | None = None

    def poll(self) -> View:
        """Poll Airflow once."""
        if self._begin is None:
            self._begin = self.clock()
        instances = self.airflow.task_instances(self.run)
        by_name = {WaitName(each.task_id, each.map_index): each for each in instances}
        waits = tuple(self._view(name, seeany_id, by_name.get(name)) for name, seeany_id in self.ids.items())
        busy = sum(each.state == "running" for each in instances)
        view = View(self.clock() - self._begin, waits, busy)
        self.max_deferred = max(self.max_deferred, view.deferred)
        if view.all_wait:
            before = self.busy_while_all_waited
            self.busy_while_all_waited = busy if before is None else min(before, busy)
        return view

    def _view(self, name: WaitName, seeany_id: str, instance: TaskInstance | None) -> WaitView:
        if instance is None:
            return WaitView(name, seeany_id)
        if instance.state in ("running", "deferred"):
            # The log may not exist yet; the next poll will find it.
            try:
                log = self.airflow.log(
                    self.run, name.task_id, map_index=name.map_index, try_number=max(1, instance.try_number)
                )
            except ApiError:
                log = ""
            if (found := last_progress(log, seeany_id)) is not None:
                self._progress[name] = found
        return WaitView(name, seeany_id, instance.state, self._progress.get(name))
