"""What a trigger does in a worker's place: reading XComs in templates, and pushing those of the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_seeany.api.task import HIGHLIGHTS
from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.results.keys import NOW_KEY
from airflow_provider_seeany.results.record import Record

if TYPE_CHECKING:
    from airflow_provider_seeany.api.task import SeeAnyTask


_FIRST = RESULT_LINKS[0].xcom_key


class TemplateTaskInstance:
    """
    The task instance as templates see it, with an ``xcom_pull`` that works in a triggerer.

    Airflow 3.3's triggerer does not know the message that ``xcom_pull`` sends when it is given no map index, and
    waits for an answer for ever. So one is always given: that of a task which is not mapped, as templates that pull
    from others start in a worker.

    :param task_instance: the real one.
    """

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task_instance, name)

    def xcom_pull(self, *args: Any, map_indexes: int = -1, **kwargs: Any) -> Any:
        """Pull as the real one does."""
        return self._task_instance.xcom_pull(*args, map_indexes=map_indexes, **kwargs)


def result_xcoms(task: SeeAnyTask, *, conn_id: str, with_values: bool, place: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the XComs of a wait that ends without a worker, by key.

    :param task: the completed task.
    :param conn_id: the connection that was asked through.
    :param with_values: whether the Airflow task pushes any; the links are always pushed.
    :param place: what names the XComs of the task instance.
    """
    links = {link.xcom_key: link.url_of(task) for link in RESULT_LINKS}
    if not with_values:
        return links
    # In this order: see TriggererXComs.
    return {
        **links,
        **task.highlights(),
        "return_value": task.as_json(),
        **Record.of_task(task, conn_id=conn_id).xcoms(place),
    }


class TriggererXComs:
    """
    The XComs of a task instance that has no worker.

    They are sent one by one: given to ``TaskSuccessEvent``, Airflow 3.3 stores them encoded twice. A link, which is
    part of every result, is pushed first and deleted last: if it is not there, nothing of a result is.

    :param task_instance: the task instance that they belong to.
    """

    def __init__(self, task_instance: Any) -> None:
        self._where = place_of(task_instance)

    async def clear(self) -> None:
        """Delete what an earlier try may have left; in a worker Airflow does that itself."""
        from airflow.providers.common.compat.sdk import XCom

        keys = ["return_value", *HIGHLIGHTS, *(link.xcom_key for link in RESULT_LINKS[1:])]
        match await XCom.aget_one(key=NOW_KEY, **self._where):
            case {"record": str(record_key)}:
                keys.append(record_key)
        # Last: until they are gone, a triggerer that is restarted meanwhile still finds the record, and all of it.
        await self._delete(*keys, NOW_KEY, _FIRST)

    async def clear_what_was_pushed(self) -> None:
        """Delete what :meth:`push` may have left, and the progress; nearly always that alone."""
        if await self.are_there():
            await self.clear()
        else:
            await self._delete(NOW_KEY)

    async def _delete(self, *keys: str) -> None:
        from airflow.sdk.execution_time.comms import DeleteXCom
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        for key in keys:
            await SUPERVISOR_COMMS.asend(DeleteXCom(key=key, **self._where))

    async def are_there(self) -> bool:
        """Tell whether a result was pushed, or begun to be, be it by somebody else."""
        from airflow.sdk.execution_time.comms import GetXCom
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        answer: Any = await SUPERVISOR_COMMS.asend(GetXCom(key=_FIRST, **self._where))
        return getattr(answer, "value", None) is not None

    async def push(self, task: SeeAnyTask, *, conn_id: str, with_values: bool) -> None:
        """Push the links, and the values and the UI's record if the Airflow task pushes any."""
        from airflow.providers.common.compat.sdk import XCom

        xcoms = result_xcoms(task, conn_id=conn_id, with_values=with_values, place=self._where)
        for key, value in xcoms.items():
            await XCom.aset(key=key, value=value, **self._where)


def place_of(task_instance: Any) -> dict[str, Any]:
    """Return what names the XComs of a task instance."""
    return {
        "dag_id": task_instance.dag_id,
        "task_id": task_instance.task_id,
        "run_id": task_instance.run_id,
        "map_index": -1 if task_instance.map_index is None else task_instance.map_index,
    }
