"""
What is measured: this provider's trigger, a bare polling loop as lower bound, and the triggers of other providers.

Each waits for a task of the stub server that does not end, with its provider's own trigger class and defaults. The
patches that make them use a server of this machine are all here: dbt Cloud's and Fivetran's hooks have ``https://``
built in, Fivetran's also the host.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol
from urllib.parse import urlsplit

from benchmarks.stub import task_id

Wait = Callable[[int, float], Coroutine[Any, Any, None]]
"""Waits for the task of a number, with an interval in seconds, until it is cancelled."""


class _Trigger(Protocol):
    def run(self) -> AsyncIterator[object]:
        """Wait, then fire."""


@dataclass(frozen=True)
class Contestant:
    """
    One implementation of a wait.

    :param name: its name in a table.
    :param package: its distribution.
    :param prepare: imports it, connects it to a server's URL and returns a function that waits.
    """

    name: str
    package: str
    prepare: Callable[[str], Wait]

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured."""
        try:
            version(self.package)
        except PackageNotFoundError:
            return False
        return True


async def _run(trigger: _Trigger) -> None:
    async for event in trigger.run():
        raise RuntimeError(f"the wait ended with {event}")


def connect(conn_id: str, **fields: object) -> None:
    """Define an Airflow connection."""
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


def _prepare_seeany(url: str) -> Wait:
    from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger

    connect("seeany_default", conn_type="seeany", host=url, password="sk-benchmark")

    def wait(number: int, interval: float) -> Coroutine[Any, Any, None]:
        return _run(
            SeeAnyTaskTrigger(
                seeany_task_id=str(task_id(number)),
                settings={
                    "poll_interval": interval,
                    "max_poll_interval": interval,
                    "timeout": 3600,
                    "do_xcom_push": True,
                    "expect_callback": False,
                    "callback_poll_interval": 120,
                },
            )
        )

    return wait


def _prepare_bare(url: str) -> Wait:
    """Prepare the lower bound: one session for all, one typed decoder, nothing else."""
    import aiohttp
    import msgspec

    class Payload(msgspec.Struct):
        id: str
        status: str
        progress: float | None = None
        estimated_remaining: float | None = None

    decode = msgspec.json.Decoder(Payload).decode
    sessions: list[aiohttp.ClientSession] = []
    users = 0

    @asynccontextmanager
    async def shared() -> AsyncIterator[aiohttp.ClientSession]:
        nonlocal users
        if not sessions:
            sessions.append(aiohttp.ClientSession(headers={"Authorization": "Bearer sk-benchmark"}))
        users += 1
        try:
            yield sessions[0]
        finally:
            users -= 1
            if not users:
                await sessions.pop().close()

    async def wait(number: int, interval: float) -> None:
        task_url = f"{url}/v1/tasks/{task_id(number)}"
        async with shared() as session:
            while True:
                async with session.get(task_url) as response:
                    if decode(await response.read()).status != "processing":
                        raise RuntimeError("the wait ended")
                await asyncio.sleep(interval)

    return wait


def _prepare_dbt(url: str) -> Wait:
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    scheme, host = urlsplit(url)[:2]
    original = DbtCloudHook.__dict__.get("original_url") or DbtCloudHook.__dict__["get_request_url_params"]
    DbtCloudHook.original_url = original

    def with_scheme(*args: Any, **kwargs: Any) -> tuple[str, Mapping[str, Any]]:
        built, params = original.__func__(*args, **kwargs)
        return built.replace("https:", f"{scheme}:", 1), params

    DbtCloudHook.get_request_url_params = staticmethod(with_scheme)
    connect("dbt_cloud_default", conn_type="dbt_cloud", host=host, login="1", password="sk-benchmark")

    def wait(number: int, interval: float) -> Coroutine[Any, Any, None]:
        return _run(
            DbtCloudRunJobTrigger(
                conn_id="dbt_cloud_default",
                run_id=task_id(number),
                end_time=float("inf"),
                poll_interval=interval,
                account_id=1,
            )
        )

    return wait


def _prepare_http(url: str) -> Wait:
    from airflow.providers.http.triggers.http import HttpEventTrigger

    connect("http_default", conn_type="http", host=url, password="sk-benchmark")

    def wait(number: int, interval: float) -> Coroutine[Any, Any, None]:
        return _run(
            HttpEventTrigger(
                response_check_path="benchmarks.http_check.is_completed",
                endpoint=f"/v1/tasks/{task_id(number)}",
                poll_interval=interval,
            )
        )

    return wait


def _prepare_databricks(url: str) -> Wait:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    parts = urlsplit(url)
    connect(
        "databricks_default",
        conn_type="databricks",
        schema=parts.scheme,
        host=parts.hostname,
        port=parts.port,
        password="sk-benchmark",
    )

    def wait(number: int, interval: float) -> Coroutine[Any, Any, None]:
        return _run(
            DatabricksExecutionTrigger(
                run_id=task_id(number),
                databricks_conn_id="databricks_default",
                polling_period_seconds=interval,  # annotated as int, only used for sleep
            )
        )

    return wait


def _prepare_fivetran(url: str) -> Wait:
    from fivetran_provider_async.hooks import FivetranHookAsync
    from fivetran_provider_async.triggers import FivetranTrigger

    FivetranHookAsync.api_protocol, FivetranHookAsync.api_host = urlsplit(url)[:2]
    connect("fivetran_default", conn_type="fivetran", login="key", password="sk-benchmark")

    def wait(number: int, interval: float) -> Coroutine[Any, Any, None]:
        return _run(
            FivetranTrigger(
                task_id="wait",
                connector_id=str(task_id(number)),
                fivetran_conn_id="fivetran_default",
                poke_interval=interval,
            )
        )

    return wait


OURS = Contestant("SeeAnyTaskTrigger", "airflow-provider-seeany", _prepare_seeany)
BARE = Contestant("bare aiohttp loop", "aiohttp", _prepare_bare)
DBT_CLOUD = Contestant("DbtCloudRunJobTrigger", "apache-airflow-providers-dbt-cloud", _prepare_dbt)
PEERS = (
    DBT_CLOUD,
    Contestant("HttpEventTrigger", "apache-airflow-providers-http", _prepare_http),
    Contestant("DatabricksExecutionTrigger", "apache-airflow-providers-databricks", _prepare_databricks),
    Contestant("FivetranTrigger", "airflow-provider-fivetran-async", _prepare_fivetran),
)


def contestants() -> list[Contestant]:
    """Return the installed ones, this provider first."""
    return [OURS, BARE, *(peer for peer in PEERS if peer.is_installed)]
