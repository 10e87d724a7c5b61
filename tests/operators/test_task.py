"""What only the operator does; what it shares with the sensor is tested in tests/wait."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_seeany.exceptions import (
    SeeAnyConnectionNotFound,
    SeeAnyError,
    SeeAnyRequestError,
    SeeAnyResponseError,
    SeeAnyTaskFailed,
    SeeAnyTaskNotFound,
    SeeAnyTaskNotReady,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from tests.hostile import COMPLETED, VIDEO, HostileServer, Responder, about, page, reply, task
from tests.waits import PUSHED, context, wait

pytestmark = pytest.mark.usefixtures("dialect", "_connected")


def test_an_operator_that_does_not_wait_is_retried_while_the_task_is_running(hostile: HostileServer) -> None:
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskNotReady, match="task x is not done yet: processing 65 %") as error:
        wait(SeeAnyTaskResultOperator, wait_for_completion=False).execute(context())

    assert not isinstance(error.value, AirflowFailException | AirflowSensorTimeout)
    assert len(hostile.requests) == 1


NOT_WAITING: dict[str, tuple[Responder, type[SeeAnyError], bool]] = {
    "failed": (task(status="failed", error={"message": "no"}), SeeAnyTaskFailed, False),
    "not found": (reply(404), SeeAnyTaskNotFound, False),
    "refused": (reply(400), SeeAnyRequestError, False),
    "invalid": (page(200), SeeAnyResponseError, True),
    "transient": (reply(500), SeeAnyError, True),
}


@pytest.mark.parametrize("name", NOT_WAITING)
def test_an_operator_that_does_not_wait_is_retried_after_transient_errors_only(
    hostile: HostileServer, name: str
) -> None:
    response, kind, is_retried = NOT_WAITING[name]
    hostile.script(response)

    with pytest.raises(kind) as error:
        wait(SeeAnyTaskResultOperator, wait_for_completion=False).execute(context())

    assert isinstance(error.value, AirflowFailException | AirflowSensorTimeout) != is_retried
    assert "x" in str(error.value)


def test_an_operator_that_does_not_wait_delivers_a_task_that_is_done(hostile: HostileServer) -> None:
    hostile.script(about(COMPLETED))
    ctx = context()

    wait(SeeAnyTaskResultOperator, VIDEO, wait_for_completion=False).execute(ctx)

    assert ctx["ti"].pushed == PUSHED


def test_an_operator_can_wait_in_its_worker(hostile: HostileServer) -> None:
    hostile.script(task(), reply(500), page(200), task(status="completed", video_url="https://h/v"))
    ctx = context()

    wait(SeeAnyTaskResultOperator, deferrable=False, poll_interval=0.01).execute(ctx)

    assert ctx["ti"].pushed["video_url"] == "https://h/v"
    assert len(hostile.requests) == 4


def test_an_operator_that_times_out_in_its_worker_names_the_last_progress(hostile: HostileServer) -> None:
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskTimeout, match="last seen: processing 65 %"):
        wait(SeeAnyTaskResultOperator, deferrable=False, poll_interval=0.05, timeout=0.2).execute(context())


def test_a_missing_connection_is_named_and_retried() -> None:
    with pytest.raises(SeeAnyConnectionNotFound, match="'nowhere' was not found") as error:
        wait(SeeAnyTaskResultOperator, seeany_conn_id="nowhere").execute(context())

    assert not isinstance(error.value, AirflowFailException)
