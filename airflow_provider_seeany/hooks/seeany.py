"""The hook: sends authenticated requests to SeeAny through an Airflow connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.errors import ApiError, BadSettings
from airflow_provider_seeany.api.intervals import PollPolicy
from airflow_provider_seeany.api.retries import acall_with_retries, call_once_with_retries, call_with_retries
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id
from airflow_provider_seeany.api.wait import Pause, Wait
from airflow_provider_seeany.api.wait_log import AnomalyLog
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyTaskIdError, api_error
from airflow_provider_seeany.hooks.connection import read_settings
from airflow_provider_seeany.hooks.reauth import CONNECTION_ERRORS, ReauthenticatingClient, RetryBudget
from airflow_provider_seeany.hooks.shared_read import fresh_settings, shared_settings
from airflow_provider_seeany.metrics import request_counter
from airflow_provider_seeany.outcomes import completed_task
from airflow_provider_seeany.provider_info import CONNECTION_TYPE

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import Asset

    from airflow_provider_seeany.api.blocking import BlockingClient

Result = TypeVar("Result")


class SeeAnyHook(BaseHook):
    """
    Sends requests to the SeeAny API with the key and address of an Airflow connection.

    The connection is read at the first request, so creating a hook costs nothing.

    :param seeany_conn_id: id of a connection of type ``seeany``: the API key is its password, the base URL its
        host (empty for the live service). Its extra may hold ``api`` (``v1`` or ``developer``), ``request_timeout``
        and ``connect_timeout`` (seconds), ``max_connections`` (maximum concurrent requests of one process) and
        ``allow_http``.
    """

    conn_name_attr = "seeany_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONNECTION_TYPE["connection-type"]
    hook_name = CONNECTION_TYPE["hook-name"]

    mode = "hook"
    """How the wait that uses this hook waits: a tag of its metrics."""

    def __init__(self, seeany_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seeany_conn_id = seeany_conn_id
        self._anomalies = AnomalyLog()
        self._budget = RetryBudget()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Render the connection form's standard fields for Airflow 3.1; later versions read provider info."""
        return {name.replace("-", "_"): value for name, value in CONNECTION_TYPE["ui-field-behaviour"].items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Render the connection form's own fields for Airflow 3.1; later versions read provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import IntegerField, StringField
        from wtforms.validators import Optional, any_of

        def widget(label: str, description: str, schema: dict[str, Any]) -> Any:
            names = schema.get("enum")
            return (StringField if names else IntegerField)(
                label,
                validators=[Optional(), any_of(names)] if names else [Optional()],
                description=description,
                default=schema["default"],
                widget=BS3TextFieldWidget(),
            )

        return {name: widget(**field) for name, field in CONNECTION_TYPE["conn-fields"].items()}

    def get_conn(self) -> requests.Session:
        """Return the session of requests; it adds the key to requests to the API's host, and to no other."""
        return self.client.session

    @cached_property
    def client(self) -> BlockingClient:
        """The blocking client for this connection."""
        from airflow_provider_seeany.api.blocking import BlockingClient

        return BlockingClient(read_settings(self.seeany_conn_id, self))

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if (client := self.__dict__.pop("client", None)) is not None:
            client.close()

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[ReauthenticatingClient]:
        """
        Provide the running event loop's client for this connection.

        :raises SeeAnyConnectionNotFound: if the connection was not found.
        :raises SeeAnyConfigError: if it cannot be used.
        """
        # In a thread: loading aiohttp takes some 0.2 s, which would stop every other trigger for as long.
        transport = await asyncio.to_thread(import_module, "airflow_provider_seeany.api.asynchronous")
        settings = await shared_settings(self.seeany_conn_id, self)
        read = partial(fresh_settings, self.seeany_conn_id, self)
        requests = request_counter(self.seeany_conn_id, self.mode)
        async with ReauthenticatingClient(settings, read, transport.shared_client, requests) as client:
            yield client

    def get(self, endpoint: str, params: Mapping[str, Any] | None = None) -> Any:
        """
        Make an authenticated GET and return the decoded JSON. Transient errors are retried, see
        :mod:`airflow_provider_seeany.api.retries`.

        :param endpoint: path below the API's base, for example ``tasks/vid_20260603_001``, or
            ``api/developer/balance`` if the connection's ``api`` is ``developer``.
        :param params: query parameters.
        :raises SeeAnyConfigError: if the connection or the endpoint cannot be used.
        :raises SeeAnyApiError: if there is no usable response.
        """
        with self._own_exceptions():
            return call_with_retries(self._counted, self.client.get_json, endpoint, params)

    def post(self, endpoint: str, payload: Any) -> Any:
        """
        Make an authenticated POST and return the decoded JSON. It is repeated only if it certainly was not carried out:
        if there was no connection, or the service asked to come back later.

        :param endpoint: path below the API's base, for example ``api/ai/smarttask`` if the connection's ``api`` is
            ``developer``.
        :param payload: what to send as JSON.
        :raises SeeAnyConfigError: if the connection, the endpoint or the payload cannot be used.
        :raises SeeAnyApiError: if there is no usable response; ``was_not_carried_out`` says whether the service
            certainly did nothing.
        """
        with self._own_exceptions(is_post=True):
            return call_once_with_retries(self._counted, self.client.post_json, endpoint, payload)

    def _counted(self, send: Callable[..., Result], *args: Any) -> Result:
        """Make one request, and count it."""
        with request_counter(self.seeany_conn_id, self.mode):
            return send(*args)

    @contextmanager
    def _own_exceptions(self, *, is_post: bool = False) -> Iterator[None]:
        try:
            yield
        except BadSettings as error:
            raise SeeAnyConfigError(str(error)) from None
        except ApiError as error:
            raised = api_error(error, seeany_conn_id=self.seeany_conn_id)
            raised.was_not_carried_out = is_post and error.was_not_carried_out
            raise raised from None

    def get_task(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Return a task, whatever its state. Transient errors are retried, see
        :mod:`airflow_provider_seeany.api.retries`.

        :param seeany_task_id: the id that the endpoint which created the task returned.
        :raises SeeAnyTaskIdError: if that cannot be an id.
        :raises SeeAnyConfigError: if the connection cannot be used.
        :raises SeeAnyApiError: if there is no usable response.
        """
        checked = checked_id(seeany_task_id)
        try:
            task = call_with_retries(self.poll, checked)
        except ApiError as error:
            raise api_error(error, seeany_conn_id=self.seeany_conn_id, seeany_task_id=checked) from None
        self._anomalies.log_new(task, self.log)
        return task

    async def aget_task(self, seeany_task_id: str) -> SeeAnyTask:
        """Return a task, as :meth:`get_task` does, without blocking the event loop."""
        checked = checked_id(seeany_task_id)
        try:
            async with self.async_client() as client:
                task = await acall_with_retries(client.get_task, checked)
        except ApiError as error:
            raise api_error(error, seeany_conn_id=self.seeany_conn_id, seeany_task_id=checked) from None
        self._anomalies.log_new(task, self.log)
        return task

    def poll(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Make one request for a task.

        If the key is refused, reload the connection, and repeat the request if it has changed.

        :raises SeeAnyTaskIdError: if the given id cannot be one.
        :raises SeeAnyConfigError: if the connection cannot be used.
        :raises ApiError: if there is no usable response.
        """
        checked = checked_id(seeany_task_id)
        client = self.client
        try:
            task = self._counted(client.get_task, checked)
        except ApiError as error:
            if not error.refuses_key:
                self._budget.reset()
                raise
            try:
                settings = read_settings(self.seeany_conn_id, self)
            except CONNECTION_ERRORS as unusable:
                raise self._budget.record_failure(unusable) from None
            self._budget.reset()
            if settings == client.settings:
                raise
        else:
            self._budget.reset()
            return task
        self.close()
        return self._counted(self.client.get_task, checked)

    def wait_for_task(
        self, seeany_task_id: str, interval: float = 10, timeout: float = 300, *, accept_partial: bool = True
    ) -> SeeAnyTask:
        """
        Poll until the task has ended; the defaults are the platform's own advice.

        This holds the calling process for the whole wait; in a DAG prefer ``SeeAnyTaskSensor``.

        :param seeany_task_id: the id that the endpoint which created the task returned.
        :param interval: seconds between two requests.
        :param timeout: seconds after which the wait ends.
        :param accept_partial: return a task of whose files some failed, too, instead of raising ``SeeAnyTaskFailed``.
        :return: the completed task.
        :raises SeeAnyTaskFailed: if the task failed.
        :raises SeeAnyTaskTimeout: if it had not ended in time.
        :raises SeeAnyApiError: if another request cannot succeed. Transient errors do not end the wait.
        """
        checked = checked_id(seeany_task_id)
        clock = ForwardClock()
        began = clock()
        wait = Wait(
            checked,
            polling=PollPolicy(poll_interval=interval),
            deadline=began + timeout,
            log=self.log,
            began=began,
        )
        while True:
            try:
                step = wait.receive(self.poll(checked), clock())
            except ApiError as error:
                step = wait.receive(error, clock())
            if not isinstance(step, Pause):
                return completed_task(
                    step,
                    seeany_task_id=checked,
                    seeany_conn_id=self.seeany_conn_id,
                    timeout=timeout,
                    accept_partial=accept_partial,
                )
            time.sleep(step.seconds)

    def callback_url(
        self,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        task_id: str | None = None,
        map_index: int = -1,
        asset: Asset | str | None = None,
    ) -> str:
        """
        Return the URL for SeeAny to call back when a task has ended, to be passed when creating it.

        A callback resumes the waits with ``expect_callback=True`` that use this connection, for the SeeAny task that
        its body names (see :func:`~airflow_provider_seeany.api.task_id.task_ids_in`). It requires
        ``[seeany] callback_secret`` and ``[api] base_url``, the same in every process.

        :param dag_id: the DAG of the task that waits. If it is given, the body need not name a SeeAny task.
        :param run_id: its run.
        :param task_id: the task that waits.
        :param map_index: the index of its instance, if it is mapped.
        :param asset: an asset, its URI or its name. It gets an event when the SeeAny task that the body names is
            completed, which starts the DAGs that are scheduled on it; once for each SeeAny task.
        :raises SeeAnyConfigError: if an option is not set.
        """
        from airflow_provider_seeany.callback.token import TokenClaims
        from airflow_provider_seeany.callback.url import asset_uri, callback_url
        from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

        key = None
        if dag_id is not None or run_id is not None or task_id is not None:
            if dag_id is None or run_id is None or task_id is None:
                raise ValueError("dag_id, run_id and task_id name the task that waits together: give all three")
            key = TaskInstanceKey(dag_id, run_id, task_id, map_index)
        return callback_url(TokenClaims(self.seeany_conn_id, key, None if asset is None else asset_uri(asset)))

    def test_connection(self) -> tuple[bool, str]:
        """
        Tell whether the API accepts the key, for the Test button and ``airflow connections test``.

        The connection is read anew. The message has the balance if the API tells it.
        """
        self.close()
        try:
            is_accepted, text = True, self.client.test_key()
        except ApiError as error:
            is_accepted, text = False, str(api_error(error, seeany_conn_id=self.seeany_conn_id))
        except Exception as error:
            return False, str(error)
        # Airflow's command line takes square brackets for markup, and fails on those of a web page.
        return is_accepted, text.replace("[", "(").replace("]", ")")


def checked_id(seeany_task_id: object) -> str:
    """
    Return the value if it can be the id of a SeeAny task.

    :raises SeeAnyTaskIdError: if it cannot; the text says what to look at.
    """
    try:
        return checked_task_id(seeany_task_id)
    except BadTaskId as error:
        raise SeeAnyTaskIdError(str(error)) from None
