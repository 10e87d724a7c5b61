"""What the sensor and the operator do in a worker when a callback is expected."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.callback.registration import KEY_PREFIX, registration_key
from airflow_provider_seeany.exceptions import SeeAnyRequestError, SeeAnyTaskIdError
from tests.hostile import COMPLETED, Caller, HostileServer, Responder, about, reply, task
from tests.supervisor import Supervisor
from tests.waits import KINDS, context, each_dialect, wait

pytestmark = pytest.mark.usefixtures("_connected")
each_kind = pytest.mark.parametrize("kind", KINDS)
KEY = registration_key("seeany_default", "x")
TRY = "019a0000-0000-7000-8000-000000000001"


def registrations(supervisor: Supervisor) -> set[str]:
    return {key for key in supervisor.xcoms if key.startswith(KEY_PREFIX)}


def run(waiting: Any) -> Any:
    """Execute a wait as the task instance `wait` of a run."""
    ctx = context()
    for name, value in {"id": TRY, "dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": -1}.items():
        setattr(ctx["ti"], name, value)
    return waiting.execute(ctx)


def recording(supervisor: Supervisor, response: Responder, seen: list[set[str]]) -> Responder:
    async def poll(caller: Caller) -> None:
        seen.append(registrations(supervisor))
        await response(caller)

    return poll


@each_dialect
@each_kind
def test_a_wait_is_registered_before_its_first_poll_and_after_its_deferral(
    hostile: HostileServer, supervisor: Supervisor, kind: Any
) -> None:
    seen: list[set[str]] = []
    hostile.script(recording(supervisor, task(), seen))

    with pytest.raises(TaskDeferred) as left:
        run(wait(kind, expect_callback=True, callback_poll_interval=300))

    trigger: Any = left.value.trigger
    assert (seen, registrations(supervisor)) == ([{KEY}], {KEY})
    assert (trigger.settings["expect_callback"], trigger.settings["callback_poll_interval"]) == (True, 300)
    assert trigger.first_poll_at < time.time() + 11


@each_dialect
@each_kind
@pytest.mark.parametrize("ends", ["completed", "refused"])
def test_a_wait_that_ends_at_its_first_poll_leaves_no_registration(
    hostile: HostileServer, supervisor: Supervisor, kind: Any, ends: str
) -> None:
    hostile.script(about({**COMPLETED, "id": "x"}) if ends == "completed" else reply(403))
    waiting = wait(kind, expect_callback=True)

    if ends == "completed":
        run(waiting)
    else:
        with pytest.raises(SeeAnyRequestError):
            run(waiting)

    assert registrations(supervisor) == set()


@each_kind
def test_an_invalid_id_leaves_no_registration(supervisor: Supervisor, kind: Any) -> None:
    with pytest.raises(SeeAnyTaskIdError):
        run(wait(kind, seeany_task_id="", expect_callback=True))

    assert registrations(supervisor) == set()


@each_kind
def test_without_a_callback_there_is_no_registration(hostile: HostileServer, supervisor: Supervisor, kind: Any) -> None:
    hostile.script(task())

    with pytest.raises(TaskDeferred):
        run(wait(kind))

    assert registrations(supervisor) == set()


@each_kind
def test_a_wait_in_a_worker_cannot_expect_a_callback(kind: Any) -> None:
    with pytest.raises(ValueError, match="expect_callback needs deferrable"):
        wait(kind, expect_callback=True, deferrable=False)


SECRETS = {
    "none": ("", "callback_secret is not set here"),
    "too short": ("abc", "callback_secret is too short"),
    "good": ("the-secret-of-the-callbacks-0123456789", None),
}


@each_kind
@pytest.mark.parametrize("name", SECRETS)
def test_the_log_names_the_callback_and_why_it_may_not_come(
    hostile: HostileServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Any,
    name: str,
) -> None:
    secret, reason = SECRETS[name]
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", secret)
    hostile.script(task())

    with caplog.at_level("INFO"), pytest.raises(TaskDeferred):
        run(wait(kind, expect_callback=True, callback_poll_interval=300))

    log = caplog.text
    assert "Waiting for SeeAny's callback; polling every 300 s in case it does not come" in log
    assert ("SeeAny cannot call back" in log) == (reason is not None)
    assert reason is None or reason in log


@each_kind
def test_the_log_of_a_wait_that_a_callback_ended_names_the_result(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    waiting = wait(kind, expect_callback=True)

    with caplog.at_level("INFO"):
        waiting.execute_complete(context(), msgspec.to_builtins(Finished({**COMPLETED, "id": "x"})))

    assert f"SeeAny task x completed: {COMPLETED['video_url']}, cost ¥0.70" in caplog.text
