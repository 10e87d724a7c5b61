"""The first read of a connection, shared by the waits that begin in an event loop at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.hooks.connection import aread_settings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook

SHARED_FOR = 5.0
"""Seconds from the beginning of a read in which waits share it, or its result."""

_Key = tuple[type["BaseHook"], str]
_Reads = dict[_Key, "asyncio.Task[ApiSettings] | ApiSettings"]

_reads: WeakKeyDictionary[asyncio.AbstractEventLoop, _Reads] = WeakKeyDictionary()


async def shared_settings(seeany_conn_id: str, hook: BaseHook) -> ApiSettings:
    """
    Read a connection to begin a wait, or share the read of another one.

    Each read is a message to the triggerer's only supervisor, and hundreds of waits may begin at once. An error is
    raised in all waits that share its read, and not kept.
    """
    loop = asyncio.get_running_loop()
    reads = _reads.setdefault(loop, {})
    key = type(hook), seeany_conn_id
    if key not in reads:
        task = reads[key] = loop.create_task(_read(seeany_conn_id, hook))
        # From its beginning: a read that hangs must not hold up all waits to come.
        expiry = loop.call_later(SHARED_FOR, reads.pop, key, None)
        task.add_done_callback(partial(_keep_settings, reads, key, expiry))
    read = reads[key]
    # A wait that is cancelled must not cancel the read of the others.
    return read if isinstance(read, ApiSettings) else await asyncio.shield(read)


async def fresh_settings(seeany_conn_id: str, hook: BaseHook) -> ApiSettings:
    """Read a connection that may have changed; waits that begin from now on share no earlier read."""
    _reads.get(asyncio.get_running_loop(), {}).pop((type(hook), seeany_conn_id), None)
    return await aread_settings(seeany_conn_id, hook)


def _read(seeany_conn_id: str, hook: BaseHook) -> Coroutine[Any, Any, ApiSettings]:
    """Return a read with what Airflow gives the task of a trigger: a secrets backend may make synchronous calls."""
    with suppress(ImportError):
        import greenback

        if greenback.has_portal():
            return greenback.with_portal_run(aread_settings, seeany_conn_id, hook)
    return aread_settings(seeany_conn_id, hook)


def _keep_settings(reads: _Reads, key: _Key, expiry: asyncio.TimerHandle, task: asyncio.Task[ApiSettings]) -> None:
    """Keep the settings instead of their task, which refers to the loop and would keep that, too."""
    if reads.get(key) is not task:
        return
    if task.cancelled() or task.exception() is not None:
        expiry.cancel()
        del reads[key]
    else:
        reads[key] = task.result()
