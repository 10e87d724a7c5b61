"""Waits that were stored by another version, written down as it stored them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_seeany.api.batch_result import decode_batch_outcome
from airflow_provider_seeany.api.outcome import Finished, decode_outcome

pytestmark = pytest.mark.usefixtures("_connected")

TASK = "airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger"
BATCH = "airflow_provider_seeany.triggers.batch.SeeAnyTaskBatchTrigger"
BY_1_0 = {
    TASK: {
        "seeany_task_id": "video-0s-stored",
        "last_snapshot": {"status": "processing", "progress": 65, "at": 1_748_899_990.5},
        "start_from_trigger": False,
        "end_from_trigger": False,
        "settings": {
            "poll_interval": 10.0,
            "max_poll_interval": 30.0,
            "timeout": 3600.0,
            "do_xcom_push": True,
            "accept_partial": True,
            "expect_callback": False,
            "callback_poll_interval": 120.0,
        },
        "seeany_conn_id": "seeany_default",
        "deadline": 4_102_444_800.0,
        "first_poll_at": 1_748_900_000.0,
        "expected_duration": 40.5,
    },
    BATCH: {
        "seeany_task_ids": ["video-0s-stored"],
        "stored_ids": None,
        "settings": {
            "poll_interval": 10.0,
            "max_poll_interval": 30.0,
            "timeout": 3600.0,
            "do_xcom_push": True,
            "accept_partial": True,
            "max_requests_per_second": 50.0,
            "max_concurrent_requests": 20,
            "fail_fast": False,
            "allow_failures": False,
        },
        "seeany_conn_id": "seeany_default",
        "deadline": 4_102_444_800.0,
        "first_poll_at": None,
        "expected_duration": None,
    },
}
BY_0_1 = {
    "seeany_task_id": "video-0s-stored",
    "seeany_conn_id": "seeany_default",
    "poll_interval": 10.0,
    "deadline": 4_102_444_800.0,
    "first_look_at": None,
    "last_seen": None,
}


def made_again(path: str, arguments: dict[str, Any]) -> Any:
    """Return the trigger, as a triggerer makes it of what is stored."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))


@pytest.mark.parametrize("path", BY_1_0)
async def test_a_wait_in_flight_survives_an_upgrade_from_1_0(
    path: str, simulator_url: str, connect: Callable[..., None]
) -> None:
    connect(host=simulator_url)

    (event,) = [event async for event in made_again(path, BY_1_0[path]).run()]

    if path == TASK:
        assert isinstance(decode_outcome(event.payload), Finished)
    else:
        assert decode_batch_outcome(event.payload).completed == 1


def test_a_wait_deferred_by_0_1_is_refused_as_a_triggerer_expects() -> None:
    """Only a TypeError fails the task; another exception would end the triggerer."""
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        made_again(TASK, BY_0_1)
