"""The value types in which the REST client answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

FINISHED_RUN_STATES = frozenset({"success", "failed"})
FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG, as it was when it was asked for."""

    dag_id: str
    run_id: str
    state: str
    queued_at: datetime | None
    start: datetime | None
    end: datetime | None
    conf: dict[str, Any]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read an answer of the REST API."""
        return cls(
            dag_id=body["dag_id"],
            run_id=body["dag_run_id"],
            state=body["state"],
            queued_at=_time(body.get("queued_at")),
            start=_time(body.get("start_date")),
            end=_time(body.get("end_date")),
            conf=dict(body.get("conf") or {}),
        )

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended, well or badly."""
        return self.state in FINISHED_RUN_STATES


@dataclass(frozen=True)
class TaskInstance:
    """One task, or one mapped instance of it, in one run."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    max_tries: int
    scheduled: datetime | None
    queued: datetime | None
    start: datetime | None
    end: datetime | None
    operator: str | None
    pool: str
    rendered_map_index: str | None
    triggerer_id: int | None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read an answer of the REST API."""
        return cls(
            task_id=body["task_id"],
            map_index=body["map_index"],
            state=body["state"],
            try_number=body["try_number"],
            max_tries=body["max_tries"],
            scheduled=_time(body.get("scheduled_when")),
            queued=_time(body.get("queued_when")),
            start=_time(body.get("start_date")),
            end=_time(body.get("end_date")),
            operator=body.get("operator"),
            pool=body["pool"],
            rendered_map_index=body.get("rendered_map_index"),
            triggerer_id=(body.get("trigger") or {}).get("triggerer_id"),
        )

    @property
    def is_finished(self) -> bool:
        """Whether this task instance will not run any more, unless somebody clears it."""
        return self.state in FINISHED_TASK_STATES

    @property
    def name(self) -> str:
        """The task id, with the map index of a mapped instance."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True)
class Job:
    """One start of a scheduler, dag-processor or triggerer, as the database knows it."""

    id: int
    job_type: str
    state: str | None
    start: datetime | None
    end: datetime | None
    latest_heartbeat: datetime | None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read an answer of the REST API."""
        return cls(
            id=body["id"],
            job_type=body["job_type"],
            state=body["state"],
            start=_time(body.get("start_date")),
            end=_time(body.get("end_date")),
            latest_heartbeat=_time(body.get("latest_heartbeat")),
        )


@dataclass(frozen=True)
class ImportFailure:
    """A DAG file that could not be imported."""

    filename: str
    stack_trace: str


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
