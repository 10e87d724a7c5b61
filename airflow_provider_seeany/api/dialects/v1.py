"""The documented dialect: ``GET /v1/tasks/{task_id}``, whose body is the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_seeany.api.dialects.base import KEY_ACCEPTED, Client, Dialect
from airflow_provider_seeany.api.error_body import BodyError, find_error, http_status, scalar_text
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError

PROBE_TASK_ID = "airflow-connection-test"
"""An id that no task has. Requesting it tells whether the key is accepted: the API documents no other way."""


class V1(Dialect):
    """The documented dialect, in which an error with a success status is judged by its code alone."""

    name = "v1"
    label = "v1 (/v1/tasks)"
    base_path = "/v1"
    typed_paths = ("/v1",)

    def task_endpoint(self, quoted_id: str) -> str:
        """Return the endpoint of a task."""
        return f"tasks/{quoted_id}"

    def task_payload(self, payload: Any, seeany_task_id: str) -> Mapping[str, Any]:
        """Return the body itself; its id is compared as that of any task."""
        if not isinstance(payload, dict):
            raise ValueError(f"expected a JSON object, got {type(payload).__name__}")
        return payload

    def error_in(self, payload: Mapping[str, Any]) -> BodyError | None:
        """
        Return the error in a body.

        A code that is an HTTP status counts as one. No other code is documented: it may mean that the service is busy
        as well as that the key is wrong.
        """
        if not _is_about_request(payload) or (found := find_error(payload)) is None:
            return None
        code, message = found
        return BodyError(code=code, message=message, http_status=http_status(code))

    def test_key(self, client: Client) -> str:
        """Request a task that cannot exist: "not found" proves that the key was accepted."""
        try:
            client.get_task(PROBE_TASK_ID)
        except ApiError as error:
            if error.http_status in (404, 410) and not error.is_web_page:
                return KEY_ACCEPTED
            raise
        raise InvalidResponseError("A task that cannot exist was found")


def _is_about_request(payload: Mapping[str, Any]) -> bool:
    """
    Tell whether an error in this payload is one of the request, even beside a ``status``.

    That is so if the payload has no field of a task but an echoed id, and its code is an HTTP status. A payload whose
    status means that the task has failed may have such a code, too.
    """
    # Not above: it loads what provider info, which every Airflow process reads, has no need of.
    from airflow_provider_seeany.api.task import SeeAnyTask

    if "status" not in payload:
        return True
    if http_status(scalar_text(payload.get("code"))) is None:
        return False
    task = SeeAnyTask(id="", status=scalar_text(payload["status"]) or "", payload=payload)
    if task.has_task_fields:
        return False
    if task.is_failed:
        return task.status.strip().lower() == "error" and not isinstance(payload.get("error"), dict)
    return task.is_completed or not task.has_known_status
