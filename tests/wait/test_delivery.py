"""What a wait for one task delivers, as sensor or operator: its return value, its XComs and its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.exceptions import (
    SeeAnyTaskFailed,
    SeeAnyTaskTimeout,
)
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, about, reply, task
from tests.supervisor import Supervisor
from tests.waits import KINDS, PUSHED, context, deferred, finished, interval, wait

Connect = Callable[..., None]

pytestmark = pytest.mark.usefixtures("dialect", "_connected")
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_an_id_that_native_rendering_made_a_number_is_waited_for_and_recorded(
    hostile: HostileServer, supervisor: Supervisor, kind: Any
) -> None:
    hostile.script(task(id="20260603001"), reply(404))
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        waiting = wait(kind, "{{ params.id }}")
    waiting.render_template_fields({"params": {"id": "20260603001"}})
    assert waiting.seeany_task_id == 20260603001

    assert deferred(waiting)[0].seeany_task_id == "20260603001"
    ctx = context()
    with pytest.raises(SeeAnyTaskFailed):
        waiting.resume_execution(*finished({**FAILED, "id": 20260603001}), ctx)

    assert hostile.requests[0].task_id == "20260603001"
    assert any(record.get("seeany_task_id") == "20260603001" for record in supervisor.xcoms.values())


@each_kind
def test_a_timeout_whose_last_response_held_the_video_is_recorded_with_it(
    hostile: HostileServer, supervisor: Supervisor, kind: Any
) -> None:
    hostile.script(task(status="delivered", video_url="https://h/v"))
    ctx = context()

    with pytest.raises(SeeAnyTaskTimeout, match="https://h/v"):
        wait(kind, deferrable=False, timeout=0.05, **interval(kind, 0.02)).execute(ctx)

    assert any(record.get("first_result") == "https://h/v" for record in supervisor.xcoms.values())


@each_kind
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_that_is_done_is_delivered_at_once(hostile: HostileServer, kind: Any, deferrable: bool) -> None:
    hostile.script(about(COMPLETED))
    ctx = context()

    value = wait(kind, VIDEO, deferrable=deferrable).execute(ctx)

    assert value.items() >= {**COMPLETED, "completed_at": "2025-06-03T00:02:00Z"}.items()
    assert ctx["ti"].pushed == PUSHED
    assert len(hostile.requests) == 1


@each_kind
def test_an_image_set_is_delivered_with_the_urls_of_its_images(
    simulator_url: str, connect: Connect, dialect: Dialect, kind: Any
) -> None:
    connect(host=simulator_url)
    ctx = context()

    wait(kind, "images-0s-3x-operators").execute(ctx)

    assert len(ctx["ti"].pushed["result_urls"]) == 3
    # In the dialect of developers nothing says what a task costs.
    assert ctx["ti"].pushed.get("cost") == (0.6 if dialect is DEFAULT_DIALECT else None)
    assert "video_url" not in ctx["ti"].pushed


@each_kind
def test_no_xcom_is_pushed_if_none_is_wanted(hostile: HostileServer, kind: Any) -> None:
    hostile.script(about(COMPLETED))
    now, later = context(), context()

    wait(kind, VIDEO, do_xcom_push=False).execute(now)
    wait(kind, VIDEO, do_xcom_push=False).resume_execution(*finished(COMPLETED), later)

    assert now["ti"].pushed == later["ti"].pushed == {}


@each_kind
def test_what_the_response_lacks_is_not_pushed(hostile: HostileServer, kind: Any) -> None:
    hostile.script(task(status="completed", video_url="https://h/v", resolution=None, usage={"cost": 0}))
    ctx = context()

    wait(kind).execute(ctx)

    assert ctx["ti"].pushed == {"video_url": "https://h/v", "cost": 0}
