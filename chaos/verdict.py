"""Decides whether a wait was lost, doubled or changed, by comparing what it left with what it had to leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_seeany.api.batch_result import Failure
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.simulator.bodies import task_body
from airflow_provider_seeany.simulator.scenario import Scenario
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY
from chaos.plan import PlannedWait

# What the log of a wait that failed has to tell.
_EXCEPTIONS = {"failed": "SeeAnyTaskFailed", "timed out": "SeeAnyTaskTimeout"}
# What it tells if Airflow had to end the wait because the trigger did not.
_SWEPT = "the triggerer did not report in time"


@dataclass(frozen=True)
class Left:
    """What one wait left in Airflow."""

    state: str | None
    tries: int
    start: datetime | None = None
    end: datetime | None = None
    xcoms: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    """The log of its last try, if it did not succeed."""
    reached_downstream: tuple[Any, ...] = ()
    """The answer that each run of the downstream task was handed."""


@dataclass(frozen=True)
class Service:
    """What the service has to say about its tasks."""

    url: str
    began: float

    def task(self, seeany_task_id: str) -> SeeAnyTask:
        """Return the last answer about a task, as it is on a calm day."""
        scenario = Scenario.of(seeany_task_id)
        answer = task_body(scenario, scenario.at(float("inf")), started_at=self.began, files_url=f"{self.url}/files")
        return SeeAnyTask.from_payload(dict(answer))


def complaints(wait: PlannedWait, left: Left, service: Service) -> Iterator[str]:
    """Yield what is wrong with what a wait left."""
    state = "success" if wait.outcome == "completed" else "failed"
    if left.state != state:
        yield f"is {left.state}, not {state}"
    if left.tries != 1:
        yield f"took {left.tries} tries, not 1"
    expected = expected_xcoms(wait, service)
    # What a wait keeps for the UI is looked at by itself: it tells, besides, what the triggerer saw on the way.
    own = {key for key in left.xcoms if key.startswith(PROGRESS_KEY)}
    yield from _about_xcoms(
        expected, {key: value for key, value in left.xcoms.items() if value != "" and key not in own}
    )
    if sum(FIRST_KEY <= key < LAST_KEY for key in own) > 1:
        yield f"has more than one record for the UI: {sorted(own)}"
    if len(left.reached_downstream) != 1:
        yield f"was followed by {len(left.reached_downstream)} runs of the downstream task, not 1"
    for answer in left.reached_downstream:
        if answer != expected.get("return_value"):
            yield f"handed on {_cut(answer)}, not {_cut(expected.get('return_value'))}"
    if (exception := _EXCEPTIONS.get(wait.outcome)) and exception not in left.log:
        yield f"does not tell of {exception} in its log"
    if _SWEPT in left.log:
        yield "was timed out by Airflow, as its trigger did not report in time"


def _about_xcoms(expected: Mapping[str, Any], xcoms: Mapping[str, Any]) -> Iterator[str]:
    if expected and not xcoms:
        yield "has no XCom"
        return
    for key in sorted(expected.keys() | xcoms.keys()):
        if expected.get(key) != xcoms.get(key):
            yield f"has the XCom {key} = {_cut(xcoms.get(key))}, not {_cut(expected.get(key))}"


def expected_xcoms(wait: PlannedWait, service: Service) -> dict[str, Any]:
    """Return the XComs of a wait on a calm day, the stored links among them."""
    if wait.outcome != "completed":
        return {}
    tasks = [service.task(seeany_task_id) for seeany_task_id in wait.seeany_task_ids]
    if wait.kind == "batch":
        return {"return_value": _batch_result(tasks)}
    (task,) = tasks
    links = {link.xcom_key: link.url_of(task) for link in RESULT_LINKS}
    xcoms = {**task.result_fields(), "return_value": task.as_json(), **links}
    return {key: value for key, value in xcoms.items() if value != ""}


def seconds_late(wait: PlannedWait, left: Left, service: Service) -> float | None:
    """Return the seconds from the end of what was waited for, or from the time limit, to the end of the wait."""
    if left.end is None:
        return None
    if wait.outcome != "timed out":
        return left.end.timestamp() - service.began - wait.ends_after
    return left.end.timestamp() - left.start.timestamp() - wait.timeout if left.start else None


def _batch_result(tasks: list[SeeAnyTask]) -> dict[str, Any]:
    completed = [task for task in tasks if task.is_completed]
    failures = [Failure(task.id, task.failure_reason) for task in tasks if task.is_failed]
    cents = sum(round(100 * (task.usage.cost or 0)) for task in completed)
    return {
        "total": len(tasks),
        "completed": len(completed),
        "failed": len(failures),
        "cost": {"CNY": cents / 100},
        "detail": "full",
        "tasks": [task.as_json() for task in completed],
        "failures": msgspec.to_builtins(failures),
    }


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
