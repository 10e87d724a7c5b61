"""Decides whether a wait was lost, duplicated or changed: compares what it left in Airflow with what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_seeany.api.batch_result import Failure
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.links.task import links_of
from airflow_provider_seeany.simulator import v1
from airflow_provider_seeany.simulator.scenario import Scenario
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY
from airflow_provider_seeany.xcoms.result import field_xcoms
from chaos.plan import PlannedWait

# Expected in the log of a failed wait.
_EXCEPTIONS = {"failed": "SeeAnyTaskFailed", "timed out": "SeeAnyTaskTimeout"}
# In the log if Airflow had to end the wait because the trigger did not.
_TIMED_OUT_BY_AIRFLOW = "the triggerer did not report in time"


@dataclass(frozen=True)
class Observed:
    """What one wait left in Airflow."""

    state: str | None
    tries: int
    start: datetime | None = None
    end: datetime | None = None
    xcoms: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    """The log of its last try, if it did not succeed."""
    reached_downstream: tuple[Any, ...] = ()
    """The payload that each run of the downstream task received."""


@dataclass(frozen=True)
class Service:
    """The service's own view of its tasks."""

    url: str
    began: float

    def task(self, seeany_task_id: str) -> SeeAnyTask:
        """Return the final state of a task."""
        scenario = Scenario.of(seeany_task_id)
        body = v1.task(scenario, scenario.at(float("inf")), started_at=self.began, files_url=f"{self.url}/files")
        return SeeAnyTask.from_payload(dict(body))


def problems(wait: PlannedWait, observed: Observed, service: Service) -> Iterator[str]:
    """Yield the differences from what the wait should have left."""
    state = "success" if wait.outcome == "completed" else "failed"
    if observed.state != state:
        yield f"is {observed.state}, not {state}"
    if observed.tries != 1:
        yield f"took {observed.tries} tries, not 1"
    expected = expected_xcoms(wait, service)
    # The XComs for the UI are checked separately: they depend on what the triggerer saw during the wait.
    own = {key for key in observed.xcoms if key.startswith(PROGRESS_KEY)}
    others = {key: value for key, value in observed.xcoms.items() if key not in own}
    # Airflow encodes the links of a wait without a worker twice.
    links = {key: decode_json(value) for key, value in others.items() if key.startswith("_link_")}
    yield from _about_xcoms(expected, {**others, **links})
    if sum(FIRST_KEY <= key < LAST_KEY for key in own) > 1:
        yield f"has more than one record for the UI: {sorted(own)}"
    if len(observed.reached_downstream) != 1:
        yield f"was followed by {len(observed.reached_downstream)} runs of the downstream task, not 1"
    for payload in observed.reached_downstream:
        if payload != expected.get("return_value"):
            yield f"passed {_truncate(payload)} downstream, not {_truncate(expected.get('return_value'))}"
    if (exception := _EXCEPTIONS.get(wait.outcome)) and exception not in observed.log:
        yield f"does not log {exception}"
    if _TIMED_OUT_BY_AIRFLOW in observed.log:
        yield "was timed out by Airflow, as its trigger did not report in time"


def _about_xcoms(expected: Mapping[str, Any], xcoms: Mapping[str, Any]) -> Iterator[str]:
    if expected and not xcoms:
        yield "has no XCom"
        return
    for key in sorted(expected.keys() | xcoms.keys()):
        if expected.get(key) != xcoms.get(key):
            yield f"has the XCom {key} = {_truncate(xcoms.get(key))}, not {_truncate(expected.get(key))}"


def expected_xcoms(wait: PlannedWait, service: Service) -> dict[str, Any]:
    """Return the XComs that a wait should have, stored links included."""
    if wait.outcome != "completed":
        return {}
    tasks = [service.task(seeany_task_id) for seeany_task_id in wait.seeany_task_ids]
    if wait.kind == "batch":
        return {"return_value": _batch_result(tasks)}
    (task,) = tasks
    links = {link.xcom_key: link.url_of(task) for link in links_of(task)}
    return {**field_xcoms(task), "return_value": task.as_json(), **links}


def seconds_late(wait: PlannedWait, observed: Observed, service: Service) -> float | None:
    """Return the seconds from the end of the SeeAny task, or from the timeout, to the end of the wait."""
    if observed.end is None:
        return None
    if wait.outcome != "timed out":
        return observed.end.timestamp() - service.began - wait.ends_after
    return observed.end.timestamp() - observed.start.timestamp() - wait.timeout if observed.start else None


def _batch_result(tasks: list[SeeAnyTask]) -> dict[str, Any]:
    completed = [task for task in tasks if task.is_completed]
    failures = [Failure(task.id, task.failure_reason) for task in tasks if task.is_failed]
    cents = sum(round(100 * (task.usage.cost or 0)) for task in completed)
    return {
        "total": len(tasks),
        "completed": len(completed),
        "failed": len(failures),
        "partial": sum(task.is_partial for task in completed),
        "cost": {"CNY": cents / 100},
        "detail": "full",
        "tasks": [task.as_json() for task in completed],
        "failures": msgspec.to_builtins(failures),
    }


def _truncate(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
