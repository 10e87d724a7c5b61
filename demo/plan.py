"""The waits of a demo and their expected results: with the simulator or the real service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.request import base_url as resolved_base_url
from airflow_provider_seeany.api.request import checked_api_key
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id

DAG_ID = "seeany_demo"
SINGLES = ("wait_shoes", "wait_bag", "wait_developer")
MAPPED = "wait_many"
REFUSED = "wait_refused"
# The ids contain the simulated durations. They differ, so that the bars do not move in step.
SIMULATED_SINGLES = ("video-8s-shoes", "video-11s-bag", "images-14s-2x-poster")
SIMULATED_MANY = ("video-9s-chair", "images-12s-4x-sofa", "video-15s-desk")
SIMULATED_REFUSED = "fails-7s-refused"
# The connections of the DAG, and the dialect of the API that each speaks.
CONNECTIONS = {"seeany_default": "v1", "seeany_developer": "developer"}
# Looks like an id but is none: the real service's stand-in for a video that fails.
IMPOSSIBLE_ID = "airflow-provider-seeany-demo-no-such-task"

KEY_VARIABLE = "SEEANY_API_KEY"
TASK_VARIABLE = "SEEANY_TASK_ID"
API_VARIABLE = "SEEANY_API"
BASE_URL_VARIABLE = "SEEANY_BASE_URL"


class UsageError(ValueError):
    """The environment variables are inconsistent; the message says what to change."""


@dataclass(frozen=True, order=True)
class WaitName:
    """The task id and map index of a wait."""

    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        """Format it like the UI."""
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
    """Maximum duration of the run."""
    api_key: str = field(repr=False)
    base_url: str | None = None
    """The service's address; None for the provider's default, the real service."""
    candidates: tuple[str, ...] = ()
    """The dialects in which the real service may know the task."""
    connections: Mapping[str, str] = field(default_factory=lambda: CONNECTIONS)
    """The dialect of each connection."""

    def speaking(self, api: str) -> Plan:
        """Return the plan with one dialect for all connections."""
        return replace(self, connections=dict.fromkeys(CONNECTIONS, api))

    @property
    def ids(self) -> dict[WaitName, str]:
        """The SeeAny id of each wait that has to complete, in display order."""
        return {
            **{WaitName(task_id): seeany_id for task_id, seeany_id in zip(SINGLES, self.singles, strict=True)},
            **{WaitName(MAPPED, index): seeany_id for index, seeany_id in enumerate(self.many)},
        }

    @property
    def all_ids(self) -> dict[WaitName, str]:
        """The SeeAny id of each wait, the failing one last."""
        return {**self.ids, WaitName(REFUSED): self.refused}

    @property
    def apis(self) -> dict[str, str]:
        """The dialect in which each SeeAny task is requested."""
        default, developer = self.connections.values()
        return {
            seeany_id: developer if name.task_id == SINGLES[-1] else default for name, seeany_id in self.all_ids.items()
        }

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


def real(api_key: str, task_id: str, base_url: str | None, candidates: tuple[str, ...] = tuple(DIALECTS)) -> Plan:
    """Return the demo with the real service, where all waits use the same task."""
    return Plan(
        is_real=True,
        singles=(task_id,) * len(SIMULATED_SINGLES),
        many=(task_id,) * len(SIMULATED_MANY),
        refused=IMPOSSIBLE_ID,
        # The response to an unknown id is not documented; a rejected key must not count.
        refusals=("SeeAnyTaskNotFound", "SeeAnyRequestError", "SeeAnyRepeatedResponseError"),
        poll_seconds=10,
        # The timeout of the waits, and some time for Airflow.
        run_seconds=3700,
        api_key=api_key,
        base_url=base_url,
        candidates=candidates,
    )


def plan_of(environment: Mapping[str, str]) -> Plan:
    """Choose by the environment; raise `UsageError` if it has only a part of the variables for the real service."""
    api_key = environment.get(KEY_VARIABLE, "").strip()
    task_id = environment.get(TASK_VARIABLE, "").strip()
    base_url = environment.get(BASE_URL_VARIABLE, "").strip() or None
    api = environment.get(API_VARIABLE, "").strip().lower()
    if not api_key and not task_id:
        for variable, value in ((BASE_URL_VARIABLE, base_url), (API_VARIABLE, api)):
            if value:
                raise UsageError(
                    f"{variable} is set but neither {KEY_VARIABLE} nor {TASK_VARIABLE}: set both to use the real "
                    f"service, or unset {variable} to use the simulator"
                )
        return simulated()
    if api and api not in DIALECTS:
        raise UsageError(f"{API_VARIABLE} must be {' or '.join(DIALECTS)}, or unset to try both")
    if not api_key or not task_id:
        missing, given = (KEY_VARIABLE, TASK_VARIABLE) if not api_key else (TASK_VARIABLE, KEY_VARIABLE)
        raise UsageError(
            f"{given} is set but {missing} is not: set both to use the real service, or unset both to use the simulator"
        )
    # Checked before Airflow starts, by the provider's own rules.
    for variable, check, value in (
        (KEY_VARIABLE, checked_api_key, api_key),
        (TASK_VARIABLE, checked_task_id, task_id),
        (BASE_URL_VARIABLE, resolved_base_url, base_url),
    ):
        try:
            check(value)
        except (BadSettings, BadTaskId) as error:
            raise UsageError(f"{variable} cannot be used: {error}") from None
    return real(api_key, task_id, base_url, (api,) if api else tuple(DIALECTS))
