"""What both triggers share: an unexpected exception is an event, and what is logged when Airflow ends them."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import XComResult
from airflow.triggers.base import TriggerEvent

from airflow_provider_seeany.api.outcome import Crashed
from airflow_provider_seeany.triggers.base import BaseSeeAnyTrigger

WHERE = {"dag_id": "dag", "task_id": "wait", "run_id": "run"}


class Comms:
    """Stands for Airflow's supervisor: the states of mapped task instances, and whether they have a result."""

    def __init__(self, *, states: dict[int, str], has_result: bool = False) -> None:
        self._states = states
        self._has_result = has_result

    async def asend(self, message: Any) -> Any:
        if message.type == "GetTaskStates":
            state = self._states.get(message.map_index)
            return SimpleNamespace(task_states={"run": {"wait": state}} if state else {})
        is_there = self._has_result and message.key == "_link_WatchVideoLink"
        return XComResult(key=message.key, value="https://cdn.example/video.mp4" if is_there else None)


class Trigger(BaseSeeAnyTrigger):
    """A trigger whose wait raises an exception."""

    _about = "SeeAny task x"
    _mode = "deferred"

    def __init__(self) -> None:
        super().__init__(settings={})
        self._log: Any = logging.getLogger("tests.polling")

    async def _event(self) -> TriggerEvent:
        async def breaks() -> None:
            raise RuntimeError("first\nsecond \x1b[31m\u202e" + "x" * 100_000)

        return TriggerEvent(await self._reported(breaks()))


async def log_of_killed(
    comms: Comms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, map_index: int | None = None
) -> str:
    """Return what a trigger logs when Airflow ends it."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    trigger: Any = Trigger()
    trigger.task_instance = SimpleNamespace(**WHERE, map_index=map_index)
    with caplog.at_level(logging.INFO):
        await trigger.on_kill()
    return caplog.text


has_on_kill = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow before 3.3 never calls on_kill")


@has_on_kill
@pytest.mark.parametrize(
    ("state", "has_result", "is_given_up"),
    [
        ("success", True, False),
        # A user did that.
        ("success", False, True),
        ("failed", False, True),
        # The result is that of an earlier try.
        ("failed", True, True),
        ("removed", False, True),
        (None, False, True),
    ],
)
async def test_a_killed_wait_is_logged_as_given_up_unless_its_result_is_there(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    state: str | None,
    has_result: bool,
    is_given_up: bool,
) -> None:
    comms = Comms(states={-1: state} if state else {}, has_result=has_result)

    text = await log_of_killed(comms, monkeypatch, caplog)

    assert ("may still finish and cost money" in text) == is_given_up


@has_on_kill
async def test_a_mapped_wait_is_judged_by_its_own_state(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    comms = Comms(states={-1: "running", 0: "running", 2: "failed"})

    assert "may still finish" in await log_of_killed(comms, monkeypatch, caplog, map_index=2)


async def test_an_unexpected_exception_is_in_the_log_in_full_and_in_the_event_in_one_sanitized_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (event,) = [event async for event in Trigger().run()]

    outcome = event.payload
    assert isinstance(outcome, Crashed)
    assert outcome.text.split()[:3] == ["RuntimeError:", "first", "second"]
    assert outcome.text.isprintable()
    assert len(outcome.text) < 10_000
    assert "The wait for SeeAny task x broke off" in caplog.text
    assert "in breaks" in caplog.text
