"""Reads, for the trigger of a batch, which tasks SeeAny has called back about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.callback.batch import BatchCallbacks
from airflow_provider_seeany.xcoms.record_key import hash_part

READ_INTERVAL = 2.0  # minimum seconds between two reads of one batch

MAX_PER_SECOND = 5.0
"""Maximum number of reads in a second, roughly, of all batches of a triggerer: each is one of Airflow's database."""


class CallbackReader:
    """
    Reads the callbacks of a batch, one XCom for all of its tasks, until it is cancelled.

    :param seeany_task_ids: the tasks of the batch.
    :param called_back: takes the indexes of the tasks that SeeAny has called back about.
    """

    _live: ClassVar[int] = 0

    def __init__(
        self,
        callbacks: BatchCallbacks,
        seeany_task_ids: Sequence[str],
        called_back: Callable[[Iterable[int]], None],
        *,
        log: Log,
    ) -> None:
        self._callbacks = callbacks
        self._indexes = {hash_part(each): index for index, each in enumerate(seeany_task_ids)}
        self._called_back = called_back
        self._log = log
        self._number = 0
        self._is_failing = False

    async def run(self) -> None:
        """Read every few seconds."""
        CallbackReader._live += 1
        try:
            while await self._read():
                await asyncio.sleep(max(READ_INTERVAL, CallbackReader._live / MAX_PER_SECOND))
        finally:
            CallbackReader._live -= 1

    async def _read(self) -> bool:
        """Read once; return whether to read again."""
        try:
            noted = await self._callbacks.read()
        except Exception as error:
            if not self._is_failing:
                self._log.warning("Callbacks are read later: %s: %s", type(error).__name__, sanitize(str(error)))
            self._is_failing = True
            return True
        self._is_failing = False
        if noted is None:
            self._log.warning(
                "Callbacks no longer reach this batch, which polls as if they got lost: an XCom of it was deleted"
            )
            return False
        if noted.number != self._number:
            tasks = noted.since(self._number)
            self._number = noted.number
            known = self._indexes
            self._called_back(known.values() if tasks is None else [known[each] for each in tasks if each in known])
        return True
