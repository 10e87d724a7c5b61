"""The XComs of a completed task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.xcoms.record import Record

if TYPE_CHECKING:
    from airflow_provider_seeany.api.task import SeeAnyTask


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
        **task.result_fields(),
        "return_value": task.as_json(),
        **Record.of_task(task, conn_id=conn_id).xcoms(place),
    }
