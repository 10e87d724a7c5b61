"""What one demo waits for and what has to come of it: against the simulator, or against the real service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_seeany.api.request import base_url as resolved_base_url
from airflow_provider_seeany.api.request import checked_api_key
from airflow_provider_seeany.api.settings import BadSettings
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id

DAG_ID = "seeany_demo"
SINGLES = ("wait_shoes", "wait_bag", "wait_lamp")
MAPPED = "wait_many"
REFUSED = "wait_refused"
# Simulated durations stand in the ids. They differ, so that the bars do not move in step.
SIMULATED_SINGLES = ("video-14s-shoes", "video-17s-bag", "video-20s-lamp")
SIMULATED_MANY = ("video-15s-chair", "images-18s-4x-sofa", "video-21s-desk")
SIMULATED_REFUSED = "fails-13s-refused"
# Looks like an id and cannot be one: what the real service is asked for in place of a video it would refuse.
IMPOSSIBLE_ID = "airflow-provider-seeany-demo-no-such-task"

KEY_VARIABLE = "SEEANY_API_KEY"
TASK_VARIABLE = "SEEANY_TASK_ID"
BASE_URL_VARIABLE = "SEEANY_BASE_URL"


class UsageError(ValueError):
    """The environment asks for something that the demo cannot do; the message says what to change."""


@dataclass(frozen=True, order=True)
class WaitName:
    """One wait as Airflow names it: its task, and for a mapped task which of them."""

    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        """Write it as the UI does."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True)
class Plan:
    """One demo."""

    is_real: bool
    singles: tuple[str, ...]
    many: tuple[str, ...]
    refused: str
    refusals: tuple[str, ...]
    """The exceptions with which the wait for `refused` may end."""
    poll_seconds: float
    run_seconds: float
    """How long the run may take."""
    api_key: str = field(repr=False)
    base_url: str | None = None
    """Where the service is; None for the provider's own default, which is the real one."""

    @property
    def ids(self) -> dict[WaitName, str]:
        """The SeeAny id of each wait that has to complete, in the order in which they are shown."""
        return {
            **{WaitName(task_id): seeany_id for task_id, seeany_id in zip(SINGLES, self.singles, strict=True)},
            **{WaitName(MAPPED, index): seeany_id for index, seeany_id in enumerate(self.many)},
        }

    @property
    def all_ids(self) -> dict[WaitName, str]:
        """The SeeAny id of each wait, the failing one last."""
        return {**self.ids, WaitName(REFUSED): self.refused}

    @property
    def conf(self) -> dict[str, Any]:
        """The parameters of the DAG run."""
        names = [task_id.removeprefix("wait_") for task_id in SINGLES]
        return {**dict(zip(names, self.singles, strict=True)), "many": list(self.many), "refused": self.refused}


def simulated() -> Plan:
    """Return the demo that needs no key."""
    return Plan(
        is_real=False,
        singles=SIMULATED_SINGLES,
        many=SIMULATED_MANY,
        refused=SIMULATED_REFUSED,
        refusals=("SeeAnyTaskFailed",),
        poll_seconds=2,
        run_seconds=150,
        api_key="sk-demo",
    )


def real(api_key: str, task_id: str, base_url: str | None) -> Plan:
    """Return the demo that asks the real service, always for the same task."""
    return Plan(
        is_real=True,
        singles=(task_id,) * len(SIMULATED_SINGLES),
        many=(task_id,) * len(SIMULATED_MANY),
        refused=IMPOSSIBLE_ID,
        # What the service answers for an unknown id is not documented; a refused key must not count.
        refusals=("SeeAnyTaskNotFound", "SeeAnyRequestError"),
        poll_seconds=10,
        # As long as the waits themselves have, and some time for Airflow.
        run_seconds=3700,
        api_key=api_key,
        base_url=base_url,
    )


def plan_of(environment: Mapping[str, str]) -> Plan:
    """Choose by the environment; raise `UsageError` if it names only half of what the real service needs."""
    api_key = environment.get(KEY_VARIABLE, "").strip()
    task_id = environment.get(TASK_VARIABLE, "").strip()
    base_url = environment.get(BASE_URL_VARIABLE, "").strip() or None
    if not api_key and not task_id:
        if base_url:
            raise UsageError(
                f"{BASE_URL_VARIABLE} is set but neither {KEY_VARIABLE} nor {TASK_VARIABLE}: set both to ask that "
                "address, or unset it to use the simulator"
            )
        return simulated()
    if not api_key or not task_id:
        missing, given = (KEY_VARIABLE, TASK_VARIABLE) if not api_key else (TASK_VARIABLE, KEY_VARIABLE)
        raise UsageError(
            f"{given} is set but {missing} is not: set both to ask the real service, or unset both to use the simulator"
        )
    # Said here, before Airflow starts, and by the rules that the provider itself goes by.
    for variable, check, value in (
        (KEY_VARIABLE, checked_api_key, api_key),
        (TASK_VARIABLE, checked_task_id, task_id),
        (BASE_URL_VARIABLE, resolved_base_url, base_url),
    ):
        try:
            check(value)
        except (BadSettings, BadTaskId) as error:
            raise UsageError(f"{variable} cannot be used: {error}") from None
    return real(api_key, task_id, base_url)
