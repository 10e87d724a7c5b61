"""
The metrics of waits, requests, costs and callbacks, sent through Airflow's ``Stats``; docs/metrics.md lists them.

With Airflow's metrics off, which is the default, nothing is computed or sent. An error in a metric fails nothing. Tags
are few: never an id, and of the service's own words only those that look like words.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from contextlib import suppress
from datetime import timedelta
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_seeany.api.costs import NO_CURRENCY
from airflow_provider_seeany.api.errors import ApiError, ThrottledError

if TYPE_CHECKING:
    from airflow_provider_seeany.xcoms.record import Record

log = logging.getLogger(__name__)

BACKENDS = ("statsd_on", "statsd_datadog_enabled", "otel_on")
"""The options of Airflow's ``[metrics]``, any of which turns metrics on."""

SEND_INTERVAL = 1.0  # seconds for which an event loop adds up requests

MAX_TAG_LENGTH = 40
MAX_DIGITS_IN_WORD = 4  # maximum digits of a code that is no number; an id has more

_NUMBER = re.compile(r"-?[0-9]{1,6}")
_WORD = re.compile(rf"[a-z][a-z0-9_.-]{{0,{MAX_TAG_LENGTH - 1}}}")
_UNIT = re.compile(r"[A-Za-z]{1,12}")
_OTHER = "other"


@cache
def is_on() -> bool:
    """Whether this process sends metrics."""
    return any(conf.getboolean("metrics", option, fallback=False) for option in BACKENDS)


async def prepare() -> None:
    """Make this process's backend outside the event loop: it imports, and resolves a host name."""
    if is_on() and os.getpid() not in _prepared:
        await asyncio.to_thread(_prepare)


_prepared: set[int] = set()
_preparing = Lock()


def _prepare() -> None:
    with _preparing:
        if os.getpid() not in _prepared:
            with suppress(Exception):
                # Without a name it sends nothing.
                _stats().timer()
            _prepared.add(os.getpid())


@cache
def _stats() -> Any:
    with suppress(ImportError):
        # The tasks' Stats is another one than that of Airflow's core, and in a triggerer and an api-server nothing but
        # this import gives it a backend (Airflow 3.3).
        import airflow.sdk.serde  # noqa: F401
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def _send(method: str, name: str, value: Any, tags: dict[str, str]) -> None:
    try:
        getattr(_stats(), method)(f"seeany.{name}", value, tags=tags)
    except Exception:
        log.debug("A metric could not be sent", exc_info=True)


class RequestCounter:
    """
    Counts requests through a connection: each is made in its ``with`` block, any number of them at a time.

    In an event loop their number is sent once in a while: sending costs Airflow as much as a poll does.
    """

    __slots__ = ("_loop", "_made", "_tags", "_throttled")

    def __init__(self, tags: dict[str, str] | None) -> None:
        self._tags = tags
        self._made = self._throttled = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop that will send what is counted."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._tags is None or not (error is None or isinstance(error, ApiError)):
            return
        self._made += 1
        self._throttled += isinstance(error, ThrottledError)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.send()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(SEND_INTERVAL, self.send)

    def send(self) -> None:
        """Send what is counted; to be called before a loop may end."""
        self._loop = None
        made, throttled, self._made, self._throttled = self._made, self._throttled, 0, 0
        for name, number in (("requests", made), ("requests.throttled", throttled)):
            if number and self._tags is not None:
                _send("incr", name, number, self._tags)


def mode_of_deferral(*, began_in_trigger: bool) -> str:
    """Return how a wait in the triggerer waits, as metrics name it."""
    return "worker_free" if began_in_trigger else "deferred"


@lru_cache(maxsize=256)
def request_counter(conn_id: str, mode: str) -> RequestCounter:
    """Return the counter of a connection and a mode, one for all waits; it does nothing if metrics are off."""
    return RequestCounter(_tags(conn_id, mode) if is_on() else None)


def wait_ended(record: Record, *, mode: str, seconds: float | None, error: BaseException | None = None) -> None:
    """
    Count a wait that has ended for good, and what it cost.

    :param seconds: how long it took; ``None`` if that is not known.
    :param error: the exception that ended it.
    """
    if not is_on():
        return
    tags = _tags(record.conn_id, mode)
    code = {"code": code_tag(record.error_code, error)} if record.state == "failed" else {}
    _send("incr", f"wait.{record.state}", 1, {**tags, **code})
    if seconds is not None:
        _send("timing", "wait.duration", timedelta(seconds=max(seconds, 0)), {**tags, "state": record.state})
    for unit, amount in record.cost.items():
        if (cost := float(amount)) > 0:
            _send("incr", "cost", cost, {**tags, "unit": unit_tag(unit)})


def wait_killed(*, conn_id: str, mode: str) -> None:
    """Count a wait that something else than its outcome or its own timeout has ended for good."""
    if is_on():
        _send("incr", "wait.killed", 1, _tags(conn_id, mode))


def callback_received(result: str, *, conn_id: str | None) -> None:
    """Count a callback by what became of it; ``conn_id`` is ``None`` if its URL was not signed."""
    if is_on():
        signed = {"conn_id": _safe(conn_id)} if conn_id else {}
        _send("incr", "callback.received", 1, {**signed, "result": result})


def downloaded(size: int, *, conn_id: str) -> None:
    """Count the bytes that a download has stored."""
    if size and is_on():
        _send("incr", "download.bytes", size, _tags(conn_id, "download"))


def code_tag(code: str | None, error: BaseException | None = None) -> str:
    """Return an error code as a tag: a small number, a word, or ``other``; without one, the name of the exception."""
    if code is None:
        name = type(error).__name__.removeprefix("SeeAny") if error is not None else _OTHER
        return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    text = code.strip().lower()
    is_word = _WORD.fullmatch(text) and sum(letter.isdigit() for letter in text) <= MAX_DIGITS_IN_WORD
    return text if is_word or _NUMBER.fullmatch(text) else _OTHER


def unit_tag(unit: str) -> str:
    """Return a currency as a tag: a word, ``none``, or ``other``."""
    return "none" if unit == NO_CURRENCY else unit if _UNIT.fullmatch(unit) else _OTHER


def _tags(conn_id: str, mode: str) -> dict[str, str]:
    return {"conn_id": _safe(conn_id), "mode": mode}


def _safe(conn_id: str) -> str:
    """Return a connection's id with the characters that every backend takes, as Airflow drops other metrics."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "_", conn_id)[:MAX_TAG_LENGTH]
