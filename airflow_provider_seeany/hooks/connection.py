"""Reads the API settings from an Airflow connection, and names the connection in every error."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_seeany.api.dialects import find_dialect
from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.request import (
    ApiSettings,
    base_url,
    checked_api_key,
    checked_count,
    checked_seconds,
)
from airflow_provider_seeany.api.secret import Secret, forget_locals
from airflow_provider_seeany.api.text import decode_disguised, truncate
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyConnectionNotFound

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


def read_settings(seeany_conn_id: str, hook: BaseHook | type[BaseHook] = BaseHook) -> ApiSettings:
    """
    Read a connection through a hook.

    :raises SeeAnyConnectionNotFound: if the connection was not found.
    :raises SeeAnyConfigError: if it cannot be used.
    """
    with _naming_connection(seeany_conn_id):
        connection = hook.get_connection(seeany_conn_id)
        try:
            settings = _api_settings(connection, connection.extra_dejson)
        finally:
            del connection  # Its repr() shows the key, and a crash report may keep local variables.
        settings.route  # noqa: B018  # found here, so that its errors name the connection
        return settings


async def aread_settings(seeany_conn_id: str, hook: BaseHook | type[BaseHook] = BaseHook) -> ApiSettings:
    """Read a connection, as :func:`read_settings` does, without blocking the event loop."""
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
    from asgiref.sync import sync_to_async

    with _naming_connection(seeany_conn_id):
        try:
            connection = await get_async_connection(seeany_conn_id, hook=hook)
        except AirflowNotFoundException:
            # A triggerer has one thread for all blocking reads, which would not find it either.
            if not runs_in_one_process():
                raise
            return await sync_to_async(read_settings)(seeany_conn_id, hook)
        try:
            settings = _api_settings(connection, await get_async_extra_dejson(connection))
        finally:
            del connection
        await asyncio.to_thread(getattr, settings, "route")
        return settings


def runs_in_one_process() -> bool:
    """
    Tell whether task and trigger run in the process of `airflow dags test` or `airflow tasks test`.

    There, Airflow's asynchronous reads do not find any connection that only its database has.
    """
    from airflow.sdk.execution_time import task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    return comms is not None and not hasattr(comms, "asend")


@contextmanager
def _naming_connection(seeany_conn_id: str) -> Iterator[None]:
    try:
        yield
    except AirflowNotFoundException as error:
        forget_locals(error)
        raise SeeAnyConnectionNotFound(
            f"The Airflow connection {truncate(seeany_conn_id)!r} was not found, or could not be read. Add it under "
            "Admin > Connections with the type SeeAny and the API key. If it is an environment variable: in a URI the "
            "key is percent-encoded, JSON has to be valid."
        ) from None
    except BadSettings as error:
        forget_locals(error)
        raise SeeAnyConfigError(
            f"The Airflow connection {truncate(seeany_conn_id)!r} cannot be used: {error}."
        ) from None


def _api_settings(connection: Connection, extra: object) -> ApiSettings:
    if not isinstance(extra, dict):
        raise BadSettings("its extra must be a JSON object")
    key = checked_api_key(connection.password)
    others = {"Base URL (host)": connection.host, "schema": connection.schema, "port": connection.port, "extra": extra}
    for name, value in others.items():
        text = decode_disguised(str(value))
        if key.may_be_in(text.encode("utf-8", "replace")) or key in map(Secret, re.split(r"[/:@?#\s]+", text)):
            # It would be sent to the DNS, or quoted in an error.
            raise BadSettings(f"its {name} holds the API key. That belongs in the field API Key, the password, alone")
    dialect = find_dialect(extra.get("api"))
    return ApiSettings(
        dialect=dialect,
        base_url=base_url(
            connection.host,
            port=connection.port,
            schema=connection.schema,
            allow_http=str(extra.get("allow_http")).lower() == "true",
            dialect=dialect,
        ),
        api_key=key,
        **{
            field: check(value, name=name)
            for field, check, name in _LIMITS
            if (value := extra.get(field)) is not None  # the form saves an emptied field as null
        },
    )


_LIMITS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("request_timeout", checked_seconds, "Request timeout (request_timeout in the extra)"),
    ("connect_timeout", checked_seconds, "connect_timeout (in the extra)"),
    ("max_connections", checked_count, "max_connections (in the extra)"),
)
