"""The methods of the hook that poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.hooks.seeany import SeeAnyHook

Poll = Callable[[SeeAnyHook, str], SeeAnyTask]


def get_task(hook: SeeAnyHook, task_id: str) -> SeeAnyTask:
    """Poll as a worker does."""
    return hook.get_task(task_id)


def aget_task(hook: SeeAnyHook, task_id: str) -> SeeAnyTask:
    """Poll as a coroutine does."""
    return asyncio.run(hook.aget_task(task_id))


@pytest.fixture(params=[get_task, aget_task], ids=["blocking", "asynchronous"])
def poll(request: pytest.FixtureRequest) -> Poll:
    """Each of the two methods that poll."""
    way: Poll = request.param
    return way
