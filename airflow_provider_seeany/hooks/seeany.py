"""The hook: turns an Airflow connection into authenticated questions to SeeAny, blocking or asynchronous."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.errors import ApiError, Trouble
from airflow_provider_seeany.api.intervals import FixedInterval
from airflow_provider_seeany.api.request import PROBE_TASK_ID, ApiSettings
from airflow_provider_seeany.api.retries import acall_with_retries, call_with_retries
from airflow_provider_seeany.api.settings import BadSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id
from airflow_provider_seeany.api.wait import Pause, Wait
from airflow_provider_seeany.api.wait_log import Oddities
from airflow_provider_seeany.exceptions import (
    SeeAnyConfigError,
    SeeAnyTaskIdError,
    api_error,
    completed_task,
)
from airflow_provider_seeany.hooks.connection import api_settings, naming_connection, runs_in_one_process
from airflow_provider_seeany.hooks.reauth import CONNECTION_ERRORS, ReauthenticatingClient, RetryBudget
from airflow_provider_seeany.provider_info import CONNECTION_TYPE

if TYPE_CHECKING:
    import requests

    from airflow_provider_seeany.api.blocking import BlockingClient


class SeeAnyHook(BaseHook):
    """
    Asks the SeeAny API with the key and address of an Airflow connection.

    The connection is read when the first question is asked, so making a hook costs nothing.

    :param seeany_conn_id: id of a connection of type ``seeany``: the API key is its password, the base URL its
        host (empty for the live service). Its extra may hold ``request_timeout`` and ``connect_timeout`` (seconds),
        ``max_connections`` (most requests of one process at once) and ``allow_http``.
    """

    conn_name_attr = "seeany_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONNECTION_TYPE["connection-type"]
    hook_name = CONNECTION_TYPE["hook-name"]

    def __init__(self, seeany_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seeany_conn_id = seeany_conn_id
        self._oddities = Oddities()
        self._patience = RetryBudget()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Render the connection form's standard fields for Airflow 3.1; later versions read provider info."""
        behaviour = CONNECTION_TYPE["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Render the connection form's own fields for Airflow 3.1; later versions read provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import IntegerField
        from wtforms.validators import Optional

        return {
            name: IntegerField(
                field["label"],
                validators=[Optional()],
                description=field["description"],
                default=field["schema"]["default"],
                widget=BS3TextFieldWidget(),
            )
            for name, field in CONNECTION_TYPE["conn-fields"].items()
        }

    def get_conn(self) -> requests.Session:
        """Return the session of requests; it adds the key to requests to the API's host, and to no other."""
        return self.client.session

    @cached_property
    def client(self) -> BlockingClient:
        """The blocking client for this connection."""
        from airflow_provider_seeany.api.blocking import BlockingClient

        return BlockingClient(self._read_settings())

    def close(self) -> None:
        """Close the connections; they are made again when something is asked."""
        if (client := self.__dict__.pop("client", None)) is not None:
            client.close()

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[ReauthenticatingClient]:
        """
        Lend the running event loop's client for this connection.

        :raises SeeAnyConnectionNotFound: if the connection was not found.
        :raises SeeAnyConfigError: if it cannot be used.
        """
        # In a thread: loading aiohttp takes some 0.2 s, which would stop every other trigger for as long.
        transport = await asyncio.to_thread(import_module, "airflow_provider_seeany.api.asynchronous")

        async with ReauthenticatingClient(self._aread_settings, transport.shared_client) as client:
            yield client

    def _read_settings(self) -> ApiSettings:
        with naming_connection(self.seeany_conn_id):
            connection = self.get_connection(self.seeany_conn_id)
            try:
                settings = api_settings(connection, connection.extra_dejson)
            finally:
                del connection  # Its repr() shows the key, and a crash report may keep local variables.
            settings.route  # noqa: B018  # found here, where what is wrong with it gets the connection's name
            return settings

    async def _aread_settings(self) -> ApiSettings:
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
        from asgiref.sync import sync_to_async

        with naming_connection(self.seeany_conn_id):
            try:
                connection = await get_async_connection(self.seeany_conn_id, hook=self)
            except AirflowNotFoundException:
                # In a triggerer a second look would find no more, in the one thread in which all look who block.
                if not runs_in_one_process():
                    raise
                return await sync_to_async(self._read_settings)()
            try:
                settings = api_settings(connection, await get_async_extra_dejson(connection))
            finally:
                del connection
            await asyncio.to_thread(getattr, settings, "route")
            return settings

    def get(self, endpoint: str, params: Mapping[str, Any] | None = None) -> Any:
        """
        Make an authenticated GET and return the decoded JSON. Passing faults are retried, see
        :mod:`airflow_provider_seeany.api.retries`.

        :param endpoint: path below the API's version, for example ``tasks/vid_20260603_001``.
        :param params: query parameters.
        :raises SeeAnyConfigError: if the connection or the endpoint cannot be used.
        :raises SeeAnyApiError: if that brought no answer.
        """
        client = self.client

        def ask() -> Any:
            try:
                return client.get_json(endpoint, params)
            except ApiError as error:
                return error.trouble

        try:
            reply = call_with_retries(ask)
        except BadSettings as error:
            raise SeeAnyConfigError(str(error)) from None
        if isinstance(reply, Trouble):
            raise api_error(reply, seeany_conn_id=self.seeany_conn_id)
        return reply

    def get_task(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Return a task, whatever its state. Passing faults are retried, see :mod:`airflow_provider_seeany.api.retries`.

        :param seeany_task_id: the id that the endpoint which created the task returned.
        :raises SeeAnyTaskIdError: if that cannot be an id.
        :raises SeeAnyConfigError: if the connection cannot be used.
        :raises SeeAnyApiError: if that brought no answer.
        """
        checked = checked_id(seeany_task_id)
        return self._answer(call_with_retries(lambda: self.poll(checked)), checked)

    async def aget_task(self, seeany_task_id: str) -> SeeAnyTask:
        """Return a task, as :meth:`get_task` does, without blocking the event loop."""
        checked = checked_id(seeany_task_id)
        async with self.async_client() as client:
            return self._answer(await acall_with_retries(lambda: client.poll(checked)), checked)

    def poll(self, seeany_task_id: str) -> SeeAnyTask | Trouble:
        """
        Ask once for a task and return the answer, or why there was none.

        If the key is refused, the connection is read again, and asked through once more if it has changed.

        :raises SeeAnyTaskIdError: if that cannot be an id.
        :raises SeeAnyConfigError: if the connection cannot be used.
        """
        checked = checked_id(seeany_task_id)
        reply = self.client.poll(checked)
        if not (isinstance(reply, Trouble) and reply.refuses_key):
            self._patience.reset()
            return reply
        try:
            settings = self._read_settings()
        except CONNECTION_ERRORS as error:
            return self._patience.record_failure(error)
        self._patience.reset()
        if settings == self.client.settings:
            return reply
        self.close()
        return self.client.poll(checked)

    def wait_for_task(self, seeany_task_id: str, interval: float = 10, timeout: float = 300) -> SeeAnyTask:
        """
        Ask again and again until the task has ended; the defaults are the platform's own advice.

        This holds the calling process for the whole wait; in a DAG prefer ``SeeAnyTaskSensor``.

        :param seeany_task_id: the id that the endpoint which created the task returned.
        :param interval: seconds between two questions.
        :param timeout: seconds after which to give up.
        :return: the completed task.
        :raises SeeAnyTaskFailed: if the task failed.
        :raises SeeAnyTaskTimeout: if it had not ended in time.
        :raises SeeAnyApiError: if asking cannot succeed. Passing faults do not end the wait.
        """
        checked = checked_id(seeany_task_id)
        clock = ForwardClock()
        began = clock()
        wait = Wait(
            checked,
            polling=FixedInterval(poll_interval=interval),
            deadline=began + timeout,
            log=self.log,
            began=began,
        )
        while isinstance(step := wait.receive(self.poll(checked), clock()), Pause):
            time.sleep(step.seconds)
        return completed_task(step, seeany_task_id=checked, seeany_conn_id=self.seeany_conn_id, timeout=timeout)

    def callback_url(
        self, *, dag_id: str | None = None, run_id: str | None = None, task_id: str | None = None, map_index: int = -1
    ) -> str:
        """
        Return the URL at which SeeAny rings when a task has ended, to pass on when creating it.

        A ring wakes the waits with ``expect_callback=True`` for the SeeAny task that its body names by ``id``,
        ``task_id`` or ``task_uuid``, as long as they ask through this connection. It takes ``[seeany] callback_secret``
        and ``[api] base_url``, the same in every process.

        :param dag_id: the DAG of the task that waits. If that is given, the body may as well name nothing.
        :param run_id: its run.
        :param task_id: the task that waits.
        :param map_index: which of its instances, if it is mapped.
        :raises SeeAnyConfigError: if an option is not set.
        """
        from airflow_provider_seeany.callback.token import TaskInstanceKey, TokenClaims
        from airflow_provider_seeany.callback.url import callback_url

        waiting = None
        if dag_id is not None or run_id is not None or task_id is not None:
            if dag_id is None or run_id is None or task_id is None:
                raise ValueError("dag_id, run_id and task_id name the task that waits together: give all three")
            waiting = TaskInstanceKey(dag_id, run_id, task_id, map_index)
        return callback_url(TokenClaims(self.seeany_conn_id, waiting))

    def test_connection(self) -> tuple[bool, str]:
        """
        Tell whether the API accepts the key, for the Test button and ``airflow connections test``.

        The API documents no endpoint for that, so it asks for a task that cannot exist: "not found" proves that
        the key was accepted.
        """
        try:
            reply = self.poll(PROBE_TASK_ID)
        except Exception as error:
            return False, str(error)
        if isinstance(reply, SeeAnyTask):
            return False, "A task that cannot exist was found: the Base URL (host) is probably not SeeAny's."
        if reply.http_status in (404, 410) and not reply.is_web_page:
            return True, "SeeAny accepted the API key."
        # Airflow's command line takes square brackets for markup, and fails on those of a web page.
        text = str(api_error(reply, seeany_conn_id=self.seeany_conn_id))
        return False, text.replace("[", "(").replace("]", ")")

    def _answer(self, reply: SeeAnyTask | Trouble, seeany_task_id: str) -> SeeAnyTask:
        if isinstance(reply, Trouble):
            raise api_error(reply, seeany_conn_id=self.seeany_conn_id, seeany_task_id=seeany_task_id)
        self._oddities.notice(reply, self.log)
        return reply


def checked_id(seeany_task_id: object) -> str:
    """
    Return the value if it can be the id of a SeeAny task.

    :raises SeeAnyTaskIdError: if it cannot; the text says what to look at.
    """
    try:
        return checked_task_id(seeany_task_id)
    except BadTaskId as error:
        raise SeeAnyTaskIdError(str(error)) from None
