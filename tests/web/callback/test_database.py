"""What ends a task instance in Airflow's database, for a callback or for a trigger: all of it, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import OperationalError, StatementError

from airflow_provider_seeany import database
from airflow_provider_seeany.callback.registration import KEY_PREFIX
from airflow_provider_seeany.triggers.channel import Success
from airflow_provider_seeany.triggers.supervisor_api import end_as_success
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.waits import starts_triggers
from tests.web.callback.waits_in_database import add_wait, mark_failed, wait_anew

pytestmark = [pytest.mark.usefixtures("own_waits"), starts_triggers]

EARLIER_RECORD = f"{PROGRESS_KEY}_20261124T203015Z:the:record"
XCOMS = {"return_value": {"id": "x"}, "video_url": "https://cdn.example/new.mp4", PROGRESS_KEY: {"percent": 100}}


def wait() -> TaskInstance:
    """Return the task instance of a wait that its trigger may end."""
    instance_id = add_wait("x", 1, end_from_trigger=True)
    with create_session(scoped=False) as session:
        instance = session.get_one(TaskInstance, instance_id)
        session.expunge(instance)
        return instance


def success(instance: TaskInstance, xcoms: dict[str, Any] | None = None) -> Success:
    return Success(instance.id, instance.trigger_id, XCOMS if xcoms is None else xcoms)


def push(instance: TaskInstance, **xcoms: Any) -> None:
    with create_session(scoped=False) as session:
        for key, value in xcoms.items():
            here = TaskInstanceKey.of(instance).columns()
            XComModel.set(key=key, value=value, serialize=False, session=session, **here)


def state_and_xcoms(instance: TaskInstance) -> tuple[Any, dict[str, Any]]:
    """Return them, without the registration."""
    with create_session(scoped=False) as session:
        state = session.scalar(select(TaskInstance.state).where(TaskInstance.map_index == instance.map_index))
        rows = session.execute(select(XComModel.key, XComModel.value).where(XComModel.map_index == instance.map_index))
        return state, {key: value for key, value in rows if not key.startswith(KEY_PREFIX)}


def test_a_success_leaves_state_and_xcoms_and_nothing_of_an_earlier_try() -> None:
    instance = wait()
    push(
        instance,
        **{PROGRESS_KEY: {"record": EARLIER_RECORD}, EARLIER_RECORD: "{}", "cost": 9, "_link_WatchVideoLink": "old"},
    )

    assert end_as_success(success(instance))

    assert state_and_xcoms(instance) == ("success", XCOMS)


def test_what_dags_pushed_under_other_keys_stays() -> None:
    instance = wait()
    push(instance, **{PROGRESS_KEY: {"record": "mine"}, "mine": 1, "score": 2})

    assert end_as_success(success(instance))

    assert state_and_xcoms(instance) == ("success", {**XCOMS, "mine": 1, "score": 2})


def test_a_task_instance_that_was_cleared_and_waits_again_is_left_alone() -> None:
    cleared = wait()
    wait_anew(cleared.id, "x")

    assert not end_as_success(success(cleared))
    assert state_and_xcoms(cleared) == ("deferred", {})


def test_a_task_instance_that_a_user_failed_is_left_alone() -> None:
    failed = wait()
    mark_failed(failed.id)

    assert not end_as_success(success(failed))
    assert state_and_xcoms(failed) == ("failed", {})


def test_a_second_triggerer_changes_nothing() -> None:
    instance = wait()
    assert end_as_success(success(instance))

    assert not end_as_success(success(instance, {"return_value": "another"}))
    assert state_and_xcoms(instance) == ("success", XCOMS)


def test_a_trigger_that_this_try_no_longer_has_ends_nothing() -> None:
    instance = wait()

    assert not end_as_success(Success(instance.id, instance.trigger_id + 1, XCOMS))
    assert state_and_xcoms(instance) == ("deferred", {})


def test_a_success_that_cannot_be_completed_leaves_nothing() -> None:
    instance = wait()
    push(instance, **{PROGRESS_KEY: {"percent": 60}})

    with pytest.raises(StatementError, match="not JSON serializable"):
        end_as_success(success(instance, {**XCOMS, "cost": object()}))

    assert state_and_xcoms(instance) == ("deferred", {PROGRESS_KEY: {"percent": 60}})


def test_a_transaction_that_loses_to_another_one_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    instance, losses = wait(), [OperationalError("UPDATE", {}, Exception("Deadlock found when trying to get lock"))]
    replace_result = database._replace_result

    def lose_once(*arguments: Any) -> None:
        replace_result(*arguments)
        if losses:
            raise losses.pop()

    monkeypatch.setattr(database, "_replace_result", lose_once)

    assert end_as_success(success(instance))

    assert state_and_xcoms(instance) == ("success", XCOMS)


# Airflow resets neither before a try that no worker starts.
def test_a_later_try_has_its_own_end_and_duration() -> None:
    instance = wait()
    with create_session(scoped=False) as session:
        session.get_one(TaskInstance, instance.id).end_date = datetime(2026, 1, 1, tzinfo=UTC)

    assert end_as_success(success(instance))

    with create_session(scoped=False) as session:
        ended = session.get_one(TaskInstance, instance.id)
        assert ended.end_date > instance.start_date
        assert 0 <= ended.duration < 60
        assert ended.trigger_id is None
