"""What the UI shows of a wait that a worker began, before and without a triggerer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.wait import base
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from tests.hostile import HostileServer, reply, task
from tests.supervisor import Supervisor
from tests.waits import KINDS, context, interval, wait

pytestmark = pytest.mark.usefixtures("_connected")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("more", "pause"), [({}, 12), ({"expect_callback": True}, 120)], ids=["polls", "callback"])
def test_a_wait_shows_what_its_worker_saw_from_the_beginning(
    hostile: HostileServer,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    more: dict[str, Any],
    pause: int,
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", "s" * 32)
    hostile.script(task(progress=65, estimated_remaining=42))
    before = int(time.time())
    given = context()
    given["ti"].id = "019a"

    with pytest.raises(TaskDeferred):
        wait(kind, timeout=1800, **interval(kind, 12), **more).execute(given)

    shown = supervisor.xcoms[PROGRESS_KEY]
    assert (shown["seeany_task_id"], shown["conn_id"]) == ("x", "seeany_default")
    assert (shown["percent"], shown["seconds_left"]) == (65, 42)
    assert before <= shown["began"] <= before + 5
    assert shown["deadline"] == shown["began"] + 1800
    assert before + pause * 0.8 <= shown["next_poll_at"] <= before + 5 + pause * 1.2


def test_a_wait_whose_first_poll_failed_shows_since_when_and_until_when(
    hostile: HostileServer, supervisor: Supervisor
) -> None:
    hostile.script(reply(500))

    with pytest.raises(TaskDeferred):
        wait(SeeAnyTaskSensor).execute(context())

    assert {"began", "deadline", "next_poll_at"} <= supervisor.xcoms[PROGRESS_KEY].keys()
    assert "percent" not in supervisor.xcoms[PROGRESS_KEY]


@pytest.mark.parametrize(("seconds", "shown"), [(10, 10), (0, 20)])
def test_a_worker_that_waits_itself_shows_its_progress_now_and_then(
    hostile: HostileServer, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, seconds: float, shown: int
) -> None:
    monkeypatch.setattr(base, "SHOW_INTERVAL", seconds)
    hostile.script(task(progress=10), task(progress=20))
    sensor, given = wait(SeeAnyTaskSensor, deferrable=False), context()

    assert [sensor.poke(given), sensor.poke(given)] == [False, False]

    assert supervisor.xcoms[PROGRESS_KEY]["percent"] == shown


@pytest.mark.parametrize("off", ["option", "do_xcom_push"])
def test_nothing_is_shown_where_that_is_off(
    hostile: HostileServer, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    if off == "option":
        monkeypatch.setenv("AIRFLOW__SEEANY__PUBLISH_PROGRESS", "False")
    hostile.script(task(progress=65))

    with pytest.raises(TaskDeferred):
        wait(SeeAnyTaskSensor, do_xcom_push=off == "option").execute(context())

    assert supervisor.xcoms == {}


def test_a_batch_shows_its_size_before_its_first_poll(supervisor: Supervisor) -> None:
    with pytest.raises(TaskDeferred):
        SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=["a", "b", "a"], timeout=60).execute(context())

    shown = supervisor.xcoms[PROGRESS_KEY]
    assert (shown["batch"], shown["percent"]) == ({"total": 2}, 0)
    assert shown["deadline"] == shown["began"] + 60
