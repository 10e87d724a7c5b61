"""The XComs that a trigger writes for its task instance, and only while that is still its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_seeany import metrics
from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.xcoms.raw import RawXCom, supervisor
from airflow_provider_seeany.xcoms.record import Claim, Owner
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, bypasses_backend
from airflow_provider_seeany.xcoms.result import FIELD_KEYS, result_xcoms
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

if TYPE_CHECKING:
    from airflow_provider_seeany.api.task import SeeAnyTask

_FIRST = "return_value"

NO_PROGRESS: Mapping[str, Any] = MappingProxyType({})

CHECK_VALID_FOR = 5.0
"""Seconds after which a write needs another check; one for each would triple the messages of a busy triggerer."""


class NotOwned(Exception):
    """Raised instead of a write to a task instance that is no longer deferred, or that another try has claimed."""


class TriggererXComs:
    """
    The XComs that a trigger writes for its task instance.

    A triggerer that was suspended can resume when its tasks were cleared and have run again elsewhere. Airflow accepts
    its XComs all the same, and does not give a trigger the id of its task instance, which is a new one for each try. So
    a trigger claims the task instance, under the key that all tries share, and writes only while the claim is its own,
    a result only while the task instance is deferred, too. Either can change after a check; but that is valid for a few
    seconds only, hardly enough to clear a task and run it again, and the clock reveals a suspension.

    A worker claims the task instance before it defers a wait that its trigger may end. So a trigger of an earlier try
    finds a later one's claim even if it has not written before, and the later trigger has not begun.

    Of the XComs of the event that ends the Airflow task, Airflow stores the first in the transaction that ends the
    task, each other one in the next: a triggerer that is killed in between loses the rest. So what others read is sent
    before that, one by one: the values through the XCom backend, ``return_value`` first, and the link. Each of these
    messages costs the triggerer's supervisor some milliseconds, one after the other for all waits. The event has only
    the provider's own: the record, which the sums need, and last its key, which a later try alone needs. If the Airflow
    task pushes no XComs, it has the link alone. What comes with an event is encoded twice, which its readers expect.
    ``return_value`` is deleted last: without it there is nothing of a result.

    Whoever ``clears`` deletes the XComs of an earlier try, as Airflow does if a worker starts the wait.
    """

    def __init__(self, task_instance: Any, *, clears: bool = False, is_claimed_by_worker: bool = False) -> None:
        self._task_instance = task_instance
        self._key = TaskInstanceKey.of(task_instance)
        self._clears = clears
        self._is_claimed_by_worker = is_claimed_by_worker
        self._has_begun = False
        self._is_claimed = False
        self._checked_at = 0.0
        self.had_result = False
        """Whether this try had a result before :meth:`push`, if metrics ask: a triggerer was killed that ended it."""

    async def claim(self, progress: Mapping[str, Any] = NO_PROGRESS) -> None:
        """
        Claim the task instance for this try, publish the progress, and delete the XComs of an earlier try.

        :raises NotOwned: as :meth:`check`.
        """
        has_cleared = await self._begin(progress)
        if not has_cleared and (progress or not self._is_claimed):
            await self._set_claimed(progress)

    async def check(self) -> None:
        """
        Check that the task instance is this try's own, unless that was done a moment ago.

        :raises NotOwned: if it is no longer deferred, or another try has claimed it.
        """
        is_valid = abs(time.time() - self._checked_at) <= CHECK_VALID_FOR
        if not self._has_begun or not (self._is_claimed or is_valid):
            await self._begin()
        elif not is_valid:
            await self._check_claim()

    async def publish(self, progress: Mapping[str, Any]) -> None:
        """
        Push the progress.

        For that the claim alone is checked, which is a message less. While a task instance that was cleared or failed
        still has this claim, nothing has run again, and its progress may be renewed until Airflow cancels the trigger.

        :raises NotOwned: if another try has claimed the task instance, or it has a result.
        """
        if not self._is_claimed:
            await self.claim(progress)
        else:
            self._check_owner(claim := await self._read_claim())
            if claim.record is not None:
                raise NotOwned("the wait has ended")
            await self._set_claimed(progress)

    async def push(self, task: SeeAnyTask, *, conn_id: str, do_xcom_push: bool) -> dict[str, Any]:
        """Push what others read, if the Airflow task pushes XComs; return what its event has to push."""
        xcoms = result_xcoms(task, conn_id=conn_id, do_xcom_push=do_xcom_push, task_instance=self._key)
        if not do_xcom_push:
            if self._is_claimed:
                await self._delete(PROGRESS_KEY)
            return xcoms
        await self.check()
        self.had_result = metrics.is_on() and await self._has_values()
        with_event = {}
        for key, value in xcoms.items():
            if key.startswith(PROGRESS_KEY):
                with_event[key] = self._owner.claiming(value) if key == PROGRESS_KEY else value
            else:
                await self.check()
                await self._xcom(key).aset(await self._stored(key, value))
        return with_event

    async def withdraw(self) -> None:
        """Delete the claim, the progress and what :meth:`push` may have pushed, which is nearly always nothing."""
        await self.check()
        if await self._has_values():
            await self._clear(None)
        if self._is_claimed:
            await self._delete(PROGRESS_KEY)

    async def has_result(self) -> bool:
        """Return whether a result, or a part of it, was pushed, by any triggerer; without XComs it has links only."""
        if await self._has_values():
            return True
        return any([await self._xcom(link.xcom_key).aget() is not None for link in RESULT_LINKS])

    async def _has_values(self) -> bool:
        return await self._xcom(_FIRST).aget() is not None

    async def _begin(self, progress: Mapping[str, Any] = NO_PROGRESS) -> bool:
        """
        Check that no later try has claimed the task instance, and delete the XComs of an earlier one.

        Return whether there were such; then the task instance is claimed, with the progress.

        Those of this try stay: Airflow can give its trigger to a second triggerer while the first one, which has
        pushed the result, is about to fire.
        """
        before = await self._check_state()
        if self._is_claimed_by_worker:
            self._check_owner(before)
        if before.owner is not None and before.owner.try_number > self._owner.try_number:
            raise NotOwned(f"try {before.owner.try_number} of the task has begun")
        if clears := self._clears and await self._has_earlier_xcoms(before):
            # With the key of the record, which a triggerer that is restarted meanwhile needs.
            clearing = Claim(owner=self._owner, record=before.record, is_clearing=True)
            await self._xcom(PROGRESS_KEY).aset(msgspec.to_builtins(clearing))
            await self._clear(before.record)
            await self._set_claimed(progress)
        elif before.owner == self._owner:
            self._is_claimed = True
        self._has_begun = True
        return clears

    @property
    def _owner(self) -> Owner:
        return Owner.of(self._task_instance)

    def _xcom(self, key: str) -> RawXCom:
        return RawXCom(key, self._key)

    async def _set_claimed(self, value: Mapping[str, Any]) -> None:
        await self._xcom(PROGRESS_KEY).aset(self._owner.claiming(value))
        self._is_claimed = True

    async def _has_earlier_xcoms(self, before: Claim) -> bool:
        """Return whether there may be XComs of an earlier try."""
        if before.is_clearing or before.owner == self._owner:
            return before.is_clearing
        return self._owner.try_number > 1 or (before != Claim() and await self._has_values())

    async def _check_state(self) -> Claim:
        """Return the claim on the task instance if that is deferred."""
        checked_at = time.time()
        if (state := await state_of(self._task_instance)) != "deferred":
            raise NotOwned(f"the task is {state}")
        claim = await self._read_claim()
        self._checked_at = checked_at
        return claim

    async def _check_claim(self) -> None:
        self._check_owner(await self._check_state())

    async def _read_claim(self) -> Claim:
        return Claim.read(await self._xcom(PROGRESS_KEY).aget())

    def _check_owner(self, claim: Claim) -> None:
        if claim.owner != self._owner:
            self._checked_at = 0.0
            raise NotOwned("the claim of this try is not there, or another one has begun")

    async def _clear(self, record_key: str | None) -> None:
        records = [] if record_key is None else [record_key]
        for key in (*FIELD_KEYS, *(link.xcom_key for link in RESULT_LINKS), *records, _FIRST):
            await self._delete(key)

    async def _delete(self, key: str) -> None:
        if self._has_begun:
            await self.check()
        elif abs(time.time() - self._checked_at) > CHECK_VALID_FOR:
            await self._check_claim()
        if not bypasses_backend(key):
            await self._purge(key)
        await self._xcom(key).adelete()

    async def _purge(self, key: str) -> None:
        """Delete what a custom XCom backend stores of a value, as a worker does."""
        from airflow.providers.common.compat.sdk import XCom
        from airflow.sdk.bases.xcom import BaseXCom
        from airflow.sdk.execution_time.comms import XComResult

        if XCom is not BaseXCom and (reference := await self._xcom(key).aget()) is not None:
            await asyncio.to_thread(XCom.purge, XComResult(key=key, value=reference))

    async def _stored(self, key: str, value: Any) -> Any:
        """Return what the database stores of a value; a custom XCom backend may block while it stores the rest."""
        if bypasses_backend(key):
            return value
        from airflow.providers.common.compat.sdk import XCom
        from airflow.sdk.bases.xcom import BaseXCom

        columns = self._key.columns()
        if XCom.serialize_value is BaseXCom.serialize_value:
            return XCom.serialize_value(value, key=key, **columns)
        return await asyncio.to_thread(XCom.serialize_value, value, key=key, **columns)


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
