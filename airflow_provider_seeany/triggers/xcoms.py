"""The XComs that a trigger writes while it waits, and only while its task instance is still its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.xcoms.raw import RawXCom, supervisor
from airflow_provider_seeany.xcoms.record import Claim, Owner
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, bypasses_backend
from airflow_provider_seeany.xcoms.result import has_backend, result_keys
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

CHECK_VALID_FOR = 5.0
"""Seconds after which a write needs another check; one for each would triple the messages of a busy triggerer."""


class NotOwned(Exception):
    """Raised instead of a write to a task instance that is no longer deferred, or that another try has claimed."""


class TriggererXComs:
    """
    The XComs that a trigger writes for its task instance while it waits: its progress.

    A triggerer that was suspended can resume when its tasks were cleared and have run again elsewhere. Airflow accepts
    its XComs all the same: they are those of all tries. So a trigger claims the task instance, under the key that all
    tries share, and writes only while the claim is its own. That can change after a check; but a check is valid for a
    few seconds only, hardly enough to clear a task and run it again, and the clock reveals a suspension.

    Whoever ``clears`` deletes the XComs of an earlier try, as Airflow does if a worker starts the wait.
    """

    def __init__(self, task_instance: Any, *, clears: bool = False) -> None:
        self._task_instance = task_instance
        self._key = TaskInstanceKey.of(task_instance)
        self._clears = clears and task_instance.try_number > 1
        self._is_claimed = False
        self._checked_at = 0.0

    async def clear_earlier(self) -> None:
        """
        Delete the XComs of an earlier try, if that is still to be done here.

        :raises NotOwned: as :meth:`check`.
        """
        if not self._clears:
            return
        before = await self._check_state()
        if before.owner != self._owner or before.is_clearing:
            # With the key of the record, which a triggerer that is restarted meanwhile needs.
            clearing = Claim(owner=self._owner, record=before.record, is_clearing=True)
            await self._xcom(PROGRESS_KEY).aset(msgspec.to_builtins(clearing))
            for key in result_keys(before.record):
                await self._delete(key)
        self._clears = False

    async def check(self) -> None:
        """
        Check that the task instance is this try's own, unless that was done a moment ago.

        :raises NotOwned: if it is no longer deferred, or another try has claimed it.
        """
        if self._is_check_old():
            claim = await self._check_state()
            if self._is_claimed:
                self._check_owner(claim)

    async def publish(self, progress: Mapping[str, Any]) -> None:
        """
        Push the progress.

        For that the claim alone is checked, which is a message less. While a task instance that was cleared or failed
        still has this claim, nothing has run again, and its progress may be renewed until Airflow cancels the trigger.

        :raises NotOwned: if another try has claimed the task instance, or it has a result.
        """
        if self._is_claimed:
            self._check_owner(await self._read_claim())
        elif (await self._check_state()).record is not None:
            raise NotOwned("the wait has ended")
        await self._xcom(PROGRESS_KEY).aset(self._owner.claiming(progress))
        self._is_claimed = True

    async def has_result(self) -> bool:
        """Return whether a result, or a part of it, was pushed, by any triggerer; without XComs it has links only."""
        if await self._xcom("return_value").aget() is not None:
            return True
        return any([await self._xcom(link.xcom_key).aget() is not None for link in RESULT_LINKS])

    @property
    def _owner(self) -> Owner:
        return Owner.of(self._task_instance)

    def _xcom(self, key: str) -> RawXCom:
        return RawXCom(key, self._key)

    def _is_check_old(self) -> bool:
        return abs(time.time() - self._checked_at) > CHECK_VALID_FOR

    async def _check_state(self) -> Claim:
        """Return the claim on the task instance if that is deferred, and no later try has claimed it."""
        checked_at = time.time()
        if (state := await state_of(self._task_instance)) != "deferred":
            raise NotOwned(f"the task is {state}")
        claim = await self._read_claim()
        if claim.owner is not None and claim.owner.try_number > self._owner.try_number:
            raise NotOwned(f"try {claim.owner.try_number} of the task has begun")
        self._checked_at = checked_at
        return claim

    async def _read_claim(self) -> Claim:
        return Claim.read(await self._xcom(PROGRESS_KEY).aget())

    def _check_owner(self, claim: Claim) -> None:
        if claim.owner != self._owner:
            self._checked_at = 0.0
            raise NotOwned("the claim of this try is not there, or another one has begun")

    async def _delete(self, key: str) -> None:
        if self._is_check_old():
            self._check_owner(await self._check_state())
        if not bypasses_backend(key):
            await self._purge(key)
        await self._xcom(key).adelete()

    async def _purge(self, key: str) -> None:
        """Delete what a custom XCom backend stores of a value, as a worker does."""
        from airflow.providers.common.compat.sdk import XCom
        from airflow.sdk.execution_time.comms import XComResult

        if has_backend() and (reference := await self._xcom(key).aget()) is not None:
            await asyncio.to_thread(XCom.purge, XComResult(key=key, value=reference))


async def state_of(task_instance: Any) -> str | None:
    """Return the current state of a task instance; ``None`` if it has none, or Airflow does not report it."""
    from airflow.sdk.execution_time.comms import GetTaskStates

    key = TaskInstanceKey.of(task_instance)
    response: Any = await supervisor().asend(
        GetTaskStates(dag_id=key.dag_id, task_ids=[key.task_id], run_ids=[key.run_id], map_index=key.map_index)
    )
    states: dict[str, dict[str, str | None]] = getattr(response, "task_states", {})
    (state,) = list(states.get(key.run_id, {}).values()) or [None]
    return state
