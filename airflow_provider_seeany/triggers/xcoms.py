"""What a trigger does in a worker's place: reading XComs in templates, and writing those of its task instance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_seeany.api.task import RESULT_FIELDS
from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.xcoms.record import Claim, Owner
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, is_of_ui
from airflow_provider_seeany.xcoms.result import result_xcoms
from airflow_provider_seeany.xcoms.task_instance import place_of

if TYPE_CHECKING:
    from airflow_provider_seeany.api.task import SeeAnyTask


_FIRST = RESULT_LINKS[0].xcom_key

CHECK_VALID_FOR = 5.0
"""
Seconds for which a trigger that saw its task instance wait may write without looking again.

Looking before each write would triple the messages of a triggerer that is busy already.
"""


class NotOwned(Exception):
    """Raised instead of a write to a task instance that no longer waits, or that another try owns by now."""


class TriggererXComs:
    """
    The XComs that a trigger writes: those of its own task instance, for as long as it is its own.

    A triggerer that was suspended may wake up when its tasks were cleared and have run again elsewhere. Airflow refuses
    no XCom for that, and tells a trigger the state of its task instance but not the id, which is a new one for each
    try. So a trigger claims the task instance: under the key that all tries share for the UI it names its try, and it
    writes only while the task instance is deferred and the claim is still its own. What cannot be excluded is that
    either changes between the look and the write. A look counts for some seconds, hardly enough to clear a task and run
    it again, and the clock shows a triggerer that it was suspended.

    The XComs are sent one by one: given to ``TaskSuccessEvent``, Airflow 3.3 stores them encoded twice. A link, which
    is part of every result, is pushed first and deleted last: if it is not there, nothing of a result is. The values
    go through the custom XCom backend if there is one, as a worker's do; what is the UI's own goes past it.

    :param task_instance: the task instance that they belong to.
    :param clears: whether to delete what an earlier try left, which Airflow does itself where a worker starts the wait.
    """

    def __init__(self, task_instance: Any, *, clears: bool = False) -> None:
        self._task_instance = task_instance
        self._where = place_of(task_instance)
        self._clears = clears
        self._is_claimed = False
        self._checked_at = 0.0

    async def claim(self, news: Mapping[str, Any] | None = None) -> None:
        """
        Make the task instance this try's own, and delete what an earlier one left.

        What this very try left stays: Airflow may have given its trigger to a second triggerer while the first one,
        which has pushed the result, is about to say so. Whoever pushes once more pushes over it.

        :param news: how far the wait is, if that is known.
        :raises NotOwned: if it no longer waits, or a later try has claimed it.
        """
        found = await self._look()
        if found.owner is not None and found.owner.try_number > self._owner.try_number:
            raise NotOwned(f"try {found.owner.try_number} of the task has begun")
        if self._clears and await self._is_unclean(found):
            # With the record's key, which a triggerer that is restarted meanwhile has to find.
            unclean = Claim(owner=self._owner, record=found.record, is_unclean=True)
            await self._send(PROGRESS_KEY, unclean.as_json())
            await self._clear(found.record)
        elif found.owner == self._owner and found.record is not None:
            self._is_claimed = True
            return
        await self._send(PROGRESS_KEY, self._signed(news or {}))
        self._is_claimed = True

    async def check(self) -> None:
        """
        Look whether the task instance is still this try's own, unless that was seen a moment ago.

        :raises NotOwned: if it is not.
        """
        if not self._is_claimed:
            await self.claim()
        elif abs(time.time() - self._checked_at) > CHECK_VALID_FOR:
            await self._look_for_own_claim()

    async def publish(self, news: Mapping[str, Any]) -> None:
        """
        Write how far the wait is.

        :param news: plain JSON.
        :raises NotOwned: if the task instance is another try's, or its result was pushed.
        """
        if not self._is_claimed:
            await self.claim(news)
        elif (await self._look_for_own_claim()).record is not None:
            raise NotOwned("another triggerer has pushed the result")
        else:
            await self._send(PROGRESS_KEY, self._signed(news))

    async def push(self, task: SeeAnyTask, *, conn_id: str, with_values: bool) -> None:
        """
        Push the links, and the values and the UI's record if the Airflow task pushes any.

        :raises NotOwned: if the task instance is another try's.
        """
        xcoms = result_xcoms(task, conn_id=conn_id, with_values=with_values, place=self._where)
        for key, value in xcoms.items():
            await self.check()
            if key == PROGRESS_KEY:
                await self._delete_record_unless(value["record"])
                await self._send(key, self._signed(value))
            else:
                await self._send(key, value if is_of_ui(key) else await _stored(value, key=key, **self._where))
        if PROGRESS_KEY not in xcoms:
            await self._delete(PROGRESS_KEY)

    async def withdraw(self) -> None:
        """
        Delete the claim, the progress and what :meth:`push` may have left; nearly always there is no more of it.

        :raises NotOwned: if the task instance is another try's.
        """
        await self.check()
        if await self.are_there():
            await self._clear((await self._look_for_own_claim()).record)
        # Last: until it is gone, a triggerer that is restarted meanwhile still finds the record.
        await self._delete(PROGRESS_KEY)

    async def are_there(self) -> bool:
        """Tell whether a result was pushed, or begun to be, be it by somebody else."""
        return _value(await self._get(_FIRST)) is not None

    @property
    def _owner(self) -> Owner:
        return Owner(str(self._task_instance.id), self._task_instance.try_number)

    def _signed(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {**value, **Claim(owner=self._owner).as_json()}

    async def _is_unclean(self, found: Claim) -> bool:
        """Tell whether there may be XComs that are not of this try."""
        if found.is_unclean or found.owner == self._owner:
            return found.is_unclean
        return self._owner.try_number > 1 or (found != Claim() and await self.are_there())

    async def _look(self) -> Claim:
        """Return the claim on the task instance, if that waits."""
        looked_at = time.time()
        if (state := await state_of(self._task_instance)) != "deferred":
            raise NotOwned(f"the task is {state}")
        claim = Claim.read(_value(await self._get(PROGRESS_KEY)))
        self._checked_at = looked_at
        return claim

    async def _look_for_own_claim(self) -> Claim:
        claim = await self._look()
        if claim.owner != self._owner:
            self._checked_at = 0.0
            raise NotOwned("another try of the task has begun")
        return claim

    async def _delete_record_unless(self, record_key: str) -> None:
        """Delete the record of a triggerer that pushed before this one, unless both have the same moment and key."""
        earlier = Claim.read(_value(await self._get(PROGRESS_KEY)))
        if earlier.owner == self._owner and earlier.record not in (None, record_key):
            await self._delete(earlier.record)

    async def _clear(self, record_key: str | None) -> None:
        records = [] if record_key is None else [record_key]
        for key in ("return_value", *RESULT_FIELDS, *(link.xcom_key for link in RESULT_LINKS[1:]), *records, _FIRST):
            await self._delete(key)

    async def _delete(self, key: str) -> None:
        from airflow.sdk.execution_time.comms import DeleteXCom
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        if abs(time.time() - self._checked_at) > CHECK_VALID_FOR:
            await self._look_for_own_claim()
        if not is_of_ui(key):
            await self._purge(key)
        await SUPERVISOR_COMMS.asend(DeleteXCom(key=key, **self._where))

    async def _purge(self, key: str) -> None:
        """Delete what a custom XCom backend keeps of a value, as a worker does."""
        from airflow.providers.common.compat.sdk import XCom
        from airflow.sdk.bases.xcom import BaseXCom

        if XCom is BaseXCom:
            return
        reference = await self._get(key)
        if _value(reference) is not None:
            await asyncio.to_thread(XCom.purge, reference)

    async def _get(self, key: str) -> Any:
        from airflow.sdk.execution_time.comms import GetXCom
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        return await SUPERVISOR_COMMS.asend(GetXCom(key=key, **self._where))

    async def _send(self, key: str, stored: Any) -> None:
        from airflow.sdk.execution_time.comms import SetXCom
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        await SUPERVISOR_COMMS.asend(SetXCom(key=key, value=stored, **self._where))


def _value(reply: Any) -> Any:
    return getattr(reply, "value", None)


async def _stored(value: Any, **where: Any) -> Any:
    """Return what is stored in the database for a value; a custom XCom backend may take its time to keep it."""
    from airflow.providers.common.compat.sdk import XCom
    from airflow.sdk.bases.xcom import BaseXCom

    if XCom.serialize_value is BaseXCom.serialize_value:
        return XCom.serialize_value(value, **where)
    return await asyncio.to_thread(XCom.serialize_value, value, **where)


async def state_of(task_instance: Any) -> str | None:
    """Return the state that Airflow now gives a task instance; ``None`` if it has none, or that cannot be told."""
    from airflow.sdk.execution_time.comms import GetTaskStates
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    place = place_of(task_instance)
    payload: Any = await SUPERVISOR_COMMS.asend(
        GetTaskStates(
            dag_id=task_instance.dag_id,
            task_ids=[task_instance.task_id],
            run_ids=[task_instance.run_id],
            map_index=place["map_index"],
        )
    )
    states: dict[str, dict[str, str | None]] = getattr(payload, "task_states", {})
    (state,) = list(states.get(task_instance.run_id, {}).values()) or [None]
    return state
