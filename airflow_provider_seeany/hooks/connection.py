"""Reads the settings of the API from an Airflow connection, and names the connection in every error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_seeany.api.request import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_REQUEST_TIMEOUT,
    ApiSettings,
    base_url,
    checked_api_key,
    checked_count,
    checked_seconds,
)
from airflow_provider_seeany.api.secret import Secret, forget_locals
from airflow_provider_seeany.api.settings import BadSettings
from airflow_provider_seeany.api.text import plain, truncate
from airflow_provider_seeany.exceptions import (
    SeeAnyConfigError,
    SeeAnyConnectionNotFound,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


def runs_in_one_process() -> bool:
    """
    Tell whether task and trigger run in the process of `airflow dags test` or `airflow tasks test`.

    Airflow cannot be asked without blocking there: it says "not found" of any connection that only its database has.
    """
    from airflow.sdk.execution_time import task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    return comms is not None and not hasattr(comms, "asend")


@contextmanager
def naming_connection(seeany_conn_id: str) -> Iterator[None]:
    """Turn whatever is wrong with the connection into an error that names it."""
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


def api_settings(connection: Connection, extra: object) -> ApiSettings:
    """
    Return the settings that a connection holds.

    :raises BadSettings: if they cannot be used; the text says what to change.
    """
    if not isinstance(extra, dict):
        raise BadSettings("its extra must be a JSON object")

    def given(name: str, default: float) -> object:
        value = extra.get(name)  # the form saves an emptied field as null
        return default if value is None else value

    key = checked_api_key(connection.password)
    others = {"Base URL (host)": connection.host, "schema": connection.schema, "port": connection.port, "extra": extra}
    for name, value in others.items():
        spelled = plain(str(value))
        if key.may_be_in(spelled.encode("utf-8", "replace")) or key in map(Secret, re.split(r"[/:@?#\s]+", spelled)):
            # It would be looked up in the DNS, or quoted as what it cannot be.
            raise BadSettings(f"its {name} holds the API key. That belongs in the field API Key, the password, alone")
    return ApiSettings(
        base_url=base_url(
            connection.host,
            port=connection.port,
            schema=connection.schema,
            allow_http=str(extra.get("allow_http")).lower() == "true",
        ),
        api_key=key,
        request_timeout=checked_seconds(
            given("request_timeout", DEFAULT_REQUEST_TIMEOUT), name="Request timeout (request_timeout in the extra)"
        ),
        connect_timeout=checked_seconds(
            given("connect_timeout", DEFAULT_CONNECT_TIMEOUT), name="connect_timeout (in the extra)"
        ),
        max_connections=checked_count(
            given("max_connections", DEFAULT_MAX_CONNECTIONS), name="max_connections (in the extra)"
        ),
    )
